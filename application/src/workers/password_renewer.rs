//! Rehashes passwords whose stored hashes are outdated, after the logins that found them.
//!
//! Only a login has the password. A rehash may be dropped (full queue, store failure, end of the program); the next login
//! requests it again. The login itself neither waits for it nor fails because of it.

use std::sync::Arc;

use authlog_domain::user::{RehashPassword, UserCommand};
use authlog_domain::{CredentialId, UserId};
use tokio::sync::mpsc;

use super::{Stop, Worker};
use crate::authlog::Parts;
use crate::ports::{Clock, CredentialRecord, Entropy, HashingClient, PasswordHash, PasswordHasher};
use crate::unit_of_work::CommandExecutor;
use crate::{Authlog, NewPassword, Password, Refusal, RequestContext};

/// How many passwords may wait to be rehashed: few, because each is a password in memory.
const QUEUE: usize = 64;

/// A correct password whose stored hash is outdated.
pub(crate) struct OutdatedPassword {
    user: UserId,
    credential: CredentialId,
    password: Password,
    context: RequestContext,
}

impl Authlog {
    /// Queues a rehash of `password` if `hash`, which it matches, is outdated. A hash that other passwords match as well
    /// (bcrypt ignores bytes after the 72nd) is kept.
    pub(crate) fn renew_if_outdated(
        &self,
        user: UserId,
        credential: CredentialId,
        hash: &PasswordHash,
        password: Password,
        context: &RequestContext,
    ) {
        if !self.parts.hasher.should_be_renewed(hash, &password) {
            return;
        }
        let outdated = OutdatedPassword {
            user,
            credential,
            password,
            context: context.clone(),
        };
        if self.outdated_passwords.try_send(outdated).is_err() {
            tracing::debug!("a password was not rehashed: the queue is full");
        }
    }
}

/// Rehashes outdated passwords.
pub(crate) struct PasswordRenewer {
    hasher: Arc<dyn PasswordHasher>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    executor: Arc<CommandExecutor>,
    queue: mpsc::Receiver<OutdatedPassword>,
}

impl PasswordRenewer {
    pub(crate) fn new(
        parts: &Parts,
        executor: Arc<CommandExecutor>,
    ) -> (mpsc::Sender<OutdatedPassword>, Self) {
        let (sender, queue) = mpsc::channel(QUEUE);
        let renewer = Self {
            hasher: Arc::clone(&parts.hasher),
            clock: Arc::clone(&parts.clock),
            entropy: Arc::clone(&parts.entropy),
            executor,
            queue,
        };
        (sender, renewer)
    }

    async fn renew(&self, outdated: OutdatedPassword) -> Result<(), Refusal> {
        let OutdatedPassword {
            user,
            credential: replaced,
            password,
            context,
        } = outdated;
        // The login has been answered, so no client waits for this hash.
        let client = HashingClient {
            address: context.address,
            ..HashingClient::default()
        };
        let password = NewPassword::already_in_use(password);
        let hash = self.hasher.hash(password, &client).await?;
        let hash = hash.map_err(Refusal::of_password)?;
        let record = CredentialRecord {
            user,
            credential: CredentialId::new(self.entropy.random_uuid()),
            hash,
        };
        let command = RehashPassword {
            at: self.clock.now(),
            replaced,
            credential: record.credential,
        };
        let (record, context) = (&record, &context);
        self.executor
            .execute(&user.to_string(), |work| async move {
                let command = UserCommand::RehashPassword(command);
                let events = work
                    .execute_on_account(user, command, context.metadata(user))
                    .await?;
                if !events.is_empty() {
                    work.attach_credential(record.clone());
                }
                work.commit().await
            })
            .await
    }
}

impl Worker for PasswordRenewer {
    const NAME: &'static str = "password_renewer";
    const STOP: Stop = Stop::Abort;

    /// Works until every [`Authlog`] is dropped.
    async fn run(&mut self) {
        while let Some(outdated) = self.queue.recv().await {
            match self.renew(outdated).await {
                // An account that was erased meanwhile has no password to rehash.
                Ok(()) | Err(Refusal::UnknownAccount) => {}
                Err(error) => tracing::warn!(%error, "a password could not be rehashed"),
            }
        }
    }
}
