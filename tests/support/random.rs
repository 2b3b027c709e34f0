//! Reproducible random numbers.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

/// SplitMix64 (Steele, Lea, Flood 2014).
pub struct Random(u64);

impl Random {
    /// Seeded with `AUTHLOG_CHAOS_SEED`, or with the time.
    pub fn seeded() -> Self {
        Self(from_environment("AUTHLOG_CHAOS_SEED").unwrap_or_else(|| {
            let nanos = super::form::now().unix_timestamp_nanos();
            nanos as u64
        }))
    }

    /// The seed that reproduces the numbers from here on.
    pub fn seed(&self) -> u64 {
        self.0
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// A number from the environment.
pub fn from_environment(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value}")))
}

/// A text of hexadecimal digits that no other test has.
pub fn random_text(length: usize) -> String {
    let digits = std::iter::repeat_with(|| {
        let random = RandomState::new().build_hasher().finish();
        format!("{random:016x}")
    });
    let digits: Vec<String> = digits.take(length.div_ceil(16)).collect();
    digits.concat()[..length].to_owned()
}
