//! Removing what nobody can need any more.

use async_trait::async_trait;
use authlog_domain::Timestamp;

use super::StoreError;

/// Removes what has expired. Nothing breaks if it is late; what has expired is refused all the same.
#[async_trait]
pub trait Housekeeping: Send + Sync {
    /// Removes the digests of opaque tokens that have expired at `now`, and says how many there were.
    async fn remove_expired_tokens(&self, now: Timestamp) -> Result<u64, StoreError>;

    /// Removes what is remembered of mailboxes that may be sent as much at `now` as one that never was sent any mail, and
    /// says how many rows there were.
    async fn remove_unused_mail_budgets(&self, now: Timestamp) -> Result<u64, StoreError>;
}
