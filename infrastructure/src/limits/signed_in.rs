//! A memory of successful sign-ins by name and network.

use std::time::Duration;

use quick_cache::sync::Cache;

use super::bucket::millis;

/// The maximum number of remembered pairs of a name and a network. Pairs that sign in repeatedly are kept, and pairs
/// that signed in once are evicted first: an attacker with one account and many addresses displaces few.
const MOST: usize = 100_000;

/// How long a sign-in is remembered. A person whose address changes daily is known again after the next sign-in; an
/// office keeps its address.
const REMEMBERED_FOR: Duration = Duration::from_secs(4 * 7 * 24 * 60 * 60);

/// The minimum time between two updates to other nodes about one pair.
const TOLD_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// Keyed hashes of names and networks, each with the instant of the last sign-in that counted.
pub(super) struct SignedIn(Cache<u64, i64>);

impl SignedIn {
    pub fn new() -> Self {
        Self(Cache::new(MOST))
    }

    /// Whether the pair signed in within [`REMEMBERED_FOR`].
    pub fn holds(&self, pair: u64, now: i64) -> bool {
        let last = self.0.get(&pair);
        last.is_some_and(|last| now.saturating_sub(last) < millis(REMEMBERED_FOR))
    }

    /// Remembers the pair. Returns whether other nodes should get an update.
    pub fn remember(&self, pair: u64, now: i64) -> bool {
        let last = self.0.get(&pair);
        if last.is_some_and(|last| now.saturating_sub(last) < millis(TOLD_EVERY)) {
            return false;
        }
        self.0.insert(pair, now);
        true
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}
