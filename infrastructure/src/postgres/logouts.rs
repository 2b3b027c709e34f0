//! The queue of logout tokens, as tables. The function `queue_logouts` of the schema fills it.

use async_trait::async_trait;
use authlog_application::ports::{
    DueLogout, LogoutQueue, LogoutReceiver, QueuedLogouts, StoreError, WaitingLogouts,
};
use authlog_domain::{ClientId, SessionId, Timestamp, UserId};
use sqlx::FromRow;
use uuid::Uuid;

use super::PostgresStore;
use super::instants::StoredInstant;
use crate::store::{LONGEST_POSTPONEMENT, unreadable};

const QUEUE: &str = "SELECT state FROM queue_logouts($1)";

/// An entry or a client that is due after `$4` was postponed under a clock that was ahead.
const LEASE: &str = r"
    WITH due AS MATERIALIZED (
        SELECT r.client_id FROM logout_receivers r
         WHERE (r.due_at <= $1 OR r.due_at > $4)
           AND (EXISTS (SELECT FROM due_logouts d WHERE d.client_id = r.client_id AND d.due_at <= $1)
                OR EXISTS (SELECT FROM due_logouts d WHERE d.client_id = r.client_id AND d.due_at > $4))
         ORDER BY r.due_at LIMIT $3 FOR UPDATE SKIP LOCKED
    )
    UPDATE logout_receivers SET leases = leases + 1, due_at = $2
     WHERE client_id IN (SELECT client_id FROM due)
    RETURNING client_id, leases, failures, failing_since";

const RETURN: &str = r"
    UPDATE logout_receivers SET failures = $3, failing_since = $4, due_at = $5 WHERE client_id = $1 AND leases = $2";

const DUE: &str = r"
    SELECT session_id, user_id, ended_at, refusals FROM due_logouts
     WHERE client_id = $1 AND (due_at <= $2 OR due_at > $3)
     ORDER BY due_at, place LIMIT $4";

const COMPLETE: &str = "DELETE FROM due_logouts WHERE session_id = $1";

const POSTPONE: &str =
    "UPDATE due_logouts SET refusals = refusals + 1, due_at = $2 WHERE session_id = $1";

const FORGET: &str = r"
    DELETE FROM due_logouts WHERE place IN (SELECT place FROM due_logouts WHERE client_id = $1 LIMIT $2)";

const WAITING: &str = r"
    SELECT (SELECT count(*) FROM due_logouts WHERE client_id = $1) AS count,
           (SELECT min(ended_at) FROM due_logouts WHERE client_id = $1) AS oldest,
           (SELECT failing_since FROM logout_receivers WHERE client_id = $1) AS failing_since";

const RETRY: &str =
    "UPDATE logout_receivers SET due_at = 'epoch' WHERE client_id = $1 AND failures > 0";

const FAILING: &str = r"
    SELECT count(*) FROM logout_receivers r
     WHERE failures > 0 AND EXISTS (SELECT FROM due_logouts d WHERE d.client_id = r.client_id)";

/// The instant, or an early one if it is out of range.
fn known_or_early(instant: StoredInstant) -> Timestamp {
    instant.get().unwrap_or(Timestamp::from_unix_millis(0))
}

#[derive(FromRow)]
struct Receiver {
    client_id: String,
    leases: i64,
    failures: i64,
    failing_since: Option<StoredInstant>,
}

#[derive(FromRow)]
struct Due {
    session_id: Uuid,
    user_id: Uuid,
    ended_at: StoredInstant,
    refusals: i64,
}

#[derive(FromRow)]
struct Waiting {
    count: i64,
    oldest: Option<StoredInstant>,
    failing_since: Option<StoredInstant>,
}

/// The function answers with a word that this program does not know.
#[derive(Debug, thiserror::Error)]
#[error("the function queue_logouts was changed")]
struct OtherFunction;

#[async_trait]
impl LogoutQueue for PostgresStore {
    async fn queue_logouts(&self, at_most: u32) -> Result<QueuedLogouts, StoreError> {
        let state: String = self
            .connections
            .ask(|pool| {
                sqlx::query_scalar(QUEUE)
                    .bind(i32::try_from(at_most).unwrap_or(i32::MAX))
                    .fetch_one(pool)
            })
            .await?;
        Ok(match state.as_str() {
            "idle" => QueuedLogouts::Idle,
            "nothing" => QueuedLogouts::Nothing,
            "busy" => QueuedLogouts::Busy,
            "unused" => QueuedLogouts::Unused,
            "done" => QueuedLogouts::Done,
            "more" => QueuedLogouts::More,
            _ => return Err(unreadable(OtherFunction)),
        })
    }

