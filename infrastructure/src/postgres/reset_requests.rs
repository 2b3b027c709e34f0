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
use super::lease_queue::{LeaseQueue, postpone, take_due};
use crate::mail::give_up;
use crate::store::unreadable;

const QUEUE: LeaseQueue = LeaseQueue {
    take_due: take_due!(
        "reset_requests",
        "reset_id",
        "reset_id, identifier, requested_at, context, attempts, unacknowledged",
        condition: "",
        order: "requested_at, reset_id"
    ),
    postpone: postpone!("reset_requests", "reset_id"),
};

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
        self.monitor_write(stored).await.map(drop)
    }

    async fn take_due(
        &self,
        now: Timestamp,
        leased_until: Timestamp,
        limit: u32,
    ) -> Result<Vec<ResetRequest>, StoreError> {
        let rows: Vec<Row> = QUEUE
            .take_due(&self.connections, (now, leased_until), limit, |query| query)
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
        // RETURNING has no order.
        taken.sort_by_key(|request| (request.at, request.reset));
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
        let attempt = (request.attempts, request.unacknowledged);
        QUEUE
            .postpone(&self.connections, request.reset.as_uuid(), attempt, at)
            .await
    }
}
