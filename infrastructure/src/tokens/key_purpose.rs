//! What a signing key signs. Each purpose has a set of keys of its own (`docs/adr/0036`).

use std::fmt;

use super::key_changes::next_algorithm;
use super::{JwtAlgorithm, KeyRecord, SigningKey, SigningKeyError};

/// The purpose of a set of signing keys. In each set one key signs, and a change of one set never affects the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyPurpose {
    /// Access and refresh tokens, with the configured algorithm.
    Access,
    /// ID tokens, with RS256: every `OpenID` provider has to support it (OpenID Connect Core 1.0 §15.1), and clients expect it
    /// unless they are registered with another one (§2 of its Dynamic Client Registration).
    IdToken,
}

impl KeyPurpose {
    /// All purposes.
    pub const ALL: [Self; 2] = [Self::Access, Self::IdToken];

    /// The name, as `authlog keys` prints it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::IdToken => "id-token",
        }
    }

    /// The name of the shared secret that is the ledger of this set.
    pub(crate) const fn ledger(self) -> &'static str {
        match self {
            Self::Access => "signing-key-set",
            Self::IdToken => "id-token-key-set",
        }
    }

    /// Whether versions that wrote keys of this purpose without a ledger may still run.
    pub(crate) const fn was_stored_without_a_ledger(self) -> bool {
        match self {
            Self::Access => true,
            Self::IdToken => false,
        }
    }

    /// The algorithm of the next key of a set. `wanted` is the configured one.
    pub(super) fn next_algorithm(
        self,
        keys: &[KeyRecord],
        wanted: Option<JwtAlgorithm>,
    ) -> JwtAlgorithm {
        match self {
            Self::Access => next_algorithm(keys, wanted),
            Self::IdToken => JwtAlgorithm::Rs256,
        }
    }

    /// Generates a key of this purpose.
    pub(super) fn generate(self, algorithm: JwtAlgorithm) -> Result<SigningKey, SigningKeyError> {
        match self {
            Self::Access => SigningKey::generate(algorithm),
            Self::IdToken => SigningKey::generate_for_id_tokens(),
        }
    }
}

impl fmt::Display for KeyPurpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
