//! Ports for time and randomness.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use authlog_domain::Timestamp;
use uuid::Uuid;

/// The clocks of the machine.
pub trait Clock: Send + Sync {
    /// The current time by the wall clock, which jumps when the clock is set.
    fn now(&self) -> Timestamp;

    /// The time since the start of the process, by a clock that cannot be set and never goes back. Entries in memory
    /// expire by this clock. It may stand still while the machine is suspended.
    fn monotonic(&self) -> Duration {
        static ORIGIN: OnceLock<Instant> = OnceLock::new();
        ORIGIN.get_or_init(Instant::now).elapsed()
    }
}

/// The times of both clocks at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockReading {
    /// [`Clock::now`].
    pub wall: Timestamp,
    /// [`Clock::monotonic`].
    pub monotonic: Duration,
}

impl ClockReading {
    /// Reads both clocks.
    pub fn of(clock: &dyn Clock) -> Self {
        Self {
            wall: clock.now(),
            monotonic: clock.monotonic(),
        }
    }
}

/// A source of unpredictable bytes.
pub trait Entropy: Send + Sync {
    /// Fills `bytes`.
    fn fill(&self, bytes: &mut [u8]);

    /// A random UUID (RFC 9562 version 4): 122 random bits.
    fn random_uuid(&self) -> Uuid {
        let mut bytes = [0; 16];
        self.fill(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    /// A UUID that sorts by time (RFC 9562 version 7), so that new rows lie together in an index.
    fn time_ordered_uuid(&self, now: Timestamp) -> Uuid {
        let mut bytes = [0; 10];
        self.fill(&mut bytes);
        let millis = u64::try_from(now.unix_millis()).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid()
    }
}
