//! What requests and background tasks share: the news, the keys and the counters.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::clock::{Clock, Reading, millis};
use crate::event::{Change, Event, Heartbeat};
use crate::key_fetcher::Keys;
use crate::news::{Limits, News};
use crate::refused::NAMES;
use crate::trouble::Trouble;

/// The number of entries that are forgotten while the news is locked: about a millisecond.
const FORGOTTEN_AT_ONCE: usize = 4096;

/// The number of times a second that the news is locked to forget entries. The locks follow each other at once, so a waiting request may
/// get its turn only after the last of them.
const FORGOTTEN_IN_A_ROW: usize = 16;

/// What requests and background tasks share.
pub(crate) struct Shared {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) keys: Keys,
    /// The news, once all were read. `None` before that.
    pub(crate) news: RwLock<Option<News>>,
    /// The last log index up to which every event was applied to the news.
    pub(crate) applied: watch::Sender<Option<u64>>,
    started: Reading,
    server_time: Mutex<Option<ServerTime>>,
    pub(crate) counters: Counters,
    pub(crate) trouble: Mutex<Option<String>>,
    /// Whether each [`Task`] has ended.
    stopped: [AtomicBool; 2],
}

/// A background task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// It fetches the keys.
    Keys,
    /// It reads the events.
    News,
}

/// Notes the end of a background task when it is dropped with it. The tasks never return, so the task has panicked, or its runtime was
/// shut down.
pub(crate) struct Running {
    shared: Arc<Shared>,
    task: Task,
}

impl Running {
    /// Starts a background task on this runtime.
    pub(crate) fn spawn(
        runtime: &Handle,
        shared: &Arc<Shared>,
        task: Task,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> AbortHandle {
        let shared = Arc::clone(shared);
        let running = Self { shared, task };
        let spawned = runtime.spawn(async move {
            let _running = running;
            work.await;
        });
        spawned.abort_handle()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.stopped[self.task as usize].store(true, Relaxed);
        let what = match self.task {
            Task::Keys => "the key set",
            Task::News => "the events",
        };
        self.shared.note_trouble(what, &Trouble::Stopped);
    }
}

/// What was counted since the start.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) accepted: AtomicU64,
    pub(crate) refused: [AtomicU64; NAMES.len()],
    pub(crate) cached: AtomicU64,
    pub(crate) connections: AtomicU64,
    pub(crate) readings: AtomicU64,
    pub(crate) events: AtomicU64,
    pub(crate) key_fetches: AtomicU64,
    pub(crate) key_failures: AtomicU64,
}

/// The time that the issuer's clock said at least, when an answer arrived.
#[derive(Clone, Copy)]
struct ServerTime {
    /// Milliseconds since 1970.
    wall: i64,
    arrived: Duration,
}

/// The times that the clocks of this machine and of the issuer say.
#[derive(Clone, Copy)]
pub(crate) struct Times {
    pub(crate) local: Reading,
    /// The earlier of the two, in milliseconds since 1970.
    pub(crate) earliest: i64,
    /// The later of the two, in milliseconds since 1970.
    pub(crate) latest: i64,
}

impl Shared {
    pub(crate) fn new(clock: Arc<dyn Clock>, keys: Keys) -> Self {
        Self {
            started: Reading::of(&*clock),
            clock,
            keys,
            news: RwLock::new(None),
            applied: watch::Sender::new(None),
            server_time: Mutex::new(None),
            counters: Counters::default(),
            trouble: Mutex::new(None),
            stopped: [AtomicBool::new(false), AtomicBool::new(false)],
        }
    }

    /// Whether this background task has ended, although it never should.
    pub(crate) fn has_stopped(&self, task: Task) -> bool {
        self.stopped[task as usize].load(Relaxed)
    }

    /// Whether any background task has ended.
    pub(crate) fn has_any_stopped(&self) -> bool {
        self.has_stopped(Task::Keys) || self.has_stopped(Task::News)
    }

    pub(crate) fn now(&self) -> Reading {
        Reading::of(&*self.clock)
    }

    /// The times of both clocks. If the clock of this machine is behind, a token has expired when the issuer says so. If it is set
    /// ahead for a moment, nothing is forgotten: without a time of the issuer, the start and the monotonic clock say that.
    pub(crate) fn times(&self) -> Times {
        let local = self.now();
        let known = *lock(&self.server_time);
        let since = |wall: i64, at: Duration| {
            wall.saturating_add(millis(local.monotonic.saturating_sub(at)))
        };
        let remote = known.map(|known| since(known.wall, known.arrived));
        let steady = remote.unwrap_or_else(|| since(self.started.wall, self.started.monotonic));
        Times {
            local,
            earliest: local.wall.min(steady),
            latest: local.wall.max(remote.unwrap_or(local.wall)),
        }
    }

    /// Notes the `Date` of an answer of the issuer, in milliseconds since 1970. It is cut to a second and took a while to arrive, so
    /// the clock of the issuer says at least this. The answer of a cache may be older than one that is known.
    pub(crate) fn note_server_time(&self, wall: i64, is_cached: bool) {
        let arrived = self.clock.monotonic();
        let mut known = lock(&self.server_time);
        let is_newer = known.is_none_or(|known| {
            let passed = millis(arrived.saturating_sub(known.arrived));
            wall >= known.wall.saturating_add(passed)
        });
        if is_newer || !is_cached {
            *known = Some(ServerTime { wall, arrived });
        }
    }

