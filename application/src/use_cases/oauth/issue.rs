//! The tokens of an application's session.

use std::time::Duration;

use authlog_domain::client::GrantType;
use authlog_domain::session::ClientGrant;
use authlog_domain::{
    Audience, Authentication, KeyThumbprint, Scopes, SessionId, Timestamp, UserId,
};

use super::{GrantRefusal, OAuthTokens};
use crate::access::AuthenticatedClient;
use crate::ports::{OAuthClaims, TokenClaims, TokenKind};
use crate::{Authlog, LONGEST_TOKEN, Refusal};

/// The lifetime of an access token. Resource servers verify it without asking, so it is short.
pub(super) const ACCESS_LIFETIME: Duration = Duration::from_secs(5 * 60);

/// The lifetime of a refresh token.
pub(super) const REFRESH_LIFETIME: Duration = LONGEST_TOKEN;

/// What the tokens of an application's session say.
pub(super) struct ApplicationSession<'a> {
    pub(super) id: SessionId,
    pub(super) user: UserId,
    /// The account's session epoch under which it started.
    pub(super) epoch: u32,
    pub(super) authentication: Authentication,
    pub(super) grant: &'a ClientGrant,
    /// The current generation of its refresh token.
    pub(super) generation: u32,
    pub(super) expires_at: Timestamp,
}

/// For what an access token is: some of what was granted to the application.
pub(super) struct AccessTerms<'a> {
    pub(super) scopes: &'a Scopes,
    pub(super) resources: &'a [Audience],
    /// Whether the token request names its resources. Then the token is for them alone (RFC 8707 §2.2).
    pub(super) names_resources: bool,
    /// The key to which it is bound, as [`Authlog::key_of_tokens`] says.
    pub(super) key: Option<&'a KeyThumbprint>,
}

impl Authlog {
    /// The access token, and the refresh token if the client is registered for it. The ID token is the caller's.
    pub(super) fn application_tokens(
        &self,
        by: &AuthenticatedClient,
        session: &ApplicationSession<'_>,
        access: &AccessTerms<'_>,
        now: Timestamp,
    ) -> Result<OAuthTokens, GrantRefusal> {
        let expires_at = now.plus(ACCESS_LIFETIME).min(session.expires_at);
        let resources: Vec<String> = access.resources.iter().map(ToString::to_string).collect();
        let issuer = self.parts.tokens.issuer();
        let audience = if access.names_resources {
            resources
        } else {
            OAuthClaims::audience_of(&resources, access.scopes, issuer)
        };
        let of_access = OAuthClaims {
            client: session.grant.client.clone(),
            scopes: access.scopes.clone(),
            audience,
            parent: session.grant.parent,
            key: access.key.cloned(),
        };
        let claims = TokenClaims {
            authentication: Some(session.authentication),
            ..self.claims_of(session, TokenKind::Access, of_access, now, expires_at)
        };
        let access_token = self.signed(&claims)?;
        let can_refresh = by
            .client()
            .settings
            .grants
            .contains(&GrantType::RefreshToken);
        let refresh = can_refresh.then(|| {
            let of_refresh = OAuthClaims {
                client: session.grant.client.clone(),
                scopes: session.grant.scopes.clone(),
                audience: vec![],
                parent: session.grant.parent,
                key: None,
            };
            let generation = session.generation;
            let kind = TokenKind::Refresh { generation };
            let expires_at = now.plus(REFRESH_LIFETIME).min(session.expires_at);
            self.signed(&self.claims_of(session, kind, of_refresh, now, expires_at))
        });
        Ok(OAuthTokens {
            access: access_token,
            is_bound: access.key.is_some(),
            expires_in: expires_at.since(now),
            refresh: refresh.transpose()?,
            id_token: None,
            scopes: access.scopes.clone(),
        })
    }

    fn claims_of(
        &self,
        session: &ApplicationSession<'_>,
        kind: TokenKind,
        oauth: OAuthClaims,
        issued_at: Timestamp,
        expires_at: Timestamp,
    ) -> TokenClaims {
        TokenClaims {
            kind,
            token: self.parts.entropy.random_uuid(),
            user: session.user,
            session: session.id,
            client: None,
            epoch: session.epoch,
            issued_at,
            expires_at,
            authentication: None,
            extra: serde_json::Map::new(),
            oauth: Some(oauth),
        }
    }

    fn signed(&self, claims: &TokenClaims) -> Result<String, GrantRefusal> {
        let signed = self.parts.tokens.sign(claims).map_err(Refusal::from)?;
        Ok(signed)
    }
}
