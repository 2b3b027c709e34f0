//! Roles: who may do what only some may. They are enforced here and nowhere else.

use std::sync::Arc;

use authlog_domain::Role;

use crate::ports::Account;
use crate::{Authenticated, Authlog, Refusal};

impl Authlog {
    /// The account of whoever bears this access token, if its role is one of `roles`, whatever the token says. A change of
    /// role ends the sessions of before, and the token with them.
    ///
    /// # Errors
    /// [`Refusal::InvalidAccessToken`], [`Refusal::Forbidden`], or that it cannot be told now.
    pub async fn authorize(&self, token: &str, roles: &[Role]) -> Result<Arc<Account>, Refusal> {
        let caller = self.authenticate(token).await?;
        let account = self.bearers_account(caller).await?;
        let account = account.ok_or(Refusal::InvalidAccessToken)?;
        if roles.contains(&account.role) {
            Ok(account)
        } else {
            Err(Refusal::Forbidden)
        }
    }

    /// The account of whoever has just authenticated, from memory where what is known of it is of the session's epoch:
    /// what takes rights away begins another.
    pub(crate) async fn bearers_account(
        &self,
        caller: Authenticated,
    ) -> Result<Option<Arc<Account>>, Refusal> {
        let is_of_now =
            |account: &Account| account.epoch_for(caller.session, caller.epoch) == caller.epoch;
        let look_up = || self.parts.directory.account(caller.user);
        let account = self.known_accounts.get(caller.user, is_of_now, look_up);
        Ok(account.await?)
    }
}
