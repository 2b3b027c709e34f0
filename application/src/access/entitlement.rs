//! A permission that outlasts a request: a follower of the log may go on for as long as it could begin.

use std::marker::PhantomData;

use authlog_domain::UserId;

use super::{Authorized, CallerProof, Permission};
use crate::workers::AccountWatch;
use crate::{Authlog, Refusal};

/// Permission `P` of the bearer of an access token, to be checked again and again. A check costs the store nothing until
/// the log has a change of the account. (An opaque token is looked up each time.)
pub struct Entitlement<P> {
    authlog: Authlog,
    token: String,
    user: UserId,
    account: AccountWatch,
    permission: PhantomData<P>,
}

impl Authlog {
    /// The lasting permission of the bearer of this access token.
    ///
    /// # Errors
    /// As [`CallerProof::by_token`].
    pub async fn entitle<P: Permission>(
        &self,
        token: &str,
    ) -> Result<(Authorized<P>, Entitlement<P>), Refusal> {
        let caller = self.authenticate(token).await?;
        // Watched from before it is looked up, so that no change falls between.
        let account = self.watch_account(caller.user());
        let authorized = Authorized::by_token(self, token).await?;
        let entitlement = Entitlement {
            authlog: self.clone(),
            token: token.to_owned(),
            user: caller.user(),
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

    /// Whether the account changed since the permission was last checked: nothing more may be given before it was.
    pub fn is_in_doubt(&self) -> bool {
        self.account.has_changed()
    }

    /// Checks whether the permission still exists: the token may have expired, its session may have ended, the role may
    /// have been taken away.
    ///
    /// # Errors
    /// It does not, or [`Refusal::Unavailable`].
    pub async fn check(&self) -> Result<(), Refusal> {
        if self.account.has_changed() {
            self.account.forget();
            Authorized::<P>::by_token(&self.authlog, &self.token).await?;
        } else {
            self.authlog.authenticate(&self.token).await?;
        }
        Ok(())
    }
}
