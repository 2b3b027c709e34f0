//! Password hashing, which is deliberately expensive in time and memory.

use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use authlog_domain::Flaw;

use crate::{ClientPresence, NewPassword, Password};

/// A stored password hash, in the PHC string format or, if it was imported, in that of bcrypt, passlib or Django. It has no
/// `Debug`, because hashes must not appear in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// The hash with this stored text.
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
    /// More passwords are waiting than can be hashed within their deadlines.
    #[error("too many passwords are waiting to be hashed")]
    Overloaded {
        /// The time after which a retry makes sense.
        retry_after: Duration,
    },
    /// The stored hash cannot be read, or the hasher is shutting down.
    #[error("the password cannot be hashed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// How a stored hash compares with new ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashStrength {
    /// The hash has the scheme and at least the cost of new ones.
    Current,
    /// The hash has another scheme or a lower cost: the password should be rehashed.
    Outdated,
}

/// The hash has an unknown scheme, or would be too expensive to check. The text of the error does not contain the hash.
#[derive(Debug, thiserror::Error)]
#[error("the hash cannot be used: {0}")]
pub struct UnusableHash(pub Box<dyn std::error::Error + Send + Sync>);

/// The client for which a password is hashed. The default is a client without an address that always waits.
#[derive(Clone, Default)]
pub struct HashingClient {
    /// The address of the client, if it is known.
    pub address: Option<IpAddr>,
    /// Whether the client still waits. A password whose client has gone before its turn is not hashed.
    pub presence: ClientPresence,
}

/// Hashes passwords and checks them against hashes.
///
/// Client networks share the hasher evenly. A client that requests more than its share waits longer or is refused, and does not
/// delay the others.
#[async_trait]
pub trait PasswordHasher: Send + Sync {
    /// Reserves a place in the queue for a password of `client`. Callers do this before they look up the account, so that the
    /// number of places limits the number of concurrent lookups.
    ///
    /// # Errors
    /// [`HashingError::Overloaded`].
    fn reserve(&self, client: &HashingClient) -> Result<Box<dyn HashingPlace>, HashingError>;

    /// Reserves a place, and hashes the password in it ([`HashingPlace::hash`]).
    async fn hash(
        &self,
        password: NewPassword,
        client: &HashingClient,
    ) -> Result<Result<PasswordHash, Flaw>, HashingError> {
        self.reserve(client)?.hash(password).await
    }

    /// Reserves a place, and verifies the password in it ([`HashingPlace::verify`]).
    async fn verify(
        &self,
        password: Password,
        hash: Option<PasswordHash>,
        client: &HashingClient,
    ) -> Result<bool, HashingError> {
        self.reserve(client)?.verify(password, hash).await
    }

    /// How a stored or imported hash compares with new ones. No password is hashed.
    ///
    /// # Errors
    /// The hash cannot be used.
    fn standing(&self, hash: &PasswordHash) -> Result<HashStrength, UnusableHash>;

    /// Whether `password`, which matches `hash`, should be hashed again: the hash is outdated, and no other password matches
    /// it. bcrypt ignores everything after the first 72 bytes of a password, so the rest of a longer password was not checked
    /// and may be wrong.
    fn should_be_renewed(&self, hash: &PasswordHash, password: &Password) -> bool;
}

/// A place in the queue for one password. It is free again once this is dropped. Until the password is submitted, a client
/// with fewer places may take it over.
#[async_trait]
pub trait HashingPlace: Send {
    /// Checks `password` ([`NewPassword::checked`]) and hashes it with a new salt, in one job, because the check costs too
    /// much for a thread that serves requests. The inner error is the flaw that the check found; then nothing was hashed.
    async fn hash(
        self: Box<Self>,
        password: NewPassword,
    ) -> Result<Result<PasswordHash, Flaw>, HashingError>;

    /// Whether `password` matches `hash`. For `None` the result is `false`, after the same work as for a hash, so that the
    /// time does not reveal which accounts exist. For a hash that costs less than a new one, the result `false` takes as long
    /// as for a new one.
    async fn verify(
        self: Box<Self>,
        password: Password,
        hash: Option<PasswordHash>,
    ) -> Result<bool, HashingError>;
}
