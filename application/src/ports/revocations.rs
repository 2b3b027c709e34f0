//! Revocations: sessions that ended, for the nodes that verify tokens in memory.

use async_trait::async_trait;
use authlog_domain::Timestamp;
use authlog_projections::Revocation;

use super::StoreError;

/// Takes revocations as they are read, some thousands at a time.
pub type RevocationSink<'a> = &'a mut (dyn FnMut(Vec<Revocation>) + Send);

/// A source of revocations.
#[async_trait]
pub trait RevocationSource: Send + Sync {
    /// Starts to follow the revocations of the store as it is now. What the adapter itself remembers of accounts is
    /// forgotten: it may be from another history of the store.
    async fn follow_revocations(&self) -> Result<Box<dyn RevocationReader + '_>, StoreError>;
}

/// A reader of one history of the store. Its place in that history is its own and cannot be carried to another: after a
/// crash, a failover or a restore the numbers by which it goes on mean something else.
///
/// After an error nothing is known any more, and another reader has to start from the beginning. A reader of a store that
/// cannot prove that it is still the same returns an error.
#[async_trait]
pub trait RevocationReader: Send {
    /// Reads every revocation that was committed before this reader was made and was recorded from `since` on, or comes
    /// after the oldest mark in the log ([`Housekeeping::mark_log`](super::Housekeeping::mark_log)): the clock by which it
    /// was recorded may have been behind. It may be a day's worth of a busy service, which no statement and no memory
    /// should have to take at once.
    async fn read_since(
        &mut self,
        since: Timestamp,
        sink: RevocationSink<'_>,
    ) -> Result<(), StoreError>;

    /// Reads what was committed since the last call, or since this reader was made: everything that was committed when
    /// this is called, on whichever node, is in this answer or was in an earlier one.
    async fn read_new(&mut self) -> Result<Vec<Revocation>, StoreError>;
}
