//! Passwords that were published after a breach of some service.

use async_trait::async_trait;

use crate::Password;

/// What a list of breached passwords says of a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreachLookup {
    /// The list has it.
    Listed,
    /// The list does not have it.
    NotListed,
    /// The list could not be read in time. It counts and logs this itself.
    Unknown,
}

/// A list of breached passwords (NIST SP 800-63B-4 §3.1.1.2, ASVS 5.0 6.2.12).
#[async_trait]
pub trait BreachedPasswords: Send + Sync {
    /// Looks up a password, within half a second. Neither the password nor its hash is logged or sent anywhere.
    async fn look_up(&self, password: &Password) -> BreachLookup;
}
