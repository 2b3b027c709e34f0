//! Handles requests to reset a password: finds the account, records the reset, and mails the link.

use std::sync::Arc;

use authlog_domain::user::{RequestPasswordReset, UserCommand};
use authlog_domain::{CLOCK_DIFFERENCE, Email, ResetId, Timestamp, UserId};
use tokio::sync::Notify;

use super::mail_jobs::{self, Delay, MailDelivery, MailJob};
use super::{Stop, Worker};
use crate::Refusal;
use crate::authlog::{Parts, Settings};
use crate::ports::{
    Identifier, Mail, MailKind, QueuedMail, ResetRequest, ResetRequests, SecretTokens, StoreError,
};
use crate::unit_of_work::CommandExecutor;

/// Handles queued requests to reset a password, so that the requests themselves need not wait.
pub(crate) struct ResetMailer {
    job: ResetJob,
    wake: Arc<Notify>,
}

/// What a request is handled with.
#[derive(Clone)]
struct ResetJob {
    queue: Arc<dyn ResetRequests>,
    secrets: Arc<dyn SecretTokens>,
    delivery: MailDelivery,
    executor: Arc<CommandExecutor>,
    settings: Arc<Settings>,
}

impl ResetMailer {
    pub(crate) fn new(
        parts: &Parts,
        executor: Arc<CommandExecutor>,
        settings: Arc<Settings>,
        wake: Arc<Notify>,
    ) -> Self {
        let job = ResetJob {
            queue: Arc::clone(&parts.reset_requests),
            secrets: Arc::clone(&parts.secrets),
            delivery: MailDelivery::new(parts),
            executor,
            settings,
        };
        Self { job, wake }
    }
}

impl Worker for ResetMailer {
    const NAME: &'static str = "reset_mailer";
    const STOP: Stop = Stop::Abort;

    /// Works until it is dropped. An interrupted request is retried when its lease expires.
    async fn run(&mut self) {
        mail_jobs::run(self.job.clone(), Arc::clone(&self.wake)).await;
    }
}

impl MailJob for ResetJob {
    type Entry = ResetRequest;

    const WHAT: &'static str = "a link to reset a password";

    fn now(&self) -> Timestamp {
        self.delivery.now()
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
        self.queue.take_due(now, leased_until, limit).await
    }

    async fn complete(&self, request: &ResetRequest) -> Result<(), StoreError> {
        self.queue.complete(request.reset).await
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
        self.queue.postpone(&request, at).await
    }

    /// Records the reset, once for all attempts, and mails its link.
    ///
    /// A request is dropped if its account is unknown or has no address; if it exceeds a limit, has expired or is dated in
    /// the future; or if the account's address was changed since the lookup, because the link must not go to the former
    /// mailbox.
    ///
    /// The mail gate is asked before the reset is recorded, because a new reset invalidates the previous one: a reset whose
    /// link is not mailed must not replace one whose link was.
    async fn run_job(&self, request: &ResetRequest) -> Result<(), Delay> {
        let expires_at = request.at.plus(self.settings.reset_lifetime);
        let Some(identifier) = Identifier::parse(&request.identifier) else {
            return Ok(());
        };
        let now = self.delivery.now();
        if now >= expires_at || request.at > now.plus(CLOCK_DIFFERENCE) {
            return Ok(());
        }
        let Some(account) = self.delivery.directory.find_account(&identifier).await? else {
            return Ok(());
        };
        let Some(email) = account.email else {
            return Ok(());
        };
        let entry = QueuedMail::Reset(request.reset);
        if !self
            .delivery
            .admit(entry, &email, MailKind::ResetLink)
            .await?
        {
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
            // Too many requests for the account, a changed address, an expired request, or an erased account.
            Err(Refusal::InvalidResetToken | Refusal::UnknownAccount) => return Ok(()),
            Err(refusal) => return Err(refusal.into()),
        }
        let mail = self.mail(email, account.id, request);
        self.delivery.send(mail).await
    }
}

impl ResetJob {
    fn reset(&self, request: &ResetRequest) -> ResetId {
        let secrets = &self.secrets;
        secrets.reset_of(request.reset, &request.identifier, request.at)
    }

    async fn record(
        &self,
        user: UserId,
        command: &RequestPasswordReset,
        request: &ResetRequest,
    ) -> Result<(), Refusal> {
        self.executor
            .execute(&user.to_string(), |work| async move {
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
        let token = self.secrets.reset_token(user, self.reset(request));
        let minutes = self.settings.reset_lifetime.as_secs() / 60;
        let page = &self.settings.reset_page;
        Mail {
            entry: request.reset.as_uuid(),
            user,
            to,
            subject: "Reset your password".to_owned(),
            text: format!(
                "Someone, hopefully you, asked to reset the password of your account.\n\
                 To choose a new one, open this link within {minutes} minutes:\n\
                 \n\
                 {page}?token={token}\n\
                 \n\
                 If it was not you, do nothing: your password stays as it is.\n"
            ),
        }
    }
}
