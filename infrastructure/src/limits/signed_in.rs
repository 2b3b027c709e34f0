//! Where people have signed in before.

use std::time::Duration;

use quick_cache::sync::Cache;

use super::bucket::millis;

/// Pairs of a name and a network that are remembered. Those that sign in again and again stay, those that did so once go
/// first: an attacker with one account and many addresses displaces few.
const MOST: usize = 100_000;

/// How long a sign-in is remembered. Whose address changes daily is known by the next sign-in; an office's stays.
const REMEMBERED_FOR: Duration = Duration::from_secs(4 * 7 * 24 * 60 * 60);

/// How long other nodes are not told again.
const TOLD_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// Keyed hashes of names and networks, each with the instant of the last sign-in that counted.
pub(super) struct SignedIn(Cache<u64, i64>);

impl SignedIn {
    pub fn new() -> Self {
        Self(Cache::new(MOST))
    }

    /// Whether the pair signed in lately.
    pub fn holds(&self, pair: u64, now: i64) -> bool {
        let last = self.0.get(&pair);
        last.is_some_and(|last| now.saturating_sub(last) < millis(REMEMBERED_FOR))
    }

    /// Remembers the pair, and says whether other nodes should be told.
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
