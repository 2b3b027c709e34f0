//! How long a thread has had a processor.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A moment in the life of a thread, by the processor time that it has used: waiting for a processor does not count, so that
/// a busy machine changes little of what work costs.
#[derive(Clone, Copy)]
pub(super) struct CpuTime(Duration);

impl CpuTime {
    /// That of this thread so far.
    pub fn now() -> Self {
        let spent = clock_gettime(ClockId::ThreadCPUTime);
        Self(Duration::try_from(spent).unwrap_or_default())
    }

    /// What this thread has used since.
    pub fn elapsed(self) -> Duration {
        Self::now().0.saturating_sub(self.0)
    }
}
