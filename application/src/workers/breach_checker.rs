//! Looks up passwords that people sign in with in the list of breached ones, after the login was answered.
//!
//! Only a login has the password. A lookup may be dropped (full queue, list that cannot be read, end of the program); the next
//! login requests it again. The login itself neither waits for it nor fails because of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use authlog_domain::user::{ReportBreachedPassword, UserCommand};
use authlog_domain::{AggregateKind, CredentialId, EventKind, Timestamp, UserId};
use tokio::sync::{Notify, mpsc};

use super::{Stop, Worker};
use crate::authlog::Parts;
use crate::ports::{
    Account, BreachLookup, BreachedPasswords, Clock, EventStore, StoreError, StreamId,
};
use crate::unit_of_work::CommandExecutor;
use crate::{Authlog, Password, Refusal, RequestContext};

/// How many passwords may wait to be looked up: few, because each is a password in memory.
const QUEUE: usize = 64;

/// How long a password that was looked up is not looked up again. Lists of breached passwords are published rarely.
const LOOKED_UP_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// How many of the last lookups are remembered, so that the memory is bounded.
const REMEMBERED: usize = 10_000;

/// The correct password of a login.
pub(crate) struct ProvedPassword {
    user: UserId,
    credential: CredentialId,
    password: Password,
    context: RequestContext,
}

impl Authlog {
    /// Queues a lookup of `password`, with which its owner signed in, in the list of breached passwords.
    pub(crate) fn check_for_breach(
        &self,
        account: &Account,
        password: &Password,
        context: &RequestContext,
    ) {
        if self.parts.breached_passwords.is_none() {
            return;
        }
        let proved = ProvedPassword {
            user: account.id,
            credential: account.credential,
            password: password.clone(),
            context: context.clone(),
        };
        if self.proved_passwords.try_send(proved).is_err() {
            tracing::debug!(
                "a password was not looked up in the list of breached ones: the queue is full"
            );
        }
    }
}

/// Looks up passwords, one at a time.
pub(crate) struct BreachChecker {
    list: Option<Arc<dyn BreachedPasswords>>,
    clock: Arc<dyn Clock>,
    events: Arc<dyn EventStore>,
    executor: Arc<CommandExecutor>,
    mail_due: Arc<Notify>,
    queue: mpsc::Receiver<ProvedPassword>,
    /// When the passwords of the last logins were looked up.
    looked_up: HashMap<CredentialId, Timestamp>,
}

impl BreachChecker {
    pub(crate) fn new(
        parts: &Parts,
        executor: Arc<CommandExecutor>,
        mail_due: Arc<Notify>,
    ) -> (mpsc::Sender<ProvedPassword>, Self) {
        let (sender, queue) = mpsc::channel(QUEUE);
        let checker = Self {
            list: parts.breached_passwords.clone(),
            clock: Arc::clone(&parts.clock),
            events: Arc::clone(&parts.events),
            executor,
            mail_due,
            queue,
            looked_up: HashMap::new(),
        };
        (sender, checker)
    }

    async fn check(&mut self, proved: ProvedPassword) -> Result<(), Refusal> {
        let now = self.clock.now();
        let Some(list) = &self.list else {
            return Ok(());
        };
        let before = self.looked_up.get(&proved.credential);
        if before.is_some_and(|at| now.is_within(LOOKED_UP_FOR, *at)) {
            return Ok(());
        }
        match list.look_up(&proved.password).await {
            BreachLookup::Unknown => return Ok(()),
            BreachLookup::NotListed => {}
            BreachLookup::Listed => self.report(&proved, now).await?,
        }
        if self.looked_up.len() >= REMEMBERED {
            self.looked_up.clear();
        }
        self.looked_up.insert(proved.credential, now);
        Ok(())
    }

    /// Records the event, unless it was recorded since the password was set.
    async fn report(&self, proved: &ProvedPassword, at: Timestamp) -> Result<(), Refusal> {
        let user = proved.user;
        let command = ReportBreachedPassword {
            at,
            credential: proved.credential,
        };
        self.executor
            .execute(&user.to_string(), |work| async move {
                if self.is_reported(user).await? {
                    return Ok(());
                }
                let command = UserCommand::ReportBreachedPassword(command);
                work.execute_on_account(user, command, proved.context.metadata(user))
                    .await?;
                work.commit().await
            })
            .await?;
        self.mail_due.notify_one();
        Ok(())
    }

    /// Whether the event was recorded after the password was last changed. A new hash of the same password is no change.
    async fn is_reported(&self, user: UserId) -> Result<bool, StoreError> {
        let Some(reported) = self.last(user, EventKind::PasswordFoundBreached).await? else {
            return Ok(false);
        };
        for kind in [EventKind::PasswordChanged, EventKind::PasswordReset] {
            if self.last(user, kind).await? > Some(reported) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The number of the account's last event of this kind.
    async fn last(&self, user: UserId, kind: EventKind) -> Result<Option<u64>, StoreError> {
        let stream = StreamId {
            kind: AggregateKind::User,
            id: user.to_string(),
        };
        let events = self.events.last_events(&stream, kind.stored_type(), 1);
        Ok(events.await?.last().map(|event| event.sequence))
    }
}

impl Worker for BreachChecker {
    const NAME: &'static str = "breach_checker";
    const STOP: Stop = Stop::Abort;

    /// Works until every [`Authlog`] is dropped.
    async fn run(&mut self) {
        while let Some(proved) = self.queue.recv().await {
            match self.check(proved).await {
                // An account that was erased meanwhile needs no report.
                Ok(()) | Err(Refusal::UnknownAccount) => {}
                Err(error) => tracing::warn!(%error, "a breached password could not be reported"),
            }
        }
    }
}
