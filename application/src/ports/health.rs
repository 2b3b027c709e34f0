//! Whether requests can be served.

use std::sync::Arc;

use async_trait::async_trait;

use super::StoreError;
use crate::supervisor::WorkerState;

/// Why the store cannot be used although it answers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// Most of the last writes failed, or one hangs, and a write that was tried failed as well.
    #[error("writes fail: {0}")]
    WritesFail(String),
}

/// Tells whether the store can be used.
#[async_trait]
pub trait Health: Send + Sync {
    /// Whether the store answers, has the schema that this program expects, is sealed under a master key that this program
    /// has, and takes writes. Of writes the outcomes of the last few seconds are known; the store is written to only if those
    /// leave it in doubt or if nothing was written for a minute or since the start, and at most once a second.
    async fn check(&self) -> Result<(), StoreError>;

    /// The threads of the store that are restarted when they fail.
    fn workers(&self) -> Vec<Arc<WorkerState>> {
        vec![]
    }
}
