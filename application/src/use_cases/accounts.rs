//! Deciding on accounts, and what an operator does with them.

use std::collections::HashMap;

use authlog_domain::user::{ChangeRole, Lock, RaisedEpoch, Unlock, UserCommand, UserEvent};
use authlog_domain::{AccountNumber, Role, Timestamp, UserId};

use crate::ports::{Account, CredentialRecord, Revocation};
use crate::{Authlog, Refusal, RequestContext};

/// What is to become true together with a decision about an account.
#[derive(Clone, Default)]
pub(crate) struct Besides {
    /// The hash of the password that the events name.
    pub(crate) credential: Option<CredentialRecord>,
    /// Whether another account has to be an administrator's who can sign in, if this one is.
    pub(crate) leaves_an_administrator: bool,
}

impl Authlog {
    /// Up to `limit` accounts in the order in which they were registered, those after the account `after`.
    ///
    /// # Errors
    /// It cannot be told now.
    pub async fn list_accounts(
        &self,
        after: Option<AccountNumber>,
        limit: u32,
    ) -> Result<Vec<Account>, Refusal> {
        Ok(self.parts.directory.accounts(after, limit).await?)
    }

    /// The account of that id; `None` if it was erased, or never was.
    ///
    /// # Errors
    /// It cannot be told now.
    pub async fn account_for_operator(&self, user: UserId) -> Result<Option<Account>, Refusal> {
        Ok(self.parts.directory.account(user).await?)
    }

    /// Lets an account do other things than before. Its sessions end, so that no token claims what it may not do.
    ///
    /// # Errors
    /// [`Refusal::UnknownAccount`], or that it cannot be done now.
    pub async fn change_role(
        &self,
        user: UserId,
        role: Role,
        context: &RequestContext,
    ) -> Result<Account, Refusal> {
        let at = self.parts.clock.now();
        let command = UserCommand::ChangeRole(ChangeRole { at, role });
        self.operate(user, command, context).await
    }

    /// Lets nobody sign in to an account, and ends its sessions.
    ///
    /// # Errors
    /// [`Refusal::UnknownAccount`], or that it cannot be done now.
    pub async fn lock_as_operator(
        &self,
        user: UserId,
        context: &RequestContext,
    ) -> Result<Account, Refusal> {
        let at = self.parts.clock.now();
        self.operate(user, UserCommand::Lock(Lock { at }), context)
            .await
    }

    /// Lets an account be signed in to again.
    ///
    /// # Errors
    /// [`Refusal::UnknownAccount`], or that it cannot be done now.
    pub async fn unlock_as_operator(
        &self,
        user: UserId,
        context: &RequestContext,
    ) -> Result<Account, Refusal> {
        let at = self.parts.clock.now();
        self.operate(user, UserCommand::Unlock(Unlock { at }), context)
            .await
    }

    async fn operate(
        &self,
        user: UserId,
        command: UserCommand,
        context: &RequestContext,
    ) -> Result<Account, Refusal> {
        let metadata = context.metadata(user);
        self.decide(user, command, Besides::default(), metadata)
            .await?;
        self.account_just_written(user).await
    }

    /// Lets the account decide, records what it decides, and refuses from then on the tokens that this ends.
    pub(crate) async fn decide(
        &self,
        user: UserId,
        command: UserCommand,
        besides: Besides,
        metadata: HashMap<String, String>,
    ) -> Result<Vec<UserEvent>, Refusal> {
        let (command, besides, metadata) = (&command, &besides, &metadata);
        let events = self
            .journal
            .record(&user.to_string(), |work| async move {
                let events = work
                    .execute_on_account(user, command.clone(), metadata.clone())
                    .await?;
                if let Some(credential) = &besides.credential {
                    work.attach_credential(credential.clone());
                }
                if besides.leaves_an_administrator {
                    work.leave_an_administrator_beside(user);
                }
                work.commit().await?;
                Ok(events)
            })
            .await?;
        for event in &events {
            self.heed(user, event, event.at());
        }
        if !events.is_empty() {
            self.mail_due.notify_one();
        }
        Ok(events)
    }

    fn heed(&self, user: UserId, event: &UserEvent, at: Timestamp) {
        if let Some(RaisedEpoch {
            epoch,
            kept_session,
        }) = event.raised_epoch()
        {
            let revocation = match event {
                UserEvent::UserErased(_) => Revocation::Erased { user, epoch },
                _ => Revocation::Epoch {
                    user,
                    epoch,
                    kept: kept_session,
                },
            };
            self.revocation_list.add(revocation, at);
        }
    }
}
