//! How long to wait before the next attempt: exponentially longer, with jitter.

use std::sync::Arc;
use std::time::Duration;

use crate::ports::Entropy;

/// The first pause, at its longest: a fault that passes at once costs hardly more than a moment.
const FIRST: Duration = Duration::from_millis(200);

/// The longest pause: an operator who repaired the cause does not wait for much longer than this.
const LONGEST: Duration = Duration::from_secs(30);

/// Pauses between attempts, each up to twice as long as the one before. Half of each is random, so that nodes that failed
/// together do not try again together.
pub struct Backoff {
    entropy: Arc<dyn Entropy>,
    failures: u32,
}

impl Backoff {
    /// Pauses that begin with the shortest.
    pub fn new(entropy: Arc<dyn Entropy>) -> Self {
        Self {
            entropy,
            failures: 0,
        }
    }

    /// The pause after one more failure: 100 ms to 30 s.
    pub fn next_pause(&mut self) -> Duration {
        let longest = FIRST
            .saturating_mul(1 << self.failures.min(16))
            .min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        let mut random = [0; 4];
        self.entropy.fill(&mut random);
        let share = f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX);
        longest.mul_f64(0.5 + share / 2.0)
    }

    /// Begins with the shortest pause again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}
