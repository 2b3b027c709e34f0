//! The feed of the log: followers get every event from any log index on, with one reader of the store per node.

use std::collections::{HashSet, VecDeque};
use std::num::NonZeroUsize;
use std::ops::Deref;
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::available_parallelism;
use std::time::Duration;

use authlog_domain::{AggregateKind, ClientId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep_until};

use super::actor_watch::{ActorWatch, ActorWatches};
use super::freshness_watch::{FreshnessWatch, SHARED_FOR};
use super::{Stop, Worker};
use crate::access::Actor;
use crate::account_cache::AccountCache;
use crate::client_cache::ClientCache;
use crate::freshness::Freshness;
use crate::ports::{
    EventLog, LogCursor, LogFilter, LogGrowth, LogPage, LoggedEvent, ReadOnError, StoreError,
};
use crate::{Authlog, LogReader};

/// The interval between polls of the log, for all followers and for the account cache.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The shortest interval. While there are followers, a poll comes this early if the node itself has added to the log.
const EARLIEST_POLL: Duration = Duration::from_millis(5);

/// The pause after the store failed.
const AFTER_FAILURE: Duration = Duration::from_millis(500);

/// How many of the newest events are kept in memory while there are followers. A follower that keeps up is served from memory;
/// a slower one reads the store at its own pace.
const RECENT: usize = 4096;

/// Events in one page of a follower: about 100 KB as text, which a stalled follower holds in memory.
const PAGE: u32 = 200;

/// The largest number of pages that all readers together read from the store and hold in memory at a time. A page takes some
/// 700 KB until it is written as text. Without the limit, a hundred readers that were catching up took 70 MB.
const MAX_PAGES: usize = 8;

/// How many pages are read at a time on a machine with this many processors. Reading a page keeps one processor busy, in this
/// program or in a database on the same machine. Half of the processors are left for other requests: with eight pages at a
/// time on two processors, a verification took twelve times as long (`docs/performance.md`).
fn pages_at_once(processors: usize) -> usize {
    (processors / 2).clamp(1, MAX_PAGES)
}

/// The largest number of events that one poll reads.
const POLL_LIMIT: u32 = 1000;

/// How many log entries one query scans for matching events. Without this limit, a page of a rare type would scan the whole
/// log and exceed the store's time limit.
const SCAN_LIMIT: u32 = 10_000;

/// The end of the log, in memory.
///
/// A failover that lost events or a restored backup may replace the log. Each poll compares the last entry of the previous
/// poll with the store. If it differs, this node forgets what it knows from the log and disconnects every follower with the
/// reason (`docs/adr/0009`).
pub struct LogFeed {
    log: Arc<dyn EventLog>,
    recent: RwLock<VecDeque<LoggedEvent>>,
    head: watch::Sender<Head>,
    /// The last log index, for readers that do not follow the events.
    end: watch::Sender<u64>,
    watches: ActorWatches,
    pages: Arc<Semaphore>,
    /// For followers that send heartbeats.
    freshness: Arc<FreshnessWatch>,
    /// The account cache. An account is removed from it when the log has a new event of the account.
    pub(crate) account_cache: Arc<AccountCache>,
    /// The client cache. While there are followers, a client is removed from it when the log has a new event of the client.
    pub(crate) client_cache: Arc<ClientCache>,
}

/// Where the log ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Head {
    log_index: u64,
    /// How many times the log was replaced.
    history: u64,
}

impl Worker for Arc<LogFeed> {
    const NAME: &'static str = "log_feed";
    const STOP: Stop = Stop::Abort;

    async fn run(&mut self) {
        LogFeed::run(Arc::clone(self)).await;
    }
}

impl LogFeed {
    /// An empty feed of `log`; [`Self::run`] keeps it up to date.
    pub fn new(log: Arc<dyn EventLog>) -> Self {
        Self {
            freshness: Arc::new(FreshnessWatch::new(Arc::clone(&log))),
            log,
            account_cache: Arc::default(),
            client_cache: Arc::default(),
            recent: RwLock::default(),
            head: watch::Sender::new(Head::default()),
            end: watch::Sender::new(0),
            watches: ActorWatches::default(),
            pages: Arc::new(Semaphore::new(pages_at_once(
                available_parallelism().map_or(1, NonZeroUsize::get),
            ))),
        }
    }

    /// The worker that finds out how current the log is.
    pub(crate) fn freshness_watch(&self) -> Arc<FreshnessWatch> {
        Arc::clone(&self.freshness)
    }

