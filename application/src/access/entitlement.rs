//! Permissions of long requests, such as a follower of the log.

use std::marker::PhantomData;

use authlog_domain::Role;

use super::{Actor, Authorized, AuthorizedActor, CallerProof, ScopedPermission};
use crate::workers::ActorWatch;
use crate::{Authlog, Refusal};

/// Permission `P` of the bearer of an access token, to be checked repeatedly. A check costs no query until the account
/// changes, and one a second for all requests of a client. (An opaque token is looked up at each check.)
pub struct Entitlement<P> {
    authlog: Authlog,
    token: String,
    actor: Actor,
    /// The role of the account; `None` for a client.
    role: Option<Role>,
    watch: ActorWatch,
    permission: PhantomData<P>,
}

impl Authlog {
    /// Authorizes the bearer of this access token, and returns an entitlement with which that can be checked again.
    ///
    /// # Errors
    /// As [`CallerProof::by_token`].
    pub async fn entitle<P: ScopedPermission>(
        &self,
        token: &str,
    ) -> Result<(AuthorizedActor<P>, Entitlement<P>), Refusal> {
        // The watch starts before the lookup, so that no change is missed.
        let (authorized, role, watch) = match self.authenticate(token).await {
            Ok(caller) => {
                let watch = self.watch(caller.user().into());
                let authorized = Authorized::<P>::of(self, caller).await?;
                let role = authorized.account().role;
                (AuthorizedActor::from(authorized), Some(role), watch)
            }
            Err(Refusal::InvalidAccessToken) => {
                let claims = self.bearer_claims(token)?;
                let watch = self.watch(Actor::Client(claims.client.clone()));
                let bearer = self.client_bearer(&claims, P::SCOPE).await?;
                (bearer.into(), None, watch)
            }
            Err(refusal) => return Err(refusal),
        };
        let entitlement = Entitlement {
            authlog: self.clone(),
            token: token.to_owned(),
            actor: authorized.actor(),
            role,
            watch,
            permission: PhantomData,
        };
        Ok((authorized, entitlement))
    }
}

impl<P: ScopedPermission> Entitlement<P> {
    /// Who has the permission.
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// Whether the account or the client has changed since the last check. Then the caller must call [`Self::check`] before it
    /// sends further data.
    pub fn must_be_checked(&self) -> bool {
        self.watch.has_changed()
    }

    /// Checks whether the permission still exists: the token may have expired, its session may have ended, the role may
    /// have been taken away, the second factor may be too old. A client may have been locked or removed, and its secret retired.
    ///
    /// # Errors
    /// The permission no longer exists, or [`Refusal::Unavailable`].
    pub async fn check(&self) -> Result<(), Refusal> {
        let has_changed = self.watch.has_changed();
        if has_changed {
            self.watch.forget();
        }
        match self.role {
            Some(role) if !has_changed => {
                let caller = self.authlog.authenticate(&self.token).await?;
                self.authlog.check_policy(role, &caller, P::MAX_AGE)
            }
            Some(_) => {
                Authorized::<P>::by_token(&self.authlog, &self.token).await?;
                Ok(())
            }
            None => {
                let claims = self.authlog.bearer_claims(&self.token)?;
                self.authlog.client_bearer(&claims, P::SCOPE).await?;
                Ok(())
            }
        }
    }
}
