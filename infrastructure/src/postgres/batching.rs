//! Batching concurrent requests into one statement.
//!
//! The fixed cost of a statement (round trip, start and commit) is several times the cost of one more request in it.
//! So requests that arrive while a statement runs form the next batch. Nothing waits for a batch to fill: a single
//! request is sent at once, and under load a batch is what arrived during the previous statement.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use authlog_application::ports::StoreError;
use sqlx::PgConnection;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::connections::{Connections, Held};
use super::errors::{given_up, shared_error};

/// The maximum number of requests in a batch: enough to make the fixed cost of a statement small in comparison, few
/// enough that the first of them is answered within milliseconds.
const MAX_BATCH: usize = 64;

/// How long the next batch waits for the one before. Sending one at a time makes the largest batches, and so the
/// least work. A batch that waits longer for a row lock delays only its own requests.
const MAX_WAIT: Duration = Duration::from_millis(20);

/// An operation that can be executed for many requests at once.
pub(super) trait BatchOperation: Send + Sync + Sized + 'static {
    type Request: Send;
    type Answer: Send;
    type Refusal: From<StoreError> + Send;

    /// Executes the requests and answers each. A request that fails must not fail the others.
    fn execute_batch(
        &self,
        batch: Vec<PendingRequest<Self>>,
        connection: &mut PgConnection,
    ) -> impl Future<Output = ()> + Send;
}

/// A request that waits for its answer.
pub(super) struct PendingRequest<O: BatchOperation> {
    pub(super) request: O::Request,
    reply: oneshot::Sender<Result<O::Answer, O::Refusal>>,
}

impl<O: BatchOperation> PendingRequest<O> {
    pub(super) fn answer(self, answer: Result<O::Answer, O::Refusal>) {
        // The caller may be gone. The request was executed all the same.
        let _ = self.reply.send(answer);
    }
}

/// Collects requests for one operation into batches.
pub(super) struct Batcher<O: BatchOperation> {
    operation: O,
    connections: Arc<Connections>,
    queue: Mutex<Queue<O>>,
}

/// The requests that wait for the next batch, and whether a task sends batches.
struct Queue<O: BatchOperation> {
    waiting: VecDeque<PendingRequest<O>>,
    has_sender: bool,
}

impl<O: BatchOperation> Batcher<O> {
    pub(super) fn new(connections: &Arc<Connections>, operation: O) -> Arc<Self> {
        let queue = Queue {
            waiting: VecDeque::new(),
            has_sender: false,
        };
        Arc::new(Self {
            operation,
            connections: Arc::clone(connections),
            queue: Mutex::new(queue),
        })
    }

    /// Sends a request in a batch with concurrent ones. It is executed even if the caller stops waiting.
    ///
    /// One task sends the batches, for as long as requests wait. With one task per request, every batch would leave
    /// all but one of its tasks behind, and under continuous load they would accumulate without bound.
    pub(super) async fn ask(
        self: &Arc<Self>,
        request: O::Request,
    ) -> Result<O::Answer, O::Refusal> {
        let (reply, answer) = oneshot::channel();
        let has_sender = {
            let mut queue = self.queue();
            queue.waiting.push_back(PendingRequest { request, reply });
            mem::replace(&mut queue.has_sender, true)
        };
        if !has_sender {
            let sender = Sender {
                batcher: Arc::clone(self),
                finished: false,
            };
            tokio::spawn(sender.send_batches());
        }
        answer.await.map_err(|_| given_up())?
    }

    fn next_batch(&self) -> Vec<PendingRequest<O>> {
        let mut queue = self.queue();
        let count = queue.waiting.len().min(MAX_BATCH);
        queue.waiting.drain(..count).collect()
    }

    fn take_all(&self) -> VecDeque<PendingRequest<O>> {
        mem::take(&mut self.queue().waiting)
    }

    fn queue(&self) -> MutexGuard<'_, Queue<O>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task that sends the batches of one [`Batcher`], one after the other.
struct Sender<O: BatchOperation> {
    batcher: Arc<Batcher<O>>,
    finished: bool,
}

impl<O: BatchOperation> Sender<O> {
    async fn send_batches(mut self) {
        // The pool would test a returned connection, which costs a round trip. So the connection is kept while
        // requests wait.
        let mut held = None;
        while !self.is_finished() {
            match self.batcher.connections.hold(held.take()).await {
                Ok(connection) => held = self.send_batch(connection).await,
                Err(error) => self.refuse_all(error),
            }
        }
    }

    /// Sends the next batch. Returns the connection unless the batch takes longer than [`MAX_WAIT`].
    async fn send_batch(&self, mut connection: Held) -> Option<Held> {
        let batcher = Arc::clone(&self.batcher);
        let batch = batcher.next_batch();
        let executed = tokio::spawn(async move {
            batcher
                .operation
                .execute_batch(batch, &mut connection)
                .await;
            connection
        });
        timeout(MAX_WAIT, executed).await.ok()?.ok()
    }

    /// Fails every waiting request. Otherwise callers that have stopped waiting would leave requests behind faster
    /// than one batch per failed attempt to connect removes them.
    fn refuse_all(&self, error: sqlx::Error) {
        let error = Arc::new(error);
        for pending in self.batcher.take_all() {
            pending.answer(Err(shared_error(&error).into()));
        }
    }

    /// Whether no request waits. Then the next request starts another task, and the memory of a long queue is freed.
    fn is_finished(&mut self) -> bool {
        let mut queue = self.batcher.queue();
        if queue.waiting.is_empty() {
            queue.waiting.shrink_to(MAX_BATCH);
            queue.has_sender = false;
            self.finished = true;
        }
        self.finished
    }
}

impl<O: BatchOperation> Drop for Sender<O> {
    /// After a panic no request may wait forever. Waiting requests fail, and the next one starts another task.
    fn drop(&mut self) {
        if !self.finished {
            let mut queue = self.batcher.queue();
            queue.has_sender = false;
            let given_up = mem::take(&mut queue.waiting);
            drop(queue);
            drop(given_up);
        }
    }
}
