//! JSON Web Tokens (RFC 7519), by RFC 8725 and RFC 9068.

use std::time::Duration;

use authlog_application::ports::{TokenClaims, TokenError, TokenKind, Tokens, VerifiedToken};
use authlog_domain::{SessionId, Timestamp, UserId};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Header, Validation};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::SigningKey;

/// Longest token that is looked at, in bytes. Ours have less than 1 KiB; servers take headers of 8 KiB.
const MAX_LENGTH: usize = 8 * 1024;

/// How far a token's times of issue may lie in the future: what the clocks of two nodes may differ by. There is no such
/// leeway at its end.
const CLOCK_DIFFERENCE: Duration = Duration::from_secs(60);

/// The header's `typ` says what a token is for (RFC 8725 §3.11), so that none passes for one of another kind.
const ACCESS_TYPE: &str = "at+jwt";
const REFRESH_TYPE: &str = "rt+jwt";

/// Tokens that are signed with a [`SigningKey`].
pub struct JwtTokens {
    issuer: String,
    audience: String,
    current: SigningKey,
    others: Vec<SigningKey>,
}

/// The claims that a token must have. `iss` and `aud` are what they are in ours: one string each.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: UserId,
    sid: SessionId,
    iat: i64,
    exp: i64,
    nbf: Option<i64>,
    epoch: u32,
    generation: Option<u32>,
}

impl JwtTokens {
    /// Tokens of `issuer` for `audience`, signed with `current`.
    ///
    /// `others` verify too, and stand in the key set: those that signed until lately, whose tokens have not all
    /// expired, and those that will sign soon, so that clients know them in time. Without one of the former, the
    /// tokens that it signed are void.
    pub fn new(
        issuer: impl Into<String>,
        audience: impl Into<String>,
        current: SigningKey,
        others: Vec<SigningKey>,
    ) -> Self {
        Self {
            issuer: issuer.into(),
            audience: audience.into(),
            current,
            others,
        }
    }

    fn keys(&self) -> impl Iterator<Item = &SigningKey> {
        std::iter::once(&self.current).chain(&self.others)
    }

    /// The key that a token names, or the current one if it names none. The name only chooses among our own keys
    /// (RFC 8725 §3.10); the algorithm is the key's (§3.1).
    fn key_for(&self, header: &Header) -> Option<&SigningKey> {
        match header.kid.as_deref() {
            None => Some(&self.current),
            Some(kid) => self.keys().find(|key| key.kid() == kid),
        }
    }

    fn payload(&self, claims: &TokenClaims) -> Map<String, Value> {
        let mut payload = claims.extra.clone();
        // What a verifier of ours reads must be ours to say.
        payload.retain(|name, _| name != "nbf" && name != "generation");
        let own = [
            ("iss", json!(self.issuer)),
            ("sub", json!(claims.user)),
            ("aud", json!(self.audience)),
            ("iat", json!(claims.issued_at.unix_seconds())),
            // Rounded down, so that no token outlives what its answer said of it.
            ("exp", json!(claims.expires_at.unix_seconds())),
            ("jti", json!(claims.token)),
            ("sid", json!(claims.session)),
            ("epoch", json!(claims.epoch)),
        ];
        payload.extend(own.map(|(name, value)| (name.to_owned(), value)));
        if let TokenKind::Refresh { generation } = claims.kind {
            payload.insert("generation".to_owned(), json!(generation));
        }
        payload
    }

    fn are_ours_and_good(&self, claims: &Claims, now: Timestamp) -> bool {
        let latest = now.plus(CLOCK_DIFFERENCE).unix_seconds();
        claims.iss == self.issuer
            && claims.aud == self.audience
            && now.unix_seconds() < claims.exp
            && claims.iat <= latest
            && claims.nbf.is_none_or(|nbf| nbf <= latest)
    }
}

impl Tokens for JwtTokens {
    fn sign(&self, claims: &TokenClaims) -> Result<String, TokenError> {
        let mut header = Header::new(self.current.algorithm().registered());
        header.kid = Some(self.current.kid().to_owned());
        header.typ = Some(type_of(claims.kind).to_owned());
        // `jsonwebtoken::encode` would parse the key for every token, and takes no RSA key in PKCS#8.
        let message = format!(
            "{}.{}",
            encode_part(&header)?,
            encode_part(&self.payload(claims))?
        );
        let signature = self
            .current
            .sign(message.as_bytes())
            .map_err(|error| TokenError(error.into()))?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    fn verify(&self, token: &str, now: Timestamp) -> Option<VerifiedToken> {
        if token.len() > MAX_LENGTH {
            return None;
        }
        let header = jsonwebtoken::decode_header(token).ok()?;
        if !has_only_our_members(&header) {
            return None;
        }
        let key = self.key_for(&header)?;
        let claims = jsonwebtoken::decode::<Claims>(token, key.verifying(), &signature_alone(key))
            .ok()?
            .claims;
        if !self.are_ours_and_good(&claims, now) {
            return None;
        }
        let kind = match header.typ.as_deref()? {
            ACCESS_TYPE => TokenKind::Access,
            REFRESH_TYPE => TokenKind::Refresh {
                generation: claims.generation?,
            },
            _ => return None,
        };
        Some(VerifiedToken {
            kind,
            user: claims.sub,
            session: claims.sid,
            epoch: claims.epoch,
            expires_at: Timestamp::from_unix_millis(claims.exp.checked_mul(1000)?),
        })
    }

    fn key_set(&self) -> Value {
        let keys: Vec<&Value> = self.keys().filter_map(SigningKey::public_jwk).collect();
        json!({ "keys": keys })
    }
}

const fn type_of(kind: TokenKind) -> &'static str {
    match kind {
        TokenKind::Access => ACCESS_TYPE,
        TokenKind::Refresh { .. } => REFRESH_TYPE,
    }
}

fn encode_part(part: &impl Serialize) -> Result<String, TokenError> {
    let json = serde_json::to_vec(part).map_err(|error| TokenError(error.into()))?;
    Ok(URL_SAFE_NO_PAD.encode(json))
}

/// Whether a header has no member beside `alg`, `typ` and `kid`: no key or address of one (`jwk`, `jku`, `x5u`, …: RFC
/// 8725 §3.10) and nothing that we would have to understand (`crit`: RFC 7515 §4.1.11).
fn has_only_our_members(header: &Header) -> bool {
    let mut plain = Header::new(header.alg);
    plain.typ.clone_from(&header.typ);
    plain.kid.clone_from(&header.kid);
    *header == plain
}

/// Leaves the claims to us: `jsonwebtoken` reads the wall clock, and takes a claim that is missing for a good one.
fn signature_alone(key: &SigningKey) -> Validation {
    let mut validation = Validation::new(key.algorithm().registered());
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation
}

#[cfg(test)]
mod tests;
