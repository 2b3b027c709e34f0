//! The events of the `Client` aggregate. They are stored forever: names and fields never change their meaning.

use serde::{Deserialize, Serialize};

use super::ClientSettings;
use crate::catalogue::{catalogued, stored_in_current_versions};
use crate::{ClientSecretId, SessionId, Timestamp, UserId};

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
    /// The client did not take a logout token for a day.
    LogoutNotDelivered(LogoutNotDelivered),
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

/// The client did not take a logout token for a day, so the token is not sent any more (OpenID Connect Back-Channel Logout 1.0).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogoutNotDelivered {
    /// When the event occurred.
    pub at: Timestamp,
    /// The session of the client that ended.
    pub session: SessionId,
    /// The account of the session.
    pub user: UserId,
    /// When the session ended.
    pub ended_at: Timestamp,
}

catalogued!(
    ClientEvent: ClientRegistered, ClientChanged, ClientSecretIssued, ClientSecretRetired, ClientLocked, ClientUnlocked,
    ClientRemoved, LogoutNotDelivered,
);

stored_in_current_versions!(ClientEvent);
