//! How the codes of an authenticator app are computed (RFC 6238).

use serde::{Deserialize, Serialize};

/// The hash function of an authenticator app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TotpAlgorithm {
    /// HMAC-SHA-1, which every authenticator app supports.
    #[serde(rename = "SHA1")]
    Sha1,
    /// HMAC-SHA-256.
    #[serde(rename = "SHA256")]
    Sha256,
    /// HMAC-SHA-512.
    #[serde(rename = "SHA512")]
    Sha512,
}

impl TotpAlgorithm {
    /// The name, as in `otpauth://` URIs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
            Self::Sha512 => "SHA512",
        }
    }
}

/// How the codes of an authenticator app are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TotpParameters {
    /// The hash function.
    pub algorithm: TotpAlgorithm,
    /// The number of digits of a code.
    pub digits: u8,
    /// For how many seconds a code is shown.
    pub period: u32,
}

impl TotpParameters {
    /// Those of new factors. Many authenticator apps ignore any others.
    pub const DEFAULT: Self = Self {
        algorithm: TotpAlgorithm::Sha1,
        digits: 6,
        period: 30,
    };
}
