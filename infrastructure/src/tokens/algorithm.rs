//! The supported signature algorithms.

use std::fmt;
use std::str::FromStr;

use jsonwebtoken::Algorithm;

/// An algorithm that signs tokens (RFC 7518 §3.1, RFC 8037). There is no `none`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum JwtAlgorithm {
    /// Ed25519. Several JWT libraries cannot verify it. It was the default of earlier versions.
    EdDsa,
    /// ECDSA with P-256 and SHA-256: the default of a new database, as every common JWT library can verify it
    /// (`docs/adr/0017`).
    #[default]
    Es256,
    /// RSASSA-PKCS1-v1_5 with SHA-256, for old clients. Signing costs more than ten times as much as with the others.
    Rs256,
    /// HMAC with SHA-256, for clients that share the secret. These clients could sign tokens, too.
    Hs256,
}

impl JwtAlgorithm {
    /// All algorithms.
    pub const ALL: [Self; 4] = [Self::EdDsa, Self::Es256, Self::Rs256, Self::Hs256];

    /// The registered name: the `alg` of a token.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
            Self::Hs256 => "HS256",
        }
    }

    pub(super) const fn registered(self) -> Algorithm {
        match self {
            Self::EdDsa => Algorithm::EdDSA,
            Self::Es256 => Algorithm::ES256,
            Self::Rs256 => Algorithm::RS256,
            Self::Hs256 => Algorithm::HS256,
        }
    }
}

impl fmt::Display for JwtAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A name that is not a supported algorithm.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no algorithm that tokens can be signed with; choose EdDSA, ES256, RS256 or HS256"
)]
pub struct UnknownAlgorithm(String);

impl FromStr for JwtAlgorithm {
    type Err = UnknownAlgorithm;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.as_str() == name)
            .ok_or_else(|| UnknownAlgorithm(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_algorithm_is_parsed_only_from_its_registered_name() {
        for algorithm in JwtAlgorithm::ALL {
            assert_eq!(algorithm.to_string().parse(), Ok(algorithm));
        }
        for name in ["none", "eddsa", "HS512", ""] {
            let error = name.parse::<JwtAlgorithm>().unwrap_err();
            assert!(error.to_string().contains("EdDSA, ES256, RS256 or HS256"));
        }
    }
}
