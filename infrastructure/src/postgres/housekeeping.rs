//! Removal of expired data.

use async_trait::async_trait;
use authlog_application::ports::{Housekeeping, LogMark, StoreError, SweptSessions};
use authlog_domain::{SessionId, Timestamp};
use uuid::Uuid;

use super::PostgresStore;

/// It waits for no lock, so it cannot deadlock with a statement that deletes the same rows in another order. The
/// condition is checked again on the row that was locked.
const REMOVE_OVER_SESSIONS: &str = r"
    WITH page AS MATERIALIZED (
        SELECT session_id FROM sessions WHERE session_id > $1 ORDER BY session_id LIMIT $2
    ), removed AS (
        DELETE FROM sessions WHERE session_id IN (
            SELECT s.session_id FROM sessions s JOIN page USING (session_id)
             WHERE least(s.ended_at, s.expires_at) <= $3
               FOR UPDATE OF s SKIP LOCKED)
        RETURNING 1
    )
    SELECT page.session_id, (SELECT count(*) FROM removed) FROM page ORDER BY page.session_id DESC LIMIT 1";

const CONTINUE_ERASURES: &str = "SELECT continue_erasure($1)";

/// If several nodes do this at the same time, the first one makes the mark.
const MARK_LOG: &str = r"
    INSERT INTO log_marks (number, txid)
    SELECT $1 + 1, pg_snapshot_xmin(pg_current_snapshot())
     WHERE $1 = (SELECT max(number) FROM log_marks)
    ON CONFLICT DO NOTHING";

const FORGET_MARKS: &str =
    "DELETE FROM log_marks WHERE number <= (SELECT max(number) FROM log_marks) - $1";

#[async_trait]
impl Housekeeping for PostgresStore {
    async fn remove_expired_tokens(&self, now: Timestamp) -> Result<u64, StoreError> {
        let removed = self
            .connections
            .ask(|pool| {
                sqlx::query("DELETE FROM opaque_tokens WHERE expires_at <= $1")
                    .bind(now.date_time())
                    .execute(pool)
            })
            .await?;
        Ok(removed.rows_affected())
    }

    async fn remove_unused_mail_budgets(&self, now: Timestamp) -> Result<u64, StoreError> {
        let removed = self
            .connections
            .ask(|pool| {
                sqlx::query("DELETE FROM mail_budgets WHERE used_until <= $1")
                    .bind(now.date_time())
                    .execute(pool)
            })
            .await?;
        Ok(removed.rows_affected())
    }

    async fn remove_expired_device_authorizations(
        &self,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let removed = self
            .connections
            .ask(|pool| {
                sqlx::query("DELETE FROM device_authorizations WHERE expires_at <= $1")
                    .bind(now.date_time())
                    .execute(pool)
            })
            .await?;
        Ok(removed.rows_affected())
    }

    async fn remove_ended_sessions(
        &self,
        ended_before: Timestamp,
        after: Option<SessionId>,
        limit: u32,
    ) -> Result<Option<SweptSessions>, StoreError> {
        let after = after.map_or(Uuid::nil(), SessionId::as_uuid);
        let swept: Option<(Uuid, i64)> = self
            .connections
            .ask(|pool| {
                sqlx::query_as(REMOVE_OVER_SESSIONS)
                    .bind(after)
                    .bind(i64::from(limit))
                    .bind(ended_before.date_time())
                    .fetch_optional(pool)
            })
            .await?;
        Ok(swept.map(|(last, removed)| SweptSessions {
            last: SessionId::new(last),
            removed: removed.cast_unsigned(),
        }))
    }

    async fn continue_erasures(&self, limit: u32) -> Result<bool, StoreError> {
        self.connections
            .ask(|pool| {
                sqlx::query_scalar(CONTINUE_ERASURES)
                    .bind(i32::try_from(limit).unwrap_or(i32::MAX))
                    .fetch_one(pool)
            })
            .await
    }

    async fn mark_log(&self, last: Option<LogMark>, keep: u32) -> Result<LogMark, StoreError> {
        if let Some(LogMark(last)) = last {
            self.connections
                .ask(|pool| sqlx::query(MARK_LOG).bind(last).execute(pool))
                .await?;
            self.connections
                .ask(|pool| {
                    sqlx::query(FORGET_MARKS)
                        .bind(i64::from(keep))
                        .execute(pool)
                })
                .await?;
        }
        let newest = "SELECT max(number) FROM log_marks";
        let newest = self
            .connections
            .ask(|pool| sqlx::query_scalar(newest).fetch_one(pool));
        newest.await.map(LogMark)
    }
}