    pub(crate) fn note_trouble(&self, what: &str, trouble: &Trouble) {
        *lock(&self.trouble) = Some(format!("{what}: {trouble}"));
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

/// Adds to the news what a source reads. While all news is read, it is collected apart, and the earlier news stays in use: an entry
/// is never dropped before its successor is there. What ends meanwhile is added to both.
pub(crate) struct NewsWriter {
    shared: Arc<Shared>,
    limits: Limits,
    source: String,
    /// News that is not complete.
    collected: Option<News>,
}

impl NewsWriter {
    /// A writer for events of `source`, without news.
    pub(crate) fn new(shared: Arc<Shared>, limits: Limits, source: String) -> Self {
        Self {
            shared,
            limits,
            source,
            collected: None,
        }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Begins to collect all news again.
    pub(crate) fn begin(&mut self) {
        let now = self.shared.times().earliest;
        self.collected = Some(News::new(self.limits, now));
    }

    /// Uses the news to which events are added at the moment. `None` if there are none.
    pub(crate) fn read<R>(&self, read: impl FnOnce(&News) -> R) -> Option<R> {
        match &self.collected {
            Some(news) => Some(read(news)),
            None => {
                let news = self.shared.news.read();
                news.unwrap_or_else(PoisonError::into_inner)
                    .as_ref()
                    .map(read)
            }
        }
    }

    /// Changes the news to which events are added at the moment. They replace the earlier ones once they are complete.
    pub(crate) fn write<R>(&mut self, write: impl FnOnce(&mut News) -> R) -> Option<R> {
        let (result, applied) = match &mut self.collected {
            Some(news) => {
                let result = write(news);
                if !news.is_complete() {
                    return Some(result);
                }
                let applied = news.log_index();
                let complete = self.collected.take();
                let mut news = self.news();
                let replaced = std::mem::replace(&mut *news, complete);
                drop(news);
                // Millions of entries are dropped without a lock.
                drop(replaced);
                (result, applied)
            }
            None => {
                let mut news = self.news();
                let news = news.as_mut()?;
                (write(news), news.log_index())
            }
        };
        self.shared.applied.send_if_modified(|known| {
            let is_other = *known != applied;
            *known = applied;
            is_other
        });
        Some(result)
    }

    fn news(&self) -> std::sync::RwLockWriteGuard<'_, Option<News>> {
        let news = self.shared.news.write();
        news.unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies events in their order.
    pub(crate) fn apply(&mut self, events: &[Event]) -> Result<(), Trouble> {
        if events.is_empty() {
            return Ok(());
        }
        if let Some(other) = events.iter().find(|event| event.source != self.source) {
            return Err(Trouble::Source(other.source.clone()));
        }
        let times = self.shared.times();
        let now = Reading {
            wall: times.earliest,
            ..times.local
        };
        let counter = &self.shared.counters.events;
        counter.fetch_add(events.len() as u64, Relaxed);
        self.apply_to_earlier(events, now);
        let applied = self.write(|news| events.iter().try_for_each(|event| news.apply(event, now)));
        applied.unwrap_or(Ok(())).map_err(Trouble::from)
    }

    /// Adds events to the list that is in use while another one is collected. It grows no younger by that.
    fn apply_to_earlier(&self, events: &[Event], now: Reading) {
        if self.collected.is_none() || events.iter().all(|event| event.change == Change::None) {
            return;
        }
        let mut earlier = self.news();
        let Some(news) = earlier.as_mut() else {
            return;
        };
        // An event that finds no room does not keep out the ones after it, which may need none.
        let mut is_full = false;
        for event in events {
            is_full |= news.add(event, now).is_err();
        }
        drop(earlier);
        if is_full {
            // It is replaced once the other list is complete, which has the events as well.
            self.shared.note_trouble("the events", &Trouble::Full);
        }
    }

    /// Notes a heartbeat of a publisher that arrived at `at`; the name is empty for the feed.
    pub(crate) fn heartbeat(&mut self, publisher: &str, beat: Heartbeat, at: Reading) {
        self.write(|news| news.heartbeat(publisher, beat, at));
    }

    /// Forgets expired entries. The reader calls this about once a second.
    ///
    /// # Errors
    /// The clocks have jumped, or the news does not reach back far enough.
    pub(crate) fn tidy(&mut self) -> Result<(), Trouble> {
        let times = self.shared.times();
        let has_jumped = self.read(|news| news.has_clock_jumped(times.local));
        if has_jumped == Some(true) {
            // Their next request may be minutes away, and a suspend may have been longer than the keys are good for.
            self.shared.keys.want();
            return Err(Trouble::ClockJumped);
        }
        let reach_back = self.read(|news| news.reach_back(times.earliest));
        if reach_back == Some(false) {
            return Err(Trouble::ClockWasAhead);
        }
        for _ in 0..FORGOTTEN_IN_A_ROW {
            let has_more = self.write(|news| news.forget(times.earliest, FORGOTTEN_AT_ONCE));
            if has_more != Some(true) {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{SystemTime, UNIX_EPOCH};

    /// Clocks that stand still.
    struct Still;

    impl Clock for Still {
        fn now(&self) -> SystemTime {
            UNIX_EPOCH
        }

        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }
    }

    #[test]
    fn the_answer_of_a_cache_does_not_set_the_time_of_the_issuer_back() {
        let shared = Shared::new(Arc::new(Still), Keys::default());
        for (wall, is_cached, expected) in [
            (5000, true, 5000),
            (4000, true, 5000),
            (6000, true, 6000),
            // The clock of the issuer was ahead before.
            (3000, false, 3000),
        ] {
            shared.note_server_time(wall, is_cached);
            assert_eq!(shared.times().latest, expected);
        }
    }
}