    /// Keeps the end of the log in memory, until it is dropped. Followers wait until this runs.
    pub async fn run(self: Arc<Self>) {
        // After a restart it continues where it was: skipped events would leave stale accounts in the cache.
        let so_far = self.head.borrow().log_index;
        let mut reached = (so_far > 0).then(|| LogCursor::unproven(so_far));
        let mut growth = self.log.growth();
        loop {
            match self.poll(reached).await {
                Ok((next, more)) => {
                    reached = Some(next);
                    if !more {
                        self.pause(&mut growth).await;
                    }
                }
                Err(ReadOnError::HistoryChanged(log_index)) => {
                    tracing::error!(
                        log_index,
                        "the log lost events that were already read (restored from a backup, or failed over); followers are disconnected"
                    );
                    self.start_over();
                    reached = None;
                }
                Err(ReadOnError::Store(error)) => {
                    tracing::warn!(%error, "the log cannot be read; its followers wait until it can");
                    tokio::time::sleep(AFTER_FAILURE).await;
                }
            }
        }
    }

    /// Finds out how current the log is, for followers that ask, until it is dropped.
    pub async fn watch_freshness(&self) {
        FreshnessWatch::run(&self.freshness).await;
    }

    /// Waits for the next poll.
    async fn pause(&self, growth: &mut LogGrowth) {
        let polled = Instant::now();
        sleep_until(polled + EARLIEST_POLL).await;
        tokio::select! {
            () = growth.wait(), if self.head.receiver_count() > 0 => {}
            () = sleep_until(polled + POLL_INTERVAL) => {}
        }
    }

    /// Forgets everything read from the log, and disconnects its followers.
    fn start_over(&self) {
        self.account_cache.forget_all();
        self.watches.notify_all();
        self.recent
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        self.head.send_modify(|head| head.history += 1);
    }

    /// Reads the events after `reached`; without it only finds the end of the log. Returns the new position, and whether
    /// more events are known to follow.
    async fn poll(&self, reached: Option<LogCursor>) -> Result<(LogCursor, bool), ReadOnError> {
        let Some(reached) = reached else {
            let head = self.log.log_head().await?.log_index;
            self.reach(head);
            return Ok((LogCursor::unproven(head), false));
        };
        if self.head.receiver_count() == 0 {
            let polled = self.poll_accounts(reached).await;
            // A follower that came meanwhile has to look again: events of clients were skipped.
            if self.head.receiver_count() > 0 {
                self.watches.notify_all();
            }
            return polled;
        }
        let everything = LogFilter::default();
        let LogPage { events, cursor } = self.log.read_on(reached, POLL_LIMIT, &everything).await?;
        if events.is_empty() {
            return Ok((cursor, false));
        }
        let more = events.len() == POLL_LIMIT as usize;
        // The watches are notified before followers can read the events: a follower must not read past the event that takes its
        // permission away.
        self.notify_watches(&changed_actors(&events));
        {
            let mut recent = self.recent.write().unwrap_or_else(PoisonError::into_inner);
            recent.extend(events);
            let surplus = recent.len().saturating_sub(RECENT);
            recent.drain(..surplus);
        }
        self.reach(cursor.log_index);
        Ok((cursor, more))
    }

    /// The poll of a node without followers. It reads no events, only which accounts changed: most events are of sessions,
    /// which the cache does not hold.
    async fn poll_accounts(&self, reached: LogCursor) -> Result<(LogCursor, bool), ReadOnError> {
        let changed = self.log.changed_accounts(reached, SCAN_LIMIT).await?;
        if changed.cursor.log_index > reached.log_index {
            let accounts = changed.accounts.into_iter().map(Actor::Account);
            self.notify_watches(&accounts.collect());
            // The events in memory must have no gap.
            self.recent
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .clear();
            self.reach(changed.cursor.log_index);
        }
        Ok((changed.cursor, changed.has_more))
    }

    fn reach(&self, log_index: u64) {
        self.head.send_modify(|head| head.log_index = log_index);
        self.end.send_if_modified(|end| {
            let has_moved = *end != log_index;
            *end = log_index;
            has_moved
        });
    }

    /// The last log index, as this node knows it. Unlike a follower, its reader does not cause events to be read.
    pub(crate) fn log_end(&self) -> watch::Receiver<u64> {
        self.end.subscribe()
    }

    fn notify_watches(&self, changed: &HashSet<Actor>) {
        if changed.is_empty() {
            return;
        }
        for actor in changed {
            match actor {
                Actor::Account(user) => self.account_cache.forget([*user]),
                Actor::Client(client) => self.client_cache.forget(client),
            }
        }
        self.watches.notify(changed);
    }

