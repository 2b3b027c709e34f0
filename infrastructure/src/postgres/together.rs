//! What is asked at the same time goes to the database together.
//!
//! What a statement costs by itself, its way there and back, its start and its commit, is several times what one more
//! request in it costs. So while one is under way, those that come meanwhile gather and go together as the next. Nothing
//! waits for a group to fill: alone a request goes at once, and under load a group is what came during the last statement.

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

/// How many requests go together at the most: enough to make a statement's own cost small beside the work, few enough
/// that the first of them is answered within milliseconds.
const GROUP: usize = 64;

/// How long the next group waits for the one before. One at a time makes the largest groups, and so the least work; but
/// one that waits for somebody's lock holds up no more than those who go with it.
const PATIENCE: Duration = Duration::from_millis(20);

/// What can be done for many at once.
pub(super) trait Errand: Send + Sync + Sized + 'static {
    type Request: Send;
    type Answer: Send;
    type Refusal: From<StoreError> + Send;

    /// Does what is asked for and answers each. What is wrong with one of them must not be the others' failure.
    fn carry_out(
        &self,
        group: Vec<Asked<Self>>,
        connection: &mut PgConnection,
    ) -> impl Future<Output = ()> + Send;
}

/// A request, and whoever waits for the answer.
pub(super) struct Asked<E: Errand> {
    pub(super) request: E::Request,
    reply: oneshot::Sender<Result<E::Answer, E::Refusal>>,
}

impl<E: Errand> Asked<E> {
    pub(super) fn answer(self, answer: Result<E::Answer, E::Refusal>) {
        // Whoever asked may have gone away; what was done stays.
        let _ = self.reply.send(answer);
    }
}

/// Gathers what is asked of one errand.
pub(super) struct Together<E: Errand> {
    errand: E,
    connections: Arc<Connections>,
    queue: Mutex<Queue<E>>,
}

/// The requests that wait for the next group, and whether a task sends them.
struct Queue<E: Errand> {
    waiting: VecDeque<Asked<E>>,
    has_sender: bool,
}

impl<E: Errand> Together<E> {
    pub(super) fn new(connections: &Arc<Connections>, errand: E) -> Arc<Self> {
        let queue = Queue {
            waiting: VecDeque::new(),
            has_sender: false,
        };
        Arc::new(Self {
            errand,
            connections: Arc::clone(connections),
            queue: Mutex::new(queue),
        })
    }

    /// Asks, together with whoever asks meanwhile. It is carried out even if nobody waits for the answer any more.
    ///
    /// One task sends the groups, for as long as requests wait. With a task for each request every group would leave all
    /// but one of its tasks behind, and under a load that never pauses they would accumulate without end.
    pub(super) async fn ask(
        self: &Arc<Self>,
        request: E::Request,
    ) -> Result<E::Answer, E::Refusal> {
        let (reply, answer) = oneshot::channel();
        let has_sender = {
            let mut queue = self.queue();
            queue.waiting.push_back(Asked { request, reply });
            mem::replace(&mut queue.has_sender, true)
        };
        if !has_sender {
            let sender = Sender {
                together: Arc::clone(self),
                finished: false,
            };
            tokio::spawn(sender.send_groups());
        }
        answer.await.map_err(|_| given_up())?
    }

    fn next_group(&self) -> Vec<Asked<E>> {
        let mut queue = self.queue();
        let count = queue.waiting.len().min(GROUP);
        queue.waiting.drain(..count).collect()
    }

    fn take_all(&self) -> VecDeque<Asked<E>> {
        mem::take(&mut self.queue().waiting)
    }

    fn queue(&self) -> MutexGuard<'_, Queue<E>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task that sends the groups of one [`Together`], one after the other.
struct Sender<E: Errand> {
    together: Arc<Together<E>>,
    finished: bool,
}

impl<E: Errand> Sender<E> {
    async fn send_groups(mut self) {
        // Back in the pool it would be tested, which is a round trip: so it stays out while requests wait for it.
        let mut held = None;
        while !self.is_finished() {
            match self.together.connections.hold(held.take()).await {
                Ok(connection) => held = self.send_group(connection).await,
                Err(error) => self.refuse_all(error),
            }
        }
    }

    /// Sends what waits, and returns the connection unless the group takes longer than others should wait for it.
    async fn send_group(&self, mut connection: Held) -> Option<Held> {
        let together = Arc::clone(&self.together);
        let group = together.next_group();
        let carried_out = tokio::spawn(async move {
            together.errand.carry_out(group, &mut connection).await;
            connection
        });
        timeout(PATIENCE, carried_out).await.ok()?.ok()
    }

    /// Answers every request that waits. Otherwise those who no longer wait for their answers would leave requests behind
    /// faster than one group for each failed attempt to connect.
    fn refuse_all(&self, error: sqlx::Error) {
        let error = Arc::new(error);
        for asked in self.together.take_all() {
            asked.answer(Err(shared_error(&error).into()));
        }
    }

    /// Whether no request waits. Then the next one starts another task, and the memory of a long queue is given back.
    fn is_finished(&mut self) -> bool {
        let mut queue = self.together.queue();
        if queue.waiting.is_empty() {
            queue.waiting.shrink_to(GROUP);
            queue.has_sender = false;
            self.finished = true;
        }
        self.finished
    }
}

impl<E: Errand> Drop for Sender<E> {
    /// After a panic no request may wait for ever: those that wait are given up, and the next one starts another task.
    fn drop(&mut self) {
        if !self.finished {
            let mut queue = self.together.queue();
            queue.has_sender = false;
            let given_up = mem::take(&mut queue.waiting);
            drop(queue);
            drop(given_up);
        }
    }
}
