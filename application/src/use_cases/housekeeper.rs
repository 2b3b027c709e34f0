//! Removing what has expired, now and then.

use std::sync::Arc;
use std::time::Duration;

use crate::ports::{Clock, Housekeeping};

/// How often: expired digests are small, and an hour of them is few.
const EVERY: Duration = Duration::from_secs(60 * 60);

/// Removes what has expired.
pub struct Housekeeper {
    store: Arc<dyn Housekeeping>,
    clock: Arc<dyn Clock>,
}

impl Housekeeper {
    pub(crate) fn new(store: Arc<dyn Housekeeping>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }

    /// Works until it is dropped.
    pub async fn run(&self) {
        loop {
            let now = self.clock.now();
            match self.store.remove_expired_tokens(now).await {
                Ok(removed) => tracing::debug!(removed, "expired tokens were removed"),
                Err(error) => tracing::warn!(%error, "expired tokens stay for now"),
            }
            match self.store.remove_unused_mail_budgets(now).await {
                Ok(removed) => tracing::debug!(removed, "unused mail budgets were removed"),
                Err(error) => tracing::warn!(%error, "unused mail budgets stay for now"),
            }
            tokio::time::sleep(EVERY).await;
        }
    }
}
