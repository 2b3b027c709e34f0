//! The clock and the randomness of the operating system.

use authlog_application::ports::{Clock, Entropy};
use authlog_domain::Timestamp;
use time::OffsetDateTime;

/// The clock of this machine. Its wall time may jump when an operator sets it.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that everything else takes as a parameter"
    )]
    fn now(&self) -> Timestamp {
        Timestamp::new(OffsetDateTime::now_utc())
    }
}

/// The random generator of AWS-LC, seeded by the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    /// Fills `bytes`, or ends the process if the system has no randomness. Without it, every id, salt and token could be
    /// guessed, and no caller could continue. Linux has randomness from early boot on, so this happens only on broken
    /// machines.
    fn fill(&self, bytes: &mut [u8]) {
        if aws_lc_rs::rand::fill(bytes).is_err() {
            tracing::error!("the operating system gives no random bytes; stopping at once");
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_advances_and_shows_this_century() {
        let first = SystemClock.now();
        std::thread::sleep(std::time::Duration::from_millis(3));
        assert!(SystemClock.now() > first);
        assert!(first > Timestamp::from_unix_millis(1_700_000_000_000));
    }

    #[test]
    fn two_fills_differ() {
        let mut first = [0; 32];
        let mut second = [0; 32];
        SystemEntropy.fill(&mut first);
        SystemEntropy.fill(&mut second);
        assert_ne!(first, [0; 32]);
        assert_ne!(first, second);
        assert_eq!(SystemEntropy.random_uuid().get_version_num(), 4);
    }
}
