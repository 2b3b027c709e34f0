//! The events as other services read them: CloudEvents without personal data or secrets.
//!
//! The published form of an event is independent of its stored form. The stored form may differ between versions; the
//! published form only ever gains optional members. `schemas` generates a JSON Schema of each from the types in `data`.

mod client_data;
mod data;
mod heartbeat;
mod schemas;

use authlog_domain::client::ClientEvent;
use authlog_domain::refused_logins::RefusedLoginsEvent;
use authlog_domain::session::SessionEvent;
use authlog_domain::user::UserEvent;
use authlog_domain::{AggregateKind, ClientId, EventKind, Timestamp, UserId};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::ports::LoggedEvent;
pub use data::Data;
pub use heartbeat::{HEARTBEAT_SUBJECT, Heartbeat};
pub use schemas::{ANY_EVENT, ENVELOPE, any_event, async_api, envelope, schema, schema_names};

/// The version of the data of every kind. It changes only if the change would break a reader of the previous version.
const VERSION: u32 = 1;

/// The kind with this CloudEvents type or this stored type; `None` if there is none.
pub fn parse_kind(name: &str) -> Option<EventKind> {
    EventKind::ALL
        .into_iter()
        .find(|&kind| kind.stored_type() == name || has_cloud_event_type(kind, name))
}

/// Parses a comma-separated list of names of kinds (see [`parse_kind`]), and adds their stored types to `stored_types`. Each
/// type is added once, so a query never names more types than exist, regardless of the length of the list.
///
/// # Errors
/// One of the names is not that of a kind.
pub fn add_listed_kinds(list: &str, stored_types: &mut Vec<String>) -> Result<(), UnknownKind> {
    for name in list.split(',') {
        let kind = parse_kind(name.trim()).ok_or(UnknownKind)?.stored_type();
        if !stored_types.iter().any(|it| it == kind) {
            stored_types.push(kind.to_owned());
        }
    }
    Ok(())
}

/// A list of types of events contains a name that is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("has to be types of events, such as LoggedIn or dev.authlog.session.logged-in.v1")]
pub struct UnknownKind;

/// Whether `text` is the kind's [`cloud_event_type`]. Most texts are refused without an allocation.
fn has_cloud_event_type(kind: EventKind, text: &str) -> bool {
    text.starts_with("dev.authlog.")
        && text.contains(kind.public_name())
        && cloud_event_type(kind) == text
}

/// `type` of the CloudEvent: `dev.authlog.user.registered.v1`.
pub fn cloud_event_type(kind: EventKind) -> String {
    let (aggregate, name) = (kind.aggregate().as_str(), kind.public_name());
    format!("dev.authlog.{aggregate}.{name}.v{VERSION}")
}

/// The NATS subject of an event of this kind and of this account or client: `auth.v1.user.<id>.registered`.
pub fn subject(kind: EventKind, concerned: impl std::fmt::Display) -> String {
    let (aggregate, name) = (kind.aggregate().as_str(), kind.public_name());
    format!("auth.v1.{aggregate}.{concerned}.{name}")
}

/// The account or the client that an event concerns: the `subject` of the CloudEvent, and a part of the NATS subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Concerned {
    /// An account.
    Account(UserId),
    /// A client, which belongs to no account.
    Client(ClientId),
}

impl std::fmt::Display for Concerned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Account(user) => user.fmt(f),
            Self::Client(client) => client.fmt(f),
        }
    }
}

/// An event as other services read it.
#[derive(Clone, Debug, PartialEq)]
pub struct PublishedEvent {
    /// The kind of the event.
    pub kind: EventKind,
    /// `id`: `<aggregate>/<aggregate id>/<sequence>`. It is the same each time the event is published, by any node.
    pub id: String,
    /// `subject`: what the event concerns.
    pub subject: Concerned,
    /// `time`: when the event occurred.
    pub time: Timestamp,
    /// `sequence`: the event's number in its stream, from 1.
    pub sequence: u64,
    /// `logindex`: the log index, from 1 without gaps.
    pub log_index: u64,
    /// The data.
    pub data: Data,
}

impl PublishedEvent {
    /// `sequence` as the CloudEvents extension of that name requires: text that sorts like the numbers.
    pub fn padded_sequence(&self) -> String {
        format!("{:020}", self.sequence)
    }

    /// The event in CloudEvents' JSON format (structured mode), from `source`.
    pub fn to_json(&self, source: &str) -> Value {
        serde_json::json!({
            "specversion": "1.0",
            "id": self.id,
            "source": source,
            "type": cloud_event_type(self.kind),
            "subject": self.subject.to_string(),
            "time": self.time,
            "datacontenttype": "application/json",
            "sequence": self.padded_sequence(),
            // As text, because an integer in CloudEvents has 32 bits.
            "logindex": self.log_index.to_string(),
            "data": self.data,
        })
    }
}

/// The published form of an event.
///
/// # Errors
/// The content of the event does not fit its type, or this program does not know the type because a newer one wrote it.
pub fn publish(logged: &LoggedEvent) -> Result<PublishedEvent, Unpublishable> {
    let event = &logged.event;
    let kind = EventKind::from_stored(&event.event_type)
        .ok_or_else(|| Unpublishable::new(logged, "its type is unknown"))?;
    let (time, data) = match kind.aggregate() {
        AggregateKind::User => {
            let event: UserEvent = read(logged)?;
            (event.at(), Data::of_user(event))
        }
        AggregateKind::Session => {
            let session = &event.aggregate_id;
            let contract = event.metadata.get("contract").and_then(Value::as_str);
            let event: SessionEvent = read(logged)?;
            (event.at(), Data::of_session(event, session, contract))
        }
        AggregateKind::RefusedLogins => {
            let contract = event.metadata.get("contract").and_then(Value::as_str);
            let RefusedLoginsEvent::LoginRefused(event) = read(logged)?;
            (event.at, Data::of_refused_login(&event, contract))
        }
        AggregateKind::Client => {
            let event: ClientEvent = read(logged)?;
            (event.at(), Data::of_client(event))
        }
    };
    Ok(PublishedEvent {
        kind,
        id: format!(
            "{}/{}/{}",
            event.aggregate_type, event.aggregate_id, event.sequence
        ),
        subject: concerned(logged, kind)?,
        time,
        sequence: event.sequence,
        log_index: logged.log_index,
        data,
    })
}

fn concerned(logged: &LoggedEvent, kind: EventKind) -> Result<Concerned, Unpublishable> {
    if kind.aggregate() == AggregateKind::Client {
        return ClientId::parse(&logged.event.aggregate_id)
            .map(Concerned::Client)
            .map_err(|_| Unpublishable::new(logged, "its aggregate id is no client's id"));
    }
    logged
        .user
        .map(Concerned::Account)
        .ok_or_else(|| Unpublishable::new(logged, "it names no account"))
}

/// An event cannot be published. Then the events after it must not be published either, because the order would be lost.
#[derive(Debug, thiserror::Error)]
#[error("the event at {log_index} cannot be published")]
pub struct Unpublishable {
    log_index: u64,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl Unpublishable {
    fn new(
        logged: &LoggedEvent,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            log_index: logged.log_index,
            source: source.into(),
        }
    }
}

fn read<E: DeserializeOwned>(logged: &LoggedEvent) -> Result<E, Unpublishable> {
    serde_json::from_value(logged.event.payload.clone())
        .map_err(|source| Unpublishable::new(logged, source))
}
