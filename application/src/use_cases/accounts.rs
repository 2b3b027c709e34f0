//! Management of accounts by administrators and the operator, and the execution of commands on accounts.

use std::collections::HashMap;

use authlog_domain::user::{ChangeRole, Lock, Unlock, UserCommand, UserEvent};
use authlog_domain::{AccountNumber, Authentication, Role, SessionId, Timestamp, UserId};

use crate::ports::{Account, CredentialRecord, FactorChange, Identifier, Revocation};
use crate::{Authlog, ChangesAccounts, ManagesAccounts, Refusal, RequestContext};

/// What is committed together with the events of an account.
#[derive(Clone, Default)]
pub(crate) struct AppendOptions {
    /// The password hash to which the events refer.
    pub(crate) credential: Option<CredentialRecord>,
    /// The change of second factors that the events are about.
    pub(crate) factors: Option<FactorChange>,
    /// The session that gets this authentication with the events.
    pub(crate) steps_up: Option<(SessionId, Authentication)>,
    /// Whether the commit requires another administrator who can sign in, in case this account is an administrator's.
    pub(crate) requires_other_admin: bool,
}

impl Authlog {
    /// The account with this id.
    ///
    /// # Errors
    /// [`Refusal::UnknownAccount`] if it was erased or never existed, or [`Refusal::Unavailable`].
    pub async fn account_of(
        &self,
        _by: &impl ManagesAccounts,
        user: UserId,
    ) -> Result<Account, Refusal> {
        self.account_by_id(user).await
    }

    /// The account with this username or e-mail address.
    ///
    /// # Errors
    /// [`Refusal::UnknownAccount`], or [`Refusal::Unavailable`].
    pub async fn account_by_identifier(
        &self,
        _by: &impl ManagesAccounts,
        identifier: &Identifier,
    ) -> Result<Account, Refusal> {
        let found = self.parts.directory.find_account(identifier).await?;
        found.ok_or(Refusal::UnknownAccount)
    }

    /// Up to `limit` accounts after the account `after`, in the order of their registration.
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

    /// Changes the role of an account. Its sessions end, so that no token claims permissions that the account no longer
    /// has.
    ///
    /// # Errors
    /// [`Refusal::UnknownAccount`], [`Refusal::LastAdministrator`], or [`Refusal::Unavailable`].
    pub async fn change_role(
        &self,
        by: &impl ChangesAccounts,
        user: UserId,
        role: Role,
        context: &RequestContext,
    ) -> Result<Account, Refusal> {
        let at = self.parts.clock.now();
        let command = UserCommand::ChangeRole(ChangeRole { at, role });
        let takes_rights = role != Role::Admin;
        self.manage(by, user, command, takes_rights, context).await
    }

    /// Locks an account and ends its sessions.
    ///
    /// # Errors
    /// As for [`Self::change_role`].
    pub async fn lock(
        &self,
        by: &impl ChangesAccounts,
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
    /// [`Refusal::UnknownAccount`], or [`Refusal::Unavailable`].
    pub async fn unlock(
        &self,
        by: &impl ChangesAccounts,
        user: UserId,
        context: &RequestContext,
    ) -> Result<Account, Refusal> {
        let at = self.parts.clock.now();
        let command = UserCommand::Unlock(Unlock { at });
        self.manage(by, user, command, false, context).await
    }

    async fn manage(
        &self,
        by: &impl ChangesAccounts,
        user: UserId,
        command: UserCommand,
        takes_rights: bool,
        context: &RequestContext,
    ) -> Result<Account, Refusal> {
        let options = AppendOptions {
            requires_other_admin: takes_rights && !by.may_remove_last_administrator(),
            ..AppendOptions::default()
        };
        let metadata = by.metadata(context, user);
        self.decide(user, command, options, metadata).await?;
        self.account_by_id(user).await
    }

    /// Executes a command on an account, and adds the revocations that its events imply to the deny list.
    pub(crate) async fn decide(
        &self,
        user: UserId,
        command: UserCommand,
        options: AppendOptions,
        metadata: HashMap<String, String>,
    ) -> Result<Vec<UserEvent>, Refusal> {
        let (command, options, metadata) = (&command, &options, &metadata);
        let events = self
            .executor
            .execute(&user.to_string(), |work| async move {
                let events = work
                    .execute_on_account(user, command.clone(), metadata.clone())
                    .await?;
                if let Some(credential) = &options.credential {
                    work.attach_credential(credential.clone());
                }
                if let Some(change) = &options.factors {
                    work.attach_factor_change(change.clone());
                }
                if let Some((session, authentication)) = options.steps_up
                    && !events.is_empty()
                {
                    let place = (user, session);
                    self.stage_step_up(&work, place, authentication, metadata.clone())
                        .await?;
                }
                if options.requires_other_admin {
                    work.require_other_admin_than(user);
                }
                work.commit().await?;
                Ok(events)
            })
            .await?;
        for event in &events {
            self.apply_revocation(user, event, event.at());
        }
        if !events.is_empty() {
            self.mail_due.notify_one();
        }
        Ok(events)
    }

    /// Adds the revocation that an event implies to the deny list of this node.
    fn apply_revocation(&self, user: UserId, event: &UserEvent, at: Timestamp) {
        if let Some(raised) = event.raised_epoch() {
            let revocation = Revocation::of_account(user, Some(event.kind()), raised);
            self.revocation_list.add(revocation, at);
        }
    }
}
