//! Following the log: every event from any place on, as it comes, at the price of one reader a node.

use std::collections::{HashSet, VecDeque};
use std::num::NonZeroUsize;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::thread::available_parallelism;
use std::time::Duration;

use authlog_domain::{AggregateKind, UserId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::known_accounts::KnownAccounts;
use crate::ports::{EventLog, LogCursor, LogFilter, LogPage, LoggedEvent, ReadOnError, StoreError};
use crate::{Authlog, LogReader};

/// How often the log is looked at, for the sake of all followers and of what is known of accounts.
const EVERY: Duration = Duration::from_millis(20);

/// How long to wait after the store did not answer.
const AFTER_FAILURE: Duration = Duration::from_millis(500);

/// The newest events that are kept in memory while somebody follows: a follower that keeps up is served from there. A
/// slower one reads the store at its own pace.
const RECENT: usize = 4096;

/// Events in one step of a follower: about a hundred kilobytes as text, which is what one who stalls keeps in memory.
const PAGE: u32 = 200;

/// How many pages may be read from the store and held in memory at once at the most, over all readers: each takes some
/// 700 KB until it is written as text, and pages of a hundred readers that catch up took 70 MB.
const MOST_PAGES: usize = 8;

/// How many pages are read at once where there are so many processors. Reading a page keeps one processor busy, which may be
/// one of the database on the same machine. Half of the processors are left to all other requests: where eight pages were
/// read at once on two processors, a verification took twelve times as long (`docs/performance.md`).
fn pages_at_once(processors: usize) -> usize {
    (processors / 2).clamp(1, MOST_PAGES)
}

/// Events in one look at the log.
const LOOK: u32 = 1000;

/// How much of the log one question to the store goes through in search of events that match: a rare type must not
/// turn a step into a walk through the whole log, which the store would give up.
const STRETCH: u32 = 10_000;

/// The end of the log as this node knows it.
///
/// The log may be replaced under it, by a failover that lost events or by a restored backup. Each look compares the entry
/// that the look before ended with; when it is another, what this node knows from the log is forgotten and every
/// follower is disconnected with the reason (`docs/adr/0009`).
pub struct LogFeed {
    log: Arc<dyn EventLog>,
    recent: RwLock<VecDeque<LoggedEvent>>,
    head: watch::Sender<Head>,
    watches: Mutex<Vec<(UserId, Weak<AtomicBool>)>>,
    pages: Arc<Semaphore>,
    /// What this node knows of accounts, which it forgets as the log tells of them.
    pub(crate) known_accounts: Arc<KnownAccounts>,
}

/// Where the log ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Head {
    log_index: u64,
    /// How often the log was replaced by another.
    history: u64,
}

impl LogFeed {
    /// A feed of `log` that knows nothing of it yet; [`Self::run`] keeps it up to date.
    pub fn new(log: Arc<dyn EventLog>) -> Self {
        Self {
            log,
            known_accounts: Arc::default(),
            recent: RwLock::default(),
            head: watch::Sender::new(Head::default()),
            watches: Mutex::default(),
            pages: Arc::new(Semaphore::new(pages_at_once(
                available_parallelism().map_or(1, NonZeroUsize::get),
            ))),
        }
    }

