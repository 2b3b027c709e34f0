//! An event as a NATS message: a CloudEvent in binary mode of the NATS protocol binding.

use async_nats::HeaderMap;
use async_nats::jetstream::message::{PublishMessage, StreamMessage};
use authlog_application::published::{self, PublishedEvent, cloud_event_type};
use serde_json::Value;
use time::format_description::well_known::Rfc3339;

use super::config::STREAM;

/// The header with the id of the event. By it a publisher recognises which events the stream already holds.
const ID: &str = "ce-id";

/// The header with the time of the event.
const TIME: &str = "ce-time";

/// The header with the log index.
const LOG_INDEX: &str = "ce-logindex";

/// The media type of the data.
const JSON: &str = "application/json";

/// The maximum number of characters of foreign text in a message to an operator.
const LONGEST_TEXT: usize = 100;

/// The message for `event`. The server stores it only directly after the message with sequence `after`, and only if it has
/// not stored a message with this `message_id` within its window for duplicates.
pub(super) fn message(
    event: &PublishedEvent,
    source: &str,
    after: u64,
    message_id: &str,
) -> Result<PublishMessage, serde_json::Error> {
    let mut headers = HeaderMap::new();
    headers.insert("ce-specversion", "1.0");
    headers.insert("ce-source", source);
    for (name, value) in attributes(event) {
        headers.insert(name, value.as_str());
    }
    // The binding has it as an attribute. Consumers without CloudEvents support look for the plain header.
    headers.insert("ce-datacontenttype", JSON);
    headers.insert("content-type", JSON);
    let data = serde_json::to_vec(&event.data)?;
    Ok(PublishMessage::build()
        .payload(data.into())
        .headers(headers)
        .message_id(message_id)
        .expected_stream(STREAM)
        .expected_last_sequence(after))
}

/// The headers that are the same in every version of this program.
fn attributes(event: &PublishedEvent) -> [(&'static str, String); 6] {
    [
        (ID, event.id.clone()),
        ("ce-type", cloud_event_type(event.kind)),
        ("ce-subject", event.subject.to_string()),
        (TIME, event.time.to_string()),
        ("ce-sequence", event.padded_sequence()),
        (LOG_INDEX, event.log_index.to_string()),
    ]
}

/// The event that a message names in its headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EventClaim {
    /// The id of the event.
    pub(super) id: String,
    /// The time of the event.
    pub(super) time: String,
    /// The log index.
    pub(super) log_index: u64,
}

impl EventClaim {
    /// The named event; `None` if the headers name none.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let header = |name: &str| headers.get(name).map(|value| shortened(value.as_str()));
        Some(Self {
            id: header(ID)?,
            time: header(TIME)?,
            log_index: header(LOG_INDEX)?.parse().ok()?,
        })
    }
}

/// Whether the message carries `event`. Versions of this program differ in optional members of the data, so only members
/// that both have are compared.
pub(super) fn carries(message: &StreamMessage, event: &PublishedEvent) -> bool {
    let header = |name: &str| message.headers.get(name).map(|value| value.as_str());
    let headers_agree = attributes(event)
        .iter()
        .all(|(name, value)| header(name) == Some(value));
    headers_agree
        && message.subject.as_str() == published::subject(event.kind, &event.subject)
        && data_agrees(&message.payload, event)
}

fn data_agrees(payload: &[u8], event: &PublishedEvent) -> bool {
    let stored = serde_json::from_slice(payload);
    let (Ok(Value::Object(stored)), Ok(Value::Object(ours))) =
        (stored, serde_json::to_value(&event.data))
    else {
        return false;
    };
    let agrees = stored
        .iter()
        .all(|(name, value)| ours.get(name).is_none_or(|known| known == value));
    agrees && (!stored.is_empty() || ours.is_empty())
}

/// A description of a foreign message for an operator.
pub(super) fn described(message: &StreamMessage) -> String {
    let stored_at = message.time.format(&Rfc3339).unwrap_or_default();
    format!(
        "subject {}, {} bytes, stored {stored_at}",
        shortened(&message.subject),
        message.payload.len()
    )
}

/// Foreign text, shortened and without control characters.
fn shortened(text: &str) -> String {
    let shown = text.chars().take(LONGEST_TEXT);
    shown.filter(|character| !character.is_control()).collect()
}