    /// Watches an account, or a client that follows the log, for changes from now on, without queries.
    pub(crate) fn watch(&self, actor: Actor) -> ActorWatch {
        self.watches.watch(actor)
    }

    /// A reader of the events after `after` that match `filter`: those in the log now and, with `follow`, later ones as well.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn read(
        self: &Arc<Self>,
        after: u64,
        filter: LogFilter,
        follow: bool,
    ) -> Result<Follower, StoreError> {
        let head = self.head.subscribe();
        let history = head.borrow().history;
        // The end is read from the store: the end in memory may be before an index that the reader got from another node.
        let log_end = self.log.log_head().await?.log_index;
        Ok(Follower {
            feed: Arc::clone(self),
            head,
            history,
            log_end,
            reached: LogCursor::unproven(after),
            filter,
            follow,
            heartbeats: None,
        })
    }

    /// A page of the events after `from` and up to `end`, from memory; `None` if they are not in memory, or if the entry at
    /// `from` is not in memory or is another one.
    fn page_from_memory(&self, from: LogCursor, end: u64, filter: &LogFilter) -> Option<LogPage> {
        let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner);
        let first = recent.front()?.log_index;
        let place = |index: u64| usize::try_from(index.checked_sub(first)?).ok();
        if let Some(known) = from.leaf_hash {
            let there = recent.get(place(from.log_index)?)?;
            if there.leaf_hash != known {
                return None;
            }
        }
        let start = place(from.log_index + 1)?;
        let to = place(end + 1)?
            .min(recent.len())
            .min(start.saturating_add(PAGE as usize));
        if start >= to {
            return None;
        }
        let step = recent.range(start..to);
        let cursor = recent.get(to - 1)?.cursor();
        let events = step.filter(|event| filter.matches(event)).cloned();
        Some(LogPage {
            events: events.collect(),
            cursor,
        })
    }
}

fn changed_actors(events: &[LoggedEvent]) -> HashSet<Actor> {
    let changed = events.iter().filter_map(|logged| {
        let kind = logged.event.aggregate_type.as_str();
        if kind == AggregateKind::User.as_str() {
            logged.user.map(Actor::Account)
        } else if kind == AggregateKind::Client.as_str() {
            let id = ClientId::from_stored(logged.event.aggregate_id.as_str());
            Some(Actor::Client(id))
        } else {
            None
        }
    });
    changed.collect()
}

impl Authlog {
    /// A reader of the events after `after` that match `filter`: those in the log now and, with `follow`, later ones as well.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn read_log(
        &self,
        _by: &LogReader,
        after: u64,
        filter: LogFilter,
        follow: bool,
    ) -> Result<Follower, StoreError> {
        self.feed.read(after, filter, follow).await
    }

    /// Watches an account, or a client that follows the log, for changes from now on, without queries.
    pub(crate) fn watch(&self, actor: Actor) -> ActorWatch {
        self.feed.watch(actor)
    }
}

/// One page of events. Until it is dropped, other readers and the same reader may have to wait for their next page.
pub struct Events {
    events: Vec<LoggedEvent>,
    _page: Option<OwnedSemaphorePermit>,
}

impl Deref for Events {
    type Target = [LoggedEvent];

    fn deref(&self) -> &[LoggedEvent] {
        &self.events
    }
}

/// A reader of the log from one index on.
pub struct Follower {
    feed: Arc<LogFeed>,
    head: watch::Receiver<Head>,
    history: u64,
    log_end: u64,
    reached: LogCursor,
    filter: LogFilter,
    follow: bool,
    heartbeats: Option<Heartbeats>,
}

/// What a follower needs to know how current it is.
struct Heartbeats {
    /// Nothing is claimed of the time before this instant.
    from: Instant,
    found: watch::Receiver<Option<Freshness>>,
    /// When the follower asked, unless it has the answer.
    asked: Option<Instant>,
    /// What holds as soon as the follower has read to the entry that it names.
    to_reach: Option<Freshness>,
}

impl Heartbeats {
    /// Takes a finding that is new enough and whose entry the follower has not passed. Asks again if there is none.
    fn aim(&mut self, reached: u64, watch: &FreshnessWatch) {
        let Some(asked) = self.asked.filter(|_| self.to_reach.is_none()) else {
            return;
        };
        let found = *self.found.borrow_and_update();
        let is_new = |it: &Freshness| it.at + SHARED_FOR >= asked && it.at >= self.from;
        self.to_reach = found.filter(|it| is_new(it) && it.end.log_index >= reached);
        if self.to_reach.is_none() {
            watch.ask();
        }
    }

