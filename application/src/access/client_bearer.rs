//! Clients that present access tokens of their own to this service (RFC 6749 §4.4, RFC 6750).

use std::sync::Arc;

use authlog_domain::Scopes;
use authlog_domain::client::{GrantType, RegisteredClient, ServiceScope};

use super::TokenUse;
use crate::ports::{ClientTokenClaims, VerifiedOAuthToken};
use crate::{Authlog, Refusal};

/// A client that may use a scope at this service.
pub(super) struct ClientBearer {
    pub(super) client: Arc<RegisteredClient>,
}

impl Authlog {
    /// The claims of an access token of a client itself, if it is a bearer token for this service. No other function accepts such
    /// a token here. It is checked in memory: a key that this node does not know has been loaded before, when the token was read
    /// as one of an account.
    ///
    /// # Errors
    /// [`Refusal::InvalidAccessToken`].
    pub(super) fn bearer_claims(&self, token: &str) -> Result<Arc<ClientTokenClaims>, Refusal> {
        let (tokens, now) = (&self.parts.tokens, self.parts.clock.now());
        match tokens.verify_oauth(token, now) {
            // A token that is bound to a key is useless to a bearer (RFC 9449 §7.2).
            Some(VerifiedOAuthToken::Client(claims))
                if claims.is_for(tokens.issuer()) && TokenUse::Bearer.fits(claims.key.as_ref()) =>
            {
                Ok(claims)
            }
            // What a person granted to an application is for the resource servers of the application.
            Some(VerifiedOAuthToken::Client(_) | VerifiedOAuthToken::Session { .. }) | None => {
                Err(Refusal::InvalidAccessToken)
            }
        }
    }

    /// The client of the token, if it may use `scope`: the token has the scope, and the client is registered for it still.
    ///
    /// # Errors
    /// [`Refusal::InvalidAccessToken`], [`Refusal::InsufficientScope`], or [`Refusal::Unavailable`].
    pub(super) async fn client_bearer(
        &self,
        claims: &ClientTokenClaims,
        scope: ServiceScope,
    ) -> Result<ClientBearer, Refusal> {
        let client = self.client_of_token(claims).await?;
        let client = client.ok_or(Refusal::InvalidAccessToken)?;
        let has = |scopes: &Scopes| scopes.contains(scope.as_str());
        if has(&claims.scopes) && has(&client.settings.scopes) {
            Ok(ClientBearer { client })
        } else {
            Err(Refusal::InsufficientScope(scope))
        }
    }

    /// The client for which a token of its own was issued, if the token is still valid: the client is registered, not locked and
    /// may still get such tokens, and the secret with which it got this one has not been retired.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`].
    pub(crate) async fn client_of_token(
        &self,
        claims: &ClientTokenClaims,
    ) -> Result<Option<Arc<RegisteredClient>>, Refusal> {
        let client = self.client(&claims.client).await?;
        Ok(client.filter(|client| {
            let grants = &client.settings.grants;
            !client.locked
                && grants.contains(&GrantType::ClientCredentials)
                && claims.secret.is_none_or(|secret| client.has_secret(secret))
        }))
    }
}
