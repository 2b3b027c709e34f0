//! The readiness of the store.

use std::sync::Arc;

use async_trait::async_trait;

use super::StoreError;
use crate::supervisor::WorkerState;

/// Why the store cannot be used, although it answers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// Most recent writes failed, or one does not return, and a test write failed as well.
    #[error("writes fail: {0}")]
    WritesFail(String),
}

/// Checks whether the store can be used.
#[async_trait]
pub trait Health: Send + Sync {
    /// Checks whether the store answers, has the schema that this program expects, is sealed under a master key that this
    /// program has, and accepts writes. The outcomes of the writes of the last few seconds decide about the latter. A test
    /// write is made only if they are inconclusive, or if nothing was written for a minute or since the start, and at most
    /// once a second.
    ///
    /// # Errors
    /// Why the store cannot be used; its source may be a [`NotReady`].
    async fn check(&self) -> Result<(), StoreError>;

    /// The states of the store's threads, which are restarted when they fail.
    fn workers(&self) -> Vec<Arc<WorkerState>> {
        vec![]
    }
}
