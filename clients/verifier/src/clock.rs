//! The clocks that the verifier reads.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The clocks of a machine. Programs use the [`SystemClock`]; tests give another one to
/// [`VerifierBuilder::clock`](crate::VerifierBuilder::clock).
pub trait Clock: Send + Sync + 'static {
    /// The time of day, by which tokens expire.
    fn now(&self) -> SystemTime;

    /// The time since any fixed instant, by a clock that is never set. The age of news is measured by it, and by the time of day in
    /// case it stands still while the machine is suspended.
    fn monotonic(&self) -> Duration;
}

/// The clocks of the operating system.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    started: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self {
            started: Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the clock that the rest of the crate is given"
        )]
        SystemTime::now()
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

/// Both clocks at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Milliseconds since 1970.
    pub(crate) wall: i64,
    pub(crate) monotonic: Duration,
}

impl Reading {
    pub(crate) fn of(clock: &dyn Clock) -> Self {
        // The wall clock first: if the machine is suspended in between, it says an earlier time, and no news seems younger.
        Self {
            wall: unix_millis(clock.now()),
            monotonic: clock.monotonic(),
        }
    }

    /// How far the wall clock is ahead of the monotonic clock, in milliseconds. It stays the same unless the wall clock is set or the
    /// machine was suspended.
    pub(crate) fn ahead(self) -> i64 {
        self.wall.saturating_sub(millis(self.monotonic))
    }
}

/// A moment by both clocks, in milliseconds. It may be before the monotonic clock began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) monotonic: i64,
    pub(crate) wall: i64,
}

impl Moment {
    /// The moment that is this long before a reading.
    pub(crate) fn before(reading: Reading, duration: Duration) -> Self {
        Self {
            monotonic: millis(reading.monotonic).saturating_sub(millis(duration)),
            wall: reading.wall.saturating_sub(millis(duration)),
        }
    }

    /// How long ago it was. Each clock says it, and the higher age counts: the monotonic clock may stand still while the machine is
    /// suspended, and the wall clock may be set back.
    pub(crate) fn age(self, now: Reading) -> Duration {
        let age = millis(now.monotonic).saturating_sub(self.monotonic);
        let by_wall = now.wall.saturating_sub(self.wall);
        Duration::from_millis(u64::try_from(age.max(by_wall)).unwrap_or(0))
    }
}

pub(crate) fn unix_millis(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => millis(since),
        Err(before) => millis(before.duration()).saturating_neg(),
    }
}

pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
