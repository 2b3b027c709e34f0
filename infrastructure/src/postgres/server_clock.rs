//! An estimate of the server's clock, taken from its answers.
//!
//! A statement may wait in the server's socket while the server process is stopped. So it carries its deadline by the
//! clock of the server, which the server can check when it finally executes the statement.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::Instant;

/// An answer that took longer says little about the time. It counts only while nothing else is known.
const QUICK: Duration = Duration::from_millis(500);

/// The difference of the server's clock and the monotonic clock of this machine.
#[derive(Default)]
pub(super) struct ServerClock(Mutex<Option<Reading>>);

#[derive(Clone, Copy)]
struct Reading {
    at: Instant,
    time: OffsetDateTime,
}

impl ServerClock {
    /// What the server's clock will say at `instant`; `None` while nothing is known of it.
    pub(super) fn time_at(&self, instant: Instant) -> Option<OffsetDateTime> {
        let Reading { at, time } = (*self.reading())?;
        let ahead = time::Duration::try_from(instant.saturating_duration_since(at)).ok()?;
        let behind = time::Duration::try_from(at.saturating_duration_since(instant)).ok()?;
        Some(time.saturating_add(ahead).saturating_sub(behind))
    }

    /// Learns from the answer to a statement that was sent at `sent`: it was executed at some time since then.
    pub(super) fn learn(&self, sent: Instant, time: OffsetDateTime) {
        let took = sent.elapsed();
        let mut reading = self.reading();
        if took <= QUICK {
            let at = sent + took / 2;
            *reading = Some(Reading { at, time });
        } else if reading.is_none() {
            // This assumes that it was executed at once, so that nothing is refused too early.
            *reading = Some(Reading { at: sent, time });
        }
    }

    /// Forgets what is known, as when the server's clock turned out to have been set.
    pub(super) fn forget(&self) {
        *self.reading() = None;
    }

    fn reading(&self) -> MutexGuard<'_, Option<Reading>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_servers_time_is_estimated_from_its_last_quick_answer() {
        let clock = ServerClock::default();
        let sent = Instant::now();
        assert_eq!(clock.time_at(sent), None);
        let noon = OffsetDateTime::UNIX_EPOCH;
        tokio::time::advance(Duration::from_millis(200)).await;
        clock.learn(sent, noon);
        let second = Duration::from_secs(1);
        let at = sent + Duration::from_millis(100);
        assert_eq!(clock.time_at(at), Some(noon));
        assert_eq!(clock.time_at(at + second), Some(noon + second));
        assert_eq!(clock.time_at(at - second), Some(noon - second));
        // The server stood still for a while, before or after it looked at its clock.
        tokio::time::advance(second).await;
        clock.learn(sent, noon + second * 100);
        assert_eq!(clock.time_at(at), Some(noon));
        clock.forget();
        assert_eq!(clock.time_at(at), None);
        clock.learn(sent, noon);
        assert_eq!(clock.time_at(sent), Some(noon), "better than nothing");
    }
}
