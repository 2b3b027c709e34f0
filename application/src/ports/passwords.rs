//! Password hashing, which costs a great deal of time and memory by intent.

use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use authlog_domain::Flaw;

use crate::{ClientPresence, NewPassword, Password};

/// A stored password hash, in PHC string format or, from elsewhere, as bcrypt writes it. It has no `Debug`: hashes stay out of logs.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// A hash as it is stored.
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

/// How a hash compares with those that are made now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashStanding {
    /// It is as good.
    Current,
    /// The hash has another scheme or a lower cost: the password should be rehashed.
    Outdated,
}

/// A hash of no scheme that is known here, or one that would cost more to check than anybody pays. It says nothing of
/// the hash itself.
#[derive(Debug, thiserror::Error)]
#[error("the hash cannot be used: {0}")]
pub struct UnusableHash(pub Box<dyn std::error::Error + Send + Sync>);

/// Whom a password is hashed for. The default is no one in particular.
#[derive(Clone, Default)]
pub struct HashingClient {
    /// The address that the request came from, if that is known.
    pub address: Option<IpAddr>,
    /// Whether the client still waits. A password whose client has gone before its turn is not hashed.
    pub presence: ClientPresence,
}

/// Hashes passwords and checks them against hashes.
///
/// Clients share the hasher evenly, by the network of their address: one that asks for more than its share waits longer, or is
/// refused, and the others do not notice.
#[async_trait]
pub trait PasswordHasher: Send + Sync {
    /// Takes a place for a password of `client`, before anything is looked up for it: no more look-ups are under way than
    /// there are places.
    ///
    /// # Errors
    /// [`HashingError::Overloaded`].
    fn reserve(&self, client: &HashingClient) -> Result<Box<dyn HashingPlace>, HashingError>;

    /// Hashes in a place that is reserved for it now ([`HashingPlace::hash`]).
    async fn hash(
        &self,
        password: NewPassword,
        client: &HashingClient,
    ) -> Result<Result<PasswordHash, Flaw>, HashingError> {
        self.reserve(client)?.hash(password).await
    }

    /// Verifies in a place that is reserved for it now ([`HashingPlace::verify`]).
    async fn verify(
        &self,
        password: Password,
        hash: Option<PasswordHash>,
        client: &HashingClient,
    ) -> Result<bool, HashingError> {
        self.reserve(client)?.verify(password, hash).await
    }

    /// How a stored hash, or one from elsewhere, compares with a new one. Nothing is hashed.
    ///
    /// # Errors
    /// No password can be checked against it.
    fn standing(&self, hash: &PasswordHash) -> Result<HashStanding, UnusableHash>;

    /// Whether `password`, which was right, should be hashed again: the hash is outdated, and no other password fits it. bcrypt
    /// reads the first 72 bytes of a password. What follows them was not checked, and may not be what the owner chose.
    fn should_be_renewed(&self, hash: &PasswordHash, password: &Password) -> bool;
}

/// A place among the passwords that wait, for one password. It is free again once this is dropped. Until the password is
/// there, a client with fewer places may still take it.
#[async_trait]
pub trait HashingPlace: Send {
    /// Checks `password` ([`NewPassword::checked`]) and makes a new hash of it, with a salt of its own, in one job: the
    /// check costs too much for a thread that serves requests. The inner error is the flaw that the check found; then
    /// nothing was hashed.
    async fn hash(
        self: Box<Self>,
        password: NewPassword,
    ) -> Result<Result<PasswordHash, Flaw>, HashingError>;

    /// Whether `hash` is of `password`. For `None` the answer is no, after the work that a hash would have cost, so
    /// that the time does not show which accounts exist. For a hash that costs less than a new one, the answer no takes as
    /// long as for a new one.
    async fn verify(
        self: Box<Self>,
        password: Password,
        hash: Option<PasswordHash>,
    ) -> Result<bool, HashingError>;
}
