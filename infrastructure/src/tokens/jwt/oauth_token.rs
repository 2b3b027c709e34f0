//! The claims of the tokens of OAuth (RFC 9068).

use std::sync::Arc;

use authlog_application::ports::{
    ClientTokenClaims, OAuthClaims, TokenKind, VerifiedOAuthToken, VerifiedToken,
};
use authlog_domain::{
    AuthenticationLevel, AuthenticationMethods, ClientId, ClientSecretId, KeyThumbprint, Scopes,
    SessionId, Timestamp, UserId,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::contract_token::{authentication, begin, kind};
use super::format::from_seconds;

/// The claims of a token of OAuth. `aud` is always a list, so no contract accepts it. `sid` and `epoch` are those of a person's
/// session. A token without them is the client's own, and its subject is the client.
#[derive(Deserialize)]
pub(super) struct Claims {
    iss: String,
    aud: Vec<String>,
    sub: String,
    client_id: ClientId,
    #[serde(default)]
    scope: Scopes,
    jti: Uuid,
    iat: i64,
    exp: i64,
    nbf: Option<i64>,
    sid: Option<SessionId>,
    epoch: Option<u32>,
    psid: Option<SessionId>,
    generation: Option<u32>,
    amr: Option<AuthenticationMethods>,
    acr: Option<AuthenticationLevel>,
    auth_time: Option<i64>,
    secret_id: Option<ClientSecretId>,
    cnf: Option<Confirmation>,
}

/// The key to which a token is bound (RFC 9449 §6.1). A token that is bound in another way is none of this service.
#[derive(Deserialize)]
struct Confirmation {
    jkt: KeyThumbprint,
}

impl Claims {
    /// When the token begins to be valid, and its content, if it is of this issuer.
    pub(super) fn check(
        self,
        is_access: bool,
        issuer: &str,
    ) -> Option<(Timestamp, VerifiedOAuthToken)> {
        if self.iss != issuer {
            return None;
        }
        let begin = begin(self.nbf)?;
        let content = match (self.sid, self.epoch) {
            (Some(session), Some(epoch)) => self.of_session(is_access, session, epoch)?,
            (None, None) if is_access => self.of_client()?,
            _ => return None,
        };
        Some((begin, content))
    }

    fn of_session(
        self,
        is_access: bool,
        session: SessionId,
        epoch: u32,
    ) -> Option<VerifiedOAuthToken> {
        Some(VerifiedOAuthToken::Session {
            token: VerifiedToken {
                kind: kind(is_access, self.generation)?,
                token: self.jti,
                user: UserId::parse(&self.sub)?,
                session,
                epoch,
                issued_at: from_seconds(self.iat)?,
                expires_at: from_seconds(self.exp)?,
                authentication: authentication(self.amr, self.acr, self.auth_time),
            },
            oauth: Arc::new(OAuthClaims {
                client: self.client_id,
                scopes: self.scope,
                audience: self.aud,
                parent: self.psid,
                key: self.cnf.map(|cnf| cnf.jkt),
            }),
        })
    }

    fn of_client(self) -> Option<VerifiedOAuthToken> {
        if self.sub != self.client_id.as_str() {
            return None;
        }
        Some(VerifiedOAuthToken::Client(Arc::new(ClientTokenClaims {
            token: self.jti,
            client: self.client_id,
            secret: self.secret_id,
            scopes: self.scope,
            audience: self.aud,
            key: self.cnf.map(|cnf| cnf.jkt),
            issued_at: from_seconds(self.iat)?,
            expires_at: from_seconds(self.exp)?,
        })))
    }
}

/// Replaces the claims of a contract in `payload` by those of OAuth. Only the issuer accepts a refresh token (RFC 6749 §1.5).
pub(super) fn write_claims(
    payload: &mut Map<String, Value>,
    kind: TokenKind,
    claims: &OAuthClaims,
    issuer: &str,
) {
    let audience = match kind {
        TokenKind::Access => json!(claims.audience),
        TokenKind::Refresh { .. } => json!([issuer]),
    };
    payload.insert("aud".to_owned(), audience);
    payload.insert("client_id".to_owned(), json!(claims.client));
    write_scope(payload, &claims.scopes);
    if let Some(parent) = claims.parent {
        payload.insert("psid".to_owned(), json!(parent));
    }
    write_key(payload, claims.key.as_ref());
}

/// The payload of an access token of the client itself.
pub(super) fn client_payload(claims: &ClientTokenClaims, issuer: &str) -> Map<String, Value> {
    let own = [
        ("iss", json!(issuer)),
        ("sub", json!(claims.client)),
        ("client_id", json!(claims.client)),
        ("aud", json!(claims.audience)),
        ("iat", json!(claims.issued_at.unix_seconds())),
        ("exp", json!(claims.expires_at.unix_seconds())),
        ("jti", json!(claims.token)),
    ];
    let mut payload = Map::from_iter(own.map(|(name, value)| (name.to_owned(), value)));
    write_scope(&mut payload, &claims.scopes);
    if let Some(secret) = claims.secret {
        payload.insert("secret_id".to_owned(), json!(secret));
    }
    write_key(&mut payload, claims.key.as_ref());
    payload
}

fn write_key(payload: &mut Map<String, Value>, key: Option<&KeyThumbprint>) {
    if let Some(key) = key {
        payload.insert("cnf".to_owned(), json!({ "jkt": key }));
    }
}

/// A scope has at least one character (RFC 6749 §3.3), so there is no claim for none.
fn write_scope(payload: &mut Map<String, Value>, scopes: &Scopes) {
    if !scopes.is_empty() {
        payload.insert("scope".to_owned(), json!(scopes));
    }
}
