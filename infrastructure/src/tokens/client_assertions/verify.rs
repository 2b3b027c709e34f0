//! Verification of one assertion (RFC 7523 §3): a pure function of the assertion, the client's keys and the clock.

use std::time::Duration;

use authlog_application::ports::AssertionRefusal;
use authlog_domain::client::ClientJwks;
use authlog_domain::{CLOCK_DIFFERENCE, ClientId, Timestamp};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// The maximum length of an assertion, in bytes. With an RSA signature of 4096 bits they have about 1 KiB.
const MAX_LENGTH: usize = 8 * 1024;

/// The maximum length of an id, in characters. A UUID has 36.
const MAX_ID_LENGTH: usize = 256;

/// The longest lifetime of an assertion. The shorter it is, the less has to be remembered of used ones.
const LONGEST: Duration = Duration::from_secs(5 * 60);

/// The algorithms, by their registered names. There is no HMAC: a secret is presented as such.
const ALGORITHMS: [(&str, Algorithm); 3] = [
    ("RS256", Algorithm::RS256),
    ("ES256", Algorithm::ES256),
    ("EdDSA", Algorithm::EdDSA),
];

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

/// The three parts of an assertion, decoded, and the signed text.
struct Parts<'a> {
    header: Header,
    claims: Claims,
    message: &'a str,
    signature: &'a str,
}

/// The client that the assertion says it is from.
pub(super) fn named_client(assertion: &str) -> Option<ClientId> {
    ClientId::parse(&split(assertion)?.claims.sub).ok()
}

/// Verifies an assertion, except that it may have been used before.
pub(super) fn verify(
    assertion: &str,
    client: &ClientId,
    keys: &ClientJwks,
    audiences: &[String],
    now: Timestamp,
) -> Result<VerifiedAssertion, AssertionRefusal> {
    let parts = split(assertion).ok_or(AssertionRefusal::Malformed)?;
    // No extension is understood (RFC 7515 §4.1.11).
    if parts.header.crit.is_some() {
        return Err(AssertionRefusal::Malformed);
    }
    let algorithm = ALGORITHMS
        .into_iter()
        .find(|(name, _)| *name == parts.header.alg);
    let (_, algorithm) = algorithm.ok_or(AssertionRefusal::Algorithm)?;
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
    let id_length = claims.jti.chars().count();
    if !(1..=MAX_ID_LENGTH).contains(&id_length) {
        return Err(AssertionRefusal::Malformed);
    }
    let latest = now.plus(CLOCK_DIFFERENCE);
    let expires_at = instant(claims.exp).ok_or(AssertionRefusal::Time)?;
    let has_begun = |at: Option<f64>| match at {
        Some(at) => instant(at).is_some_and(|at| at <= latest),
        None => true,
    };
    if now < expires_at
        && expires_at <= latest.plus(LONGEST)
        && has_begun(claims.iat)
        && has_begun(claims.nbf)
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
fn is_signed_by(key: &Value, parts: &Parts<'_>, algorithm: Algorithm) -> Option<bool> {
    let key: Jwk = serde_json::from_value(key.clone()).ok()?;
    let key = DecodingKey::from_jwk(&key).ok()?;
    let message = parts.message.as_bytes();
    jsonwebtoken::crypto::verify(parts.signature, message, &key, algorithm).ok()
}

fn split(assertion: &str) -> Option<Parts<'_>> {
    if assertion.len() > MAX_LENGTH {
        return None;
    }
    let (message, signature) = assertion.rsplit_once('.')?;
    let (header, claims) = message.split_once('.')?;
    Some(Parts {
        header: read(header)?,
        claims: read(claims)?,
        message,
        signature,
    })
}

fn read<T: DeserializeOwned>(part: &str) -> Option<T> {
    let decoded = URL_SAFE_NO_PAD.decode(part).ok()?;
    // serde would accept an array for a struct.
    decoded.trim_ascii_start().starts_with(b"{").then_some(())?;
    serde_json::from_slice(&decoded).ok()
}

/// An instant in seconds since 1970-01-01T00:00:00Z; `None` if it is out of the range that the clock has.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the seconds are in the range of milliseconds in 64 bits"
)]
fn instant(seconds: f64) -> Option<Timestamp> {
    const LAST: f64 = 4_102_444_800.0; // 2100-01-01T00:00:00Z
    let is_in_range = (0.0..LAST).contains(&seconds);
    is_in_range.then(|| Timestamp::from_unix_millis((seconds * 1000.0) as i64))
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
