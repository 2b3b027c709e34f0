//! The decision function of the `Client` aggregate.

use super::{
    Client, ClientChanged, ClientEvent, ClientLocked, ClientRegistered, ClientRemoved,
    ClientSecretIssued, ClientSecretRetired, ClientSettings, ClientUnlocked, LogoutNotDelivered,
    MAX_SECRETS, Registered, SettingsFlaw,
};
use crate::{ClientSecretId, SessionId, Timestamp, UserId};

/// A command to the `Client` aggregate, and when it is given.
#[derive(Clone, Debug)]
pub struct ClientCommand {
    /// The current time.
    pub at: Timestamp,
    /// What is to be done.
    pub change: ClientChange,
}

/// What is to be done with a client.
#[derive(Clone, Debug)]
pub enum ClientChange {
    /// Register it.
    Register {
        /// The settings.
        settings: ClientSettings,
        /// The id of its first secret, which is issued if it authenticates by one.
        secret: ClientSecretId,
    },
    /// Replace its settings. A client that has no secrets from now on loses those that it has.
    Change {
        /// All settings from now on.
        settings: ClientSettings,
    },
    /// Issue one more secret.
    IssueSecret {
        /// The id of the secret.
        secret: ClientSecretId,
    },
    /// Make a secret invalid.
    RetireSecret {
        /// The id of the secret.
        secret: ClientSecretId,
    },
    /// Lock it.
    Lock,
    /// Unlock it.
    Unlock,
    /// Remove it.
    Remove,
    /// Record that it did not take a logout token.
    ReportUndeliveredLogout {
        /// The session of the client that ended.
        session: SessionId,
        /// The account of the session.
        user: UserId,
        /// When the session ended.
        ended_at: Timestamp,
    },
}

/// Why a command to a client is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientRefusal {
    /// A client with this id exists, or existed: an id is never used again.
    #[error("the id of the client is taken")]
    IdTaken,
    /// No client with this id exists.
    #[error("there is no such client")]
    NoSuchClient,
    /// The settings do not fit together.
    #[error("{member} {flaw}")]
    Settings {
        /// The name of the member that has the flaw.
        member: &'static str,
        /// The flaw.
        flaw: SettingsFlaw,
    },
    /// The client does not authenticate by secrets.
    #[error("the client has no secrets")]
    HasNoSecrets,
    /// Two secrets are valid already.
    #[error("the client has {MAX_SECRETS} valid secrets")]
    TooManySecrets,
    /// The client has no valid secret with this id.
    #[error("the client has no such secret")]
    NoSuchSecret,
}

impl Client {
    /// The events that `command` leads to. Empty if it changes nothing.
    ///
    /// # Errors
    /// Why the command is refused.
    pub fn decide(&self, command: ClientCommand) -> Result<Vec<ClientEvent>, ClientRefusal> {
        let ClientCommand { at, change } = command;
        match (self, change) {
            (Self::Unregistered, ClientChange::Register { settings, secret }) => {
                register(at, settings, secret)
            }
            (_, ClientChange::Register { .. }) => Err(ClientRefusal::IdTaken),
            (Self::Unregistered | Self::Removed, _) => Err(ClientRefusal::NoSuchClient),
            (Self::Registered(client), change) => change_registered(client, at, change),
        }
    }
}

fn register(
    at: Timestamp,
    settings: ClientSettings,
    secret_id: ClientSecretId,
) -> Result<Vec<ClientEvent>, ClientRefusal> {
    check(&settings)?;
    let has_secrets = settings.auth_method.has_secrets();
    let mut events = vec![ClientEvent::ClientRegistered(ClientRegistered {
        at,
        settings,
    })];
    if has_secrets {
        events.push(issued(at, secret_id));
    }
    Ok(events)
}

fn change_registered(
    client: &Registered,
    at: Timestamp,
    change: ClientChange,
) -> Result<Vec<ClientEvent>, ClientRefusal> {
    Ok(match change {
        ClientChange::Register { .. } => return Err(ClientRefusal::IdTaken),
        ClientChange::Change { settings } => return change_settings(client, at, settings),
        ClientChange::IssueSecret { secret } => vec![issue_secret(client, at, secret)?],
        ClientChange::RetireSecret { secret } => {
            if !client.has_secret(secret) {
                return Err(ClientRefusal::NoSuchSecret);
            }
            vec![retired(at, secret)]
        }
        ClientChange::Lock if client.locked => vec![],
        ClientChange::Lock => vec![ClientEvent::ClientLocked(ClientLocked { at })],
        ClientChange::Unlock if client.locked => {
            vec![ClientEvent::ClientUnlocked(ClientUnlocked { at })]
        }
        ClientChange::Unlock => vec![],
        ClientChange::Remove => vec![ClientEvent::ClientRemoved(ClientRemoved { at })],
        ClientChange::ReportUndeliveredLogout {
            session,
            user,
            ended_at,
        } => vec![ClientEvent::LogoutNotDelivered(LogoutNotDelivered {
            at,
            session,
            user,
            ended_at,
        })],
    })
}

/// Secrets that can no longer be used are retired explicitly. Otherwise they would be valid again after a change back.
fn change_settings(
    client: &Registered,
    at: Timestamp,
    settings: ClientSettings,
) -> Result<Vec<ClientEvent>, ClientRefusal> {
    check(&settings)?;
    if settings == client.settings {
        return Ok(vec![]);
    }
    let mut events = Vec::new();
    if !settings.auth_method.has_secrets() {
        events.extend(client.secrets.iter().map(|secret| retired(at, secret.id)));
    }
    events.push(ClientEvent::ClientChanged(ClientChanged { at, settings }));
    Ok(events)
}

/// Two secrets are valid at once, so that a client can be given a new one while it still uses the old one.
fn issue_secret(
    client: &Registered,
    at: Timestamp,
    secret: ClientSecretId,
) -> Result<ClientEvent, ClientRefusal> {
    if !client.settings.auth_method.has_secrets() {
        return Err(ClientRefusal::HasNoSecrets);
    }
    if client.secrets.len() >= MAX_SECRETS {
        return Err(ClientRefusal::TooManySecrets);
    }
    Ok(issued(at, secret))
}

fn issued(at: Timestamp, secret_id: ClientSecretId) -> ClientEvent {
    ClientEvent::ClientSecretIssued(ClientSecretIssued { at, secret_id })
}

fn retired(at: Timestamp, secret_id: ClientSecretId) -> ClientEvent {
    ClientEvent::ClientSecretRetired(ClientSecretRetired { at, secret_id })
}

fn check(settings: &ClientSettings) -> Result<(), ClientRefusal> {
    settings
        .check()
        .map_err(|(member, flaw)| ClientRefusal::Settings { member, flaw })
}
