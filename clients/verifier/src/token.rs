//! The compact form of a token (RFC 7515 §3.1): its header, its parts and their limits.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::keys::{Algorithm, PublicKey};
use crate::refused::Refused;

/// The maximum length of a token in bytes. Those of Authlog have about 1 KiB; HTTP servers accept headers of 8 KiB.
pub(crate) const MAX_LENGTH: usize = 8 * 1024;

/// The maximum length of the encoded header. Those of Authlog have about 120 characters.
const MAX_HEADER_LENGTH: usize = 1024;

/// The type of an access token (RFC 9068 §2.1).
const ACCESS_TYPE: &str = "at+jwt";

/// The members of a header. Those that bring a key or an address of one (RFC 8725 §3.10), critical extensions (RFC 7515 §4.1.11),
/// compression and encryption are refused. Other members are ignored, as RFC 7515 §4 demands.
#[derive(Deserialize)]
struct Header {
    typ: Option<String>,
    alg: Option<String>,
    kid: Option<String>,
    crit: Option<IgnoredAny>,
    jwk: Option<IgnoredAny>,
    jku: Option<IgnoredAny>,
    x5u: Option<IgnoredAny>,
    x5c: Option<IgnoredAny>,
    b64: Option<IgnoredAny>,
    zip: Option<IgnoredAny>,
    enc: Option<IgnoredAny>,
}

impl Header {
    fn has_forbidden_member(&self) -> bool {
        let forbidden = [
            &self.crit, &self.jwk, &self.jku, &self.x5u, &self.x5c, &self.b64, &self.zip, &self.enc,
        ];
        forbidden.iter().any(|member| member.is_some())
    }
}

/// A token whose header was read. Nothing in it is verified.
pub(crate) struct Unverified<'a> {
    pub(crate) algorithm: Algorithm,
    pub(crate) kid: String,
    message: &'a str,
    payload: &'a str,
    signature: &'a str,
}

impl<'a> Unverified<'a> {
    /// Splits a token of at most [`MAX_LENGTH`] and reads its header. `accepted` are the algorithms that the verifier was told to
    /// accept, because the token must not choose (RFC 8725 §3.1).
    pub(crate) fn parse(token: &'a str, accepted: &[Algorithm]) -> Result<Self, Refused> {
        let (message, signature) = token.rsplit_once('.').ok_or(Refused::Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(Refused::Malformed)?;
        if payload.contains('.') || header.len() > MAX_HEADER_LENGTH {
            return Err(Refused::Malformed);
        }
        let header = decode(header)?;
        // serde would accept an array for a struct.
        if header.first() != Some(&b'{') {
            return Err(Refused::Malformed);
        }
        let header: Header = serde_json::from_slice(&header).map_err(|_| Refused::Malformed)?;
        if header.has_forbidden_member() {
            return Err(Refused::Malformed);
        }
        if header.typ.as_deref() != Some(ACCESS_TYPE) {
            return Err(Refused::WrongType);
        }
        let algorithm = header.alg.as_deref().and_then(Algorithm::from_name);
        let algorithm = algorithm.filter(|it| accepted.contains(it));
        Ok(Self {
            algorithm: algorithm.ok_or(Refused::Algorithm)?,
            kid: header.kid.ok_or(Refused::UnknownKey)?,
            message,
            payload,
            signature,
        })
    }

    /// The payload, if `key` has signed it with the algorithm of the header.
    pub(crate) fn payload(&self, key: &PublicKey) -> Result<Vec<u8>, Refused> {
        if key.algorithm() != self.algorithm {
            return Err(Refused::Algorithm);
        }
        let signature = decode(self.signature)?;
        if !key.verifies(self.message.as_bytes(), &signature) {
            return Err(Refused::Signature);
        }
        decode(self.payload)
    }
}

fn decode(part: &str) -> Result<Vec<u8>, Refused> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Refused::Malformed)
}
