//! Writing the read models anew from the log, while the service goes on.

use async_trait::async_trait;

use super::{StoreError, StreamId};

/// Writes rows of the read models anew.
///
/// A row is a function of its aggregate's events, and one that holds a later version is left alone: so rebuilding and
/// live appends may run at once and in any order.
#[async_trait]
pub trait Rebuild: Send + Sync {
    /// How many streams there are, for showing progress.
    async fn count_streams(&self) -> Result<u64, StoreError>;

    /// Writes the rows of up to `limit` streams anew, those after `after` in the store's order, and returns the last of
    /// them; `None` when there was none left.
    async fn rebuild_after(
        &self,
        after: Option<&StreamId>,
        limit: u32,
    ) -> Result<Option<RebuiltTo>, StoreError>;

    /// Removes rows of aggregates that have no events or belong to erased accounts, and says how many there were.
    async fn remove_orphans(&self) -> Result<u64, StoreError>;
}

/// How far a rebuild has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RebuiltTo {
    /// The last stream whose row was written anew.
    pub stream: StreamId,
    /// How many streams this step took.
    pub count: u64,
}
