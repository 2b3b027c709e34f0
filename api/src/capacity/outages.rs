//! Whether requests that change something are carried out, or fail because the store does.

use std::sync::{Mutex, MutexGuard, PoisonError};

use authlog_application::RecentOutcomes;
use tokio::time::Instant;

/// So few failures say nothing, however few requests there are.
const FEW: u32 = 5;

/// The outcomes of the latest requests that change something.
///
/// The store judges by its writes alone. A disk on which one operation in twenty fails lets most writes succeed, and hardly
/// a request, which needs many of them.
#[derive(Default)]
pub(crate) struct Outages(Mutex<RecentOutcomes>);

impl Outages {
    /// Notes that a request was carried out at `now`, or failed because the store could not be used.
    pub fn note(&self, now: Instant, has_failed: bool) {
        self.lock().note(now.into_std(), has_failed);
    }

    /// Whether most requests of the latest seconds failed. It is over some seconds after the last request.
    pub fn prevail(&self, now: Instant) -> bool {
        let outcomes = self.lock().at(now.into_std());
        outcomes.failed >= FEW && outcomes.are_mostly_failures()
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
    fn outages_prevail_while_most_of_several_requests_fail() {
        let (outages, now) = (Outages::default(), Instant::now());
        for _ in 1..FEW {
            outages.note(now, true);
        }
        assert!(!outages.prevail(now), "a few say nothing");
        outages.note(now + PERIOD, true);
        assert!(outages.prevail(now + PERIOD));
        for _ in 0..FEW {
            outages.note(now + PERIOD, false);
        }
        assert!(!outages.prevail(now + PERIOD), "half is not most");
        outages.note(now + 2 * PERIOD, true);
        assert!(outages.prevail(now + 2 * PERIOD));
    }

    #[test]
    fn outages_are_over_when_nothing_was_asked_for_some_seconds() {
        let (outages, now) = (Outages::default(), Instant::now());
        for _ in 0..100 {
            outages.note(now, true);
        }
        assert!(outages.prevail(now + WINDOW - PERIOD));
        assert!(!outages.prevail(now + WINDOW));
    }
}
