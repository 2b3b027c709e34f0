//! Rebuilding the read models from the log.

use crate::Refusal;
use crate::ports::Rebuild;

/// Streams in one step: few enough that a step holds no lock for long, enough that steps cost little.
const STEP: u32 = 500;

/// How far a rebuild has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RebuildProgress {
    /// Streams whose rows are written anew.
    pub done: u64,
    /// Streams there were at the start; more may have come since.
    pub total: u64,
    /// Rows of aggregates without events that were removed.
    pub removed: u64,
}

/// Writes every row of the read models anew, while the service goes on, and reports after each step.
///
/// # Errors
/// The store does not answer, or an event cannot be read. What was rebuilt so far is good, and starting again is safe.
pub async fn rebuild_read_models(
    store: &dyn Rebuild,
    mut report: impl FnMut(RebuildProgress) + Send,
) -> Result<RebuildProgress, Refusal> {
    let mut progress = RebuildProgress {
        total: store.count_streams().await?,
        ..RebuildProgress::default()
    };
    report(progress);
    let mut reached = None;
    while let Some(step) = store.rebuild_after(reached.as_ref(), STEP).await? {
        progress.done += step.count;
        report(progress);
        reached = Some(step.stream);
    }
    progress.removed = store.remove_orphans().await?;
    report(progress);
    Ok(progress)
}
