//! Exponential back-off with jitter.

use std::sync::Arc;
use std::time::Duration;

use crate::ports::Entropy;

/// The longest first pause. It is short, so that a fault that passes at once costs little.
const FIRST: Duration = Duration::from_millis(200);

/// The longest pause. It bounds how long an operator waits for the restart after the cause was repaired.
const LONGEST: Duration = Duration::from_secs(30);

/// The pauses between attempts. The longest possible pause doubles after each failure, up to 30 s. Half of a pause is
/// random, so that nodes that failed together do not try again together.
pub struct Backoff {
    entropy: Arc<dyn Entropy>,
    failures: u32,
}

impl Backoff {
    /// A back-off that begins with the shortest pause.
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

    /// Makes the next pause the shortest again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}
