//! The pauses between attempts.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

/// The pause after the first failure.
const SHORTEST: Duration = Duration::from_millis(250);

/// The longest pause.
const LONGEST: Duration = Duration::from_secs(5);

/// Pauses that become longer with each failure. Each is between half and all of its length, so that many services do not come back
/// at the same moment.
#[derive(Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The pause before the next attempt.
    pub(crate) fn next(&mut self) -> Duration {
        let longest = SHORTEST.saturating_mul(2_u32.saturating_pow(self.failures));
        self.failures = self.failures.saturating_add(1);
        jittered(longest.min(LONGEST))
    }

    /// Begins with the shortest pause again.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

/// Between half and all of a duration.
pub(crate) fn jittered(duration: Duration) -> Duration {
    // Each of these hashers has keys of its own, from the random numbers of the operating system.
    let random = RandomState::new().hash_one(0) as u32;
    let share = 0.5 + f64::from(random) / f64::from(u32::MAX) / 2.0;
    duration.mul_f64(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_become_longer_up_to_a_limit_and_differ() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..100).map(|_| backoff.next()).collect();
        assert!(pauses[0] >= SHORTEST / 2 && pauses[0] <= SHORTEST);
        assert!(
            pauses[50..]
                .iter()
                .all(|it| *it >= LONGEST / 2 && *it <= LONGEST)
        );
        let different: std::collections::HashSet<_> = pauses[50..].iter().collect();
        assert!(different.len() > 10);
        backoff.reset();
        assert!(backoff.next() <= SHORTEST);
    }
}
