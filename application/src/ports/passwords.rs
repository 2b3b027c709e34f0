//! Password hashing, which costs a great deal of time and memory by intent.

use std::time::Duration;

use async_trait::async_trait;

use crate::Password;

/// A stored password hash, in PHC string format. It has no `Debug`: hashes stay out of logs.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// A hash in PHC string format.
    pub fn from_stored(phc: String) -> Self {
        Self(phc)
    }

    /// The text to store.
    pub fn as_stored(&self) -> &str {
        &self.0
    }
}

/// Why a password was not hashed.
#[derive(Debug, thiserror::Error)]
pub enum HashingError {
    /// More passwords are waiting than can be hashed within the deadline.
    #[error("too many passwords are waiting to be hashed")]
    Overloaded {
        /// When it is worth trying again.
        retry_after: Duration,
    },
    /// The stored hash cannot be read, or the hasher is shutting down.
    #[error("the password cannot be hashed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Hashes passwords and checks them against hashes.
#[async_trait]
pub trait PasswordHasher: Send + Sync {
    /// A new hash of `password`, with a salt of its own.
    async fn hash(&self, password: Password) -> Result<PasswordHash, HashingError>;

    /// Whether `hash` is of `password`. For `None` the answer is no, after the work that a hash would have cost, so
    /// that the time tells nobody which accounts exist.
    async fn verify(
        &self,
        password: Password,
        hash: Option<PasswordHash>,
    ) -> Result<bool, HashingError>;
}
