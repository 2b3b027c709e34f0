//! Leaky buckets by key, in bounded memory.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The rate at which something is allowed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quota {
    /// The burst: how many attempts a client with an empty bucket may make at once; at least one.
    pub at_once: u32,
    /// After the burst, one attempt per this time.
    pub then_one_per: Duration,
}

impl Quota {
    /// What one attempt adds to a bucket, in milliseconds.
    fn step(&self) -> i64 {
        millis(self.then_one_per)
    }

    /// How full a bucket may be for one more attempt, in milliseconds.
    fn tolerance(&self) -> i64 {
        self.step().saturating_mul(i64::from(self.at_once) - 1)
    }
}

/// The wait if the only obstacle are attempts in progress. They end within seconds and may be given back.
pub(super) const UNTIL_SETTLED: Duration = Duration::from_secs(1);

/// The counted attempts and the attempts in progress of one key.
#[derive(Clone, Copy)]
struct Bucket {
    /// The time at which the counted attempts will have leaked, in milliseconds.
    empty_at: i64,
    /// Attempts in progress. Each takes the place of a counted one and does not leak before it is settled. Giving one
    /// back frees its own place and no other.
    held: u32,
}

/// The buckets of one quota.
///
/// The buckets are in [`SHARDS`] tables, chosen by their keys. The keys are keyed hashes, so that no client can aim
/// at one table. An empty bucket is equivalent to none. A full table drops its empty buckets; if that leaves it more
/// than half full, it also drops those that will be empty soonest, down to half. So a flood of new keys displaces
/// other new keys, never the key of a guesser. The cost of dropping is amortised over as many insertions, and no
/// insertion touches more than one table.
///
/// Only [`Self::count`] fills a bucket beyond its quota. All of the excess leaks before the quota has room again.
pub(super) struct Buckets {
    quota: Quota,
    shards: [Mutex<Shard>; SHARDS],
}

/// The number of tables.
const SHARDS: usize = 64;

/// Buckets by their keys.
type Shard = HashMap<u64, Bucket>;

impl Buckets {
    /// The maximum number of buckets: more than the identifiers or networks that fail at the same time except under
    /// attack; 4 MB of keys and buckets.
    pub const MOST: usize = 1_600 * SHARDS;

    /// The maximum number of buckets in one table. A thread that serves requests examines all of them at once, so it
    /// is small: examining [`Self::MOST`] buckets takes milliseconds.
    const IN_A_SHARD: usize = Self::MOST / SHARDS;

    pub fn new(quota: Quota) -> Self {
        Self {
            quota,
            shards: [(); SHARDS].map(|()| Mutex::default()),
        }
    }

    /// Reserves one attempt. Returns whether any attempt was counted or in progress before.
    ///
    /// # Errors
    /// The quota has no room yet; the error is the wait. Nothing was reserved.
    pub fn hold(&self, key: u64, now: i64) -> Result<bool, Duration> {
        let mut buckets = self.lock(key);
        let bucket = buckets.get(&key).copied();
        if let Some(wait) = bucket.and_then(|bucket| self.wait_at(bucket, now)) {
            return Err(wait);
        }
        let bucket = self.bucket(&mut buckets, key, now);
        let in_use = bucket.held > 0 || bucket.empty_at > now;
        bucket.held = bucket.held.saturating_add(1);
        Ok(in_use)
    }

    /// Counts a reserved attempt, and returns the wait before the next one, if there is one.
    pub fn settle(&self, key: u64, now: i64) -> Option<Duration> {
        let mut buckets = self.lock(key);
        let bucket = self.bucket(&mut buckets, key, now);
        bucket.held = bucket.held.saturating_sub(1);
        bucket.pour(self.quota.step(), now);
        self.wait_at(*bucket, now)
    }

    /// Gives a reserved attempt back.
    pub fn give_back(&self, key: u64, now: i64) {
        if let Entry::Occupied(mut entry) = self.lock(key).entry(key) {
            let bucket = entry.get_mut();
            bucket.held = bucket.held.saturating_sub(1);
            if bucket.held == 0 && bucket.empty_at <= now {
                entry.remove();
            }
        }
    }

