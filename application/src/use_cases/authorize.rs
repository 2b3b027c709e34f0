//! Roles: who may do what only some may. They are enforced here and nowhere else.

use std::sync::Arc;

use authlog_domain::{Role, SessionId};

use crate::ports::Account;
use crate::{Authenticated, Authlog, Refusal};

/// The bearer of an access token.
pub struct Identity {
    /// The account.
    pub account: Arc<Account>,
    /// The session.
    pub session: SessionId,
}

impl Authlog {
    /// The account of whoever bears this access token, if its role is one of `roles`, whatever the token says. A change of
    /// role ends the sessions of before, and the token with them.
    ///
    /// # Errors
    /// [`Refusal::InvalidAccessToken`], [`Refusal::Forbidden`], or that it cannot be told now.
    pub async fn authorize(&self, token: &str, roles: &[Role]) -> Result<Arc<Account>, Refusal> {
        Ok(self.authorize_session(token, roles).await?.account)
    }

    /// As [`Self::authorize`], with the session of the token.
    ///
    /// # Errors
    /// As [`Self::authorize`].
    pub async fn authorize_session(
        &self,
        token: &str,
        roles: &[Role],
    ) -> Result<Identity, Refusal> {
        let caller = self.authenticate(token).await?;
        let account = self.bearers_account(caller).await?;
        let account = account.ok_or(Refusal::InvalidAccessToken)?;
        if !roles.contains(&account.role) {
            return Err(Refusal::Forbidden);
        }
        Ok(Identity {
            account,
            session: caller.session,
        })
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
