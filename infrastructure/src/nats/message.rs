//! An event as a message: a CloudEvent in the binary mode of the NATS protocol binding.

use async_nats::HeaderMap;
use async_nats::jetstream::message::PublishMessage;
use authlog_application::published::{PublishedEvent, cloud_event_type};

use super::stream::STREAM;

/// The header that names the event, by which a publisher recognises what the stream already holds.
pub(super) const ID: &str = "ce-id";

/// The header that says when it happened.
pub(super) const TIME: &str = "ce-time";

/// The media type of the data.
const JSON: &str = "application/json";

/// The message that carries `event`, to be stored right after the event before it or not at all.
pub(super) fn message(
    event: &PublishedEvent,
    source: &str,
) -> Result<PublishMessage, serde_json::Error> {
    let mut headers = HeaderMap::new();
    headers.insert("ce-specversion", "1.0");
    headers.insert(ID, event.id.as_str());
    headers.insert("ce-source", source);
    headers.insert("ce-type", cloud_event_type(event.kind).as_str());
    headers.insert("ce-subject", event.user.to_string().as_str());
    headers.insert(TIME, event.time.to_string().as_str());
    headers.insert("ce-sequence", event.padded_sequence().as_str());
    headers.insert("ce-logindex", event.log_index.to_string().as_str());
    // The binding has it as an attribute like any other; what reads plain messages looks for the header.
    headers.insert("ce-datacontenttype", JSON);
    headers.insert("content-type", JSON);
    let data = serde_json::to_vec(&event.data)?;
    Ok(PublishMessage::build()
        .payload(data.into())
        .headers(headers)
        .message_id(&event.id)
        .expected_stream(STREAM)
        .expected_last_sequence(event.log_index - 1))
}
