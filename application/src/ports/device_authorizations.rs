//! The requests of devices that wait for a person (RFC 8628).

use async_trait::async_trait;
use authlog_domain::Timestamp;

use super::StoreError;

/// The keyed digest of a user code. The code itself is stored nowhere.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct UserCodeDigest(pub [u8; 32]);

/// A request of a device, as it is stored. Both values are sealed, so that a row that another program wrote grants nothing, and
/// the row says nothing about the person. It has no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredDeviceAuthorization {
    /// What the device asks for.
    pub request: String,
    /// What the person decided; `None` until then.
    pub decision: Option<String>,
}

/// Keeps the requests of devices until they expire. They are not part of the log, and a rebuild does not restore them.
#[async_trait]
pub trait DeviceAuthorizations: Send + Sync {
    /// Stores a request under its user code until `expires_at`. Returns whether it was stored: another request may have the code.
    ///
    /// # Errors
    /// The store does not answer. The request may have been stored.
    async fn add_device_authorization(
        &self,
        code: UserCodeDigest,
        request: &str,
        expires_at: Timestamp,
    ) -> Result<bool, StoreError>;

    /// The request with this user code. It may have expired. `None` if there is none, or if it was removed.
    ///
    /// # Errors
    /// The store does not answer.
    async fn device_authorization(
        &self,
        code: UserCodeDigest,
    ) -> Result<Option<StoredDeviceAuthorization>, StoreError>;

    /// Stores the decision about the request with this user code, unless another decision was stored before. Storing the same
    /// decision again changes nothing. Returns whether this decision is the stored one.
    ///
    /// # Errors
    /// The store does not answer. The decision may have been stored.
    async fn decide_device_authorization(
        &self,
        code: UserCodeDigest,
        decision: &str,
    ) -> Result<bool, StoreError>;
}
