//! Names of things, made outside the domain.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// The id that has this value.
            pub const fn new(id: Uuid) -> Self {
                Self(id)
            }

            /// Reads the id as it is printed.
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
    /// An account, and the `User` aggregate that keeps it.
    UserId
}
uuid_id! {
    /// A sign-in, and the `Session` aggregate that keeps it.
    SessionId
}
uuid_id! {
    /// A request to reset a password. It cannot be guessed, but it is no secret: it stands in events.
    ResetId
}
uuid_id! {
    /// A request to prove that an e-mail address is the account's own. Like [`ResetId`] it is no secret.
    VerificationId
}
uuid_id! {
    /// A stored password hash.
    CredentialId
}

/// An account's number, for contracts that know accounts by one. Unique and never reused; gaps mean nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AccountNumber(i64);

impl AccountNumber {
    /// The number that has this value.
    pub const fn new(number: i64) -> Self {
        Self(number)
    }

    /// The value.
    pub const fn get(self) -> i64 {
        self.0
    }
}
