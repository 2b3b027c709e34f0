//! Following the log: every event from any place on, as it comes, at the price of one reader a node.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use authlog_domain::{AggregateKind, UserId};
use tokio::sync::watch;

use crate::Authlog;
use crate::known_accounts::KnownAccounts;
use crate::ports::{EventLog, LogFilter, LoggedEvent, StoreError};

/// How often the log is looked at, for the sake of all followers and of what is known of accounts.
const EVERY: Duration = Duration::from_millis(20);

/// How long to wait after the store did not answer.
const AFTER_FAILURE: Duration = Duration::from_millis(500);

/// The newest events that are kept in memory while somebody follows: a follower that keeps up is served from there. A
/// slower one reads the store at its own pace.
const RECENT: usize = 4096;

/// Events in one step of a follower: about a hundred kilobytes as text, which is what one who stalls keeps in memory.
const PAGE: u32 = 200;

/// Events in one look at the log.
const LOOK: u32 = 1000;

/// How much of the log one question to the store goes through in search of events that match: a rare type must not
/// turn a step into a walk through the whole log, which the store would give up.
const STRETCH: u32 = 10_000;

/// The end of the log as this node knows it.
pub struct LogFeed {
    log: Arc<dyn EventLog>,
    recent: RwLock<VecDeque<LoggedEvent>>,
    head: watch::Sender<u64>,
    watches: Mutex<Vec<(UserId, Weak<AtomicBool>)>>,
    /// What this node knows of accounts, which it forgets as the log tells of them.
    pub(crate) known_accounts: Arc<KnownAccounts>,
}

impl LogFeed {
    /// A feed of `log` that knows nothing of it yet; [`Self::run`] keeps it up to date.
    pub fn new(log: Arc<dyn EventLog>) -> Self {
        Self {
            log,
            known_accounts: Arc::default(),
            recent: RwLock::default(),
            head: watch::Sender::new(0),
            watches: Mutex::default(),
        }
    }

    /// Keeps the end of the log in memory, until it is dropped. Without it followers wait for ever.
    pub async fn run(self: Arc<Self>) {
        // After a failure it goes on where it was: what it skipped would be known wrongly from then on.
        let so_far = *self.head.borrow();
        let mut reached = (so_far > 0).then_some(so_far);
        loop {
            match self.look(reached).await {
                Ok((next, more)) => {
                    reached = Some(next);
                    if !more {
                        tokio::time::sleep(EVERY).await;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "followers of the log wait until it can be read again");
                    tokio::time::sleep(AFTER_FAILURE).await;
                }
            }
        }
    }

    /// Looks at what came after `reached`, at first only finds out where the log ends; whether there is more at once.
    async fn look(&self, reached: Option<u64>) -> Result<(u64, bool), StoreError> {
        let Some(reached) = reached else {
            let head = self.log.log_head().await?.log_index;
            self.head.send_replace(head);
            return Ok((head, false));
        };
        if self.head.receiver_count() == 0 {
            return self.look_at_accounts(reached).await;
        }
        let news = self
            .log
            .read_log(reached, LOOK, &LogFilter::default())
            .await?;
        let Some(last) = news.last() else {
            return Ok((reached, false));
        };
        let head = last.log_index;
        let more = news.len() == LOOK as usize;
        // Before anybody can read the events: nobody reads on past the one that takes the right to away.
        self.tell_watches(&changed_accounts(&news));
        {
            let mut recent = self.recent.write().unwrap_or_else(PoisonError::into_inner);
            recent.extend(news);
            let surplus = recent.len().saturating_sub(RECENT);
            recent.drain(..surplus);
        }
        self.head.send_replace(head);
        Ok((head, more))
    }

