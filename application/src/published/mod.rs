//! The events as other services read them: CloudEvents without personal data or secrets.
//!
//! What is stored and what is published are two things: a stored event may change its shape from version to version, a
//! published one only ever gains optional members. `schemas` has the JSON Schema of each, made from the types here.

mod data;
mod schemas;

use authlog_domain::refused_logins::RefusedLoginsEvent;
use authlog_domain::session::SessionEvent;
use authlog_domain::user::UserEvent;
use authlog_domain::{AggregateKind, EventKind, Timestamp, UserId};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::ports::LoggedEvent;
pub use data::Data;
pub use schemas::{ANY_EVENT, ENVELOPE, any_event, async_api, envelope, schema, schema_names};

/// The version of every kind's data. It changes only when a reader of the one before would break.
const VERSION: u32 = 1;

/// The kind that readers call so: by its CloudEvents type or its stored type.
pub fn parse_kind(name: &str) -> Option<EventKind> {
    EventKind::ALL
        .into_iter()
        .find(|&kind| kind.stored_type() == name || has_cloud_event_type(kind, name))
}

/// Adds the stored types of the kinds in a list, by either of their names and with commas between them, to those that
/// are wanted: each once, so that however many are named the store is asked for no more types than there are.
///
/// # Errors
/// One of them is no kind.
pub fn add_listed_kinds(list: &str, stored_types: &mut Vec<String>) -> Result<(), NoKind> {
    for name in list.split(',') {
        let kind = parse_kind(name.trim()).ok_or(NoKind)?.stored_type();
        if !stored_types.iter().any(|it| it == kind) {
            stored_types.push(kind.to_owned());
        }
    }
    Ok(())
}

/// A list of types of events names something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("has to be types of events, such as LoggedIn or dev.authlog.session.logged-in.v1")]
pub struct NoKind;

/// Whether `text` is the kind's [`cloud_event_type`]; a text that is not costs no memory.
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

/// The NATS subject of such an event of that account: `auth.v1.user.<id>.registered`.
pub fn subject(kind: EventKind, user: impl std::fmt::Display) -> String {
    let (aggregate, name) = (kind.aggregate().as_str(), kind.public_name());
    format!("auth.v1.{aggregate}.{user}.{name}")
}

/// An event as other services read it.
#[derive(Clone, Debug, PartialEq)]
pub struct PublishedEvent {
    /// What kind it is.
    pub kind: EventKind,
    /// `id`: `<aggregate>/<aggregate id>/<sequence>`, the same whenever and from wherever it is published.
    pub id: String,
    /// `subject`: the account to which it happened.
    pub user: UserId,
    /// `time`: when it happened.
    pub time: Timestamp,
    /// `sequence`: its number in its aggregate, from 1.
    pub sequence: u64,
    /// `logindex`: its number in the whole log, from 1, without gaps.
    pub log_index: u64,
    /// The data.
    pub data: Data,
}

impl PublishedEvent {
    /// `sequence` as the CloudEvents extension wants it: text that sorts as the numbers do.
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
            "subject": self.user.to_string(),
            "time": self.time,
            "datacontenttype": "application/json",
            "sequence": self.padded_sequence(),
            // An integer of CloudEvents has 32 bits.
            "logindex": self.log_index.to_string(),
            "data": self.data,
        })
    }
}

/// What other services read of an event.
///
/// # Errors
/// The event is not what its type says, or of a type that this program does not know: a newer program wrote it.
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
    };
    Ok(PublishedEvent {
        kind,
        id: format!(
            "{}/{}/{}",
            event.aggregate_type, event.aggregate_id, event.sequence
        ),
        user: logged.user,
        time,
        sequence: event.sequence,
        log_index: logged.log_index,
        data,
    })
}

/// An event that cannot be published: nothing after it may be either.
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
