//! Access tokens of clients themselves (RFC 6749 §4.4). Nothing is stored: the token is valid while its client and the secret
//! with which it was got are.

use authlog_domain::Scopes;
use authlog_domain::client::GrantType;

use super::issue::ACCESS_LIFETIME;
use super::{GrantRefusal, OAuthTokens, resources};
use crate::access::{AuthenticatedClient, DpopProof};
use crate::ports::{ClientTokenClaims, OAuthClaims};
use crate::{Authlog, Refusal};

/// The scopes about a person, of which a client's own token says nothing.
const OF_PEOPLE: &str = "openid profile email address phone offline_access";

impl Authlog {
    /// An access token of the client itself. Without `scope`, it has all scopes of the client that are not about a person.
    ///
    /// # Errors
    /// See [`GrantRefusal`].
    pub fn client_credentials(
        &self,
        by: &AuthenticatedClient,
        scope: Option<&str>,
        texts: &[&str],
        proof: Option<&DpopProof>,
    ) -> Result<OAuthTokens, GrantRefusal> {
        let settings = &by.client().settings;
        if !by.is_confidential() || !settings.grants.contains(&GrantType::ClientCredentials) {
            return Err(GrantRefusal::UnauthorizedClient);
        }
        let own = settings.scopes.difference(&Scopes::from_stored(OF_PEOPLE));
        let scopes = match scope {
            None => own,
            Some(text) => {
                let asked = Scopes::parse(text).map_err(|_| GrantRefusal::InvalidScope)?;
                if !asked.is_subset_of(&own) {
                    return Err(GrantRefusal::InvalidScope);
                }
                asked
            }
        };
        let resources = resources::among(texts, &settings.audiences);
        let resources = resources.ok_or(GrantRefusal::InvalidTarget)?;
        let resources: Vec<String> = resources.iter().map(ToString::to_string).collect();
        let key = self.key_of_tokens(by, proof, None)?;
        let now = self.parts.clock.now();
        let issuer = self.parts.tokens.issuer();
        let claims = ClientTokenClaims {
            token: self.parts.entropy.random_uuid(),
            client: by.id().clone(),
            secret: by.secret(),
            audience: OAuthClaims::audience_of(&resources, &scopes, issuer),
            scopes: scopes.clone(),
            key,
            issued_at: now,
            expires_at: now.plus(ACCESS_LIFETIME),
        };
        let access = self.parts.tokens.sign_client_token(&claims);
        Ok(OAuthTokens {
            access: access.map_err(Refusal::from)?,
            is_bound: claims.key.is_some(),
            expires_in: ACCESS_LIFETIME,
            refresh: None,
            id_token: None,
            scopes,
        })
    }
}
