//! Deciding on accounts, and what administrators and the operator do with them.

use std::collections::HashMap;

use authlog_domain::user::{ChangeRole, Lock, RaisedEpoch, Unlock, UserCommand, UserEvent};
use authlog_domain::{AccountNumber, Role, Timestamp, UserId};

use crate::ports::{Account, CredentialRecord, Identifier, Revocation};
use crate::{Authlog, ManagesAccounts, Refusal, RequestContext};

/// What is to become true together with a decision about an account.
#[derive(Clone, Default)]
pub(crate) struct Besides {
    /// The hash of the password that the events name.
    pub(crate) credential: Option<CredentialRecord>,
    /// Whether another account has to be an administrator's who can sign in, if this one is.
    pub(crate) leaves_an_administrator: bool,
}

impl Authlog {
    /// The account of that id.
    ///
    /// # Errors
    /// [`Refusal::UnknownAccount`] where it was erased or never existed, or [`Refusal::Unavailable`].
    pub async fn account_of(
        &self,
        _by: &impl ManagesAccounts,
        user: UserId,
    ) -> Result<Account, Refusal> {
        self.account_just_written(user).await
    }

    /// The account that has this username or e-mail address.
    ///
    /// # Errors
    /// [`Refusal::UnknownAccount`], or [`Refusal::Unavailable`].
    pub async fn account_called(
        &self,
        _by: &impl ManagesAccounts,
        identifier: &Identifier,
    ) -> Result<Account, Refusal> {
        let found = self.parts.directory.find_account(identifier).await?;
        found.ok_or(Refusal::UnknownAccount)
    }

    /// Up to `limit` accounts in the order in which they were registered, those after the account `after`.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`].
    pub async fn page_of_accounts(
        &self,
        _by: &impl ManagesAccounts,
        after: Option<AccountNumber>,
        limit: u32,
    ) -> Result<Vec<Account>, Refusal> {
        Ok(self.parts.directory.accounts(after, limit).await?)
    }

    /// Gives an account another role. Its sessions end, so that no token claims what the account may not do any more.
    ///
    /// # Errors
    /// [`Refusal::UnknownAccount`], [`Refusal::LastAdministrator`], or that it cannot be done now.
    pub async fn change_role(
        &self,
        by: &impl ManagesAccounts,
        user: UserId,
        role: Role,
        context: &RequestContext,
    ) -> Result<Account, Refusal> {
        let at = self.parts.clock.now();
        let command = UserCommand::ChangeRole(ChangeRole { at, role });
        let takes_rights = role != Role::Admin;
        self.manage(by, user, command, takes_rights, context).await
    }

    /// Locks an account, and ends its sessions.
    ///
    /// # Errors
    /// As for [`Self::change_role`].
    pub async fn lock(
        &self,
        by: &impl ManagesAccounts,
        user: UserId,
        context: &RequestContext,
    ) -> Result<Account, Refusal> {
        let at = self.parts.clock.now();
        let command = UserCommand::Lock(Lock { at });
        self.manage(by, user, command, true, context).await
    }

    /// Unlocks an account.
    ///
    /// # Errors
    /// [`Refusal::UnknownAccount`], or that it cannot be done now.
    pub async fn unlock(
        &self,
        by: &impl ManagesAccounts,
        user: UserId,
        context: &RequestContext,
    ) -> Result<Account, Refusal> {
        let at = self.parts.clock.now();
        let command = UserCommand::Unlock(Unlock { at });
        self.manage(by, user, command, false, context).await
    }

    async fn manage(
        &self,
        by: &impl ManagesAccounts,
        user: UserId,
        command: UserCommand,
        takes_rights: bool,
        context: &RequestContext,
    ) -> Result<Account, Refusal> {
        let besides = Besides {
            leaves_an_administrator: takes_rights && !by.may_remove_last_administrator(),
            ..Besides::default()
        };
        let metadata = by.metadata(context, user);
        self.decide(user, command, besides, metadata).await?;
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
