//! Value types. A value that exists is valid.

mod authentication;
mod client_id;
mod contract;
mod email;
mod factor_label;
mod identifier;
mod ids;
mod key_thumbprint;
mod passkey;
mod person_name;
mod phone;
mod role;
mod scopes;
mod timestamp;
mod totp;
mod uris;
mod username;

pub use authentication::{
    Authentication, AuthenticationLevel, AuthenticationMethod, AuthenticationMethods,
};
pub use client_id::{ClientId, ClientName};
pub use contract::ContractName;
pub use email::Email;
pub use factor_label::FactorLabel;
pub use identifier::{Identifier, IdentifierKind};
pub use ids::{
    AccountNumber, ClientSecretId, CredentialId, FactorId, RecoverySetId, ResetId, SessionId,
    UserId, VerificationId,
};
pub use key_thumbprint::KeyThumbprint;
pub use passkey::PasskeyTransport;
pub use person_name::PersonName;
pub use phone::Phone;
pub use role::Role;
pub use scopes::{Scope, Scopes};
pub use timestamp::{CLOCK_DIFFERENCE, Timestamp};
pub use totp::{TotpAlgorithm, TotpParameters};
pub use uris::{Audience, HttpsUri, RedirectUri};
pub use username::Username;

/// Why a text is not a valid value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Flaw {
    /// The text is missing or empty.
    #[error("is required")]
    Required,
    /// The text is longer than `max` characters.
    #[error("is longer than {max} characters")]
    TooLong {
        /// The greatest length, in characters.
        max: usize,
    },
    /// The text is shorter than `min` characters.
    #[error("is shorter than {min} characters")]
    TooShort {
        /// The least length, in characters.
        min: usize,
    },
    /// The text has the wrong syntax.
    #[error("is malformed")]
    Malformed,
    /// A username, or the chosen id of a client, that could be mistaken for the id of an account.
    #[error("is written like the id of an account")]
    IdShaped,
    /// A password that many people use.
    #[error("is one of the most common passwords")]
    Common,
    /// A password that is too easy to guess.
    #[error("is too easy to guess")]
    Guessable,
    /// A password that is on a list of breached ones.
    #[error("is on a list of breached passwords")]
    Breached,
    /// The text differs from the value that it has to repeat.
    #[error("differs from the value it repeats")]
    Mismatch,
}

/// Trims `text`, and checks that 1 to `max` characters remain, none of which is a control character.
fn bounded(text: &str, max: usize) -> Result<&str, Flaw> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Flaw::Required);
    }
    if text.chars().count() > max {
        return Err(Flaw::TooLong { max });
    }
    if text.chars().any(char::is_control) {
        return Err(Flaw::Malformed);
    }
    Ok(text)
}

/// Implements `from_stored`, `as_str`, `Display` and a `Debug` without the content, for a value type that holds one text.
macro_rules! text_value {
    ($name:ident) => {
        impl $name {
            /// A value from text that was valid when it was stored.
            pub fn from_stored(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The text as its owner wrote it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        // A derived `Debug` would print personal data in logs.
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    };
}
use text_value;

/// Implements `from_stored`, `as_str` and `Display` for a value type that holds one text, which is no personal data.
macro_rules! public_text_value {
    ($name:ident) => {
        impl $name {
            /// A value from text that was valid when it was stored.
            pub fn from_stored(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}
use public_text_value;