    /// Waits until there is a new finding, if the follower waits for one.
    async fn news(&mut self) {
        if self.asked.is_none() || self.to_reach.is_some() || self.found.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Follower {
    /// Finds out how current this follower is, when [`Self::ask_how_current`] asks. Nothing is found out of the time before
    /// `from`.
    #[must_use]
    pub fn with_heartbeats(mut self, from: Instant) -> Self {
        self.heartbeats = Some(Heartbeats {
            from,
            found: self.feed.freshness.subscribe(),
            asked: None,
            to_reach: None,
        });
        self
    }

    /// Asks how current this follower is. Has no effect while it waits for the answer.
    pub fn ask_how_current(&mut self) {
        if let Some(heartbeats) = &mut self.heartbeats {
            heartbeats.asked.get_or_insert_with(Instant::now);
        }
    }

    /// The answer, once: this follower has yielded every matching event that was committed up to that instant. `None` while it
    /// is not known, or before the follower has got so far.
    ///
    /// # Errors
    /// [`ReadOnError::HistoryChanged`], as for [`Self::next`].
    pub fn how_current(&mut self) -> Result<Option<Freshness>, ReadOnError> {
        let reached = self.reached;
        if self.history_was_replaced() {
            return Err(ReadOnError::HistoryChanged(reached.log_index));
        }
        let Some(heartbeats) = &mut self.heartbeats else {
            return Ok(None);
        };
        heartbeats.aim(reached.log_index, &self.feed.freshness);
        let Some(found) = heartbeats
            .to_reach
            .take_if(|found| found.end.log_index == reached.log_index)
        else {
            return Ok(None);
        };
        // An index says nothing of the history to which it belongs.
        if reached.leaf_hash.is_some() && reached.leaf_hash != found.end.leaf_hash {
            return Err(ReadOnError::HistoryChanged(reached.log_index));
        }
        self.reached = found.end;
        heartbeats.asked = None;
        Ok(Some(found))
    }

    /// The last index of the log when the reader began. A client that asked for a later index has read another log.
    pub fn log_end(&self) -> u64 {
        self.log_end
    }

    /// The next matching events, at most a page. A page may be empty; `None` means that the end of the log was reached. Events
    /// that are not in memory are read from the store, by few readers at a time.
    ///
    /// # Errors
    /// [`ReadOnError::Store`]: the next call continues at the same index. [`ReadOnError::HistoryChanged`]: the log was
    /// replaced, and there are no further events for this reader.
    pub async fn next(&mut self) -> Result<Option<Events>, ReadOnError> {
        if self.follow && self.history_was_replaced() {
            return Err(ReadOnError::HistoryChanged(self.reached.log_index));
        }
        let (end, reached) = (self.end(), self.reached.log_index);
        if reached >= end {
            return Ok(None);
        }
        let (page, turn) = match self.feed.page_from_memory(self.reached, end, &self.filter) {
            Some(page) => (page, None),
            None => {
                let turn = Arc::clone(&self.feed.pages).acquire_owned().await.ok();
                // The events of one account have an index of their own.
                let until = match self.filter.user {
                    Some(_) => end,
                    None => end.min(reached.saturating_add(SCAN_LIMIT.into())),
                };
                let within = LogFilter {
                    until: Some(until),
                    ..self.filter.clone()
                };
                let page = self.feed.log.read_on(self.reached, PAGE, &within).await?;
                (page, turn)
            }
        };
        self.reached = page.cursor;
        Ok(Some(Events {
            events: page.events,
            _page: turn,
        }))
    }

    /// Waits until there may be more events, or an answer to [`Self::ask_how_current`].
    pub async fn wait(&mut self) {
        let Self {
            head,
            history,
            reached,
            heartbeats,
            ..
        } = self;
        let more = async {
            let has_more = |it: &Head| it.history != *history || it.log_index > reached.log_index;
            if head.wait_for(has_more).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let news = async {
            match heartbeats {
                Some(heartbeats) => heartbeats.news().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = more => {}
            () = news => {}
        }
    }

    fn history_was_replaced(&self) -> bool {
        self.head.borrow().history != self.history
    }

    fn end(&self) -> u64 {
        let end = if self.follow {
            self.log_end.max(self.head.borrow().log_index)
        } else {
            self.log_end
        };
        // The follower stops at the entry of a finding, to compare it.
        let to_reach = self.heartbeats.as_ref().and_then(|it| it.to_reach);
        to_reach.map_or(end, |found| end.min(found.end.log_index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_of_the_log_leave_half_of_the_processors_to_others() {
        let pages = [1, 2, 3, 4, 16, 64].map(pages_at_once);
        assert_eq!(pages, [1, 1, 1, 2, 8, 8]);
    }
}
