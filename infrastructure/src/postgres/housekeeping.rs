//! Removing what has expired.

use async_trait::async_trait;
use authlog_application::ports::{Housekeeping, StoreError};
use authlog_domain::Timestamp;

use super::PostgresStore;

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
}
