//! What administrators do with other people's accounts.

use std::sync::Arc;

use authlog_domain::user::{ChangeRole, Lock, Unlock, UserCommand};
use authlog_domain::{AccountNumber, Role, UserId};

use super::accounts::Besides;
use crate::ports::{Account, Identifier};
use crate::{Authlog, Refusal, RequestContext};

/// Who may.
const ADMINISTRATORS: [Role; 1] = [Role::Admin];

impl Authlog {
    /// The account of whoever bears this access token, who is an administrator.
    ///
    /// # Errors
    /// As [`Self::authorize`].
    pub async fn administrator(&self, token: &str) -> Result<Arc<Account>, Refusal> {
        self.authorize(token, &ADMINISTRATORS).await
    }

    /// For an administrator: the account of that id.
    ///
    /// # Errors
    /// As [`Self::administrator`]; [`Refusal::UnknownAccount`].
    pub async fn account_of(&self, token: &str, user: UserId) -> Result<Account, Refusal> {
        self.administrator(token).await?;
        self.account_just_written(user).await
    }

    /// For an administrator: the account that has this username or e-mail address.
    ///
    /// # Errors
    /// As [`Self::administrator`]; [`Refusal::UnknownAccount`].
    pub async fn account_called(
        &self,
        token: &str,
        identifier: &Identifier,
    ) -> Result<Account, Refusal> {
        self.administrator(token).await?;
        let found = self.parts.directory.find_account(identifier).await?;
        found.ok_or(Refusal::UnknownAccount)
    }

    /// For an administrator: up to `limit` accounts in order of their numbers, those after `after`.
    ///
    /// # Errors
    /// As [`Self::administrator`].
    pub async fn page_of_accounts(
        &self,
        token: &str,
        after: Option<AccountNumber>,
        limit: u32,
    ) -> Result<Vec<Account>, Refusal> {
        self.administrator(token).await?;
        self.list_accounts(after, limit).await
    }

    /// Lets an account do other things than before; its sessions end. The last administrator stays one.
    ///
    /// # Errors
    /// As [`Self::administrator`]; [`Refusal::UnknownAccount`], [`Refusal::LastAdministrator`], or that it cannot be done
    /// now.
    pub async fn give_role(
        &self,
        token: &str,
        user: UserId,
        role: Role,
        context: &RequestContext,
    ) -> Result<Account, Refusal> {
        let at = self.parts.clock.now();
        let command = UserCommand::ChangeRole(ChangeRole { at, role });
        let takes_away = role != Role::Admin;
        self.administer(token, user, command, takes_away, context)
            .await
    }

    /// Lets nobody sign in to an account, and ends its sessions. The last administrator cannot be locked out.
    ///
    /// # Errors
    /// As for [`Self::give_role`].
    pub async fn lock(
        &self,
        token: &str,
        user: UserId,
        context: &RequestContext,
    ) -> Result<Account, Refusal> {
        let at = self.parts.clock.now();
        let command = UserCommand::Lock(Lock { at });
        self.administer(token, user, command, true, context).await
    }

    /// Lets an account be signed in to again.
    ///
    /// # Errors
    /// As for [`Self::give_role`].
    pub async fn unlock(
        &self,
        token: &str,
        user: UserId,
        context: &RequestContext,
    ) -> Result<Account, Refusal> {
        let at = self.parts.clock.now();
        let command = UserCommand::Unlock(Unlock { at });
        self.administer(token, user, command, false, context).await
    }

    async fn administer(
        &self,
        token: &str,
        user: UserId,
        command: UserCommand,
        leaves_an_administrator: bool,
        context: &RequestContext,
    ) -> Result<Account, Refusal> {
        let administrator = self.administrator(token).await?;
        let metadata = context.metadata_by(administrator.id, user);
        let besides = Besides {
            leaves_an_administrator,
            ..Besides::default()
        };
        self.decide(user, command, besides, metadata).await?;
        self.account_just_written(user).await
    }
}
