//! The durable queue of events of which somebody is to be told by mail.

use async_trait::async_trait;
use authlog_application::ports::{DueMail, MailQueue, StoreError, StreamId};
use authlog_domain::{AggregateKind, Timestamp, UserId};
use rusqlite::{Connection, Result, Row, params};

use super::SqliteStore;
use super::errors::{malformed, store_error};
use super::rows::id;

type Answer<T> = std::result::Result<T, StoreError>;

#[async_trait]
impl MailQueue for SqliteStore {
    async fn take_due_mail(
        &self,
        now: Timestamp,
        leased_until: Timestamp,
        limit: u32,
    ) -> Answer<Vec<DueMail>> {
        // A look that finds nothing, as nearly every one does, is no reason to write.
        if !self.readers.read(move |it| any_due(it, now)).await? {
            return Ok(vec![]);
        }
        self.writer
            .write(move |connection| {
                take(connection, now, leased_until, limit).map_err(store_error)
            })
            .await
    }

    async fn complete_mail(&self, mail: &DueMail) -> Answer<()> {
        const DELETE: &str =
            "DELETE FROM due_mail WHERE aggregate_type = ? AND aggregate_id = ? AND sequence = ?";
        let (kind, id, sequence) = key(mail);
        self.execute(DELETE, (kind, id, sequence)).await
    }

    async fn postpone_mail(&self, mail: &DueMail, at: Timestamp) -> Answer<()> {
        const UPDATE: &str = "
            UPDATE due_mail SET due_at = ?4 WHERE aggregate_type = ?1 AND aggregate_id = ?2 AND sequence = ?3";
        let (kind, id, sequence) = key(mail);
        self.execute(UPDATE, (kind, id, sequence, at.unix_millis()))
            .await
    }
}

fn key(mail: &DueMail) -> (&'static str, String, i64) {
    let StreamId { kind, id } = &mail.stream;
    (kind.as_str(), id.clone(), mail.sequence as i64)
}

fn any_due(connection: &Connection, now: Timestamp) -> Result<bool> {
    const SELECT: &str = "SELECT 1 FROM due_mail WHERE due_at <= ? LIMIT 1";
    connection
        .prepare_cached(SELECT)?
        .exists([now.unix_millis()])
}

fn take(
    connection: &Connection,
    now: Timestamp,
    leased_until: Timestamp,
    limit: u32,
) -> Result<Vec<DueMail>> {
    const TAKE: &str = "
        UPDATE due_mail SET attempts = attempts + 1, due_at = ?2
        WHERE (aggregate_type, aggregate_id, sequence) IN
            (SELECT aggregate_type, aggregate_id, sequence FROM due_mail WHERE due_at <= ?1 ORDER BY due_at LIMIT ?3)
        RETURNING aggregate_type, aggregate_id, sequence, user_id, attempts";
    connection
        .prepare_cached(TAKE)?
        .query_map(
            params![now.unix_millis(), leased_until.unix_millis(), limit],
            due_mail,
        )?
        .collect()
}

fn due_mail(row: &Row<'_>) -> Result<DueMail> {
    let sequence: i64 = row.get(2)?;
    Ok(DueMail {
        stream: StreamId {
            kind: id(row, 0, AggregateKind::from_stored)?,
            id: row.get(1)?,
        },
        sequence: u64::try_from(sequence).map_err(|error| malformed(2, error))?,
        user: id(row, 3, UserId::parse)?,
        attempts: row.get(4)?,
    })
}
