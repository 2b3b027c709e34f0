//! The processor time of a thread.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The processor time that a thread has used at one moment. Waiting for a processor does not count, so a busy machine has
/// little effect on the measured cost of work.
#[derive(Clone, Copy)]
pub(super) struct CpuTime(Duration);

impl CpuTime {
    /// The processor time of the current thread so far.
    pub fn now() -> Self {
        let spent = clock_gettime(ClockId::ThreadCPUTime);
        Self(Duration::try_from(spent).unwrap_or_default())
    }

    /// The processor time that the current thread has used since.
    pub fn elapsed(self) -> Duration {
        Self::now().0.saturating_sub(self.0)
    }
}