    /// Counts one attempt, if the quota has room.
    ///
    /// # Errors
    /// The quota has no room yet; the error is the wait.
    pub fn take(&self, key: u64, now: i64) -> Result<(), Duration> {
        let mut buckets = self.lock(key);
        let bucket = buckets.get(&key).copied();
        if let Some(wait) = bucket.and_then(|bucket| self.wait_at(bucket, now)) {
            return Err(wait);
        }
        let bucket = self.bucket(&mut buckets, key, now);
        bucket.pour(self.quota.step(), now);
        Ok(())
    }

    /// Counts an attempt that another node admitted, even beyond the quota.
    pub fn count(&self, key: u64, now: i64) {
        let mut buckets = self.lock(key);
        let bucket = self.bucket(&mut buckets, key, now);
        bucket.pour(self.quota.step(), now);
    }

    /// Takes back an attempt that was counted `age` ago. The part of it that may have leaked by then is not taken
    /// back a second time.
    pub fn take_back(&self, key: u64, age: Duration, now: i64) {
        if let Entry::Occupied(mut entry) = self.lock(key).entry(key) {
            let bucket = entry.get_mut();
            let left = self.quota.step().saturating_sub(millis(age)).max(0);
            bucket.empty_at = bucket.empty_at.saturating_sub(left);
            if bucket.held == 0 && bucket.empty_at <= now {
                entry.remove();
            }
        }
    }

    /// Closes the bucket for `wait`, and then admits one attempt at a time.
    pub fn close(&self, key: u64, wait: Duration, now: i64) {
        let mut buckets = self.lock(key);
        let full_at = now.saturating_add(self.quota.tolerance());
        let bucket = self.bucket(&mut buckets, key, now);
        bucket.empty_at = bucket.empty_at.max(full_at.saturating_add(millis(wait)));
    }

    /// The bucket of `key`; a new empty one if there is none.
    fn bucket<'a>(&self, buckets: &'a mut Shard, key: u64, now: i64) -> &'a mut Bucket {
        if buckets.len() >= Self::IN_A_SHARD && !buckets.contains_key(&key) {
            forget_soonest(buckets, self.quota.step(), now);
        }
        buckets.entry(key).or_insert(Bucket {
            empty_at: now,
            held: 0,
        })
    }

    /// The wait before one more attempt; `None` if there is none.
    fn wait_at(&self, bucket: Bucket, now: i64) -> Option<Duration> {
        let free_at = now.saturating_add(self.quota.tolerance());
        let too_full = bucket.empty_at.saturating_sub(free_at);
        if let Some(wait) = u64::try_from(too_full).ok().filter(|wait| *wait > 0) {
            return Some(Duration::from_millis(wait));
        }
        (bucket.full_until(self.quota.step(), now) > free_at).then_some(UNTIL_SETTLED)
    }

    /// The table of `key`.
    fn lock(&self, key: u64) -> MutexGuard<'_, Shard> {
        #[expect(clippy::cast_possible_truncation, reason = "less than `SHARDS`")]
        let shard = &self.shards[(key % SHARDS as u64) as usize];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        let keys = 0..SHARDS as u64;
        keys.map(|key| self.lock(key).len()).sum()
    }

    /// The number of attempts in progress.
    #[cfg(test)]
    pub fn held(&self) -> u32 {
        let held = |shard: &Shard| shard.values().map(|bucket| bucket.held).sum::<u32>();
        let keys = 0..SHARDS as u64;
        keys.map(|key| held(&self.lock(key))).sum()
    }
}

impl Bucket {
    fn pour(&mut self, step: i64, now: i64) {
        self.empty_at = self.empty_at.max(now).saturating_add(step);
    }

    /// When it would be empty if all attempts in progress were counted now.
    fn full_until(&self, step: i64, now: i64) -> i64 {
        let held = step.saturating_mul(i64::from(self.held));
        self.empty_at.max(now).saturating_add(held)
    }
}

/// Keeps at most half of the buckets of a table: those that will be empty last.
fn forget_soonest(buckets: &mut Shard, step: i64, now: i64) {
    buckets.retain(|_, bucket| bucket.full_until(step, now) > now);
    let half = Buckets::IN_A_SHARD / 2;
    if buckets.len() <= half {
        return;
    }
    let ends = buckets.values().map(|bucket| bucket.full_until(step, now));
    let mut ends: Vec<i64> = ends.collect();
    let surplus = ends.len() - half;
    let (_, last_to_go, _) = ends.select_nth_unstable(surplus - 1);
    let last_to_go = *last_to_go;
    buckets.retain(|_, bucket| bucket.full_until(step, now) > last_to_go);
}

pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
