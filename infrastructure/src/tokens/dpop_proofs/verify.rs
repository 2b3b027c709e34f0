//! Verification of one proof (RFC 9449 §4.3): a pure function of the proof, the request and the clock.

use std::time::Duration;

use authlog_application::ports::{ProofRefusal, ProvedRequest, VerifiedProof};
use authlog_domain::{CLOCK_DIFFERENCE, Timestamp};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value};
use url::Url;

use super::key::ProofKey;
use crate::tokens::client_jwt::{Parts, algorithm, has_begun, instant, is_id};

/// The type of a proof (RFC 9449 §4.2).
const TYPE: &str = "dpop+jwt";

/// The maximum length of a proof, in bytes. With an RSA key of 4096 bits they have about 2 KiB.
const MAX_LENGTH: usize = 4 * 1024;

/// How old a proof may be, in addition to the difference of the clocks. A client makes one for each request.
const MAX_AGE: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
struct Header {
    typ: String,
    alg: String,
    jwk: Map<String, Value>,
    crit: Option<Value>,
}

#[derive(Deserialize)]
struct Claims {
    jti: String,
    htm: String,
    htu: String,
    /// A number, which may have a fraction (RFC 7519 §2).
    iat: f64,
    ath: Option<String>,
    exp: Option<f64>,
    nbf: Option<f64>,
}

/// Verifies a proof, except that it may have been used before. The signature is verified last, because it costs most.
pub(super) fn verify(
    proof: &str,
    request: ProvedRequest<'_>,
    now: Timestamp,
) -> Result<VerifiedProof, ProofRefusal> {
    let parts: Parts<'_, Header, Claims> =
        Parts::split(proof, MAX_LENGTH).ok_or(ProofRefusal::Malformed)?;
    let Header {
        typ,
        alg,
        jwk,
        crit,
    } = &parts.header;
    if typ != TYPE {
        return Err(ProofRefusal::Type);
    }
    // No extension is understood (RFC 7515 §4.1.11).
    if crit.is_some() {
        return Err(ProofRefusal::Malformed);
    }
    let algorithm = algorithm(alg).ok_or(ProofRefusal::Algorithm)?;
    let expires_at = check(&parts.claims, request, now)?;
    let key = ProofKey::of(jwk, algorithm).ok_or(ProofRefusal::Key)?;
    if !parts.is_signed_by(&key.key, algorithm) {
        return Err(ProofRefusal::Signature);
    }
    Ok(VerifiedProof {
        key: key.thumbprint,
        id: parts.claims.jti,
        expires_at,
    })
}

/// From when on the proof is refused.
fn check(
    claims: &Claims,
    request: ProvedRequest<'_>,
    now: Timestamp,
) -> Result<Timestamp, ProofRefusal> {
    if !is_id(&claims.jti) {
        return Err(ProofRefusal::Malformed);
    }
    if claims.htm != request.method {
        return Err(ProofRefusal::Method);
    }
    if !is_at(&claims.htu, request.url) {
        return Err(ProofRefusal::Url);
    }
    let ath = request.access_token.map(digest_of);
    if ath.is_some() && claims.ath != ath {
        return Err(ProofRefusal::AccessToken);
    }
    let made_at = instant(claims.iat).ok_or(ProofRefusal::Time)?;
    // The clock of the client may be behind.
    let expires_at = made_at.plus(MAX_AGE).plus(CLOCK_DIFFERENCE);
    let has_ended = |at| instant(at).is_none_or(|at| at <= now);
    if now < expires_at
        && has_begun(Some(claims.iat), now)
        && has_begun(claims.nbf, now)
        && !claims.exp.is_some_and(has_ended)
    {
        Ok(expires_at)
    } else {
        Err(ProofRefusal::Time)
    }
}

/// Whether two URLs are the same without query and fragment. Both are normalised as RFC 9449 §4.3 demands: the letter case of the
/// scheme and the host, the default port, and dots in the path.
fn is_at(htu: &str, url: &str) -> bool {
    let normalised = |text: &str| {
        let mut url = Url::parse(text).ok()?;
        url.set_query(None);
        url.set_fragment(None);
        Some(url)
    };
    normalised(htu).is_some_and(|htu| normalised(url) == Some(htu))
}

/// `ath` of an access token (RFC 9449 §4.2).
fn digest_of(access_token: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, access_token.as_bytes()))
}

#[cfg(test)]
mod tests;
