//! The clock and the randomness of this machine.

use std::time::{SystemTime, UNIX_EPOCH};

use authlog_application::ports::Entropy;
use authlog_domain::Timestamp;
use aws_lc_rs::rand;
use uuid::Uuid;

/// Randomness of the operating system.
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        rand::fill(bytes).unwrap();
    }
}

/// A random UUID.
pub fn random() -> Uuid {
    SystemEntropy.random_uuid()
}

/// This instant.
#[expect(
    clippy::disallowed_methods,
    reason = "a store stamps events with the real time, which a test compares with its own"
)]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_unix_millis(i64::try_from(since.as_millis()).unwrap())
}

/// Numbers that look random and are the same for the same seed (SplitMix64).
pub struct Seeded(pub u64);

impl Seeded {
    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}
