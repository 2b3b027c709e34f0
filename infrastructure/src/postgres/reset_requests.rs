//! The queue of requests to reset a password, as a table.

use async_trait::async_trait;
use authlog_application::RequestContext;
use authlog_application::ports::{ResetRequest, ResetRequests, StoreError};
use authlog_domain::{ResetId, Timestamp};
use serde_json::Value;
use sqlx::FromRow;
use sqlx::types::Json;
use uuid::Uuid;

use super::PostgresStore;
use super::instants::StoredInstant;
use crate::mail::give_up;
use crate::store::{LONGEST_POSTPONEMENT, unreadable};

/// `SKIP LOCKED` lets nodes take at the same time, each something else. The request is chosen before anything is
/// updated, so that no more than the limit are locked.
const TAKE_DUE: &str = r"
    WITH due AS MATERIALIZED (
        SELECT reset_id FROM reset_requests
         WHERE due_at <= $1 OR due_at > $4
         ORDER BY requested_at, reset_id
         LIMIT $3
           FOR UPDATE SKIP LOCKED
    ), taken AS (
        UPDATE reset_requests SET attempts = attempts + 1, due_at = $2
         WHERE reset_id IN (SELECT reset_id FROM due)
        RETURNING reset_id, identifier, requested_at, context, attempts, unacknowledged
    )
    SELECT * FROM taken ORDER BY requested_at, reset_id";

#[derive(FromRow)]
struct Row {
    reset_id: Uuid,
    identifier: Vec<u8>,
    requested_at: StoredInstant,
    context: Json<Value>,
    attempts: i64,
    unacknowledged: i64,
}

impl TryFrom<Row> for ResetRequest {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            reset: ResetId::new(row.reset_id),
            identifier: String::from_utf8(row.identifier).map_err(unreadable)?,
            at: row.requested_at.known()?,
            context: serde_json::from_value::<RequestContext>(row.context.0).map_err(unreadable)?,
            attempts: u32::try_from(row.attempts).map_err(unreadable)?,
            unacknowledged: u32::try_from(row.unacknowledged).map_err(unreadable)?,
        })
    }
}

#[async_trait]
impl ResetRequests for PostgresStore {
    async fn enqueue(&self, request: &ResetRequest) -> Result<(), StoreError> {
        // Plain text, not the `Json` type: that is sent as jsonb, which has no U+0000 in it.
        let context = serde_json::to_string(&request.context).map_err(unreadable)?;
        let stored = self.connections
            .ask(|pool| {
                sqlx::query(
                    r"
                    INSERT INTO reset_requests (reset_id, identifier, requested_at, context, attempts, due_at)
                    VALUES ($1, $2, $3, $4::text::json, $5, $3)
                    ON CONFLICT (reset_id) DO NOTHING",
                )
                .bind(request.reset.as_uuid())
                .bind(request.identifier.as_bytes())
                .bind(request.at.date_time())
                .bind(&context)
                .bind(i64::from(request.attempts))
                .execute(pool)
            });
        self.noted_write(stored).await.map(drop)
    }

    async fn take_due(
        &self,
        now: Timestamp,
        leased_until: Timestamp,
        limit: u32,
    ) -> Result<Vec<ResetRequest>, StoreError> {
        // What an answer that was lost has taken comes back when its lease ends.
        let rows: Vec<Row> = self
            .connections
            .ask_once(
                sqlx::query_as(TAKE_DUE)
                    .bind(now.date_time())
                    .bind(leased_until.date_time())
                    .bind(i64::from(limit))
                    .bind(now.plus(LONGEST_POSTPONEMENT).date_time())
                    .fetch_all(self.connections.pool()),
            )
            .await?;
        let mut taken = Vec::with_capacity(rows.len());
        for row in rows {
            let reset = ResetId::new(row.reset_id);
            match ResetRequest::try_from(row) {
                Ok(request) => taken.push(request),
                Err(error) => {
                    give_up(reset, &error);
                    self.complete(reset).await?;
                }
            }
        }
        Ok(taken)
    }

    async fn complete(&self, reset: ResetId) -> Result<(), StoreError> {
        self.connections
            .ask(|pool| {
                sqlx::query("DELETE FROM reset_requests WHERE reset_id = $1")
                    .bind(reset.as_uuid())
                    .execute(pool)
            })
            .await?;
        Ok(())
    }

    async fn postpone(&self, request: &ResetRequest, at: Timestamp) -> Result<(), StoreError> {
        const UPDATE: &str = "UPDATE reset_requests SET due_at = $2, unacknowledged = $4 WHERE reset_id = $1 AND attempts = $3";
        self.connections
            .ask(|pool| {
                sqlx::query(UPDATE)
                    .bind(request.reset.as_uuid())
                    .bind(at.date_time())
                    .bind(i64::from(request.attempts))
                    .bind(i64::from(request.unacknowledged))
                    .execute(pool)
            })
            .await?;
        Ok(())
    }
}
