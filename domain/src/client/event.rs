//! The events of the `Client` aggregate. They are stored forever: names and fields never change their meaning.

use serde::{Deserialize, Serialize};

use super::ClientSettings;
use crate::catalogue::{catalogued, stored_in_current_versions};
use crate::{ClientSecretId, Timestamp};

/// An event of the `Client` aggregate. None has personal data, and none belongs to an account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ClientEvent {
    /// A client was registered.
    ClientRegistered(ClientRegistered),
    /// The settings were replaced.
    ClientChanged(ClientChanged),
    /// A secret was issued.
    ClientSecretIssued(ClientSecretIssued),
    /// A secret became invalid.
    ClientSecretRetired(ClientSecretRetired),
    /// The client was locked.
    ClientLocked(ClientLocked),
    /// The client was unlocked.
    ClientUnlocked(ClientUnlocked),
    /// The client was removed.
    ClientRemoved(ClientRemoved),
}

/// A client was registered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientRegistered {
    /// When the event occurred.
    pub at: Timestamp,
    /// The settings.
    pub settings: ClientSettings,
}

/// The settings were replaced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientChanged {
    /// When the event occurred.
    pub at: Timestamp,
    /// All settings from now on.
    pub settings: ClientSettings,
}

/// A secret was issued.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientSecretIssued {
    /// When the event occurred.
    pub at: Timestamp,
    /// The id of the secret.
    pub secret_id: ClientSecretId,
}

/// A secret became invalid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientSecretRetired {
    /// When the event occurred.
    pub at: Timestamp,
    /// The id of the secret.
    pub secret_id: ClientSecretId,
}

/// The client was locked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientLocked {
    /// When the event occurred.
    pub at: Timestamp,
}

/// The client was unlocked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientUnlocked {
    /// When the event occurred.
    pub at: Timestamp,
}

/// The client was removed. No event follows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientRemoved {
    /// When the event occurred.
    pub at: Timestamp,
}

catalogued!(
    ClientEvent: ClientRegistered, ClientChanged, ClientSecretIssued, ClientSecretRetired, ClientLocked, ClientUnlocked,
    ClientRemoved,
);

stored_in_current_versions!(ClientEvent);
