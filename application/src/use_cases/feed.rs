//! Following the log: every event from any place on, as it comes, at the price of one reader a node.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::watch;

use crate::Authlog;
use crate::ports::{EventLog, LogFilter, LoggedEvent, StoreError};

/// How often the log is looked at for the sake of all followers.
const EVERY: Duration = Duration::from_millis(20);

/// How long to wait after the store did not answer.
const AFTER_FAILURE: Duration = Duration::from_millis(500);

/// The newest events that are kept in memory: a follower that keeps up is served from there. A slower one reads the
/// store at its own pace.
const RECENT: usize = 4096;

/// Events in one step of a follower.
const PAGE: u32 = 500;

/// Events in one look at the log.
const LOOK: u32 = 1000;

/// The end of the log as this node knows it.
pub struct LogFeed {
    log: Arc<dyn EventLog>,
    recent: RwLock<VecDeque<LoggedEvent>>,
    head: watch::Sender<u64>,
}

impl LogFeed {
    pub(crate) fn new(log: Arc<dyn EventLog>) -> Self {
        Self {
            log,
            recent: RwLock::default(),
            head: watch::Sender::new(0),
        }
    }

    /// Keeps the end of the log in memory, until it is dropped. Without it followers wait for ever.
    pub async fn run(self: Arc<Self>) {
        let mut reached = None;
        loop {
            match self.look(reached).await {
                Ok(next) => {
                    let idle = reached == Some(next);
                    reached = Some(next);
                    if idle {
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

    /// Reads what came after `reached`; at first only finds out where the log ends.
    async fn look(&self, reached: Option<u64>) -> Result<u64, StoreError> {
        let Some(reached) = reached else {
            let head = self.log.log_head().await?.log_index;
            self.head.send_replace(head);
            return Ok(head);
        };
        let news = self
            .log
            .read_log(reached, LOOK, &LogFilter::default())
            .await?;
        let Some(last) = news.last() else {
            return Ok(reached);
        };
        let head = last.log_index;
        {
            let mut recent = self.recent.write().unwrap_or_else(PoisonError::into_inner);
            recent.extend(news);
            let surplus = recent.len().saturating_sub(RECENT);
            recent.drain(..surplus);
        }
        self.head.send_replace(head);
        Ok(head)
    }

    /// A reader of the events after `after` that match `filter`.
    pub fn follow(self: &Arc<Self>, after: u64, filter: LogFilter) -> Follower {
        Follower {
            feed: Arc::clone(self),
            head: self.head.subscribe(),
            reached: after,
            filter,
        }
    }

    /// The events right after `after` from memory; `None` if memory does not reach that far back.
    fn recall(&self, after: u64, filter: &LogFilter) -> Option<(Vec<LoggedEvent>, u64)> {
        let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner);
        let first = recent.front()?.log_index;
        let skip = usize::try_from((after + 1).checked_sub(first)?).ok()?;
        let step: Vec<&LoggedEvent> = recent.iter().skip(skip).take(PAGE as usize).collect();
        let reached = step.last().map_or(after, |event| event.log_index);
        let matching = step
            .into_iter()
            .filter(|event| filter.matches(event))
            .cloned()
            .collect();
        Some((matching, reached))
    }
}

impl Authlog {
    /// A reader of the events after `after` that match `filter`.
    pub fn follow_log(&self, after: u64, filter: LogFilter) -> Follower {
        self.feed.follow(after, filter)
    }
}

/// Someone who reads the log from a place on.
pub struct Follower {
    feed: Arc<LogFeed>,
    head: watch::Receiver<u64>,
    reached: u64,
    filter: LogFilter,
}

impl Follower {
    /// The next events, up to a page of them; none when the end of the log was reached.
    ///
    /// # Errors
    /// The store does not answer. Asking again goes on from the same place.
    pub async fn next(&mut self) -> Result<Vec<LoggedEvent>, StoreError> {
        loop {
            if let Some((events, reached)) = self.feed.recall(self.reached, &self.filter) {
                let at_end = reached == self.reached;
                self.reached = reached;
                if at_end || !events.is_empty() {
                    return Ok(events);
                }
                continue;
            }
            let head = *self.head.borrow();
            let events = self
                .feed
                .log
                .read_log(self.reached, PAGE, &self.filter)
                .await?;
            // A page that is not full has seen the whole log, at least as far as it was known to reach before.
            let whole = events.len() < PAGE as usize;
            let last = events.last().map_or(self.reached, |event| event.log_index);
            self.reached = if whole { last.max(head) } else { last };
            return Ok(events);
        }
    }

    /// Waits until there may be more.
    pub async fn wait(&mut self) {
        while *self.head.borrow_and_update() <= self.reached {
            if self.head.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}
