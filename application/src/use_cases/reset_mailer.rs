//! Carrying out requests to reset a password: finding out whose it is, recording it, and mailing the link.

use std::sync::Arc;
use std::time::Duration;

use authlog_domain::user::{RequestPasswordReset, UserCommand};
use authlog_domain::{Email, User, UserId};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::Refusal;
use crate::authlog::{Parts, Settings};
use crate::ports::{Identifier, Mail, MailError, ResetRequest};
use crate::unit_of_work::Journal;

/// How many requests one node works on at a time.
pub(super) const AT_ONCE: u32 = 16;

/// How long one node has a request to itself: longer than handing a mail over can take, so that none goes out twice, and
/// short enough that what a crashed node had taken is not late.
pub(super) const LEASE: Duration = Duration::from_secs(45);

/// How often the queue is looked at when nobody wakes the mailer, for what another node left behind.
pub(super) const IDLE: Duration = Duration::from_secs(1);

/// The first pause after a failure; each further one is twice as long, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// A mail server that was away is tried again at least this often.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Carries out requests to reset a password, beside the requests that made them.
pub struct ResetMailer {
    errand: Errand,
    wake: Arc<Notify>,
}

/// What handling one request takes.
#[derive(Clone)]
struct Errand {
    parts: Parts,
    journal: Arc<Journal>,
    settings: Arc<Settings>,
}

/// Why a request could not be carried out yet.
#[derive(Debug, thiserror::Error)]
enum Delay {
    #[error("the reset could not be recorded")]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Mail(#[from] MailError),
}

impl ResetMailer {
    pub(crate) fn new(
        parts: Parts,
        journal: Arc<Journal>,
        settings: Arc<Settings>,
        wake: Arc<Notify>,
    ) -> Self {
        Self {
            errand: Errand {
                parts,
                journal,
                settings,
            },
            wake,
        }
    }

    /// Works until it is dropped. A request that is interrupted is taken up again later.
    pub async fn run(self) {
        loop {
            match self.errand.handle_due().await {
                Ok(0) => {
                    let _ = tokio::time::timeout(IDLE, self.wake.notified()).await;
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "requests to reset a password are waiting");
                    tokio::time::sleep(IDLE).await;
                }
            }
        }
    }
}

impl Errand {
    /// Handles what is due, and says how many requests that were.
    async fn handle_due(&self) -> Result<usize, Refusal> {
        let now = self.parts.clock.now();
        let due = self
            .parts
            .reset_requests
            .take_due(now, now.plus(LEASE), AT_ONCE)
            .await?;
        let count = due.len();
        let mut under_way = JoinSet::new();
        for request in due {
            let errand = self.clone();
            under_way.spawn(async move { errand.handle(request).await });
        }
        while under_way.join_next().await.is_some() {}
        Ok(count)
    }

    async fn handle(&self, request: ResetRequest) {
        let settled = match self.carry_out(&request).await {
            Ok(()) => self.parts.reset_requests.complete(request.reset).await,
            Err(Delay::Mail(MailError::Permanent(error))) => {
                tracing::warn!(reset = %request.reset, %error, "a reset mail was refused for good");
                self.parts.reset_requests.complete(request.reset).await
            }
            Err(delay) => {
                let pause = pause_after(request.attempts);
                tracing::warn!(
                    reset = %request.reset,
                    error = %delay,
                    cause = std::error::Error::source(&delay).map(tracing::field::display),
                    retry_in = ?pause,
                    "a reset mail could not be sent yet"
                );
                let again_at = self.parts.clock.now().plus(pause);
                self.parts
                    .reset_requests
                    .postpone(request.reset, again_at)
                    .await
            }
        };
        if let Err(error) = settled {
            tracing::warn!(reset = %request.reset, %error, "a reset request will be taken up again");
        }
    }

    /// Records the reset, once however often this is tried, and mails its link. Whoever is unknown, has no address,
    /// asked too often or too long ago gets nothing, and the request is done with.
    async fn carry_out(&self, request: &ResetRequest) -> Result<(), Delay> {
        let expires_at = request.at.plus(self.settings.reset_lifetime);
        let Some(identifier) = Identifier::parse(&request.identifier) else {
            return Ok(());
        };
        if self.parts.clock.now() >= expires_at {
            return Ok(());
        }
        let account = self.parts.directory.find_account(&identifier).await;
        let Some(account) = account.map_err(Refusal::from)? else {
            return Ok(());
        };
        let Some(email) = account.email else {
            return Ok(());
        };
        let command = RequestPasswordReset {
            at: request.at,
            reset: request.reset,
            expires_at,
        };
        match self.record(account.id, command, request).await {
            Ok(()) => {}
            // The account has been asked for too often, or this request is over, or the account is: no more mail.
            Err(Refusal::InvalidResetToken | Refusal::UnknownAccount) => return Ok(()),
            Err(refusal) => return Err(refusal.into()),
        }
        let mail = self.mail(email, account.id, request);
        self.parts.mailer.send(mail).await?;
        self.forget_if_erased(account.id).await
    }

    /// An erasure deletes the mail that it finds. What is written at the same moment is deleted by whoever writes it.
    async fn forget_if_erased(&self, user: UserId) -> Result<(), Delay> {
        let account = self.parts.directory.account(user).await;
        if account.map_err(Refusal::from)?.is_none() {
            self.parts.kept_mail.forget(user).await?;
        }
        Ok(())
    }

    async fn record(
        &self,
        user: UserId,
        command: RequestPasswordReset,
        request: &ResetRequest,
    ) -> Result<(), Refusal> {
        let id = user.to_string();
        let id = id.as_str();
        self.journal
            .record(id, |work| async move {
                work.execute::<User>(
                    id,
                    UserCommand::RequestPasswordReset(command),
                    request.context.metadata(user),
                )
                .await?;
                work.commit().await
            })
            .await
    }

    fn mail(&self, to: Email, user: UserId, request: &ResetRequest) -> Mail {
        let token = self.parts.secrets.reset_token(user, request.reset);
        let minutes = self.settings.reset_lifetime.as_secs() / 60;
        let page = &self.settings.reset_page;
        Mail {
            user,
            to,
            subject: "Reset your password".to_owned(),
            text: format!(
                "Somebody, hopefully you, asked to reset the password of your account.\n\
                 To choose a new one, open this link within {minutes} minutes:\n\
                 \n\
                 {page}?token={token}\n\
                 \n\
                 If it was not you, do nothing: your password stays as it is.\n"
            ),
        }
    }
}

/// How long to wait after the `attempts`-th attempt failed.
pub(super) fn pause_after(attempts: u32) -> Duration {
    let doublings = attempts.saturating_sub(1).min(16);
    FIRST_PAUSE
        .saturating_mul(1 << doublings)
        .min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_bounded() {
        let pauses: Vec<u64> = [1, 2, 3, 6, 7, 8, 1000]
            .map(|attempts| pause_after(attempts).as_secs())
            .to_vec();
        assert_eq!(pauses, [1, 2, 4, 32, 60, 60, 60]);
    }
}
