//! The rate of refusals for too many attempts, and when delayed refusals are sent.

use std::sync::{Mutex, PoisonError};

use tokio::time::{Duration, Instant};

/// How many refusals a second a node sends without delay. People who mistype a password stay far below.
const AT_ONCE: u32 = 100;

/// The period over which refusals are counted.
const PERIOD: Duration = Duration::from_secs(1);

/// Delayed refusals are sent together, once per interval. A refusal that is sent alone wakes a sleeping thread, on a processor
/// whose caches are full of the memory of password hashes: it took 98 µs of processor time instead of 75. An interval of 50 ms
/// gained nothing more. Under a storm of logins some fifty refusals are sent at a time.
const SENT_EVERY: Duration = Duration::from_millis(20);

/// Decides which refusals for too many attempts `process_request` delays.
///
/// A client that ignores a refusal sends the next request immediately. A hundred such connections send tens of
/// thousands of requests a second, which is all that two processors can answer. With the delay each connection costs
/// one refusal a second.
pub(crate) struct Refusals {
    counted: Mutex<Option<Counted>>,
    /// When the first interval of [`SENT_EVERY`] began.
    began: Instant,
}

struct Counted {
    since: Instant,
    refused: u32,
}

impl Default for Refusals {
    fn default() -> Self {
        Self {
            counted: Mutex::default(),
            began: Instant::now(),
        }
    }
}

impl Refusals {
    /// When a refusal that is due at `due` is sent: with the next ones, less than [`SENT_EVERY`] later.
    pub fn sent_at(&self, due: Instant) -> Instant {
        let past = due.saturating_duration_since(self.began);
        #[expect(clippy::cast_possible_truncation, reason = "less than `SENT_EVERY`")]
        let rest = Duration::from_nanos((past.as_nanos() % SENT_EVERY.as_nanos()) as u64);
        if rest.is_zero() {
            due
        } else {
            due + SENT_EVERY - rest
        }
    }

    /// Counts a refusal at `now`, and returns whether it exceeds the limit.
    pub fn are_too_many(&self, now: Instant) -> bool {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = match &mut *counted {
            Some(counted) if now.saturating_duration_since(counted.since) < PERIOD => counted,
            past => past.insert(Counted {
                since: now,
                refused: 0,
            }),
        };
        counted.refused = counted.refused.saturating_add(1);
        counted.refused > AT_ONCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_that_are_due_within_20_ms_are_sent_at_the_same_time() {
        let refusals = Refusals::default();
        let sent_after = |micros: u64| {
            let due = refusals.began + Duration::from_micros(micros);
            refusals.sent_at(due).duration_since(refusals.began)
        };
        for (due, sent) in [
            (0, 0),
            (1, 20),
            (20_000, 20),
            (20_001, 40),
            (39_999, 40),
            (1_234_567, 1240),
        ] {
            assert_eq!(sent_after(due), Duration::from_millis(sent), "{due} µs");
        }
    }

    #[test]
    fn refusals_are_too_many_from_the_hundred_and_first_of_a_second() {
        let refusals = Refusals::default();
        let now = Instant::now();
        for _ in 0..AT_ONCE {
            assert!(!refusals.are_too_many(now));
        }
        assert!(refusals.are_too_many(now + PERIOD / 2));
        assert!(!refusals.are_too_many(now + PERIOD));
    }
}
