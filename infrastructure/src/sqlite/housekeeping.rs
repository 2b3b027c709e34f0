//! Removing what has expired.

use async_trait::async_trait;
use authlog_application::ports::{Housekeeping, StoreError};
use authlog_domain::Timestamp;

use super::SqliteStore;
use super::errors::store_error;

#[async_trait]
impl Housekeeping for SqliteStore {
    async fn remove_expired_tokens(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.remove("DELETE FROM opaque_tokens WHERE expires_at <= ?", now)
            .await
    }

    async fn remove_unused_mail_budgets(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.remove("DELETE FROM mail_budgets WHERE used_until <= ?", now)
            .await
    }
}

impl SqliteStore {
    async fn remove(&self, delete: &'static str, now: Timestamp) -> Result<u64, StoreError> {
        self.writer
            .write(move |connection| {
                connection
                    .prepare_cached(delete)
                    .and_then(|mut delete| delete.execute([now.unix_millis()]))
                    .map(|removed| removed as u64)
                    .map_err(store_error)
            })
            .await
    }
}
