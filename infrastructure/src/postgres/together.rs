//! What is asked at the same time goes to the database together.
//!
//! What a statement costs by itself, its way there and back, its start and its commit, is several times what one more
//! request in it costs. So while one is under way, those that come meanwhile gather and go together as the next. Nothing
//! waits for a group to fill: alone a request goes at once, and under load a group is what came during the last statement.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use authlog_application::ports::StoreError;
use sqlx::PgConnection;
use tokio::sync::{Mutex as AsyncMutex, oneshot};
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
    waiting: Mutex<Vec<Asked<E>>>,
    /// Held by the group that is under way, with the connection of the one before.
    turn: AsyncMutex<Option<Held>>,
}

impl<E: Errand> Together<E> {
    pub(super) fn new(connections: &Arc<Connections>, errand: E) -> Arc<Self> {
        Arc::new(Self {
            errand,
            connections: Arc::clone(connections),
            waiting: Mutex::default(),
            turn: AsyncMutex::default(),
        })
    }

    /// Asks, together with whoever asks meanwhile. It is carried out even if nobody waits for the answer any more.
    pub(super) async fn ask(
        self: &Arc<Self>,
        request: E::Request,
    ) -> Result<E::Answer, E::Refusal> {
        let (reply, answer) = oneshot::channel();
        self.waiting().push(Asked { request, reply });
        // Everybody brings a turn, most of which find nothing left to do: so nobody is left behind, whatever becomes of
        // another's.
        tokio::spawn(Arc::clone(self).take_turn());
        answer.await.map_err(|_| given_up())?
    }

    async fn take_turn(self: Arc<Self>) {
        let mut turn = self.turn.lock().await;
        if self.waiting().is_empty() {
            return;
        }
        let connection = self.connections.hold(turn.take()).await;
        // Who came while there was no connection goes along, or is told that there is none.
        let group = self.next_group();
        let mut connection = match connection {
            Ok(connection) => connection,
            Err(error) => {
                let error = Arc::new(error);
                for asked in group {
                    asked.answer(Err(shared_error(&error).into()));
                }
                return;
            }
        };
        let together = Arc::clone(&self);
        let carried_out = tokio::spawn(async move {
            together.errand.carry_out(group, &mut connection).await;
            connection
        });
        // Back in the pool it would be tested, which is a round trip: so it stays out while somebody waits for it.
        if let Ok(Ok(connection)) = timeout(PATIENCE, carried_out).await
            && !self.waiting().is_empty()
        {
            *turn = Some(connection);
        }
    }

    fn next_group(&self) -> Vec<Asked<E>> {
        let mut waiting = self.waiting();
        let count = waiting.len().min(GROUP);
        waiting.drain(..count).collect()
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Asked<E>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