    /// What is left of a look while nobody follows: most events are of sessions, and nobody asks for those.
    async fn look_at_accounts(&self, reached: u64) -> Result<(u64, bool), StoreError> {
        let news = self.log.changed_accounts(reached, STRETCH).await?;
        if news.reached > reached {
            self.tell_watches(&news.accounts.into_iter().collect());
            // Memory has no gap.
            self.recent
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .clear();
            self.head.send_replace(news.reached);
        }
        Ok((news.reached, news.has_more))
    }

    fn tell_watches(&self, changed: &HashSet<UserId>) {
        if changed.is_empty() {
            return;
        }
        self.known_accounts.forget(changed.iter().copied());
        let watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        for (user, watch) in watches.iter() {
            if let Some(watch) = watch.upgrade().filter(|_| changed.contains(user)) {
                watch.store(true, Ordering::Release);
            }
        }
    }

    /// Watches for changes to an account from now on, at no cost to the store.
    pub(crate) fn watch(&self, user: UserId) -> AccountWatch {
        let changed = Arc::new(AtomicBool::new(false));
        let mut watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
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
        // What this node's memory knows may be older than what the reader has already heard of elsewhere.
        let log_end = self.log.log_head().await?.log_index;
        Ok(Follower {
            feed: Arc::clone(self),
            head: self.head.subscribe(),
            log_end,
            reached: after,
            filter,
            follow,
        })
    }

    /// Some of the events after `after` and up to `end`, from memory, and how far they reach; `None` where memory has
    /// nothing of them.
    fn recall(&self, after: u64, end: u64, filter: &LogFilter) -> Option<(Vec<LoggedEvent>, u64)> {
        let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner);
        let first = recent.front()?.log_index;
        let place = |index: u64| usize::try_from(index.checked_sub(first)?).ok();
        let from = place(after + 1)?;
        let to = place(end + 1)?
            .min(recent.len())
            .min(from.saturating_add(PAGE as usize));
        if from >= to {
            return None;
        }
        let step = recent.range(from..to);
        let reached = after + step.len() as u64;
        let matching = step.filter(|event| filter.matches(event));
        Some((matching.cloned().collect(), reached))
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
        after: u64,
        filter: LogFilter,
        follow: bool,
    ) -> Result<Follower, StoreError> {
        self.feed.read(after, filter, follow).await
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

/// Someone who reads the log from a place on.
pub struct Follower {
    feed: Arc<LogFeed>,
    head: watch::Receiver<u64>,
    log_end: u64,
    reached: u64,
    filter: LogFilter,
    follow: bool,
}

impl Follower {
    /// The last place in the log when the reader began. One who began beyond it has read another log.
    pub fn log_end(&self) -> u64 {
        self.log_end
    }

    /// The next events that match, up to a page of them. There may be none in a stretch of the log; `None` says that
    /// its end was reached.
    ///
    /// # Errors
    /// The store does not answer. Asking again goes on from the same place.
    pub async fn next(&mut self) -> Result<Option<Vec<LoggedEvent>>, StoreError> {
        let end = self.end();
        if self.reached >= end {
            return Ok(None);
        }
        if let Some((events, reached)) = self.feed.recall(self.reached, end, &self.filter) {
            self.reached = reached;
            return Ok(Some(events));
        }
        // One account's events are found without walking through those of others.
        let until = match self.filter.user {
            Some(_) => end,
            None => end.min(self.reached.saturating_add(STRETCH.into())),
        };
        let within = LogFilter {
            until: Some(until),
            ..self.filter.clone()
        };
        let events = self.feed.log.read_log(self.reached, PAGE, &within).await?;
        self.reached = match events.last() {
            Some(last) if events.len() == PAGE as usize => last.log_index,
            _ => until,
        };
        Ok(Some(events))
    }

    /// Waits until there may be more.
    pub async fn wait(&mut self) {
        while *self.head.borrow_and_update() <= self.reached {
            if self.head.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    fn end(&self) -> u64 {
        if self.follow {
            self.log_end.max(*self.head.borrow())
        } else {
            self.log_end
        }
    }
}
