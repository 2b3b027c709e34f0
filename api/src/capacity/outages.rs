//! Whether requests that change something are carried out, or fail because the store does.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use tokio::time::{Duration, Instant};

/// The time that counts: as long as the store's own writes are remembered.
const WINDOW: Duration = Duration::from_secs(5);

/// The length of a period for which outcomes are added up.
const PERIOD: Duration = Duration::from_secs(1);

/// So few failures say nothing, however few requests there are.
const FEW: u32 = 5;

/// The outcomes of the latest requests that change something.
///
/// The store judges by its writes alone. A disk on which one operation in twenty fails lets most writes succeed, and hardly
/// a request, which needs many of them.
#[derive(Default)]
pub(crate) struct Outages(Mutex<VecDeque<Period>>);

struct Period {
    since: Instant,
    carried_out: u32,
    failed: u32,
}

impl Outages {
    /// Notes that a request was carried out at `now`, or failed because the store could not be used.
    pub fn note(&self, now: Instant, failed: bool) {
        let mut periods = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        forget(&mut periods, now);
        let period = match periods.pop_back() {
            Some(last) if now.saturating_duration_since(last.since) < PERIOD => last,
            last => {
                periods.extend(last);
                Period {
                    since: now,
                    carried_out: 0,
                    failed: 0,
                }
            }
        };
        periods.push_back(Period {
            carried_out: period.carried_out.saturating_add((!failed).into()),
            failed: period.failed.saturating_add(failed.into()),
            ..period
        });
    }

    /// Whether most requests of the latest seconds failed. It is over some seconds after the last request.
    pub fn prevail(&self, now: Instant) -> bool {
        let mut periods = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        forget(&mut periods, now);
        let sum = |of: fn(&Period) -> u32| periods.iter().map(of).fold(0, u32::saturating_add);
        let failed = sum(|period| period.failed);
        failed >= FEW && failed > sum(|period| period.carried_out)
    }
}

fn forget(periods: &mut VecDeque<Period>, now: Instant) {
    while let Some(first) = periods.front()
        && now.saturating_duration_since(first.since) >= WINDOW
    {
        periods.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn memory_is_bounded_by_the_window() {
        let (outages, now) = (Outages::default(), Instant::now());
        for millis in 0..100_000 {
            outages.note(now + Duration::from_millis(millis), millis % 2 == 0);
        }
        assert!(outages.0.lock().unwrap().len() <= 6);
    }
}
