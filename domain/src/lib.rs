//! What can happen in Authlog: the aggregates, their commands, events and value types.
//!
//! Everything here is pure. There is no clock, no randomness and no I/O: identifiers, instants and the names of
//! stored credentials are made outside and arrive inside a command, so that a replay decides exactly as the first
//! run did.
//!
//! # Glossary
//!
//! | word | meaning |
//! |---|---|
//! | account | what a person owns: identifiers, a credential, a role. Kept by the [`User`] aggregate |
//! | identifier | a username or an e-mail address: what a person types to say who they are |
//! | credential | a stored password hash. Events name it by [`CredentialId`] and never contain it |
//! | session | one sign-in and all that is derived from it. Kept by the [`Session`] aggregate |
//! | session epoch | a number of the account; a session started under an earlier one has ended |
//! | kept session | the one session that does not end with the others when the epoch is raised |
//! | generation | how often a session's refresh token has been replaced; a token names the one it belongs to |
//! | rotation | whether a refresh token works once ([`Rotation::Rotating`]) or until it expires |
//! | grace | how long the refresh token before the current one is still taken for a client's retry |
//! | verification | the proof, by a mailed link, that an e-mail address is the account's own |
//! | lock | what keeps an account from being signed in to until somebody takes it away |
//! | erasure | the end of an account and of all that is known of its person; the log keeps what happened |
//! | refusal | the reason for which a command is not carried out |
//! | personal field | a member of an event that says something about a person; see [`EventKind::personal_fields`] |
//! | contract | one of the published HTTP documents, [`ContractName`] |

mod aggregate;
mod catalogue;
mod personal;
pub mod refused_logins;
pub mod session;
pub mod user;
mod values;

pub use aggregate::AggregateKind;
pub use catalogue::{EventKind, Notice};
pub use personal::Personal;
pub use refused_logins::RefusedLogins;
pub use session::{RevocationReason, Rotation, Session};
pub use user::User;
pub use values::{
    AccountNumber, CLOCK_DIFFERENCE, ContractName, CredentialId, Email, Flaw, PersonName, Phone,
    ResetId, Role, SessionId, Timestamp, UserId, Username, VerificationId,
};
