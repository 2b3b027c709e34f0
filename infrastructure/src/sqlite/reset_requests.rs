//! The durable queue of requests to reset a password.

use async_trait::async_trait;
use authlog_application::RequestContext;
use authlog_application::ports::{ResetRequest, ResetRequests, StoreError};
use authlog_domain::{ResetId, Timestamp};
use rusqlite::{Connection, Params, Result, Row, params};

use super::SqliteStore;
use super::errors::{malformed, store_error};
use super::mail_queue::latest_due;
use super::rows::{id, timestamp};
use crate::mail::give_up;

type Answer<T> = std::result::Result<T, StoreError>;

#[async_trait]
impl ResetRequests for SqliteStore {
    async fn enqueue(&self, request: &ResetRequest) -> Answer<()> {
        // Putting one request in twice is putting it in once.
        const INSERT: &str = "
            INSERT INTO reset_requests (reset_id, identifier, requested_at, context, attempts, due_at)
            VALUES (?1, ?2, ?3, ?4, ?5, ?3) ON CONFLICT DO NOTHING";
        let context = serde_json::to_string(&request.context).map_err(crate::store::unreadable)?;
        let row = (
            request.reset.to_string(),
            request.identifier.clone(),
            request.at.unix_millis(),
            context,
            request.attempts,
        );
        self.execute(INSERT, row).await
    }

    async fn take_due(
        &self,
        now: Timestamp,
        leased_until: Timestamp,
        limit: u32,
    ) -> Answer<Vec<ResetRequest>> {
        // A look that finds nothing, as nearly every one does, is no reason to write.
        if !self.readers.read(move |it| any_due(it, now)).await? {
            return Ok(vec![]);
        }
        let mut taken = self
            .writer
            .write(move |connection| {
                take(connection, now, leased_until, limit).map_err(store_error)
            })
            .await?;
        // RETURNING has no order.
        taken.sort_by_key(|request| request.at);
        Ok(taken)
    }

    async fn complete(&self, reset: ResetId) -> Answer<()> {
        const DELETE: &str = "DELETE FROM reset_requests WHERE reset_id = ?";
        self.execute(DELETE, [reset.to_string()]).await
    }

    async fn postpone(&self, request: &ResetRequest, at: Timestamp) -> Answer<()> {
        const UPDATE: &str = "
            UPDATE reset_requests SET due_at = ?2, unacknowledged = ?4 WHERE reset_id = ?1 AND attempts = ?3";
        let entry = (
            request.reset.to_string(),
            at.unix_millis(),
            request.attempts,
            request.unacknowledged,
        );
        self.execute(UPDATE, entry).await
    }
}

impl SqliteStore {
    /// Carries out one statement as a command.
    pub(super) async fn execute(
        &self,
        sql: &'static str,
        params: impl Params + Send + 'static,
    ) -> Answer<()> {
        self.writer
            .write(move |connection| {
                connection
                    .prepare_cached(sql)
                    .and_then(|mut statement| statement.execute(params))
                    .map(drop)
                    .map_err(store_error)
            })
            .await
    }
}

fn any_due(connection: &Connection, now: Timestamp) -> Result<bool> {
    const SELECT: &str = "SELECT 1 FROM reset_requests WHERE due_at <= ? OR due_at > ? LIMIT 1";
    connection
        .prepare_cached(SELECT)?
        .exists([now.unix_millis(), latest_due(now)])
}

fn take(
    connection: &Connection,
    now: Timestamp,
    leased_until: Timestamp,
    limit: u32,
) -> Result<Vec<ResetRequest>> {
    const TAKE: &str = "
        UPDATE reset_requests SET attempts = attempts + 1, due_at = ?2
        WHERE reset_id IN
            (SELECT reset_id FROM reset_requests WHERE due_at <= ?1 OR due_at > ?4 ORDER BY requested_at, reset_id LIMIT ?3)
        RETURNING reset_id, identifier, requested_at, context, attempts, unacknowledged";
    let (mut taken, mut unreadable) = (Vec::new(), Vec::<String>::new());
    let mut statement = connection.prepare_cached(TAKE)?;
    let mut rows = statement.query(params![
        now.unix_millis(),
        leased_until.unix_millis(),
        limit,
        latest_due(now)
    ])?;
    while let Some(row) = rows.next()? {
        match request(row) {
            Ok(request) => taken.push(request),
            Err(error) => {
                let id: String = row.get(0)?;
                give_up(&id, &store_error(error));
                unreadable.push(id);
            }
        }
    }
    drop(rows);
    let mut delete = connection.prepare_cached("DELETE FROM reset_requests WHERE reset_id = ?")?;
    for id in unreadable {
        delete.execute([id])?;
    }
    Ok(taken)
}

fn request(row: &Row<'_>) -> Result<ResetRequest> {
    let context = row.get_ref(3)?.as_str()?;
    let context: RequestContext =
        serde_json::from_str(context).map_err(|error| malformed(3, error))?;
    Ok(ResetRequest {
        reset: id(row, 0, ResetId::parse)?,
        identifier: row.get(1)?,
        at: timestamp(row, 2)?,
        context,
        attempts: row.get(4)?,
        unacknowledged: row.get(5)?,
    })
}
