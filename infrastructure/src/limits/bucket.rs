//! Leaky buckets by key, in bounded memory.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often something may be done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quota {
    /// How often in a row by a client that has not done it lately; at least once.
    pub at_once: u32,
    /// From then on once in this time.
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

/// How long to wait where only attempts that are under way stand in the way: they end within seconds, and may well be
/// given back.
pub(super) const UNTIL_SETTLED: Duration = Duration::from_secs(1);

/// What was counted and what is under way for one key.
#[derive(Clone, Copy)]
struct Bucket {
    /// When what was counted will have leaked.
    empty_at: i64,
    /// Attempts that are under way. Each takes the place of a counted one, and none of it leaks before it is settled:
    /// giving it back then frees its own place and no other's.
    held: u32,
}

/// The buckets of one quota.
///
/// They are in [`SHARDS`] tables, by their keys, which are keyed hashes: no client can aim at one table. Empty buckets are the
/// same as none. When a table is full, its empty buckets are dropped; if those were fewer than half, so are those that will
/// be empty soonest, down to half. So a flood of new keys pushes out other newcomers, never the key that a guesser works
/// at. The cost of dropping is spread over as many insertions, and no insertion looks at more than one table.
///
/// A bucket is filled beyond its quota by [`Self::count`] alone, and then all of it leaks before the quota has room again:
/// nothing is forgiven.
pub(super) struct Buckets {
    quota: Quota,
    shards: [Mutex<Shard>; SHARDS],
}

/// How many tables there are.
const SHARDS: usize = 64;

/// Buckets by their keys.
type Shard = HashMap<u64, Bucket>;

impl Buckets {
    /// More identifiers or networks than fail at the same time anywhere but under attack; 4 MB of keys and buckets.
    pub const MOST: usize = 1_600 * SHARDS;

    /// The buckets of one table. A thread that serves requests looks at all of them at once, so that they are few: to look at
    /// [`Self::MOST`] takes milliseconds.
    const IN_A_SHARD: usize = Self::MOST / SHARDS;

    pub fn new(quota: Quota) -> Self {
        Self {
            quota,
            shards: [(); SHARDS].map(|()| Mutex::default()),
        }
    }

    /// Reserves one, and says whether anything was counted or under way before.
    ///
    /// # Errors
    /// It is too early by as much as the error says; nothing was reserved.
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

    /// Counts one that was reserved, and says how long the next one has to wait, if at all.
    pub fn settle(&self, key: u64, now: i64) -> Option<Duration> {
        let mut buckets = self.lock(key);
        let bucket = self.bucket(&mut buckets, key, now);
        bucket.held = bucket.held.saturating_sub(1);
        bucket.pour(self.quota.step(), now);
        self.wait_at(*bucket, now)
    }

    /// Gives back one that was reserved.
    pub fn give_back(&self, key: u64, now: i64) {
        if let Entry::Occupied(mut entry) = self.lock(key).entry(key) {
            let bucket = entry.get_mut();
            bucket.held = bucket.held.saturating_sub(1);
            if bucket.held == 0 && bucket.empty_at <= now {
                entry.remove();
            }
        }
    }

    /// Counts one, unless it is too early.
    ///
    /// # Errors
    /// It is, by as much as the error says.
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

    /// Counts one that was admitted elsewhere, too early or not.
    pub fn count(&self, key: u64, now: i64) {
        let mut buckets = self.lock(key);
        let bucket = self.bucket(&mut buckets, key, now);
        bucket.pour(self.quota.step(), now);
    }

    /// Takes back one that was counted `age` ago. What of it may have leaked by then is not taken back a second time.
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

    /// Lets nothing more in for as long as `wait`, and then one at a time.
    pub fn close(&self, key: u64, wait: Duration, now: i64) {
        let mut buckets = self.lock(key);
        let full_at = now.saturating_add(self.quota.tolerance());
        let bucket = self.bucket(&mut buckets, key, now);
        bucket.empty_at = bucket.empty_at.max(full_at.saturating_add(millis(wait)));
    }

    /// The bucket of `key`, which is an empty one if it has none.
    fn bucket<'a>(&self, buckets: &'a mut Shard, key: u64, now: i64) -> &'a mut Bucket {
        if buckets.len() >= Self::IN_A_SHARD && !buckets.contains_key(&key) {
            forget_soonest(buckets, self.quota.step(), now);
        }
        buckets.entry(key).or_insert(Bucket {
            empty_at: now,
            held: 0,
        })
    }

    /// How long one more has to wait; `None` if not at all.
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
        let shard = &self.shards[(key % SHARDS as u64) as usize];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        let keys = 0..SHARDS as u64;
        keys.map(|key| self.lock(key).len()).sum()
    }

    /// All that are under way.
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

    /// When it would be empty if all that is under way were counted now.
    fn full_until(&self, step: i64, now: i64) -> i64 {
        let held = step.saturating_mul(i64::from(self.held));
        self.empty_at.max(now).saturating_add(held)
    }
}

/// Leaves at most half of the buckets of a table: those that will be empty last.
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
