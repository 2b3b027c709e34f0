//! Counts of recent successes and failures, for a decision on whether a dependency works.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The length of the window: long enough to distinguish a fault from one failure among many successes, short enough
/// that a load balancer learns of the fault soon.
const WINDOW: Duration = Duration::from_secs(5);

/// The length of the periods in which outcomes are counted.
const PERIOD: Duration = Duration::from_secs(1);

/// The outcomes of the last five seconds, counted per second.
#[derive(Default)]
pub struct RecentOutcomes(VecDeque<Period>);

struct Period {
    since: Instant,
    outcomes: Outcomes,
}

/// Counts of successes and failures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// Attempts that succeeded.
    pub succeeded: u32,
    /// Attempts that failed.
    pub failed: u32,
}

impl RecentOutcomes {
    /// How long an outcome counts.
    pub const WINDOW: Duration = WINDOW;

    /// Counts an attempt that ended at `now`.
    pub fn note(&mut self, now: Instant, has_failed: bool) {
        self.forget(now);
        let is_current = |last: &&mut Period| now.duration_since(last.since) < PERIOD;
        match self.0.back_mut().filter(is_current) {
            Some(last) => last.outcomes.add(has_failed),
            None => {
                let mut outcomes = Outcomes::default();
                outcomes.add(has_failed);
                self.0.push_back(Period {
                    since: now,
                    outcomes,
                });
            }
        }
    }

    /// The number of successes and failures that count at `now`.
    pub fn at(&mut self, now: Instant) -> Outcomes {
        self.forget(now);
        let sum = |of: fn(&Outcomes) -> u32| {
            let counts = self.0.iter().map(|period| of(&period.outcomes));
            counts.fold(0, u32::saturating_add)
        };
        Outcomes {
            succeeded: sum(|it| it.succeeded),
            failed: sum(|it| it.failed),
        }
    }

    fn forget(&mut self, now: Instant) {
        while let Some(first) = self.0.front()
            && now.duration_since(first.since) >= WINDOW
        {
            self.0.pop_front();
        }
    }
}

impl Outcomes {
    /// Whether more attempts failed than succeeded.
    pub const fn are_mostly_failures(self) -> bool {
        self.failed > self.succeeded
    }

    fn add(&mut self, has_failed: bool) {
        let count = if has_failed {
            &mut self.failed
        } else {
            &mut self.succeeded
        };
        *count = count.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_count_for_the_window() {
        let (mut recent, now) = (RecentOutcomes::default(), Instant::now());
        recent.note(now, false);
        recent.note(now + PERIOD, true);
        let (succeeded, failed) = (1, 1);
        let both = Outcomes { succeeded, failed };
        assert_eq!(recent.at(now + WINDOW - PERIOD), both);
        let second = Outcomes {
            succeeded: 0,
            failed,
        };
        assert_eq!(recent.at(now + WINDOW), second);
        assert_eq!(recent.at(now + WINDOW + PERIOD), Outcomes::default());
    }

    #[test]
    fn memory_is_bounded_by_the_window() {
        let (mut recent, now) = (RecentOutcomes::default(), Instant::now());
        for millis in 0..100_000 {
            recent.note(now + Duration::from_millis(millis), millis % 2 == 0);
        }
        assert!(recent.0.len() <= 6, "{}", recent.0.len());
    }
}
