//! The queue of events of which somebody is to be told by mail, as a table.

use async_trait::async_trait;
use authlog_application::ports::{DueMail, MailQueue, StoreError, StreamId};
use authlog_domain::{AggregateKind, Timestamp, UserId};
use sqlx::FromRow;
use uuid::Uuid;

use super::PostgresStore;
use crate::store::unreadable;

/// `SKIP LOCKED` lets nodes take at the same time, each something else.
const TAKE_DUE: &str = r"
    WITH due AS MATERIALIZED (
        SELECT aggregate_type, aggregate_id, sequence FROM due_mail
         WHERE due_at <= $1
         ORDER BY due_at
         LIMIT $3
           FOR UPDATE SKIP LOCKED
    )
    UPDATE due_mail AS mail SET attempts = attempts + 1, due_at = $2
      FROM due
     WHERE (mail.aggregate_type, mail.aggregate_id, mail.sequence) = (due.aggregate_type, due.aggregate_id, due.sequence)
    RETURNING mail.aggregate_type, mail.aggregate_id, mail.sequence, mail.user_id, mail.attempts";

const COMPLETE: &str =
    "DELETE FROM due_mail WHERE (aggregate_type, aggregate_id, sequence) = ($1, $2, $3)";

const POSTPONE: &str =
    "UPDATE due_mail SET due_at = $4 WHERE (aggregate_type, aggregate_id, sequence) = ($1, $2, $3)";

#[derive(FromRow)]
struct Row {
    aggregate_type: String,
    aggregate_id: String,
    sequence: i64,
    user_id: Uuid,
    attempts: i64,
}

/// Every event is of an aggregate that some version of this program knows.
#[derive(Debug, thiserror::Error)]
#[error("mail is due about an aggregate of an unknown kind")]
struct UnknownKind;

impl TryFrom<Row> for DueMail {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let kind = AggregateKind::from_stored(&row.aggregate_type);
        Ok(Self {
            stream: StreamId {
                kind: kind.ok_or_else(|| unreadable(UnknownKind))?,
                id: row.aggregate_id,
            },
            sequence: u64::try_from(row.sequence).map_err(unreadable)?,
            user: UserId::new(row.user_id),
            attempts: u32::try_from(row.attempts).map_err(unreadable)?,
        })
    }
}

#[async_trait]
impl MailQueue for PostgresStore {
    async fn take_due_mail(
        &self,
        now: Timestamp,
        leased_until: Timestamp,
        limit: u32,
    ) -> Result<Vec<DueMail>, StoreError> {
        // What an answer that was lost has taken comes back when its lease ends.
        let rows: Vec<Row> = self
            .connections
            .ask_once(
                sqlx::query_as(TAKE_DUE)
                    .bind(now.date_time())
                    .bind(leased_until.date_time())
                    .bind(i64::from(limit))
                    .fetch_all(self.connections.pool()),
            )
            .await?;
        rows.into_iter().map(DueMail::try_from).collect()
    }

    async fn complete_mail(&self, mail: &DueMail) -> Result<(), StoreError> {
        self.connections
            .ask(|pool| {
                sqlx::query(COMPLETE)
                    .bind(mail.stream.kind.as_str())
                    .bind(mail.stream.id.as_str())
                    .bind(mail.sequence.cast_signed())
                    .execute(pool)
            })
            .await?;
        Ok(())
    }

    async fn postpone_mail(&self, mail: &DueMail, at: Timestamp) -> Result<(), StoreError> {
        self.connections
            .ask(|pool| {
                sqlx::query(POSTPONE)
                    .bind(mail.stream.kind.as_str())
                    .bind(mail.stream.id.as_str())
                    .bind(mail.sequence.cast_signed())
                    .bind(at.date_time())
                    .execute(pool)
            })
            .await?;
        Ok(())
    }
}
