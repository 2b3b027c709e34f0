//! A circuit breaker: after some failures in a row, a neighbour is left alone for a while.

use std::time::Duration;

use tokio::time::Instant;

/// After how many failures in a row requests stop.
const FAILURES: u32 = 3;

/// How long they stop the first time. Each failure after that doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(30);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// How long the one request after a pause may take before another one is sent.
const PROBE: Duration = Duration::from_secs(2);

/// The state of a circuit breaker. The default lets requests through.
#[derive(Default)]
pub(super) struct Breaker {
    failures: u32,
    /// Until when no request is sent.
    paused_until: Option<Instant>,
}

impl Breaker {
    /// Whether a request may be sent at `now`. After a pause, one request is sent first.
    pub(super) fn admits(&mut self, now: Instant) -> bool {
        match self.paused_until {
            None => true,
            Some(until) if now < until => false,
            Some(_) => {
                self.paused_until = Some(now + PROBE);
                true
            }
        }
    }

    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Counts a failure. Returns for how long no request is sent, if a pause begins.
    pub(super) fn failed(&mut self, now: Instant) -> Option<Duration> {
        self.failures = self.failures.saturating_add(1);
        let pauses = self.failures.checked_sub(FAILURES)?;
        let pause = FIRST_PAUSE.saturating_mul(1 << pauses.min(8));
        let pause = pause.min(LONGEST_PAUSE);
        self.paused_until = Some(now + pause);
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn after_three_failures_one_request_is_sent_after_each_pause_until_one_succeeds() {
        let mut breaker = Breaker::default();
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(breaker.failed(start), None);
        assert_eq!(breaker.failed(start), None);
        assert!(breaker.admits(start));
        assert_eq!(breaker.failed(start), Some(Duration::from_secs(30)));
        assert!(!breaker.admits(after(29)));
        assert!(breaker.admits(after(30)) && !breaker.admits(after(31)));
        // The request after the pause has failed.
        assert_eq!(breaker.failed(after(31)), Some(Duration::from_secs(60)));
        assert!(!breaker.admits(after(90)) && breaker.admits(after(91)));
        for _ in 0..100 {
            let pause = breaker.failed(after(91)).unwrap();
            assert!(pause <= LONGEST_PAUSE);
        }
        breaker.succeeded();
        assert!(breaker.admits(after(92)));
        assert_eq!(breaker.failed(after(92)), None);
    }
}
