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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use async_trait::async_trait;
    use authlog_domain::AggregateKind;
    use tokio::task::JoinSet;
    use tokio::time::Instant;

    use super::*;
    use crate::ports::{
        ChangedAccounts, LogCoverage, LogCursor, LogFilter, LogHead, LogPage, LoggedEvent,
        ReadOnError, StoreError, StreamId,
    };

    /// A log that has the events up to a sequence, each at the index ten times as high.
    #[derive(Default)]
    struct Log {
        sequenced: AtomicU64,
        queries: AtomicU64,
    }

    #[async_trait]
    impl EventLog for Log {
        async fn read_log(
            &self,
            _: u64,
            _: u32,
            _: &LogFilter,
        ) -> Result<Vec<LoggedEvent>, StoreError> {
            unreachable!()
        }

        async fn read_on(
            &self,
            _: LogCursor,
            _: u32,
            _: &LogFilter,
        ) -> Result<LogPage, ReadOnError> {
            unreachable!()
        }

        async fn changed_accounts(
            &self,
            _: LogCursor,
            _: u32,
        ) -> Result<ChangedAccounts, ReadOnError> {
            unreachable!()
        }

        async fn log_head(&self) -> Result<LogHead, StoreError> {
            unreachable!()
        }

        async fn coverage(&self) -> Result<LogCoverage, StoreError> {
            unreachable!()
        }

        async fn indexes_of(&self, events: &[EventId]) -> Result<Vec<Option<u64>>, StoreError> {
            self.queries.fetch_add(1, Ordering::SeqCst);
            let end = self.sequenced.load(Ordering::SeqCst);
            let index = |it: &EventId| (it.sequence <= end).then_some(it.sequence * 10);
            Ok(events.iter().map(index).collect())
        }

        async fn log_index_at_mark(&self, _: u32) -> Result<u64, StoreError> {
            unreachable!()
        }
    }

    fn event(sequence: u64) -> EventId {
        let stream = StreamId {
            kind: AggregateKind::Session,
            id: "session".to_owned(),
        };
        EventId { stream, sequence }
    }

    fn running(log: &Arc<Log>) -> Arc<LogIndexFinder> {
        let finder = Arc::new(LogIndexFinder::new(log.clone()));
        let mut worker = Arc::clone(&finder);
        tokio::spawn(async move { worker.run().await });
        finder
    }

    #[tokio::test(start_paused = true)]
    async fn each_request_gets_the_index_of_its_own_event() {
        let log = Arc::new(Log::default());
        let finder = running(&log);
        let mut requests = JoinSet::new();
        for sequence in 1..=9 {
            let finder = Arc::clone(&finder);
            requests.spawn(async move { (sequence, finder.find(event(sequence)).await) });
        }
        for end in [3, 5, 8] {
            tokio::time::sleep(Duration::from_millis(40)).await;
            log.sequenced.store(end, Ordering::SeqCst);
        }
        for (sequence, found) in requests.join_all().await {
            let expected = (sequence <= 8).then_some(sequence * 10);
            assert_eq!(found, expected, "{sequence}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn few_requests_wait_at_a_time_and_none_for_long() {
        let log = Arc::new(Log::default());
        let finder = running(&log);
        let started = Instant::now();
        let mut requests = JoinSet::new();
        for sequence in 0..1000 {
            let finder = Arc::clone(&finder);
            requests.spawn(async move {
                let found = finder.find(event(sequence + 1)).await;
                assert_eq!(found, None);
                started.elapsed()
            });
        }
        let times = requests.join_all().await;
        let waited = times.iter().filter(|time| **time >= PATIENCE).count();
        assert_eq!(waited, MAX_WAITING);
        assert!(times.iter().all(|it| *it < PATIENCE + SPACING), "{times:?}");
        // All of them share the queries, and there are none without them.
        let queries = log.queries.load(Ordering::SeqCst);
        assert!(queries < 50, "{queries}");
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(log.queries.load(Ordering::SeqCst), queries);
        // Their places are free again.
        log.sequenced.store(7, Ordering::SeqCst);
        assert_eq!(finder.find(event(7)).await, Some(70));
    }
}
