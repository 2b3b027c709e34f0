//! The `Client` aggregate: a program that signs people in or calls services for itself (RFC 6749), its secrets and its lock.

mod decide;
mod event;
mod jwks;
mod service_scope;
mod settings;
mod terms;

use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use serde::{Deserialize, Serialize};

pub use decide::{ClientChange, ClientCommand, ClientRefusal};
pub use event::{
    ClientChanged, ClientEvent, ClientLocked, ClientRegistered, ClientRemoved, ClientSecretIssued,
    ClientSecretRetired, ClientUnlocked,
};
pub use jwks::ClientJwks;
pub use service_scope::ServiceScope;
pub use settings::{ClientSettings, MAX_URIS, SettingsFlaw};
pub use terms::{ClientAuthMethod, GrantType, IdTokenAlg};

use crate::{ClientId, ClientSecretId, Timestamp};

/// How many secrets of a client are valid at once.
pub const MAX_SECRETS: usize = 2;

/// The state of a client.
#[expect(
    clippy::large_enum_variant,
    reason = "a command has one aggregate, which is nearly always a registered client"
)]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Client {
    /// No client with this id is registered.
    #[default]
    Unregistered,
    /// The client is registered.
    Registered(Registered),
    /// The client was removed. No event follows.
    Removed,
}

/// The state of a registered client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// The settings.
    pub settings: ClientSettings,
    /// The valid secrets, oldest first: at most [`MAX_SECRETS`].
    pub secrets: Vec<ClientSecret>,
    /// Whether the client is locked.
    pub locked: bool,
}

/// A valid secret of a client. The secret itself is derived from its id when it is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientSecret {
    /// The id of the secret.
    pub id: ClientSecretId,
    /// When it was issued.
    pub issued_at: Timestamp,
}

/// A client that exists and was not removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredClient {
    /// The id.
    pub id: ClientId,
    /// The settings.
    pub settings: ClientSettings,
    /// The valid secrets, oldest first.
    pub secrets: Vec<ClientSecret>,
    /// Whether the client is locked: it gets no tokens, and those that it has are refused.
    pub locked: bool,
}

impl RegisteredClient {
    /// The client with this id in this state.
    pub fn new(id: ClientId, state: Registered) -> Self {
        let Registered {
            settings,
            secrets,
            locked,
        } = state;
        Self {
            id,
            settings,
            secrets,
            locked,
        }
    }

    /// Whether a secret with this id is valid.
    pub fn has_secret(&self, id: ClientSecretId) -> bool {
        self.secrets.iter().any(|secret| secret.id == id)
    }
}

impl Client {
    /// The state, if the client is registered.
    pub fn registered(&self) -> Option<&Registered> {
        match self {
            Self::Unregistered | Self::Removed => None,
            Self::Registered(client) => Some(client),
        }
    }
}

impl Registered {
    /// The state of a client that has just been registered.
    pub fn new(event: ClientRegistered) -> Self {
        Self {
            settings: event.settings,
            secrets: vec![],
            locked: false,
        }
    }

    /// Whether a secret with this id is valid.
    pub fn has_secret(&self, id: ClientSecretId) -> bool {
        self.secrets.iter().any(|secret| secret.id == id)
    }

    /// Applies a later event of the client. `ClientRegistered` and `ClientRemoved` change nothing here, because they create
    /// and end the client.
    pub fn apply(&mut self, event: ClientEvent) {
        match event {
            ClientEvent::ClientRegistered(_) | ClientEvent::ClientRemoved(_) => {}
            ClientEvent::ClientChanged(event) => self.settings = event.settings,
            ClientEvent::ClientSecretIssued(event) => self.secrets.push(ClientSecret {
                id: event.secret_id,
                issued_at: event.at,
            }),
            ClientEvent::ClientSecretRetired(event) => {
                self.secrets.retain(|secret| secret.id != event.secret_id);
            }
            ClientEvent::ClientLocked(_) => self.locked = true,
            ClientEvent::ClientUnlocked(_) => self.locked = false,
        }
    }
}

impl Aggregate for Client {
    const TYPE: &'static str = "client";
    type Command = ClientCommand;
    type Event = ClientEvent;
    type Error = ClientRefusal;
    type Services = ();

    async fn handle(
        &mut self,
        command: ClientCommand,
        _services: &(),
        sink: &EventSink<Self>,
    ) -> Result<(), ClientRefusal> {
        for event in self.decide(command)? {
            sink.write(event, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, event: ClientEvent) {
        match (&mut *self, event) {
            (_, ClientEvent::ClientRegistered(event)) => {
                *self = Self::Registered(Registered::new(event));
            }
            (_, ClientEvent::ClientRemoved(_)) => *self = Self::Removed,
            (Self::Registered(client), event) => client.apply(event),
            // `ClientRegistered` is always the first event and `ClientRemoved` the last: `decide` refuses every other command
            // before and after them.
            (Self::Unregistered | Self::Removed, _) => {}
        }
    }
}
