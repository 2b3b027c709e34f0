//! Identifiers, which are generated outside of the domain.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// The id with this value.
            pub const fn new(id: Uuid) -> Self {
                Self(id)
            }

            /// Parses the id in its printed form.
            pub fn parse(text: &str) -> Option<Self> {
                Uuid::try_parse(text).ok().map(Self)
            }

            /// The value.
            pub const fn as_uuid(self) -> Uuid {
                self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

uuid_id! {
    /// The id of an account, and of its `User` aggregate.
    UserId
}
uuid_id! {
    /// The id of a session, and of its `Session` aggregate.
    SessionId
}
uuid_id! {
    /// The id of a request to reset a password. It cannot be guessed, but it is not a secret: it is in events.
    ResetId
}
uuid_id! {
    /// The id of a request to verify an e-mail address. Like [`ResetId`] it is not a secret.
    VerificationId
}
uuid_id! {
    /// The id of a stored password hash.
    CredentialId
}

uuid_id! {
    /// The id of a second factor.
    FactorId
}
uuid_id! {
    /// The id of the recovery codes that were made together.
    RecoverySetId
}
uuid_id! {
    /// The id of a secret of a client. It is not a secret: the secret is derived from it under a key of the service.
    ClientSecretId
}

/// The number of an account, for contracts that identify accounts by number. Unique and never reused; gaps have no
/// meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AccountNumber(i64);

impl AccountNumber {
    /// The number with this value.
    pub const fn new(number: i64) -> Self {
        Self(number)
    }

    /// The value.
    pub const fn get(self) -> i64 {
        self.0
    }
}
