//! Access and refresh tokens as JSON Web Tokens (RFC 7519), by the rules of RFC 8725 and RFC 9068.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use authlog_application::ports::{TokenClaims, TokenError, TokenKind, Tokens, VerifiedToken};
use authlog_application::{LONGEST_ACCESS_TOKEN, LONGEST_TOKEN};
use authlog_domain::{
    Authentication, AuthenticationLevel, AuthenticationMethods, CLOCK_DIFFERENCE, SessionId,
    Timestamp, UserId,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Validation;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::token_cache::TokenCache;
use super::{JwtAlgorithm, KeySet, Keys, SigningKey};

/// The maximum length of an accepted token, in bytes. Tokens of this program have about 1 KiB; HTTP servers accept headers of
/// 8 KiB.
const MAX_LENGTH: usize = 8 * 1024;

/// The maximum length of an accepted token header, encoded. Headers of this program have about 120 characters.
const MAX_HEADER_LENGTH: usize = 256;

/// The header's `typ` names the purpose of a token (RFC 8725 §3.11), so that no token passes for one of another kind.
const ACCESS_TYPE: &str = "at+jwt";
const REFRESH_TYPE: &str = "rt+jwt";

/// Tokens that are signed with the keys of the store.
pub struct JwtTokens {
    issuer: String,
    audience: String,
    keys: Keys,
    cache: TokenCache<Signed>,
}

/// The content of a token with a valid signature, issuer and audience.
#[derive(Clone)]
struct Signed {
    /// The name of the key that signed it.
    kid: Arc<str>,
    not_before: Option<Timestamp>,
    token: VerifiedToken,
}

/// The header of a token. Other members are refused: keys and addresses of keys (`jwk`, `jku`, `x5u`, …: RFC 8725 §3.10),
/// critical extensions (`crit`: RFC 7515 §4.1.11), and duplicate members (§4).
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    typ: String,
    alg: String,
    kid: String,
}

/// The required claims of a token. `iss` and `aud` are one string each, as this program writes them.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: UserId,
    sid: SessionId,
    jti: Uuid,
    iat: i64,
    exp: i64,
    nbf: Option<i64>,
    epoch: u32,
    generation: Option<u32>,
    amr: Option<AuthenticationMethods>,
    acr: Option<AuthenticationLevel>,
    auth_time: Option<i64>,
}

impl Claims {
    /// How the person was authenticated, if the token says it.
    fn authentication(&self) -> Option<Authentication> {
        Some(Authentication {
            amr: self.amr?,
            acr: self.acr?,
            auth_time: from_seconds(self.auth_time?)?,
            factor: None,
        })
    }
}

impl JwtTokens {
    /// Tokens of `issuer` for `audience`, signed and verified with `keys`.
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
        payload.retain(|name, _| {
            let reserved = ["nbf", "generation", "client_id", "amr", "acr", "auth_time"];
            !reserved.contains(&&**name)
        });
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
        payload
    }

    /// The content of `token`, if one of `keys` has signed it for this issuer and audience.
    fn verify_signature(&self, token: &str, keys: &KeySet, now: Timestamp) -> Option<Signed> {
        let header = header_of(token)?;
        // The `kid` only selects one of the known keys (RFC 8725 §3.10). The algorithm is that of the key (§3.1).
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
        if header.alg != signer.algorithm().as_str() {
            return None;
        }
        let validation = signature_alone(signer.algorithm());
        let claims = jsonwebtoken::decode::<Claims>(token, signer.verifying(), &validation);
        let claims = claims.ok()?.claims;
        if claims.iss != self.issuer || claims.aud != self.audience {
            return None;
        }
        let kind = if is_access {
            TokenKind::Access
        } else {
            TokenKind::Refresh {
                generation: claims.generation?,
            }
        };
        Some(Signed {
            kid: header.kid.into(),
            not_before: match claims.nbf {
                Some(seconds) => Some(from_seconds(seconds)?),
                None => None,
            },
            token: VerifiedToken {
                kind,
                token: claims.jti,
                user: claims.sub,
                session: claims.sid,
                epoch: claims.epoch,
                issued_at: from_seconds(claims.iat)?,
                expires_at: from_seconds(claims.exp)?,
                authentication: claims.authentication(),
            },
        })
    }
}

