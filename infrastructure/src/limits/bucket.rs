//! Leaky buckets by key, in bounded memory.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often something may be done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quota {
    /// How often in a row by somebody who has not done it lately; at least once.
    pub at_once: u32,
    /// From then on once in this time.
    pub then_one_per: Duration,
    /// The longest that anybody is made to wait, however much was counted.
    pub longest_wait: Duration,
}

impl Quota {
    /// How far ahead of the present a bucket may run before its owner has to wait, in milliseconds.
    fn tolerance(&self) -> i64 {
        millis(self.then_one_per).saturating_mul(i64::from(self.at_once) - 1)
    }
}

/// The buckets of one quota.
///
/// A bucket is one number: the instant at which it will be empty. Empty buckets are the same as none. When there are
/// [`Self::MOST`], the empty ones are dropped; if those were fewer than half, so are those that will be empty soonest,
/// down to half. So a flood of new keys pushes out other newcomers, never the key that somebody is guessing at, and the
/// cost of dropping is spread over as many insertions.
pub(super) struct Buckets {
    quota: Quota,
    empty_at: Mutex<HashMap<u64, i64>>,
}

impl Buckets {
    /// More identifiers or networks than fail at the same time anywhere but under attack; 2 MB of keys and instants.
    pub const MOST: usize = 100_000;

    pub fn new(quota: Quota) -> Self {
        Self {
            quota,
            empty_at: Mutex::new(HashMap::new()),
        }
    }

    /// How long whoever has `key` must wait; `None` if not at all. Nothing is counted.
    pub fn wait(&self, key: u64, now: i64) -> Option<Duration> {
        let level = self.level(&mut self.lock(), key, now);
        self.wait_at(level, now)
    }

    /// Whether anything was counted lately for `key`.
    pub fn holds(&self, key: u64, now: i64) -> bool {
        self.level(&mut self.lock(), key, now) > now
    }

    /// Counts one, unless it is too early.
    ///
    /// # Errors
    /// It is, for as long as the error says.
    pub fn take(&self, key: u64, now: i64) -> Result<(), Duration> {
        let mut buckets = self.lock();
        let level = self.level(&mut buckets, key, now);
        if let Some(wait) = self.wait_at(level, now) {
            return Err(wait);
        }
        self.pour(&mut buckets, key, level, now);
        Ok(())
    }

    /// Counts one that has happened, too early or not.
    ///
    /// # Errors
    /// It was too early, by as much as the error says; it has been counted.
    pub fn count(&self, key: u64, now: i64) -> Result<(), Duration> {
        let mut buckets = self.lock();
        let level = self.level(&mut buckets, key, now);
        self.pour(&mut buckets, key, level, now);
        self.wait_at(level, now).map_or(Ok(()), Err)
    }

    /// When the bucket will be empty, which is `now` for an empty one. A bucket fuller than any can be was filled
    /// before the clock was set back: it is emptied down to what the quota allows, lest its owner wait for the clock to
    /// catch up.
    fn level(&self, buckets: &mut HashMap<u64, i64>, key: u64, now: i64) -> i64 {
        let Some(empty_at) = buckets.get_mut(&key) else {
            return now;
        };
        *empty_at = (*empty_at).min(self.fullest(now));
        (*empty_at).max(now)
    }

    fn pour(&self, buckets: &mut HashMap<u64, i64>, key: u64, level: i64, now: i64) {
        if buckets.len() >= Self::MOST && !buckets.contains_key(&key) {
            forget_soonest(buckets, now);
        }
        let fuller = level.saturating_add(millis(self.quota.then_one_per));
        buckets.insert(key, fuller.min(self.fullest(now)));
    }

    fn fullest(&self, now: i64) -> i64 {
        now.saturating_add(self.quota.tolerance())
            .saturating_add(millis(self.quota.longest_wait))
    }