    /// Keeps the end of the log in memory, until it is dropped. Without it followers wait for ever.
    pub async fn run(self: Arc<Self>) {
        // After a failure it goes on where it was: what it skipped would be known wrongly from then on.
        let so_far = self.head.borrow().log_index;
        let mut reached = (so_far > 0).then(|| LogCursor::unproven(so_far));
        loop {
            match self.look(reached).await {
                Ok((next, more)) => {
                    reached = Some(next);
                    if !more {
                        tokio::time::sleep(EVERY).await;
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

    /// Forgets what is known from the log, and disconnects its followers.
    fn start_over(&self) {
        self.known_accounts.forget_all();
        for (_, watch) in self.lock_watches().iter() {
            if let Some(watch) = watch.upgrade() {
                watch.store(true, Ordering::Release);
            }
        }
        self.recent
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        self.head.send_modify(|head| head.history += 1);
    }

    /// Looks at what came after `reached`, at first only finds out where the log ends; whether there is more at once.
    async fn look(&self, reached: Option<LogCursor>) -> Result<(LogCursor, bool), ReadOnError> {
        let Some(reached) = reached else {
            let head = self.log.log_head().await?.log_index;
            self.reach(head);
            return Ok((LogCursor::unproven(head), false));
        };
        if self.head.receiver_count() == 0 {
            return self.look_at_accounts(reached).await;
        }
        let everything = LogFilter::default();
        let LogPage { events, cursor } = self.log.read_on(reached, LOOK, &everything).await?;
        if events.is_empty() {
            return Ok((cursor, false));
        }
        let more = events.len() == LOOK as usize;
        // Before anybody can read the events: nobody reads on past the one that takes the right to away.
        self.tell_watches(&changed_accounts(&events));
        {
            let mut recent = self.recent.write().unwrap_or_else(PoisonError::into_inner);
            recent.extend(events);
            let surplus = recent.len().saturating_sub(RECENT);
            recent.drain(..surplus);
        }
        self.reach(cursor.log_index);
        Ok((cursor, more))
    }

    /// What is left of a look while nobody follows: most events are of sessions, and nobody asks for those.
    async fn look_at_accounts(&self, reached: LogCursor) -> Result<(LogCursor, bool), ReadOnError> {
        let changed = self.log.changed_accounts(reached, STRETCH).await?;
        if changed.cursor.log_index > reached.log_index {
            self.tell_watches(&changed.accounts.into_iter().collect());
            // Memory has no gap.
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
    }

    fn lock_watches(&self) -> MutexGuard<'_, Vec<(UserId, Weak<AtomicBool>)>> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell_watches(&self, changed: &HashSet<UserId>) {
        if changed.is_empty() {
            return;
        }
        self.known_accounts.forget(changed.iter().copied());
        let watches = self.lock_watches();
        for (user, watch) in watches.iter() {
            if let Some(watch) = watch.upgrade().filter(|_| changed.contains(user)) {
                watch.store(true, Ordering::Release);
            }
        }
    }

    /// Watches for changes to an account from now on, at no cost to the store.
    pub(crate) fn watch(&self, user: UserId) -> AccountWatch {
        let changed = Arc::new(AtomicBool::new(false));
        let mut watches = self.lock_watches();
        watches.retain(|(_, watch)| watch.strong_count() > 0);
        watches.push((user, Arc::downgrade(&changed)));
        AccountWatch { changed }
    }

    /// A reader of the events after `after` that match `filter`: those that the log has now, and with `follow` those
    /// that come.
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
        // What this node's memory knows may be older than what the reader has already heard of elsewhere.
        let log_end = self.log.log_head().await?.log_index;
        Ok(Follower {
            feed: Arc::clone(self),
            head,
            history,
            log_end,
            reached: LogCursor::unproven(after),
            filter,
            follow,
        })
    }

    /// Some of the events after `from` and up to `end`, from memory; `None` where memory has nothing of them, or cannot
    /// tell whether they come after the same entry.
    fn recall(&self, from: LogCursor, end: u64, filter: &LogFilter) -> Option<LogPage> {
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

fn changed_accounts(news: &[LoggedEvent]) -> HashSet<UserId> {
    news.iter()
        .filter(|logged| logged.event.aggregate_type == AggregateKind::User.as_str())
        .map(|logged| logged.user)
        .collect()
}

impl Authlog {
    /// A reader of the events after `after` that match `filter`: those that the log has now, and with `follow` those
    /// that come.
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

    /// Watches for changes to an account from now on, at no cost to the store.
    pub(crate) fn watch_account(&self, user: UserId) -> AccountWatch {
        self.feed.watch(user)
    }
}

/// Tells whether something happened to an account since it was last asked.
pub(crate) struct AccountWatch {
    changed: Arc<AtomicBool>,
}

impl AccountWatch {
    /// Whether something happened since the last [`Self::forget`].
    pub(crate) fn has_changed(&self) -> bool {
        self.changed.load(Ordering::Acquire)
    }

    /// To be called before the account is looked up: what happens after that is told again.
    pub(crate) fn forget(&self) {
        self.changed.store(false, Ordering::Release);
    }
}

/// Events of one step of a reader. Other readers, and the next step of the same one, may have to wait until it is dropped.
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

/// Someone who reads the log from a place on.
pub struct Follower {
    feed: Arc<LogFeed>,
    head: watch::Receiver<Head>,
    history: u64,
    log_end: u64,
    reached: LogCursor,
    filter: LogFilter,
    follow: bool,
}

impl Follower {
    /// The last place in the log when the reader began. One who began beyond it has read another log.
    pub fn log_end(&self) -> u64 {
        self.log_end
    }

    /// The next events that match, up to a page of them. There may be none in a stretch of the log; `None` says that
    /// its end was reached. What is not in memory is read from the store when one of few readers' turns has come.
    ///
    /// # Errors
    /// The store does not answer: asking again goes on from the same place. Or the log is not the one of the events
    /// before: then nothing comes after them.
    pub async fn next(&mut self) -> Result<Option<Events>, ReadOnError> {
        if self.follow && self.is_of_the_past() {
            return Err(ReadOnError::HistoryChanged(self.reached.log_index));
        }
        let (end, reached) = (self.end(), self.reached.log_index);
        if reached >= end {
            return Ok(None);
        }
        let (page, turn) = match self.feed.recall(self.reached, end, &self.filter) {
            Some(page) => (page, None),
            None => {
                let turn = Arc::clone(&self.feed.pages).acquire_owned().await.ok();
                // One account's events are found without walking through those of others.
                let until = match self.filter.user {
                    Some(_) => end,
                    None => end.min(reached.saturating_add(STRETCH.into())),
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

    /// Waits until there may be more.
    pub async fn wait(&mut self) {
        let (history, reached) = (self.history, self.reached.log_index);
        let more = |head: &Head| head.history != history || head.log_index > reached;
        if self.head.wait_for(more).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    fn is_of_the_past(&self) -> bool {
        self.head.borrow().history != self.history
    }

    fn end(&self) -> u64 {
        if self.follow {
            self.log_end.max(self.head.borrow().log_index)
        } else {
            self.log_end
        }
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
