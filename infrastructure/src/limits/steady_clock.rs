//! The clock that limits use: it is monotonic.

use std::sync::Arc;

use authlog_application::ports::Clock;

/// How long the process has run. The wall clock may be set meanwhile: set ahead it forgives no guess, and set back it
/// lengthens no wait.
pub(super) struct SteadyClock(Arc<dyn Clock>);

impl SteadyClock {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self(clock)
    }

    /// The monotonic time in milliseconds.
    pub fn now(&self) -> i64 {
        i64::try_from(self.0.monotonic().as_millis()).unwrap_or(i64::MAX)
    }
}
