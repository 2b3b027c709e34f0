//! Records refused logins outside their requests, so that a refusal takes equally long whether the account exists or not.

use std::sync::Arc;

use authlog_domain::refused_logins::{LoginRefusalReason, RecordRefusedLogin};
use authlog_domain::user::{RequestEmailVerification, UserCommand};
use authlog_domain::{RefusedLogins, Timestamp, UserId};
use tokio::sync::mpsc;

use super::{Stop, Worker};
use crate::unit_of_work::CommandExecutor;
use crate::{Authlog, Refusal, RequestContext};

/// How many refused logins may wait to be recorded. Further ones only appear in the program's log: a client that guesses
/// faster than the store writes must not fill the memory.
const QUEUE: usize = 1024;

/// A refused login that named an existing account.
pub(crate) struct RefusedLogin {
    pub(crate) user: UserId,
    pub(crate) at: Timestamp,
    pub(crate) reason: LoginRefusalReason,
    /// The verification link to mail, if the login was refused for lack of a verified address.
    pub(crate) verification: Option<RequestEmailVerification>,
    pub(crate) context: RequestContext,
}

impl Authlog {
    /// Queues a refused login to be recorded. A full queue drops it.
    pub(crate) fn note_refused_login(&self, refused: RefusedLogin) {
        if self.refused_logins.try_send(refused).is_err() {
            tracing::warn!("a failed login was not recorded: the queue is full");
        }
    }
}

/// Appends refused logins to the log.
pub(crate) struct RefusedLoginRecorder {
    executor: Arc<CommandExecutor>,
    queue: mpsc::Receiver<RefusedLogin>,
}

impl RefusedLoginRecorder {
    pub(crate) fn new(executor: Arc<CommandExecutor>) -> (mpsc::Sender<RefusedLogin>, Self) {
        let (sender, queue) = mpsc::channel(QUEUE);
        (sender, Self { executor, queue })
    }

    async fn request_link(&self, refused: &RefusedLogin) -> Result<(), Refusal> {
        let Some(verification) = &refused.verification else {
            return Ok(());
        };
        let user = refused.user;
        self.executor
            .execute(&user.to_string(), |work| async move {
                let command = UserCommand::RequestEmailVerification(verification.clone());
                let metadata = refused.context.metadata(user);
                work.execute_on_account(user, command, metadata).await?;
                work.commit().await
            })
            .await
    }

    async fn record(&self, refused: &RefusedLogin) -> Result<(), Refusal> {
        let id = RefusedLogins::stream_of(refused.user, refused.at);
        self.executor
            .execute(&id, |work| async move {
                let command = RecordRefusedLogin {
                    at: refused.at,
                    reason: refused.reason,
                };
                let metadata = refused.context.metadata(refused.user);
                work.execute_on_refused_logins(refused.user, command, metadata)
                    .await?;
                work.commit().await
            })
            .await
    }
}

impl Worker for RefusedLoginRecorder {
    const NAME: &'static str = "refused_login_recorder";
    const STOP: Stop = Stop::Drain;

    /// Records until every [`Authlog`] is dropped and the queue is empty.
    async fn run(&mut self) {
        while let Some(refused) = self.queue.recv().await {
            let recorded = match self.record(&refused).await {
                Ok(()) => self.request_link(&refused).await,
                failed => failed,
            };
            match recorded {
                // The account was erased meanwhile, or the limit of links for it is reached.
                Ok(()) | Err(Refusal::UnknownAccount | Refusal::TooManyAttempts { .. }) => {}
                Err(error) => tracing::warn!(%error, "a failed login could not be recorded"),
            }
        }
    }
}
