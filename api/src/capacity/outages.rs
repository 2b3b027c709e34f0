//! Whether requests that change something currently succeed, or fail because of the store.

use std::sync::{Mutex, MutexGuard, PoisonError};

use authlog_application::RecentOutcomes;
use tokio::time::Instant;

/// Fewer failures than this are no evidence of an outage, even if there are no successes.
const MIN_FAILURES: u32 = 5;

/// The outcomes of the latest requests that change something.
///
/// The store judges its health by single writes. On a disk on which one operation in twenty fails, most writes succeed,
/// but hardly a request does, because it needs many of them.
#[derive(Default)]
pub(crate) struct Outages(Mutex<RecentOutcomes>);

impl Outages {
    /// Records at `now` that a request succeeded, or `failed` because the store was unavailable.
    pub fn record(&self, now: Instant, has_failed: bool) {
        self.lock().note(now.into_std(), has_failed);
    }

    /// Whether most requests of the last seconds failed. Returns to `false` a few seconds after the last request.
    pub fn is_ongoing(&self, now: Instant) -> bool {
        let outcomes = self.lock().at(now.into_std());
        outcomes.failed >= MIN_FAILURES && outcomes.are_mostly_failures()
    }

    fn lock(&self) -> MutexGuard<'_, RecentOutcomes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const PERIOD: Duration = Duration::from_secs(1);
    const WINDOW: Duration = RecentOutcomes::WINDOW;

    #[test]
    fn there_is_an_outage_while_most_of_several_requests_fail() {
        let (outages, now) = (Outages::default(), Instant::now());
        for _ in 1..MIN_FAILURES {
            outages.record(now, true);
        }
        assert!(!outages.is_ongoing(now), "a few say nothing");
        outages.record(now + PERIOD, true);
        assert!(outages.is_ongoing(now + PERIOD));
        for _ in 0..MIN_FAILURES {
            outages.record(now + PERIOD, false);
        }
        assert!(!outages.is_ongoing(now + PERIOD), "half is not most");
        outages.record(now + 2 * PERIOD, true);
        assert!(outages.is_ongoing(now + 2 * PERIOD));
    }

    #[test]
    fn an_outage_ends_after_seconds_without_requests() {
        let (outages, now) = (Outages::default(), Instant::now());
        for _ in 0..100 {
            outages.record(now, true);
        }
        assert!(outages.is_ongoing(now + WINDOW - PERIOD));
        assert!(!outages.is_ongoing(now + WINDOW));
    }
}
