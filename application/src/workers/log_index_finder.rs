//! The worker that finds the log indexes of events for the requests that wait for them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{sleep, timeout};

use super::{Stop, Worker};
use crate::Authlog;
use crate::ports::{EventId, EventLog};

/// How long a request waits. The log takes an event after about 20 ms; after this time, it is held up.
const PATIENCE: Duration = Duration::from_millis(250);

/// How many requests of a node wait at a time. Further ones are answered without the index, so that clients which send many
/// requests cannot hold them all for [`PATIENCE`].
const MAX_WAITING: usize = 256;

/// The shortest time between two queries.
const SPACING: Duration = Duration::from_millis(4);

/// The time after which the log is looked at again although this node has not added to it.
const POLL_EVERY: Duration = Duration::from_millis(15);

/// An event whose index a request waits for.
struct Waiting {
    event: EventId,
    reply: oneshot::Sender<u64>,
}

/// Finds log indexes with one query at a time for all requests, which hold no connection while they wait.
pub(crate) struct LogIndexFinder {
    log: Arc<dyn EventLog>,
    waiting: Mutex<Vec<Waiting>>,
    came: Notify,
}

impl LogIndexFinder {
    pub(crate) fn new(log: Arc<dyn EventLog>) -> Self {
        Self {
            log,
            waiting: Mutex::default(),
            came: Notify::new(),
        }
    }

    /// The log index of a committed event. `None` if the event gets none in time, or if too many requests wait.
    pub(crate) async fn find(&self, event: EventId) -> Option<u64> {
        let (reply, answer) = oneshot::channel();
        {
            let mut waiting = self.waiting();
            if waiting.len() >= MAX_WAITING {
                return None;
            }
            waiting.push(Waiting { event, reply });
        }
        self.came.notify_one();
        timeout(PATIENCE, answer).await.ok()?.ok()
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers the requests whose events have an index. Returns whether others still wait.
    async fn answer(&self) -> bool {
        let events: Vec<EventId> = {
            let mut waiting = self.waiting();
            waiting.retain(|it| !it.reply.is_closed());
            waiting.iter().map(|it| it.event.clone()).collect()
        };
        if events.is_empty() {
            return false;
        }
        match self.log.indexes_of(&events).await {
            Ok(indexes) => {
                let mut waiting = self.waiting();
                // Requests that came meanwhile are behind those that were asked for.
                let asked_for = events.len().min(waiting.len());
                let came = waiting.split_off(asked_for);
                for (it, index) in std::mem::take(&mut *waiting).into_iter().zip(indexes) {
                    match index {
                        // The request may have stopped waiting.
                        Some(index) => drop(it.reply.send(index)),
                        None => waiting.push(it),
                    }
                }
                waiting.extend(came);
            }
            Err(error) => tracing::debug!(%error, "log indexes cannot be read"),
        }
        !self.waiting().is_empty()
    }
}

impl Worker for Arc<LogIndexFinder> {
    const NAME: &'static str = "log_index_finder";
    const STOP: Stop = Stop::Abort;

    async fn run(&mut self) {
        let mut growth = self.log.growth();
        loop {
            if self.waiting().is_empty() {
                self.came.notified().await;
            }
            sleep(SPACING).await;
            if self.answer().await {
                tokio::select! {
                    () = growth.wait() => {}
                    () = sleep(POLL_EVERY) => {}
                    // A request that comes now may have an event that the log has already.
                    () = self.came.notified() => {}
                }
            }
        }
    }
}

impl Authlog {
    /// The log index of an event that this node has just committed. Waits up to a quarter of a second for it. `None` if it gets
    /// none in this time, or if too many requests wait.
    pub async fn log_index_of(&self, event: EventId) -> Option<u64> {
        self.log_indexes.find(event).await
    }
}
