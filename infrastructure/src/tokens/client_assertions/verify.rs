//! Verification of one assertion (RFC 7523 §3): a pure function of the assertion, the client's keys and the clock.

use std::time::Duration;

use authlog_application::ports::AssertionRefusal;
use authlog_domain::client::ClientJwks;
use authlog_domain::{CLOCK_DIFFERENCE, ClientId, Timestamp};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::tokens::client_jwt::{Parts, algorithm, has_begun, instant, is_id};

/// The maximum length of an assertion, in bytes. With an RSA signature of 4096 bits they have about 1 KiB.
const MAX_LENGTH: usize = 8 * 1024;

/// The longest lifetime of an assertion. The shorter it is, the less has to be remembered of used ones.
const LONGEST: Duration = Duration::from_secs(5 * 60);

/// What is remembered of a valid assertion.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct VerifiedAssertion {
    pub(super) id: String,
    pub(super) expires_at: Timestamp,
}

/// The header. Keys in it (`jwk`, `jku`, `x5u`) are ignored: only the registered ones count (RFC 8725 §3.10).
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    #[serde(deserialize_with = "one_or_more")]
    aud: Vec<String>,
    jti: String,
    /// A number, which may have a fraction (RFC 7519 §2).
    exp: f64,
    iat: Option<f64>,
    nbf: Option<f64>,
}

/// The parts of an assertion.
type Assertion<'a> = Parts<'a, Header, Claims>;

/// The client that the assertion says it is from.
pub(super) fn named_client(assertion: &str) -> Option<ClientId> {
    ClientId::parse(&parts(assertion)?.claims.sub).ok()
}

/// Verifies an assertion, except that it may have been used before.
pub(super) fn verify(
    assertion: &str,
    client: &ClientId,
    keys: &ClientJwks,
    audiences: &[String],
    now: Timestamp,
) -> Result<VerifiedAssertion, AssertionRefusal> {
    let parts = parts(assertion).ok_or(AssertionRefusal::Malformed)?;
    // No extension is understood (RFC 7515 §4.1.11).
    if parts.header.crit.is_some() {
        return Err(AssertionRefusal::Malformed);
    }
    let algorithm = algorithm(&parts.header.alg).ok_or(AssertionRefusal::Algorithm)?;
    let has_signed = |key: &Value| {
        may_sign(key, &parts.header) && is_signed_by(key, &parts, algorithm).unwrap_or(false)
    };
    if !keys.keys().any(has_signed) {
        return Err(AssertionRefusal::Signature);
    }
    check(parts.claims, client, audiences, now)
}

fn check(
    claims: Claims,
    client: &ClientId,
    audiences: &[String],
    now: Timestamp,
) -> Result<VerifiedAssertion, AssertionRefusal> {
    if claims.iss != client.as_str() || claims.sub != client.as_str() {
        return Err(AssertionRefusal::Client);
    }
    if !claims.aud.iter().any(|it| audiences.contains(it)) {
        return Err(AssertionRefusal::Audience);
    }
    if !is_id(&claims.jti) {
        return Err(AssertionRefusal::Malformed);
    }
    let latest = now.plus(CLOCK_DIFFERENCE);
    let expires_at = instant(claims.exp).ok_or(AssertionRefusal::Time)?;
    if now < expires_at
        && expires_at <= latest.plus(LONGEST)
        && has_begun(claims.iat, now)
        && has_begun(claims.nbf, now)
    {
        Ok(VerifiedAssertion {
            id: claims.jti,
            expires_at,
        })
    } else {
        Err(AssertionRefusal::Time)
    }
}

/// Whether the registration of the key allows this signature.
fn may_sign(key: &Value, header: &Header) -> bool {
    let is_absent_or = |name: &str, wanted: &str| key.get(name).is_none_or(|it| it == wanted);
    let is_named = match &header.kid {
        Some(kid) => is_absent_or("kid", kid),
        None => true,
    };
    is_named && is_absent_or("alg", &header.alg) && is_absent_or("use", "sig")
}

/// `None` if the key cannot be read, or has another type than the algorithm.
fn is_signed_by(key: &Value, parts: &Assertion<'_>, algorithm: Algorithm) -> Option<bool> {
    let key: Jwk = serde_json::from_value(key.clone()).ok()?;
    let key = DecodingKey::from_jwk(&key).ok()?;
    Some(parts.is_signed_by(&key, algorithm))
}

fn parts(assertion: &str) -> Option<Assertion<'_>> {
    Parts::split(assertion, MAX_LENGTH)
}

/// `aud` is a text, or a list of texts (RFC 7519 §4.1.3).
fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Audience {
        One(String),
        More(Vec<String>),
    }
    Ok(match Audience::deserialize(deserializer)? {
        Audience::One(one) => vec![one],
        Audience::More(more) => more,
    })
}

#[cfg(test)]
mod tests;
