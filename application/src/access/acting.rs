//! Authorization of accounts by their role, and of clients by a scope.

use std::sync::Arc;

use authlog_domain::client::RegisteredClient;

use super::client_bearer::ClientBearer;
use super::{Actor, Authorized, CallerProof, ScopedPermission};
use crate::{Authlog, Refusal};

/// Proof that the bearer of an access token has permission `P`: an account by its role, or a client by the scope of the
/// permission. It does not say how the account was authenticated, so that no code takes a client for an account.
pub struct AuthorizedActor<P>(Holder<P>);

enum Holder<P> {
    Account(Authorized<P>),
    Client(Arc<RegisteredClient>),
}

impl<P> AuthorizedActor<P> {
    /// Who has the permission.
    pub fn actor(&self) -> Actor {
        match &self.0 {
            Holder::Account(authorized) => Actor::Account(authorized.account().id),
            Holder::Client(client) => Actor::Client(client.id.clone()),
        }
    }

    /// The client, if a client has the permission.
    pub(crate) fn client(&self) -> Option<&RegisteredClient> {
        match &self.0 {
            Holder::Account(_) => None,
            Holder::Client(client) => Some(client),
        }
    }
}

impl<P> From<Authorized<P>> for AuthorizedActor<P> {
    fn from(authorized: Authorized<P>) -> Self {
        Self(Holder::Account(authorized))
    }
}

impl<P> From<ClientBearer> for AuthorizedActor<P> {
    fn from(bearer: ClientBearer) -> Self {
        Self(Holder::Client(bearer.client))
    }
}

impl<P: ScopedPermission> CallerProof for AuthorizedActor<P> {
    /// Authorizes an account as [`Authorized`] does, and a client by [`ScopedPermission::SCOPE`]. The settings that demand a second
    /// factor of a role are about people, and not about clients.
    ///
    /// # Errors
    /// As for [`Authorized`], and [`Refusal::InsufficientScope`] for the token of a client.
    async fn by_token(authlog: &Authlog, token: &str) -> Result<Self, Refusal> {
        match Authorized::<P>::by_token(authlog, token).await {
            Err(Refusal::InvalidAccessToken) => {
                let claims = authlog.bearer_claims(token)?;
                Ok(authlog.client_bearer(&claims, P::SCOPE).await?.into())
            }
            of_account => of_account.map(Self::from),
        }
    }
}
