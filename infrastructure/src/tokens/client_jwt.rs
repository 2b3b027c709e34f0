//! The compact form of tokens that clients sign (RFC 7515): their parts, their algorithms, their ids and their times.

use authlog_domain::{CLOCK_DIFFERENCE, Timestamp};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::de::DeserializeOwned;

/// The maximum length of an id (`jti`), in characters. A UUID has 36.
const MAX_ID_LENGTH: usize = 256;

/// The algorithms, by their registered names. There is no HMAC: a secret is presented as such.
const ALGORITHMS: [(&str, Algorithm); 3] = [
    ("RS256", Algorithm::RS256),
    ("ES256", Algorithm::ES256),
    ("EdDSA", Algorithm::EdDSA),
];

/// The three parts of a token, of which the header and the claims are decoded, and the signed text.
pub(super) struct Parts<'a, H, C> {
    pub(super) header: H,
    pub(super) claims: C,
    message: &'a str,
    signature: &'a str,
}

impl<'a, H: DeserializeOwned, C: DeserializeOwned> Parts<'a, H, C> {
    /// The parts; `None` if the text is longer than `max_length` bytes, or is no such token.
    pub(super) fn split(text: &'a str, max_length: usize) -> Option<Self> {
        if text.len() > max_length {
            return None;
        }
        let (message, signature) = text.rsplit_once('.')?;
        let (header, claims) = message.split_once('.')?;
        Some(Self {
            header: read(header)?,
            claims: read(claims)?,
            message,
            signature,
        })
    }
}

impl<H, C> Parts<'_, H, C> {
    /// Whether this key has signed the token. A key of another type than the algorithm has not.
    pub(super) fn is_signed_by(&self, key: &DecodingKey, algorithm: Algorithm) -> bool {
        let message = self.message.as_bytes();
        jsonwebtoken::crypto::verify(self.signature, message, key, algorithm).unwrap_or(false)
    }
}

/// The algorithm of this name.
pub(super) fn algorithm(name: &str) -> Option<Algorithm> {
    let mut algorithms = ALGORITHMS.into_iter();
    let (_, algorithm) = algorithms.find(|(known, _)| *known == name)?;
    Some(algorithm)
}

/// Whether the text can be the id of a token.
pub(super) fn is_id(text: &str) -> bool {
    (1..=MAX_ID_LENGTH).contains(&text.chars().count())
}

/// An instant in seconds since 1970-01-01T00:00:00Z; `None` if it is out of the range that the clock has.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the seconds are in the range of milliseconds in 64 bits"
)]
pub(super) fn instant(seconds: f64) -> Option<Timestamp> {
    const LAST: f64 = 4_102_444_800.0; // 2100-01-01T00:00:00Z
    let is_in_range = (0.0..LAST).contains(&seconds);
    is_in_range.then(|| Timestamp::from_unix_millis((seconds * 1000.0) as i64))
}

/// Whether a token that names this time as its beginning (`iat`, `nbf`) is valid by now. The clock of the client may be ahead.
pub(super) fn has_begun(at: Option<f64>, now: Timestamp) -> bool {
    at.is_none_or(|at| instant(at).is_some_and(|at| at <= now.plus(CLOCK_DIFFERENCE)))
}

fn read<T: DeserializeOwned>(part: &str) -> Option<T> {
    let decoded = URL_SAFE_NO_PAD.decode(part).ok()?;
    // serde would accept an array for a struct.
    decoded.trim_ascii_start().starts_with(b"{").then_some(())?;
    serde_json::from_slice(&decoded).ok()
}
