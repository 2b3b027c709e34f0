//! Tokens as JSON Web Tokens (RFC 7519), by the rules of RFC 8725 and RFC 9068.
//!
//! | file | contents |
//! |---|---|
//! | `format` | the compact form of a token: header, encoding and signature |
//! | `contract_token` | the claims of the tokens of contracts |
//! | `oauth_token` | the claims of the tokens of OAuth |
//! | `id_token` | ID tokens, and logout tokens, which are signed with the same keys |

mod contract_token;
mod format;
mod id_token;
mod oauth_token;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use authlog_application::ports::{
    ClientTokenClaims, IdTokenError, LogoutClaims, TokenClaims, TokenError, TokenKind, Tokens,
    VerifiedOAuthToken, VerifiedToken,
};
use authlog_application::{LONGEST_ACCESS_TOKEN, LONGEST_TOKEN};
use authlog_domain::client::IdTokenAlg;
use authlog_domain::{Authentication, CLOCK_DIFFERENCE, Timestamp};
use serde_json::{Map, Value, json};

use self::format::{
    ACCESS_TYPE, NotSigned, REFRESH_TYPE, check_lifetime, header_of, payload_of, sign,
};
use super::token_cache::TokenCache;
use super::{KeySet, Keys, SigningKey};

/// Claims that only this module writes. A contract cannot add them.
const RESERVED: [&str; 10] = [
    "nbf",
    "generation",
    "client_id",
    "amr",
    "acr",
    "auth_time",
    "scope",
    "psid",
    "cnf",
    "secret_id",
];

/// Tokens that are signed with the keys of the store.
pub struct JwtTokens {
    issuer: String,
    audience: String,
    keys: Keys,
    /// Tokens of both kinds, so that a token of one kind is refused as quickly as one of the other is accepted.
    cache: TokenCache<Signed>,
}

/// The content of a token with a valid signature and issuer.
#[derive(Clone)]
struct Signed {
    /// The name of the key that signed it.
    kid: Arc<str>,
    not_before: Timestamp,
    content: Content,
}

/// A copy allocates nothing.
#[derive(Clone)]
enum Content {
    Contract(VerifiedToken),
    OAuth(VerifiedOAuthToken),
}

impl JwtTokens {
    /// Tokens of `issuer`, those of contracts for `audience`, signed and verified with `keys`.
    pub fn new(issuer: impl Into<String>, audience: impl Into<String>, keys: Keys) -> Self {
        Self {
            issuer: issuer.into(),
            audience: audience.into(),
            keys,
            cache: TokenCache::default(),
        }
    }

    fn payload(&self, claims: &TokenClaims) -> Map<String, Value> {
        let mut payload = claims.extra.clone();
        // A contract cannot override the registered claims.
        payload.retain(|name, _| !RESERVED.contains(&&**name));
        let own = [
            ("iss", json!(self.issuer)),
            ("sub", json!(claims.user)),
            ("aud", json!(self.audience)),
            ("iat", json!(claims.issued_at.unix_seconds())),
            // Rounded down, so that no token lives longer than the response says.
            ("exp", json!(claims.expires_at.unix_seconds())),
            ("jti", json!(claims.token)),
            ("sid", json!(claims.session)),
            ("epoch", json!(claims.epoch)),
        ];
        payload.extend(own.map(|(name, value)| (name.to_owned(), value)));
        if let TokenKind::Refresh { generation } = claims.kind {
            payload.insert("generation".to_owned(), json!(generation));
        }
        if let Some(client) = claims.client {
            payload.insert("client_id".to_owned(), json!(client.as_str()));
        }
        if let Some(Authentication {
            amr,
            acr,
            auth_time,
            ..
        }) = claims.authentication
        {
            payload.insert("amr".to_owned(), json!(amr));
            payload.insert("acr".to_owned(), json!(acr));
            payload.insert("auth_time".to_owned(), json!(auth_time.unix_seconds()));
        }
        if let Some(oauth) = &claims.oauth {
            oauth_token::write_claims(&mut payload, claims.kind, oauth, &self.issuer);
        }
        payload
    }

    /// The content of `token`, if it is valid at `now`.
    fn verified(&self, token: &str, now: Timestamp) -> Option<Content> {
        let keys = self.keys.now();
        if let Some(signed) = self.cache.get(token) {
            // The signature of a cached token stays valid, but its key may have been retired, and the token may have expired.
            keys.verifying(&signed.kid, now)?;
            return signed.is_good_at(now).then_some(signed.content);
        }
        let signed = self.verify_signature(token, &keys, now)?;
        if !signed.is_good_at(now) {
            return None;
        }
        let content = signed.content.clone();
        // A refresh token is not cached: it is used rarely, and its verification is cheap.
        if signed.facts().kind == TokenKind::Access {
            self.cache.put(token, signed);
        }
        Some(content)
    }

    /// The content of `token`, if one of `keys` has signed it for this issuer, and this audience if it is one of a contract.
    fn verify_signature(&self, token: &str, keys: &KeySet, now: Timestamp) -> Option<Signed> {
        let header = header_of(token)?;
        // The `kid` only selects one of the known keys (RFC 8725 §3.10).
        let key = keys.verifying(&header.kid, now)?;
        let is_access = match header.typ.as_str() {
            ACCESS_TYPE => true,
            REFRESH_TYPE => false,
            _ => return None,
        };
        let signer = if is_access {
            key.access()
        } else {
            key.refresh()
        };
        let payload = payload_of(token, &header, signer)?;
        let (not_before, content) = self.content(&payload, is_access)?;
        Some(Signed {
            kid: header.kid.into(),
            not_before,
            content,
        })
    }

