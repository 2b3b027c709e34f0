//! Authorization of a caller by the role of the account.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use authlog_domain::{Role, SessionId, UserId};

use super::{Caller, CallerProof, Permission};
use crate::ports::Account;
use crate::{Authlog, Refusal};

/// The bearer of an access token with their account.
pub struct Identity {
    /// The account.
    pub account: Arc<Account>,
    /// The session.
    pub session: SessionId,
    caller: Caller,
}

/// Proof that the account of a caller had a role that gives permission `P`.
pub struct Authorized<P> {
    account: Arc<Account>,
    caller: Caller,
    permission: PhantomData<P>,
}

impl<P> Authorized<P> {
    /// The account of the caller.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// The caller.
    pub(super) fn caller(&self) -> &Caller {
        &self.caller
    }
}

impl<P: Permission> CallerProof for Authorized<P> {
    /// Authorizes by the role that the account has now, not by the one in the token. A change of role ends the account's
    /// sessions, and the token with them. If the settings demand a second factor of the role, the token must show one that
    /// is not older than [`Permission::MAX_AGE`].
    ///
    /// # Errors
    /// [`Refusal::InvalidAccessToken`], [`Refusal::Forbidden`],
    /// [`SecondFactorRefusal::LevelTooLow`](crate::SecondFactorRefusal::LevelTooLow), or [`Refusal::Unavailable`].
    async fn by_token(authlog: &Authlog, token: &str) -> Result<Self, Refusal> {
        Self::of(authlog, authlog.authenticate(token).await?).await
    }
}

impl<P: Permission> Authorized<P> {
    /// As [`CallerProof::by_token`], for a caller that has just been authenticated.
    pub(super) async fn of(authlog: &Authlog, caller: Caller) -> Result<Self, Refusal> {
        let identity = authlog.identity_of(caller, P::ROLES, P::MAX_AGE);
        let Identity {
            account, caller, ..
        } = identity.await?;
        Ok(Self {
            account,
            caller,
            permission: PhantomData,
        })
    }
}

impl Authlog {
    /// The account and the session of an access token, if the account has one of `roles`: for a reverse proxy that
    /// authorises requests to another application. It is not a permission within Authlog. If the settings demand a second
    /// factor of the account's role, the token must show one, however old.
    ///
    /// # Errors
    /// [`Refusal::InvalidAccessToken`], [`Refusal::Forbidden`],
    /// [`SecondFactorRefusal::LevelTooLow`](crate::SecondFactorRefusal::LevelTooLow), or [`Refusal::Unavailable`].
    pub async fn identify_bearer(&self, token: &str, roles: &[Role]) -> Result<Identity, Refusal> {
        let caller = self.authenticate(token).await?;
        self.identity_of(caller, roles, None).await
    }

    async fn identity_of(
        &self,
        caller: Caller,
        roles: &[Role],
        max_age: Option<Duration>,
    ) -> Result<Identity, Refusal> {
        let account = self.account_at(caller.user, caller.session, caller.epoch);
        let account = account.await?;
        let account = account.ok_or(Refusal::InvalidAccessToken)?;
        if !roles.contains(&account.role) {
            return Err(Refusal::Forbidden);
        }
        self.check_policy(account.role, &caller, max_age)?;
        Ok(Identity {
            account,
            session: caller.session,
            caller,
        })
    }

    /// The account of a live session, from the cache if the cached account has the epoch of the session: every removal
    /// of permissions begins a new epoch.
    pub(crate) async fn account_at(
        &self,
        user: UserId,
        session: SessionId,
        epoch: u32,
    ) -> Result<Option<Arc<Account>>, Refusal> {
        let has_this_epoch = |account: &Account| account.epoch_for(session, epoch) == epoch;
        let look_up = || self.parts.directory.account(user);
        let account = self.account_cache.get(user, has_this_epoch, look_up);
        Ok(account.await?)
    }
}
