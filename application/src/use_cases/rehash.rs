//! Hashing passwords anew, beside the logins that showed that their hashes are outdated.
//!
//! Only a login has the password. What it asks for may come to nothing (too much to do, an outage, the end of the
//! program), and the next login asks again; the login itself neither waits nor fails.

use std::sync::Arc;

use authlog_domain::user::{RehashPassword, UserCommand};
use authlog_domain::{CredentialId, UserId};
use tokio::sync::mpsc;

use crate::authlog::Parts;
use crate::ports::{CredentialRecord, HashingClient, PasswordHash};
use crate::unit_of_work::Journal;
use crate::{Authlog, NewPassword, Password, Refusal, RequestContext};

/// How many passwords may wait to be hashed anew: a few, because each is a password in memory.
const QUEUE: usize = 64;

/// A password that was right, and whose hash is outdated.
pub(crate) struct OutdatedPassword {
    user: UserId,
    credential: CredentialId,
    password: Password,
    context: RequestContext,
}

impl Authlog {
    /// Has the password hashed again if `hash`, against which it was right, is outdated and is of this password alone.
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

/// Hashes passwords anew.
pub struct PasswordRenewer {
    parts: Parts,
    journal: Arc<Journal>,
    queue: mpsc::Receiver<OutdatedPassword>,
}

impl PasswordRenewer {
    pub(crate) fn new(
        parts: Parts,
        journal: Arc<Journal>,
    ) -> (mpsc::Sender<OutdatedPassword>, Self) {
        let (sender, queue) = mpsc::channel(QUEUE);
        let renewer = Self {
            parts,
            journal,
            queue,
        };
        (sender, renewer)
    }

    /// Works until every [`Authlog`] is gone.
    pub async fn run(&mut self) {
        while let Some(outdated) = self.queue.recv().await {
            match self.renew(outdated).await {
                // Whoever was erased meanwhile has no password any more.
                Ok(()) | Err(Refusal::UnknownAccount) => {}
                Err(error) => tracing::warn!(%error, "a password could not be rehashed"),
            }
        }
    }

    async fn renew(&self, outdated: OutdatedPassword) -> Result<(), Refusal> {
        let OutdatedPassword {
            user,
            credential: replaced,
            password,
            context,
        } = outdated;
        // The login was answered: its client need not wait.
        let client = HashingClient {
            address: context.address,
            ..HashingClient::default()
        };
        let password = NewPassword::already_in_use(password);
        let hash = self.parts.hasher.hash(password, &client).await?;
        let hash = hash.map_err(Refusal::of_password)?;
        let record = CredentialRecord {
            user,
            credential: CredentialId::new(self.parts.entropy.random_uuid()),
            hash,
        };
        let command = RehashPassword {
            at: self.parts.clock.now(),
            replaced,
            credential: record.credential,
        };
        let (record, context) = (&record, &context);
        self.journal
            .record(&user.to_string(), |work| async move {
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
