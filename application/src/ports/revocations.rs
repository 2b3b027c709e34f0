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
    /// Starts to follow the revocations of the store's current history. The adapter also clears its own caches of accounts,
    /// because they may be of another history.
    async fn follow_revocations(&self) -> Result<Box<dyn RevocationReader + '_>, StoreError>;
}

/// A reader of one history of the store. Its position is meaningless in any other history: after a crash, a failover or a
/// restore, the same numbers belong to other events.
///
/// After an error the reader must not be used any more, and a new one has to read from the beginning. A reader returns an
/// error if the store cannot prove that it still has the same history.
#[async_trait]
pub trait RevocationReader: Send {
    /// Reads every revocation that was committed before this reader was created and that was recorded at `since` or later. It
    /// also reads the revocations after the oldest mark in the log ([`Housekeeping::mark_log`](super::Housekeeping::mark_log)),
    /// because the clock by which they were recorded may have been behind. The result may be a day of a busy service, so it is
    /// passed to `sink` in parts.
    async fn read_since(
        &mut self,
        since: Timestamp,
        sink: RevocationSink<'_>,
    ) -> Result<(), StoreError>;

    /// Reads the revocations that were committed since the last call, or since this reader was created. Every revocation that
    /// any node committed before this call is in this result or in an earlier one.
    async fn read_new(&mut self) -> Result<Vec<Revocation>, StoreError>;
}
