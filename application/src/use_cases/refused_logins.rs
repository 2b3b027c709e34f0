//! Recording refused logins beside the requests that made them, so that a refusal takes as long for an account that
//! exists as for one that does not.

use std::convert::Infallible;
use std::sync::Arc;

use authlog_domain::refused_logins::{LoginRefusalReason, RecordRefusedLogin};
use authlog_domain::user::{RequestEmailVerification, UserCommand};
use authlog_domain::{RefusedLogins, Timestamp, UserId};
use tokio::sync::mpsc;

use crate::unit_of_work::{Failure, Journal};
use crate::{Authlog, Refusal, RequestContext};

/// How many refusals may wait to be recorded. Beyond it they are counted in the program's log alone: nobody waits for
/// them, and whoever guesses faster than the store writes must not fill our memory.
const QUEUE: usize = 1024;

/// A login that was refused to somebody who used the name of an account.
pub(crate) struct RefusedLogin {
    pub(crate) user: UserId,
    pub(crate) at: Timestamp,
    pub(crate) reason: LoginRefusalReason,
    /// The link that the person lacks.
    pub(crate) verification: Option<RequestEmailVerification>,
    pub(crate) context: RequestContext,
}

impl From<Infallible> for Failure {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl Authlog {
    pub(crate) fn note_refused_login(&self, refused: RefusedLogin) {
        if self.refused_logins.try_send(refused).is_err() {
            tracing::warn!("a failed login was not recorded: the queue is full");
        }
    }
}

/// Appends refused logins to the log.
pub struct RefusedLoginRecorder {
    journal: Arc<Journal>,
    queue: mpsc::Receiver<RefusedLogin>,
}

impl RefusedLoginRecorder {
    pub(crate) fn new(journal: Arc<Journal>) -> (mpsc::Sender<RefusedLogin>, Self) {
        let (sender, queue) = mpsc::channel(QUEUE);
        (sender, Self { journal, queue })
    }

    /// Records until every [`Authlog`] is gone and nothing waits any more.
    pub async fn run(&mut self) {
        while let Some(refused) = self.queue.recv().await {
            let recorded = match self.record(&refused).await {
                Ok(()) => self.request_link(&refused).await,
                failed => failed,
            };
            match recorded {
                // Of an account that was erased meanwhile nothing is recorded, and nobody is mailed too often.
                Ok(()) | Err(Refusal::UnknownAccount | Refusal::TooManyAttempts { .. }) => {}
                Err(error) => tracing::warn!(%error, "a failed login could not be recorded"),
            }
        }
    }

    async fn request_link(&self, refused: &RefusedLogin) -> Result<(), Refusal> {
        let Some(verification) = &refused.verification else {
            return Ok(());
        };
        let user = refused.user;
        self.journal
            .record(&user.to_string(), |work| async move {
                let command = UserCommand::RequestEmailVerification(verification.clone());
                let metadata = refused.context.metadata(user);
                work.execute_on_account(user, command, metadata).await?;
                work.commit().await
            })
            .await
    }

    async fn record(&self, refused: &RefusedLogin) -> Result<(), Refusal> {
        let id = RefusedLogins::stream_of(refused.user, refused.at);
        self.journal
            .record(&id, |work| async move {
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
