//! The durable queue of requests to reset a password.

use async_trait::async_trait;
use authlog_application::RequestContext;
use authlog_application::ports::{ResetRequest, ResetRequests, StoreError};
use authlog_domain::{ResetId, Timestamp};
use rusqlite::{Params, Result, Row};

use super::SqliteStore;
use super::errors::{malformed, store_error};
use super::lease_queue::{LeaseQueue, any_due, is_due, postpone, take_due};
use super::rows::{id, timestamp};
use crate::mail::give_up;

type Answer<T> = std::result::Result<T, StoreError>;

const DELETE: &str = "DELETE FROM reset_requests WHERE reset_id = ?";

static QUEUE: LeaseQueue<ResetRequest> = LeaseQueue {
    any_due: any_due!("reset_requests", condition: ""),
    take_due: take_due!(
        "reset_requests",
        "reset_id",
        "reset_id, identifier, requested_at, context, attempts, unacknowledged",
        condition: "",
        order: "requested_at, reset_id"
    ),
    postpone: postpone!("reset_requests", "reset_id"),
    read: request,
    unreadable: |connection, id, error| {
        give_up(id, &store_error(error));
        connection.prepare_cached(DELETE)?.execute([id]).map(drop)
    },
};

#[async_trait]
impl ResetRequests for SqliteStore {
    async fn enqueue(&self, request: &ResetRequest) -> Answer<()> {
        // Queueing a request a second time changes nothing.
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
        let mut taken = QUEUE
            .take_due(self, (now, leased_until), limit, None)
            .await?;
        // RETURNING has no order.
        taken.sort_by_key(|request| (request.at, request.reset));
        Ok(taken)
    }

    async fn complete(&self, reset: ResetId) -> Answer<()> {
        self.execute(DELETE, [reset.to_string()]).await
    }

    async fn postpone(&self, request: &ResetRequest, at: Timestamp) -> Answer<()> {
        let attempt = (request.attempts, request.unacknowledged);
        QUEUE
            .postpone(self, request.reset.to_string(), attempt, at)
            .await
    }
}

impl SqliteStore {
    /// Runs one statement as a command of the writer.
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
