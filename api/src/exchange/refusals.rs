//! How fast requests are refused that are too many.

use std::sync::{Mutex, PoisonError};

use tokio::time::{Duration, Instant};

/// How many requests a node refuses in a second without delay. People who mistype a password never come near it.
const AT_ONCE: u32 = 100;

/// The period for which refusals are counted.
const PERIOD: Duration = Duration::from_secs(1);

/// Tells which refusals are held back for a moment (see `carry_out`).
///
/// A client that takes no notice of a refusal sends the next request at once: over some hundred connections tens of
/// thousands a second, which is all that two processors can answer. Where refusals are held back each connection costs
/// one a second.
#[derive(Default)]
pub(crate) struct Refusals(Mutex<Option<Counted>>);

struct Counted {
    since: Instant,
    refused: u32,
}

impl Refusals {
    /// Whether a refusal at `now` is one of too many.
    pub fn are_too_many(&self, now: Instant) -> bool {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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