impl Signed {
    /// Whether the token is valid at this time: it has begun and has not expired. A token from a node whose clock was ahead has
    /// not begun, or would be valid for longer than ended sessions are remembered. No contract issues such a token.
    fn is_good_at(&self, now: Timestamp) -> bool {
        let latest = now.plus(CLOCK_DIFFERENCE);
        now < self.token.expires_at
            && self.token.expires_at <= latest.plus(longest(self.token.kind))
            && self.token.issued_at <= latest
            && self.not_before.is_none_or(|at| at <= latest)
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
        if claims.expires_at.since(claims.issued_at) > longest(claims.kind) {
            return Err(TokenError(Box::new(NotSigned::TooLongLived)));
        }
        let keys = self.keys.now();
        let key = keys
            .signing(claims.issued_at)
            .ok_or_else(|| TokenError(Box::new(NotSigned::NoKey)))?;
        let (typ, signer) = match claims.kind {
            TokenKind::Access => (ACCESS_TYPE, key.access()),
            TokenKind::Refresh { .. } => (REFRESH_TYPE, key.refresh()),
        };
        let header = Header {
            typ: typ.to_owned(),
            alg: signer.algorithm().as_str().to_owned(),
            kid: key.kid().to_owned(),
        };
        // `jsonwebtoken::encode` would parse the key for every token, and does not accept RSA keys in PKCS#8.
        let message = format!(
            "{}.{}",
            encode_part(&header)?,
            encode_part(&self.payload(claims))?
        );
        let signature = signer
            .sign(message.as_bytes())
            .map_err(|error| TokenError(error.into()))?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    fn verify(&self, token: &str, now: Timestamp) -> Option<VerifiedToken> {
        let keys = self.keys.now();
        if let Some(signed) = self.cache.get(token) {
            // The signature of a cached token stays valid, but its key may have been retired, and the token may have expired.
            keys.verifying(&signed.kid, now)?;
            return signed.is_good_at(now).then_some(signed.token);
        }
        let signed = self.verify_signature(token, &keys, now)?;
        if !signed.is_good_at(now) {
            return None;
        }
        let verified = signed.token;
        // A refresh token is not cached: it is used rarely, and its verification is cheap.
        if verified.kind == TokenKind::Access {
            self.cache.put(token, signed);
        }
        Some(verified)
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

/// Why a token is not signed.
#[derive(Debug, thiserror::Error)]
enum NotSigned {
    #[error("there is no key to sign with")]
    NoKey,
    #[error("it would outlive what is remembered of ended sessions and of signing keys")]
    TooLongLived,
}

/// Parses the header of a token.
fn header_of(token: &str) -> Option<Header> {
    if token.len() > MAX_LENGTH {
        return None;
    }
    let (header, _) = token.split_once('.')?;
    if header.len() > MAX_HEADER_LENGTH {
        return None;
    }
    let header = URL_SAFE_NO_PAD.decode(header).ok()?;
    // serde would accept an array for a struct.
    header.starts_with(b"{").then_some(())?;
    serde_json::from_slice(&header).ok()
}

fn from_seconds(seconds: i64) -> Option<Timestamp> {
    seconds.checked_mul(1000).map(Timestamp::from_unix_millis)
}

fn encode_part(part: &impl Serialize) -> Result<String, TokenError> {
    let json = serde_json::to_vec(part).map_err(|error| TokenError(error.into()))?;
    Ok(URL_SAFE_NO_PAD.encode(json))
}

/// Verification of the signature only. `jsonwebtoken` would read the wall clock, and accept missing claims.
fn signature_alone(algorithm: JwtAlgorithm) -> Validation {
    let mut validation = Validation::new(algorithm.registered());
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation
}

#[cfg(test)]
mod tests;
