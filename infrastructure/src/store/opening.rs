//! Opening a store: with what access, and why it can fail.

use authlog_application::ports::StoreError;

use crate::sealing::MasterKeys;

/// The access to the store that a program needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreAccess {
    /// Read an existing store. Nothing is written: no schema, no secret, no row.
    Read,
    /// Change an existing store.
    Change,
    /// Change a store, and create one if there is none.
    Create,
}

/// The reason why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no store, and the program may not create one.
    #[error("there is no store")]
    Missing,
    /// The store has a schema but no master key yet.
    #[error("the store is empty: it was migrated, and no service has been started on it yet")]
    Unused,
    /// The store cannot be reached.
    #[error("the store cannot be reached")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The connections to the store do not support what this program needs.
    #[error("the connections to the store cannot be used")]
    Connections(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The schema is not the one that this program expects, and the program may not or cannot migrate it.
    #[error("the store's schema is not what this program expects")]
    Schema(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The data was sealed under another master key.
    #[error("the store was sealed under another master key")]
    WrongMasterKey,
    /// The store holds events but no secret, which every store has after its first start.
    #[error("the store holds events, but its secret was removed")]
    SecretRemoved,
    /// The master key is being replaced, and the program has only one of the two keys.
    #[error("the store's master key is being replaced, and takes both the old one and the new")]
    RotationUnderWay,
    /// A query failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Checks whether this program's master keys fit the store.
///
/// `sealing` is the fingerprint of the key that seals new data. `opens` says whether the store's secret opens under one
/// of the program's keys. A rotation first changes the fingerprint, and the store's secret last.
pub(crate) fn check_keys(
    master: &MasterKeys,
    sealing: &[u8],
    opens: bool,
) -> Result<(), OpenError> {
    match (master.seal_with(sealing), opens) {
        (true, true) => Ok(()),
        (false, false) => Err(OpenError::WrongMasterKey),
        (true, false) | (false, true) => Err(OpenError::RotationUnderWay),
    }
}
