//! What the tokens of OAuth say (RFC 9068), beyond those of the contracts.

use std::sync::Arc;

use authlog_domain::{
    ClientId, ClientSecretId, KeyThumbprint, Scopes, SessionId, Timestamp, UserId,
};
use uuid::Uuid;

use super::{TokenError, VerifiedToken};

/// The claims by which a token of an OAuth session differs from one of a contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuthClaims {
    /// The client for which it was issued (`client_id`).
    pub client: ClientId,
    /// What the client may do with it (`scope`).
    pub scopes: Scopes,
    /// The resource servers that may accept it (`aud`): see [`Self::audience_of`]. Those of a refresh token are ignored, because
    /// only the issuer accepts it.
    pub audience: Vec<String>,
    /// The browser session with which this session ends (`psid`).
    pub parent: Option<SessionId>,
    /// The key to which an access token is bound (`cnf`, RFC 9449 §6.1). `None` for a bearer token, and for a refresh token, whose
    /// session says it.
    pub key: Option<KeyThumbprint>,
}

impl OAuthClaims {
    /// The audience of an access token: the `resources` that the client asked for (RFC 8707), and the issuer if the token is for
    /// its userinfo endpoint, or if there is no resource (RFC 9068 §3).
    pub fn audience_of(resources: &[String], scopes: &Scopes, issuer: &str) -> Vec<String> {
        let mut audience = resources.to_vec();
        if resources.is_empty() || scopes.contains("openid") {
            audience.push(issuer.to_owned());
        }
        audience
    }
}

/// The claims of an access token that a client got for itself, by the grant `client_credentials` (RFC 6749 §4.4). There is no
/// account and no session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientTokenClaims {
    /// The id of the token (`jti`).
    pub token: Uuid,
    /// The client (`client_id`, and `sub` by RFC 9068 §2.2).
    pub client: ClientId,
    /// The secret with which the client authenticated. The token is valid only while the client has this secret. `None` if it
    /// authenticated otherwise.
    pub secret: Option<ClientSecretId>,
    /// What the client may do with it (`scope`).
    pub scopes: Scopes,
    /// The resource servers that may accept it (`aud`), or the issuer alone.
    pub audience: Vec<String>,
    /// The key to which it is bound; `None` for a bearer token.
    pub key: Option<KeyThumbprint>,
    /// When it is issued (`iat`).
    pub issued_at: Timestamp,
    /// When it expires (`exp`).
    pub expires_at: Timestamp,
}

impl ClientTokenClaims {
    /// Whether this audience may accept the token.
    pub fn is_for(&self, audience: &str) -> bool {
        self.audience.iter().any(|it| it == audience)
    }
}

/// The claims of a token of OAuth whose signature, issuer, kind and times have been checked. Its audience has not been: the
/// caller has to know for which one it accepts the token. Whether the session or the client still exists is for the caller,
/// too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerifiedOAuthToken {
    /// An access or refresh token of a person's session.
    Session {
        /// What the tokens of contracts say as well.
        token: VerifiedToken,
        /// What only the tokens of OAuth say.
        oauth: Arc<OAuthClaims>,
    },
    /// An access token of the client itself.
    Client(Arc<ClientTokenClaims>),
}

impl VerifiedOAuthToken {
    /// The client for which the token was issued.
    pub fn client(&self) -> &ClientId {
        match self {
            Self::Session { oauth, .. } => &oauth.client,
            Self::Client(claims) => &claims.client,
        }
    }

    /// What the client may do with the token.
    pub fn scopes(&self) -> &Scopes {
        match self {
            Self::Session { oauth, .. } => &oauth.scopes,
            Self::Client(claims) => &claims.scopes,
        }
    }

    /// Whether this audience may accept the token.
    pub fn is_for(&self, audience: &str) -> bool {
        match self {
            Self::Session { oauth, .. } => oauth.audience.iter().any(|it| it == audience),
            Self::Client(claims) => claims.is_for(audience),
        }
    }
}

/// The claims of a logout token (OpenID Connect Back-Channel Logout 1.0 §2.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogoutClaims {
    /// The id of the token (`jti`).
    pub token: Uuid,
    /// The client (`aud`).
    pub client: ClientId,
    /// The account (`sub`).
    pub user: UserId,
    /// The session of the client that has ended (`sid`).
    pub session: SessionId,
}

/// Why an ID token or a logout token could not be signed.
#[derive(Debug, thiserror::Error)]
pub enum IdTokenError {
    /// There is no key yet: a new database has none for the first seconds. A retry after a second makes sense.
    #[error("the key of ID tokens has not been made yet")]
    NoKey,
    /// The claims or the key cannot be used.
    #[error(transparent)]
    NotSigned(#[from] TokenError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_for_its_resources_and_for_the_issuer_if_it_serves_there() {
        let resources = ["https://api.example".to_owned()];
        let [openid, read] = ["openid read", "read"].map(|text| Scopes::parse(text).unwrap());
        let audience = |resources: &[String], scopes| {
            OAuthClaims::audience_of(resources, scopes, "https://issuer.example")
        };
        assert_eq!(audience(&resources, &read), resources);
        let both = ["https://api.example", "https://issuer.example"];
        assert_eq!(audience(&resources, &openid), both);
        for scopes in [&openid, &read] {
            assert_eq!(audience(&[], scopes), ["https://issuer.example"]);
        }
    }
}
