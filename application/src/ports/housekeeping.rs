//! Removal of expired data.

use async_trait::async_trait;
use authlog_domain::{SessionId, Timestamp};

use super::StoreError;

/// Removes expired data. A delay does no harm, because expired data is refused whether or not it was removed.
#[async_trait]
pub trait Housekeeping: Send + Sync {
    /// Removes the digests of opaque tokens that have expired at `now`, and returns their number.
    async fn remove_expired_tokens(&self, now: Timestamp) -> Result<u64, StoreError>;

    /// Removes the mail budgets of mailboxes that have recovered completely at `now`, so that they equal those of a
    /// mailbox that was never sent any mail. Returns the number of rows.
    async fn remove_unused_mail_budgets(&self, now: Timestamp) -> Result<u64, StoreError>;

    /// Removes the requests of devices that have expired at `now`, and returns their number.
    async fn remove_expired_device_authorizations(&self, now: Timestamp)
    -> Result<u64, StoreError>;

    /// Examines up to `limit` rows of sessions after `after`, in the order of their ids, and removes the rows of sessions that
    /// were over at `ended_before` (see [`SessionRecord::over_at`](super::SessionRecord::over_at)). Returns `None` if no row
    /// was left to examine.
    async fn remove_ended_sessions(
        &self,
        ended_before: Timestamp,
        after: Option<SessionId>,
        limit: u32,
    ) -> Result<Option<SweptSessions>, StoreError>;

    /// Removes up to `limit` remaining session rows of erased accounts, with their opaque tokens. Rows remain if an account had
    /// more sessions than one append removes. Returns whether there may be more.
    async fn continue_erasures(&self, limit: u32) -> Result<bool, StoreError>;

    /// Marks the current end of the log, unless another node has marked it after the mark `last`. Without `last` it makes no
    /// mark. Keeps the newest `keep` marks, and returns the newest one.
    ///
    /// Each node calls this once an hour, with the result of its previous call. So marks are at least an hour apart, regardless
    /// of the number of nodes and of their wall clocks.
    async fn mark_log(&self, last: Option<LogMark>, keep: u32) -> Result<LogMark, StoreError>;
}

/// A mark of an earlier end of the log, by the number of the mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogMark(pub i64);

/// The result of examining a batch of session rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SweptSessions {
    /// The last row that was examined.
    pub last: SessionId,
    /// The number of removed rows.
    pub removed: u64,
}