    /// When a token with this payload begins to be valid, and its content.
    fn content(&self, payload: &[u8], is_access: bool) -> Option<(Timestamp, Content)> {
        if has_list_of_audiences(payload) {
            let claims: oauth_token::Claims = serde_json::from_slice(payload).ok()?;
            let (begin, token) = claims.check(is_access, &self.issuer)?;
            return Some((begin, Content::OAuth(token)));
        }
        let claims: contract_token::Claims = serde_json::from_slice(payload).ok()?;
        let (begin, token) = claims.check(is_access, &self.issuer, &self.audience)?;
        Some((begin, Content::Contract(token)))
    }
}

/// Whether `aud` is a list, as in a token of OAuth. Tokens are written without white space, and a quotation mark in a text is escaped,
/// so these bytes are nothing else. So only one of the two forms is parsed, which takes most of the time of a verification.
fn has_list_of_audiences(payload: &[u8]) -> bool {
    let member = br#""aud":["#;
    payload.windows(member.len()).any(|bytes| bytes == member)
}

/// What the validity of a token depends on.
struct Facts {
    kind: TokenKind,
    issued_at: Timestamp,
    expires_at: Timestamp,
}

impl Signed {
    fn facts(&self) -> Facts {
        match &self.content {
            Content::Contract(token)
            | Content::OAuth(VerifiedOAuthToken::Session { token, .. }) => Facts {
                kind: token.kind,
                issued_at: token.issued_at,
                expires_at: token.expires_at,
            },
            Content::OAuth(VerifiedOAuthToken::Client(claims)) => Facts {
                kind: TokenKind::Access,
                issued_at: claims.issued_at,
                expires_at: claims.expires_at,
            },
        }
    }

    /// Whether the token is valid at this time: it has begun and has not expired. A token from a node whose clock was ahead has
    /// not begun, or would be valid for longer than ended sessions are remembered. Nothing issues such a token.
    fn is_good_at(&self, now: Timestamp) -> bool {
        let latest = now.plus(CLOCK_DIFFERENCE);
        let facts = self.facts();
        now < facts.expires_at
            && facts.expires_at <= latest.plus(longest(facts.kind))
            && facts.issued_at <= latest
            && self.not_before <= latest
    }
}

/// The maximum lifetime of a token of this kind.
const fn longest(kind: TokenKind) -> Duration {
    match kind {
        TokenKind::Access => LONGEST_ACCESS_TOKEN,
        TokenKind::Refresh { .. } => LONGEST_TOKEN,
    }
}

#[async_trait]
impl Tokens for JwtTokens {
    fn sign(&self, claims: &TokenClaims) -> Result<String, TokenError> {
        check_lifetime(claims.issued_at, claims.expires_at, longest(claims.kind))?;
        let keys = self.keys.now();
        let key = keys.signing(claims.issued_at).ok_or(NotSigned::NoKey)?;
        let (typ, signer) = match claims.kind {
            TokenKind::Access => (ACCESS_TYPE, key.access()),
            TokenKind::Refresh { .. } => (REFRESH_TYPE, key.refresh()),
        };
        sign(typ, key, signer, &self.payload(claims))
    }

    fn verify(&self, token: &str, now: Timestamp) -> Option<VerifiedToken> {
        match self.verified(token, now)? {
            Content::Contract(token) => Some(token),
            Content::OAuth(_) => None,
        }
    }

    fn verify_oauth(&self, token: &str, now: Timestamp) -> Option<VerifiedOAuthToken> {
        match self.verified(token, now)? {
            Content::OAuth(token) => Some(token),
            Content::Contract(_) => None,
        }
    }

    fn sign_client_token(&self, claims: &ClientTokenClaims) -> Result<String, TokenError> {
        check_lifetime(claims.issued_at, claims.expires_at, LONGEST_ACCESS_TOKEN)?;
        let keys = self.keys.now();
        let key = keys.signing(claims.issued_at).ok_or(NotSigned::NoKey)?;
        let payload = oauth_token::client_payload(claims, &self.issuer);
        sign(ACCESS_TYPE, key, key.access(), &payload)
    }

    fn sign_id_token(
        &self,
        claims: &Map<String, Value>,
        algorithm: IdTokenAlg,
        now: Timestamp,
    ) -> Result<String, IdTokenError> {
        id_token::sign_id_token(&self.keys.now(), &self.issuer, claims, algorithm, now)
    }

    fn sign_logout_token(
        &self,
        claims: &LogoutClaims,
        algorithm: IdTokenAlg,
        now: Timestamp,
    ) -> Result<String, IdTokenError> {
        id_token::sign_logout_token(&self.keys.now(), &self.issuer, claims, algorithm, now)
    }

    fn verify_id_token_hint(&self, token: &str) -> Option<Map<String, Value>> {
        id_token::verify_hint(&self.keys.now(), &self.issuer, token)
    }

    fn id_token_algorithms(&self, now: Timestamp) -> Vec<&'static str> {
        id_token::algorithms(&self.keys.now(), now)
    }

    async fn learn_key(&self, token: &str) -> bool {
        let Some(header) = header_of(token) else {
            return false;
        };
        if !SigningKey::may_be_called(&header.kid) || self.keys.now().knows(&header.kid) {
            return false;
        }
        self.keys.read_again().await;
        self.keys.now().knows(&header.kid)
    }

    fn key_set(&self, now: Timestamp) -> Value {
        self.keys.now().public(now)
    }

    fn issuer(&self) -> &str {
        &self.issuer
    }

    fn audience(&self) -> &str {
        &self.audience
    }
}

#[cfg(test)]
mod tests;
