//! Permissions of long requests, such as a follower of the log.

use std::marker::PhantomData;

use authlog_domain::{Role, UserId};

use super::{Authorized, CallerProof, Permission};
use crate::workers::AccountWatch;
use crate::{Authlog, Refusal};

/// Permission `P` of the bearer of an access token, to be checked repeatedly. A check costs no query until the account
/// changes. (An opaque token is looked up at each check.)
pub struct Entitlement<P> {
    authlog: Authlog,
    token: String,
    user: UserId,
    role: Role,
    account: AccountWatch,
    permission: PhantomData<P>,
}

impl Authlog {
    /// Authorizes the bearer of this access token, and returns an entitlement with which that can be checked again.
    ///
    /// # Errors
    /// As [`CallerProof::by_token`].
    pub async fn entitle<P: Permission>(
        &self,
        token: &str,
    ) -> Result<(Authorized<P>, Entitlement<P>), Refusal> {
        let caller = self.authenticate(token).await?;
        // The watch starts before the lookup, so that no change is missed.
        let account = self.watch_account(caller.user());
        let authorized = Authorized::of(self, caller).await?;
        let entitlement = Entitlement {
            authlog: self.clone(),
            token: token.to_owned(),
            user: caller.user(),
            role: authorized.account().role,
            account,
            permission: PhantomData,
        };
        Ok((authorized, entitlement))
    }
}

impl<P: Permission> Entitlement<P> {
    /// The account that has the permission.
    pub fn account(&self) -> UserId {
        self.user
    }

    /// Whether the account has changed since the last check. Then the caller must call [`Self::check`] before it sends further
    /// data.
    pub fn must_be_checked(&self) -> bool {
        self.account.has_changed()
    }

    /// Checks whether the permission still exists: the token may have expired, its session may have ended, the role may
    /// have been taken away, the second factor may be too old.
    ///
    /// # Errors
    /// The permission no longer exists, or [`Refusal::Unavailable`].
    pub async fn check(&self) -> Result<(), Refusal> {
        if self.account.has_changed() {
            self.account.forget();
            Authorized::<P>::by_token(&self.authlog, &self.token).await?;
        } else {
            let caller = self.authlog.authenticate(&self.token).await?;
            self.authlog.check_policy(self.role, &caller, P::MAX_AGE)?;
        }
        Ok(())
    }
}