    fn wait_at(&self, level: i64, now: i64) -> Option<Duration> {
        let wait = level
            .saturating_sub(self.quota.tolerance())
            .saturating_sub(now);
        u64::try_from(wait)
            .ok()
            .filter(|wait| *wait > 0)
            .map(Duration::from_millis)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, i64>> {
        self.empty_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.lock().len()
    }
}

/// Leaves at most half of the buckets: those that will be empty last.
fn forget_soonest(buckets: &mut HashMap<u64, i64>, now: i64) {
    buckets.retain(|_, empty_at| *empty_at > now);
    let half = Buckets::MOST / 2;
    if buckets.len() <= half {
        return;
    }
    let mut instants: Vec<i64> = buckets.values().copied().collect();
    let surplus = instants.len() - half;
    let (_, last_to_go, _) = instants.select_nth_unstable(surplus - 1);
    let last_to_go = *last_to_go;
    buckets.retain(|_, empty_at| *empty_at > last_to_go);
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const QUOTA: Quota = Quota {
        at_once: 3,
        then_one_per: Duration::from_secs(10),
        longest_wait: Duration::from_secs(60),
    };

    #[test]
    fn so_many_at_once_and_then_one_a_step() {
        let buckets = Buckets::new(QUOTA);
        for _ in 0..3 {
            assert_eq!(buckets.take(1, 0), Ok(()));
        }
        assert_eq!(buckets.take(1, 0), Err(Duration::from_secs(10)));
        assert_eq!(buckets.take(1, 9_999), Err(Duration::from_millis(1)));
        assert_eq!(buckets.take(1, 10_000), Ok(()));
        assert_eq!(buckets.take(1, 10_000), Err(Duration::from_secs(10)));
        assert_eq!(buckets.take(2, 0), Ok(()), "another key is another bucket");
    }

    #[test]
    fn what_happened_too_early_lengthens_the_wait_up_to_its_bound() {
        let buckets = Buckets::new(QUOTA);
        for _ in 0..5 {
            let _ = buckets.count(1, 0);
        }
        assert_eq!(buckets.wait(1, 0), Some(Duration::from_secs(30)));
        for _ in 0..100 {
            let _ = buckets.count(1, 0);
        }
        assert_eq!(buckets.wait(1, 0), Some(QUOTA.longest_wait));
        assert_eq!(buckets.wait(1, 60_000), None);
    }

    #[test]
    fn a_clock_that_is_set_back_makes_nobody_wait_for_longer_than_the_bound() {
        let buckets = Buckets::new(QUOTA);
        for _ in 0..3 {
            let _ = buckets.count(1, 10_000_000);
        }
        assert_eq!(buckets.wait(1, 0), Some(QUOTA.longest_wait));
        assert_eq!(buckets.wait(1, millis(QUOTA.longest_wait)), None);
    }

    #[test]
    fn a_flood_of_keys_neither_grows_the_memory_nor_hides_the_guesser() {
        let buckets = Buckets::new(QUOTA);
        for _ in 0..3 {
            let _ = buckets.count(u64::MAX, 0);
        }
        for key in 0..3 * Buckets::MOST as u64 {
            let _ = buckets.count(key, 0);
            assert!(buckets.len() <= Buckets::MOST);
        }
        assert_eq!(
            buckets.wait(u64::MAX, 0),
            Some(Duration::from_secs(10)),
            "the key that was over its quota is remembered"
        );
    }

    #[test]
    fn empty_buckets_make_room_for_full_ones() {
        let buckets = Buckets::new(QUOTA);
        for key in 0..Buckets::MOST as u64 {
            let _ = buckets.count(key, 0);
        }
        let _ = buckets.count(u64::MAX, 10_000);
        assert_eq!(buckets.len(), 1);
    }

    proptest! {
        #[test]
        fn however_the_attempts_are_spaced_no_window_holds_more_than_the_quota(
            pauses in prop::collection::vec(0_i64..20_000, 1..200),
        ) {
            let buckets = Buckets::new(QUOTA);
            let mut now = 0;
            let mut taken = Vec::new();
            for pause in pauses {
                now += pause;
                if buckets.take(1, now).is_ok() {
                    taken.push(now);
                }
            }
            for (first, start) in taken.iter().enumerate() {
                for (last, end) in taken.iter().enumerate().skip(first) {
                    let most = i64::from(QUOTA.at_once) + (end - start) / 10_000;
                    prop_assert!(i64::try_from(last - first + 1).unwrap() <= most);
                }
            }
        }

        #[test]
        fn whoever_waits_as_long_as_told_is_let_in(counted in 0_usize..50, now in 0_i64..1_000_000) {
            let buckets = Buckets::new(QUOTA);
            for _ in 0..counted {
                let _ = buckets.count(1, now);
            }
            let wait = buckets.wait(1, now).unwrap_or_default();
            prop_assert_eq!(buckets.take(1, now + millis(wait)), Ok(()));
        }
    }
}
