//! Rebuilding the read models from the log while the service is running.

use async_trait::async_trait;
use authlog_domain::{AggregateKind, Timestamp};

use super::{StoreError, StreamId};

/// Rewrites rows of the read models.
///
/// A row is a function of its aggregate's events, and a rebuild does not overwrite a row of a later version. So rebuilds and
/// live appends may run concurrently, and ranges may be rebuilt in any order.
#[async_trait]
pub trait Rebuild: Send + Sync {
    /// The number of streams, to report progress.
    async fn count_streams(&self) -> Result<u64, StoreError>;

    /// The next streams after `after` in the store's order that are of one kind and have about `events` events together. Only
    /// the last of them may go beyond that number. `None` if no stream is left.
    async fn range_after(
        &self,
        after: Option<&StreamId>,
        events: u32,
    ) -> Result<Option<StreamRange>, StoreError>;

    /// Rewrites the rows of these streams, except those of sessions that housekeeping may have removed at `now`.
    async fn rebuild(&self, stretch: &StreamRange, now: Timestamp) -> Result<(), StoreError>;

    /// Removes rows of aggregates that have no events or belong to erased accounts, and returns their number.
    async fn remove_orphans(&self) -> Result<u64, StoreError>;
}

/// A range of streams of one kind, in the store's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamRange {
    /// The kind of the streams.
    pub kind: AggregateKind,
    /// The id after which the range begins; empty for the beginning of the kind.
    pub after: String,
    /// The id of the last stream.
    pub last: String,
    /// The number of streams when the range was determined.
    pub streams: u64,
}

impl StreamRange {
    /// The last stream, after which the next range begins.
    pub fn end(&self) -> StreamId {
        StreamId {
            kind: self.kind,
            id: self.last.clone(),
        }
    }
}
