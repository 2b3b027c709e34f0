//! The compact form of a token (RFC 7515 §3.1): its header, its encoding and its signature.

use std::time::Duration;

use authlog_application::ports::TokenError;
use authlog_domain::Timestamp;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::tokens::SigningKey;
use crate::tokens::signing_key::Signer;

/// The maximum length of an accepted token, in bytes. Tokens of this program have about 1 KiB; HTTP servers accept headers of
/// 8 KiB.
pub(super) const MAX_LENGTH: usize = 8 * 1024;

/// The maximum length of an accepted token header, encoded. Headers of this program have about 120 characters.
const MAX_HEADER_LENGTH: usize = 256;

/// The header's `typ` names the purpose of a token (RFC 8725 §3.11), so that no token passes for one of another kind.
pub(super) const ACCESS_TYPE: &str = "at+jwt";
pub(super) const REFRESH_TYPE: &str = "rt+jwt";
/// OpenID Connect Core §2 names no type for ID tokens. This is the one that all providers use.
pub(super) const ID_TYPE: &str = "JWT";
/// OpenID Connect Back-Channel Logout 1.0 §2.4.
pub(super) const LOGOUT_TYPE: &str = "logout+jwt";

/// The header of a token. Other members are refused: keys and addresses of keys (`jwk`, `jku`, `x5u`, …: RFC 8725 §3.10),
/// critical extensions (`crit`: RFC 7515 §4.1.11), and duplicate members (§4).
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    pub(super) typ: String,
    pub(super) alg: String,
    pub(super) kid: String,
}

/// Why a token is not signed.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotSigned {
    #[error("there is no key to sign with")]
    NoKey,
    #[error("it would outlive what is remembered of ended sessions and of signing keys")]
    TooLongLived,
}

impl From<NotSigned> for TokenError {
    fn from(error: NotSigned) -> Self {
        Self(Box::new(error))
    }
}

/// The token of this type with this payload, signed by `signer`, which belongs to `key`.
pub(super) fn sign(
    typ: &str,
    key: &SigningKey,
    signer: &Signer,
    payload: &impl Serialize,
) -> Result<String, TokenError> {
    let header = Header {
        typ: typ.to_owned(),
        alg: signer.algorithm().as_str().to_owned(),
        kid: key.kid().to_owned(),
    };
    // `jsonwebtoken::encode` would parse the key for every token, and does not accept RSA keys in PKCS#8.
    let message = format!("{}.{}", encode_part(&header)?, encode_part(payload)?);
    let signature = signer
        .sign(message.as_bytes())
        .map_err(|error| TokenError(error.into()))?;
    Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// Parses the header of a token.
pub(super) fn header_of(token: &str) -> Option<Header> {
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

/// The payload of `token`, in JSON, if `signer` has signed it. `header` is its header, whose algorithm has to be that of the key
/// (RFC 8725 §3.1).
pub(super) fn payload_of(token: &str, header: &Header, signer: &Signer) -> Option<Vec<u8>> {
    if header.alg != signer.algorithm().as_str() {
        return None;
    }
    let (message, signature) = token.rsplit_once('.')?;
    let is_signed = jsonwebtoken::crypto::verify(
        signature,
        message.as_bytes(),
        signer.verifying(),
        signer.algorithm().registered(),
    );
    if !is_signed.ok()? {
        return None;
    }
    let (_, payload) = message.split_once('.')?;
    URL_SAFE_NO_PAD.decode(payload).ok()
}

pub(super) fn from_seconds(seconds: i64) -> Option<Timestamp> {
    seconds.checked_mul(1000).map(Timestamp::from_unix_millis)
}

/// Refuses a token that would live for longer than `longest`.
pub(super) fn check_lifetime(
    issued_at: Timestamp,
    expires_at: Timestamp,
    longest: Duration,
) -> Result<(), NotSigned> {
    if expires_at.since(issued_at) > longest {
        return Err(NotSigned::TooLongLived);
    }
    Ok(())
}

fn encode_part(part: &impl Serialize) -> Result<String, TokenError> {
    let json = serde_json::to_vec(part).map_err(|error| TokenError(error.into()))?;
    Ok(URL_SAFE_NO_PAD.encode(json))
}
