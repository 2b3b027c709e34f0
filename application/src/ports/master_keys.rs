//! What the nodes of one store share under its master key, and replacing that key.

use async_trait::async_trait;
use authlog_domain::UserId;
use zeroize::Zeroizing;

use super::StoreError;

/// Secrets that all nodes of one store use, kept in the store and sealed under the master key.
#[async_trait]
pub trait SharedSecrets: Send + Sync {
    /// The secret with this name. If there is none, `candidate` becomes the secret. Concurrent calls return the same
    /// secret.
    async fn shared_secret(
        &self,
        name: &str,
        candidate: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, StoreError>;

    /// The secret with this name, if there is one.
    async fn find_shared_secret(
        &self,
        name: &str,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError>;
}

/// Replacing the master key, by a program that has both the old key and the new one.
///
/// A rotation begins with the new key sealing all new data. Older data is then sealed again, one step at a time, and the
/// pepper last. An interrupted rotation continues when it is begun again. Until it is finished the store opens only with
/// both keys, and afterwards with the new one alone. Nodes that have both keys keep serving during the rotation.
#[async_trait]
pub trait MasterKeyRotation: Send + Sync {
    /// Makes every node seal new data under the new key, and returns the number of account keys.
    async fn begin_rotation(&self) -> Result<u64, StoreError>;

    /// Seals the keys of up to `limit` accounts under the new key, starting after `after` in the store's order. Returns
    /// `None` if no account is left.
    async fn rewrap_after(
        &self,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Option<Rewrapped>, StoreError>;

    /// Seals the shared secrets and the signing keys under the new key. Afterwards the old key opens nothing.
    async fn finish_rotation(&self) -> Result<(), StoreError>;
}

/// One step of a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rewrapped {
    /// The last account whose key was examined.
    pub user: UserId,
    /// How many keys this step examined.
    pub seen: u64,
    /// How many of them were sealed under another key, and now are sealed under the new one.
    pub rewrapped: u64,
}
