//! Carrying out requests to reset a password: finding out whose it is, recording it, and mailing the link.

use std::sync::Arc;

use authlog_domain::user::{RequestPasswordReset, UserCommand};
use authlog_domain::{CLOCK_DIFFERENCE, Email, ResetId, Timestamp, UserId};
use tokio::sync::Notify;

use super::mail_errands::{self, Delay};
use crate::Refusal;
use crate::authlog::{Parts, Settings};
use crate::ports::{Identifier, Mail, MailKind, QueuedMail, ResetRequest, StoreError};
use crate::unit_of_work::Journal;

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
    pub async fn run(&self) {
        mail_errands::run(self.errand.clone(), Arc::clone(&self.wake)).await;
    }
}

impl mail_errands::Errand for Errand {
    type Entry = ResetRequest;

    const WHAT: &'static str = "a link to reset a password";

    fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }

    fn name(request: &ResetRequest) -> String {
        format!("reset {}", request.reset)
    }

    fn attempts(request: &ResetRequest) -> u32 {
        request.attempts
    }

    fn unacknowledged(request: &ResetRequest) -> u32 {
        request.unacknowledged
    }

    async fn take(
        &self,
        now: Timestamp,
        leased_until: Timestamp,
        limit: u32,
    ) -> Result<Vec<ResetRequest>, StoreError> {
        self.parts
            .reset_requests
            .take_due(now, leased_until, limit)
            .await
    }

    async fn complete(&self, request: &ResetRequest) -> Result<(), StoreError> {
        self.parts.reset_requests.complete(request.reset).await
    }

    async fn postpone(
        &self,
        request: &ResetRequest,
        at: Timestamp,
        unacknowledged: u32,
    ) -> Result<(), StoreError> {
        let request = ResetRequest {
            unacknowledged,
            ..request.clone()
        };
        self.parts.reset_requests.postpone(&request, at).await
    }

    /// Records the reset, once however often this is tried, and mails its link. A request for an unknown account, one
    /// without an address, one that comes too often, too late or from the future is dropped; so is one whose account was given
    /// another address since it was looked up: its link must not go to the mailbox of before.
    ///
    /// The gate is asked before the reset is recorded: a reset whose link is not mailed must not replace one whose link was.
    async fn carry_out(&self, request: &ResetRequest) -> Result<(), Delay> {
        let expires_at = request.at.plus(self.settings.reset_lifetime);
        let Some(identifier) = Identifier::parse(&request.identifier) else {
            return Ok(());
        };
        let now = self.parts.clock.now();
        if now >= expires_at || request.at > now.plus(CLOCK_DIFFERENCE) {
            return Ok(());
        }
        let Some(account) = self.parts.directory.find_account(&identifier).await? else {
            return Ok(());
        };
        let Some(email) = account.email else {
            return Ok(());
        };
        let entry = QueuedMail::Reset(request.reset);
        if !mail_errands::admitted(&self.parts, entry, &email, MailKind::ResetLink).await? {
            return Ok(());
        }
        let command = RequestPasswordReset {
            at: request.at,
            reset: self.reset(request),
            email: email.clone(),
            expires_at,
        };
        match self.record(account.id, &command, request).await {
            Ok(()) => {}
            // The account was asked for too often, or has another address, or this request or the account is over.
            Err(Refusal::InvalidResetToken | Refusal::UnknownAccount) => return Ok(()),
            Err(refusal) => return Err(refusal.into()),
        }
        let mail = self.mail(email, account.id, request);
        mail_errands::send(&self.parts, mail).await
    }
}

impl Errand {
    fn reset(&self, request: &ResetRequest) -> ResetId {
        let secrets = &self.parts.secrets;
        secrets.reset_of(request.reset, &request.identifier, request.at)
    }

    async fn record(
        &self,
        user: UserId,
        command: &RequestPasswordReset,
        request: &ResetRequest,
    ) -> Result<(), Refusal> {
        self.journal
            .record(&user.to_string(), |work| async move {
                work.execute_on_account(
                    user,
                    UserCommand::RequestPasswordReset(command.clone()),
                    request.context.metadata(user),
                )
                .await?;
                work.commit().await
            })
            .await
    }

    fn mail(&self, to: Email, user: UserId, request: &ResetRequest) -> Mail {
        let token = self.parts.secrets.reset_token(user, self.reset(request));
        let minutes = self.settings.reset_lifetime.as_secs() / 60;
        let page = &self.settings.reset_page;
        Mail {
            entry: request.reset.as_uuid(),
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
