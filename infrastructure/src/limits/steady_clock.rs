//! Time that never runs backwards.

use std::sync::{Arc, Mutex, PoisonError};

use authlog_application::ports::Clock;

/// How long the clock has run forward since this was made. While the clock is set back nothing passes: a bucket goes on
/// leaking from where it was, so that nobody waits for the clock to catch up.
pub(super) struct SteadyClock {
    clock: Arc<dyn Clock>,
    reading: Mutex<Reading>,
}

struct Reading {
    clock: i64,
    passed: i64,
}

impl SteadyClock {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let reading = Reading {
            clock: clock.now().unix_millis(),
            passed: 0,
        };
        Self {
            clock,
            reading: Mutex::new(reading),
        }
    }

    /// Milliseconds.
    pub fn now(&self) -> i64 {
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock: threads that overtake each other are not clocks that are set back.
        let clock = self.clock.now().unix_millis();
        let passed = clock.saturating_sub(reading.clock).max(0);
        reading.clock = clock;
        reading.passed = reading.passed.saturating_add(passed);
        reading.passed
    }
}
