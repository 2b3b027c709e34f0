//! How often devices ask for their tokens (RFC 8628 §3.5). A device that asks too early costs no query.
//!
//! Each node counts for itself and forgets at a restart, so a device that asks several nodes in turn is refused less often. It still
//! costs at most one query in an interval on each of them.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use authlog_domain::SessionId;
use quick_cache::sync::Cache;

use crate::ports::Clock;

/// The time between two polls of a device, at the beginning.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// How much longer the interval becomes with each poll that is too early (RFC 8628 §3.5).
const SLOWER_BY: Duration = Duration::from_secs(5);

/// The longest interval. A device that never slows down is answered once a minute, so that its person can still sign in.
const LONGEST_INTERVAL: Duration = Duration::from_secs(60);

/// How much earlier a poll may arrive: a device measures the interval between other moments than this service.
const TOLERANCE: Duration = Duration::from_secs(1);

/// The largest number of devices that are remembered, with about 200 bytes each: more than can wait for a person, except under
/// attack. Those that poll keep their places.
const MAX_DEVICES: usize = 50_000;

/// The polls of the devices that wait for a person, on this node.
pub(crate) struct DevicePolls {
    clock: Arc<dyn Clock>,
    paces: Cache<SessionId, Arc<Mutex<Pace>>>,
}

/// A poll came before the interval was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooEarly;

/// How a device polls.
struct Pace {
    /// The last poll that was admitted, by the monotonic clock.
    last: Option<Duration>,
    interval: Duration,
}

impl DevicePolls {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            paces: Cache::new(MAX_DEVICES),
        }
    }

    /// Admits a poll of the device that waits for this session, and begins its next interval.
    ///
    /// # Errors
    /// [`TooEarly`]. The interval became longer.
    pub(crate) fn admit(&self, session: SessionId) -> Result<(), TooEarly> {
        let now = self.clock.monotonic();
        let Ok(pace) = self
            .paces
            .get_or_insert_with(&session, || Ok::<_, Infallible>(Arc::default()));
        let mut pace = pace.lock().unwrap_or_else(PoisonError::into_inner);
        let is_early = |last: Duration| now.saturating_sub(last) + TOLERANCE < pace.interval;
        if pace.last.is_some_and(is_early) {
            pace.interval = (pace.interval + SLOWER_BY).min(LONGEST_INTERVAL);
            return Err(TooEarly);
        }
        pace.last = Some(now);
        Ok(())
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            last: None,
            interval: POLL_INTERVAL,
        }
    }
}

#[cfg(test)]
mod tests {
    use authlog_domain::Timestamp;
    use uuid::Uuid;

    use super::*;

    struct SetClock(Mutex<Duration>);

    impl Clock for SetClock {
        fn now(&self) -> Timestamp {
            Timestamp::from_unix_millis(0)
        }

        fn monotonic(&self) -> Duration {
            *self.0.lock().unwrap()
        }
    }

    impl SetClock {
        fn pass(&self, millis: u64) {
            *self.0.lock().unwrap() += Duration::from_millis(millis);
        }
    }

    fn polls() -> (Arc<SetClock>, DevicePolls) {
        let clock = Arc::new(SetClock(Mutex::default()));
        (clock.clone(), DevicePolls::new(clock))
    }

    fn device(number: u128) -> SessionId {
        SessionId::new(Uuid::from_u128(number))
    }

    #[test]
    fn a_device_that_keeps_to_its_interval_is_always_admitted() {
        let (clock, polls) = polls();
        for _ in 0..100 {
            assert_eq!(polls.admit(device(1)), Ok(()));
            assert_eq!(polls.admit(device(2)), Ok(()));
            clock.pass(4_000);
        }
    }

    #[test]
    fn a_device_that_polls_too_early_has_to_slow_down_by_five_seconds() {
        let (clock, polls) = polls();
        assert_eq!(polls.admit(device(1)), Ok(()));
        clock.pass(3_999);
        assert_eq!(polls.admit(device(1)), Err(TooEarly));
        // The interval is ten seconds now, and counts from the last poll that was admitted. This one makes it fifteen.
        clock.pass(5_000);
        assert_eq!(polls.admit(device(1)), Err(TooEarly));
        clock.pass(5_001);
        assert_eq!(polls.admit(device(1)), Ok(()));
        // It stays that long.
        clock.pass(13_999);
        assert_eq!(polls.admit(device(1)), Err(TooEarly));
        clock.pass(6_000);
        assert_eq!(polls.admit(device(1)), Ok(()));
        assert_eq!(polls.admit(device(2)), Ok(()));
    }

    #[test]
    fn a_device_that_never_slows_down_is_admitted_once_a_minute() {
        let (clock, polls) = polls();
        let mut admitted = 0;
        for _ in 0..600 * 100 {
            admitted += u32::from(polls.admit(device(1)).is_ok());
            clock.pass(10);
        }
        // Ten minutes of a hundred polls a second.
        assert_eq!(admitted, 11);
    }

    #[test]
    fn of_many_polls_at_once_one_is_admitted() {
        let (_, polls) = polls();
        let admitted = std::thread::scope(|scope| {
            let polling = (0..50).map(|_| scope.spawn(|| polls.admit(device(1)).is_ok()));
            let polling: Vec<_> = polling.collect();
            let answers = polling.into_iter().map(|it| it.join().unwrap());
            answers.filter(|is_admitted| *is_admitted).count()
        });
        assert_eq!(admitted, 1);
    }

    #[test]
    fn very_many_devices_take_bounded_memory() {
        let (_, polls) = polls();
        for number in 0..200_000 {
            assert_eq!(polls.admit(device(number)), Ok(()));
        }
        assert!(polls.paces.len() <= MAX_DEVICES);
    }
}
