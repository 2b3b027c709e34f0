//! What can happen in Authlog: the aggregates, their commands, events and value types.
//!
//! The crate is pure: it has no clock, no randomness and no I/O. Identifiers, instants and ids of stored credentials
//! are created outside and passed in with a command, so a replay decides exactly as the first run did.
//!
//! # Glossary
//!
//! | word | meaning |
//! |---|---|
//! | account | identifiers, a credential and a role of a person or a program. Decided by the [`User`] aggregate |
//! | identifier | a username or an e-mail address: what a person types to sign in |
//! | credential | a stored password hash. Events refer to it by [`CredentialId`] and never contain it |
//! | session | one sign-in and everything derived from it. Decided by the [`Session`] aggregate |
//! | second factor | what a person needs to sign in besides the password, such as an authenticator app |
//! | passkey | a key pair on a device of the person, by which they sign in (WebAuthn). A factor that also signs in by itself |
//! | recovery code | a code that replaces the second factor once |
//! | session epoch | a number of the account; a session that started under an earlier epoch has ended |
//! | kept session | the one session that does not end when the epoch is raised |
//! | generation | how often a session's refresh token has been replaced; each token belongs to one generation |
//! | rotation | whether a refresh token works once ([`Rotation::Rotating`]) or until it expires |
//! | grace | how long the previous refresh token is still accepted, as a retry of the client |
//! | claim | the entry in the store that reserves an identifier for one account |
//! | verification | the proof, by a mailed link, that an e-mail address belongs to the account |
//! | lock | prevents sign-in to an account until an administrator removes it |
//! | erasure | the deletion of an account and of all personal data about its owner; the events remain in the log |
//! | level | how strongly the person in a session was authenticated: [`AuthenticationLevel`] |
//! | refusal | the reason why a command is not carried out |
//! | log index | the place of an event in the one order of all events, from 1 without gaps |
//! | deny list | the ended sessions whose access tokens may not have expired yet; each node has it in memory |
//! | personal field | a field of an event that holds personal data; see [`EventKind::personal_fields`] |
//! | contract | one of the published HTTP contracts, [`ContractName`] |
//! | client | a program that signs people in, or calls services for itself (RFC 6749). Decided by the [`Client`] aggregate |
//! | client secret | what a confidential client authenticates with. It is derived from its [`ClientSecretId`] and never stored |
//! | scope | a name of what a client asks to do for a person (RFC 6749 section 3.3) |
//! | audience | a resource server for which a client can ask a token (RFC 8707) |
//! | thumbprint | the digest of a public key, by which tokens are bound to that key (RFC 7638, RFC 9449) |
//! | pushed request | an authorization request that the client sent to the service itself before it sends the person (RFC 9126) |
//! | first-party client | a client of the operator's own, for which people are not asked to consent |

#![cfg_attr(
    not(test),
    warn(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::large_stack_arrays,
        clippy::unchecked_time_subtraction
    )
)]

mod aggregate;
mod catalogue;
pub mod client;
mod personal;
pub mod refused_logins;
pub mod session;
pub mod user;
mod values;

pub use aggregate::AggregateKind;
pub use catalogue::{EventKind, Notice};
pub use client::Client;
pub use personal::Personal;
pub use refused_logins::RefusedLogins;
pub use session::{RevocationReason, Rotation, Session};
pub use user::User;
pub use values::{
    AccountNumber, Audience, Authentication, AuthenticationLevel, AuthenticationMethod,
    AuthenticationMethods, CLOCK_DIFFERENCE, ClientId, ClientName, ClientSecretId, ContractName,
    CredentialId, Email, FactorId, FactorLabel, Flaw, HttpsUri, Identifier, IdentifierKind,
    KeyThumbprint, PasskeyTransport, PersonName, Phone, RecoverySetId, RedirectUri, ResetId, Role,
    Scope, Scopes, SessionId, Timestamp, TotpAlgorithm, TotpParameters, UserId, Username,
    VerificationId,
};
