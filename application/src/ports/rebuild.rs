//! Rebuilding the read models from the log while the service is running.

use async_trait::async_trait;
use authlog_domain::{AggregateKind, Timestamp};

use super::{StoreError, StreamId};

/// Rewrites rows of the read models.
///
/// A row is a function of its aggregate's events, and one that holds a later version is left alone: so rebuilding and
/// live appends may run at once and in any order, and so may stretches.
#[async_trait]
pub trait Rebuild: Send + Sync {
    /// How many streams there are, for showing progress.
    async fn count_streams(&self) -> Result<u64, StoreError>;

    /// The streams to which the next `events` events belong, those after `after` in the store's order, as far as they are
    /// of one kind. The last of them may have more events than that. `None` when no stream is left.
    async fn stretch_after(
        &self,
        after: Option<&StreamId>,
        events: u32,
    ) -> Result<Option<Stretch>, StoreError>;

    /// Rewrites the rows of these streams, except those of sessions that housekeeping may have removed at `now`.
    async fn rebuild(&self, stretch: &Stretch, now: Timestamp) -> Result<(), StoreError>;

    /// Removes rows of aggregates that have no events or belong to erased accounts, and says how many there were.
    async fn remove_orphans(&self) -> Result<u64, StoreError>;
}

/// Streams of one kind that follow each other in the store's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// What they are.
    pub kind: AggregateKind,
    /// Which one comes before the first; empty if none does.
    pub after: String,
    /// Which is the last.
    pub last: String,
    /// How many there were when they were counted.
    pub streams: u64,
}

impl Stretch {
    /// The last of the streams.
    pub fn end(&self) -> StreamId {
        StreamId {
            kind: self.kind,
            id: self.last.clone(),
        }
    }
}
