//! A right that outlasts a request: whoever follows the log may go on for as long as they could begin.

use authlog_domain::{Role, UserId};

use super::feed::AccountWatch;
use crate::{Authlog, Refusal};

/// The right of whoever bears an access token to what some roles may do, to be looked at again and again. That costs
/// the store nothing until the log tells of a change to the account. (An opaque token is looked up each time.)
pub struct Entitlement {
    authlog: Authlog,
    token: String,
    roles: &'static [Role],
    user: UserId,
    account: AccountWatch,
}

impl Authlog {
    /// The right of whoever bears this access token to what `roles` may do.
    ///
    /// # Errors
    /// As [`Self::authorize`].
    pub async fn entitle(
        &self,
        token: &str,
        roles: &'static [Role],
    ) -> Result<Entitlement, Refusal> {
        let caller = self.authenticate(token).await?;
        // Watched from before it is looked up, so that no change falls between.
        let account = self.feed.watch(caller.user);
        self.authorize(token, roles).await?;
        Ok(Entitlement {
            authlog: self.clone(),
            token: token.to_owned(),
            roles,
            user: caller.user,
            account,
        })
    }
}

impl Entitlement {
    /// Whose right it is.
    pub fn account(&self) -> UserId {
        self.user
    }

    /// Whether something happened to the account since the right was last looked at: nothing more may be given before
    /// it was.
    pub fn is_in_doubt(&self) -> bool {
        self.account.has_changed()
    }

    /// Looks whether the right is still there: the token may have expired, its session may have ended, the role may
    /// have been taken away.
    ///
    /// # Errors
    /// It is not, or it cannot be told now.
    pub async fn check(&self) -> Result<(), Refusal> {
        if self.account.has_changed() {
            self.account.forget();
            self.authlog.authorize(&self.token, self.roles).await?;
        } else {
            self.authlog.authenticate(&self.token).await?;
        }
        Ok(())
    }
}