    /// The statement is sent once. Clients that it leased are due again after the lease if its answer is lost.
    async fn lease_receivers(
        &self,
        now: Timestamp,
        leased_until: Timestamp,
        limit: u32,
    ) -> Result<Vec<LogoutReceiver>, StoreError> {
        let query = sqlx::query_as(LEASE)
            .bind(now.date_time())
            .bind(leased_until.date_time())
            .bind(i64::from(limit))
            .bind(now.plus(LONGEST_POSTPONEMENT).date_time())
            .fetch_all(self.connections.pool());
        let rows: Vec<Receiver> = self.connections.ask_once(query).await?;
        Ok(rows.into_iter().map(Receiver::read).collect())
    }

    async fn return_receiver(
        &self,
        receiver: &LogoutReceiver,
        due_at: Timestamp,
    ) -> Result<(), StoreError> {
        self.connections
            .ask(|pool| {
                sqlx::query(RETURN)
                    .bind(receiver.client.as_str())
                    .bind(receiver.leases.cast_signed())
                    .bind(i64::from(receiver.failures))
                    .bind(receiver.failing_since.map(Timestamp::date_time))
                    .bind(due_at.date_time())
                    .execute(pool)
            })
            .await?;
        Ok(())
    }

    async fn due_logouts(
        &self,
        client: &ClientId,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<DueLogout>, StoreError> {
        let rows: Vec<Due> = self
            .connections
            .ask(|pool| {
                sqlx::query_as(DUE)
                    .bind(client.as_str())
                    .bind(now.date_time())
                    .bind(now.plus(LONGEST_POSTPONEMENT).date_time())
                    .bind(i64::from(limit))
                    .fetch_all(pool)
            })
            .await?;
        Ok(rows.into_iter().map(Due::read).collect())
    }

    async fn complete_logout(&self, session: SessionId) -> Result<(), StoreError> {
        self.connections
            .ask(|pool| sqlx::query(COMPLETE).bind(session.as_uuid()).execute(pool))
            .await?;
        Ok(())
    }

    async fn postpone_logout(
        &self,
        session: SessionId,
        due_at: Timestamp,
    ) -> Result<(), StoreError> {
        self.connections
            .ask(|pool| {
                sqlx::query(POSTPONE)
                    .bind(session.as_uuid())
                    .bind(due_at.date_time())
                    .execute(pool)
            })
            .await?;
        Ok(())
    }

    async fn forget_logouts(&self, client: &ClientId, limit: u32) -> Result<u64, StoreError> {
        let removed = self
            .connections
            .ask(|pool| {
                sqlx::query(FORGET)
                    .bind(client.as_str())
                    .bind(i64::from(limit))
                    .execute(pool)
            })
            .await?;
        Ok(removed.rows_affected())
    }

    async fn waiting_logouts(
        &self,
        client: &ClientId,
    ) -> Result<Option<WaitingLogouts>, StoreError> {
        let row: Waiting = self
            .connections
            .ask(|pool| {
                sqlx::query_as(WAITING)
                    .bind(client.as_str())
                    .fetch_one(pool)
            })
            .await?;
        let Some(oldest) = row.oldest else {
            return Ok(None);
        };
        Ok(Some(WaitingLogouts {
            count: row.count.unsigned_abs(),
            oldest: known_or_early(oldest),
            failing_since: row.failing_since.and_then(StoredInstant::get),
        }))
    }

    async fn retry_logouts(&self, client: &ClientId) -> Result<(), StoreError> {
        self.connections
            .ask(|pool| sqlx::query(RETRY).bind(client.as_str()).execute(pool))
            .await?;
        Ok(())
    }

    async fn failing_receivers(&self) -> Result<u64, StoreError> {
        let count: i64 = self
            .connections
            .ask(|pool| sqlx::query_scalar(FAILING).fetch_one(pool))
            .await?;
        Ok(count.unsigned_abs())
    }
}

impl Receiver {
    fn read(self) -> LogoutReceiver {
        LogoutReceiver {
            client: ClientId::from_stored(self.client_id),
            leases: self.leases.cast_unsigned(),
            failures: u32::try_from(self.failures).unwrap_or(u32::MAX),
            failing_since: self.failing_since.and_then(StoredInstant::get),
        }
    }
}

impl Due {
    /// An instant out of range is read as an early one: the entry is then given up sooner, and delays no other.
    fn read(self) -> DueLogout {
        DueLogout {
            session: SessionId::new(self.session_id),
            user: UserId::new(self.user_id),
            ended_at: known_or_early(self.ended_at),
            refusals: u32::try_from(self.refusals).unwrap_or(u32::MAX),
        }
    }
}
