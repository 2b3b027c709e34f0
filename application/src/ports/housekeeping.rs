//! Removal of expired data.

use async_trait::async_trait;
use authlog_domain::{SessionId, Timestamp};

use super::StoreError;

/// Removes what has expired. Nothing breaks if it is late; what has expired is refused all the same.
#[async_trait]
pub trait Housekeeping: Send + Sync {
    /// Removes the digests of opaque tokens that have expired at `now`, and says how many there were.
    async fn remove_expired_tokens(&self, now: Timestamp) -> Result<u64, StoreError>;

    /// Removes what is remembered of mailboxes that may be sent as much at `now` as one that never was sent any mail, and
    /// says how many rows there were.
    async fn remove_unused_mail_budgets(&self, now: Timestamp) -> Result<u64, StoreError>;

    /// Looks at up to `limit` rows of sessions in order of their ids, those after `after`, and removes the rows of sessions
    /// that were over at `over_before` (see [`SessionRecord::over_at`](super::SessionRecord::over_at)). `None` when no row
    /// was left to look at.
    async fn remove_over_sessions(
        &self,
        over_before: Timestamp,
        after: Option<SessionId>,
        limit: u32,
    ) -> Result<Option<SweptSessions>, StoreError>;

    /// Removes up to `limit` rows of sessions, with their opaque tokens, of accounts that were erased while they had more
    /// sessions than one append removes. Whether there may be more.
    async fn continue_erasures(&self, limit: u32) -> Result<bool, StoreError>;

    /// Marks where the log ends now, unless another node has marked it since `last`; without `last` it never does. Of the
    /// marks the newest `keep` are kept. Returns the newest one.
    ///
    /// A node that asks once an hour, each time with the answer of the time before, makes no two marks that are less than
    /// an hour apart. This depends neither on the number of nodes nor on their wall clocks.
    async fn mark_log(&self, last: Option<LogMark>, keep: u32) -> Result<LogMark, StoreError>;
}

/// A place in the log that was its end once, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogMark(pub i64);

/// How far the rows of sessions were looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SweptSessions {
    /// The last of the rows that were looked at.
    pub last: SessionId,
    /// How many were removed.
    pub removed: u64,
}
