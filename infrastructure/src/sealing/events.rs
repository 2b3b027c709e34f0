//! Sealing the personal fields of an event on its way in, and opening them on the way out.
//!
//! In a payload a sealed field reads `{"sealed":"…"}`; in metadata, whose members are strings, `sealed:…`. The place that
//! the ciphertext is bound to names the event and the field, so that it opens nowhere else.

use authlog_application::RequestContext;
use authlog_application::ports::Entropy;
use authlog_application::ports::RecordedEvent;
use authlog_domain::{AggregateKind, EventKind};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::{Value, json};

use super::{SubjectKey, Unopenable};

/// An event as it is stored. The log's proof covers these texts, so they are never rewritten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedEvent {
    /// The aggregate's kind.
    pub kind: AggregateKind,
    /// The aggregate's id.
    pub aggregate_id: String,
    /// The event's number in its stream, from 1.
    pub sequence: i64,
    /// The event's type.
    pub event_type: String,
    /// The version of that type.
    pub event_version: String,
    /// JSON, without white space, members in order of their names.
    pub payload: String,
    /// An object of strings, as JSON of the same form.
    pub metadata: String,
    /// Whether it ends sessions, as the catalogue says. It is stored for the index that revocations are read from, and
    /// is no part of the log's proof (`docs/adr/0023`).
    pub ends_sessions: bool,
}

/// Returns the event with its personal fields sealed under `key`. Without a key, which means that the account was
/// erased, these fields are stored as erased.
///
/// # Errors
/// The encryption fails, or the sequence number does not fit in an `i64`.
pub fn seal(
    kind: AggregateKind,
    event: &RecordedEvent,
    key: Option<&SubjectKey>,
    entropy: &dyn Entropy,
) -> Result<SealedEvent, Unopenable> {
    let sealer = key.map(SubjectKey::sealer).transpose()?;
    let seal_text = |pointer: &str, plain: &str| -> Result<Option<String>, Unopenable> {
        let Some(sealer) = &sealer else {
            return Ok(None);
        };
        let sealed = sealer.seal(&place(event, pointer), plain.as_bytes(), entropy)?;
        Ok(Some(STANDARD_NO_PAD.encode(sealed)))
    };
    let mut payload = event.payload.clone();
    for pointer in kind.personal_fields(&event.event_type) {
        let Some(member) = payload.pointer_mut(pointer) else {
            continue;
        };
        if member.is_null() {
            continue;
        }
        *member = match seal_text(pointer, &member.to_string())? {
            Some(sealed) => json!({ "sealed": sealed }),
            None => erased(),
        };
    }
    let mut metadata = event.metadata.clone();
    for name in RequestContext::PERSONAL_METADATA {
        let Some(Value::String(plain)) = metadata.get(name) else {
            continue;
        };
        let sealed = seal_text(name, plain)?;
        metadata[name] = Value::String(match sealed {
            Some(sealed) => format!("sealed:{sealed}"),
            None => "erased".to_owned(),
        });
    }
    Ok(SealedEvent {
        kind,
        aggregate_id: event.aggregate_id.clone(),
        sequence: i64::try_from(event.sequence).map_err(|_| Unopenable)?,
        event_type: event.event_type.clone(),
        event_version: event.event_version.clone(),
        payload: payload.to_string(),
        metadata: metadata.to_string(),
        ends_sessions: EventKind::from_stored(&event.event_type)
            .is_some_and(EventKind::ends_sessions),
    })
}

/// Opens the personal fields of a stored event's payload; without a key they read as erased.
///
/// # Errors
/// A field was sealed under another key or for another place, or was changed.
pub fn open_payload(
    kind: AggregateKind,
    event: &mut RecordedEvent,
    key: Option<&SubjectKey>,
) -> Result<(), Unopenable> {
    let sealer = key.map(SubjectKey::sealer).transpose()?;
    for pointer in kind.personal_fields(&event.event_type) {
        let place = place(event, pointer);
        let Some(member) = event.payload.pointer_mut(pointer) else {
            continue;
        };
        let Some(sealed) = member.get("sealed").and_then(Value::as_str) else {
            continue;
        };
        *member = match &sealer {
            None => erased(),
            Some(sealer) => {
                let sealed = STANDARD_NO_PAD.decode(sealed).map_err(|_| Unopenable)?;
                let plain = sealer.open(&place, &sealed)?;
                serde_json::from_slice(&plain).map_err(|_| Unopenable)?
            }
        };
    }
    Ok(())
}

/// Opens the personal members of a stored event's metadata. Without a key they become `{"erased": true}`: an object, so
/// that no text of a client can be mistaken for it.
///
/// # Errors
/// A member was sealed under another key or for another place, or was changed.
pub fn open_metadata(
    event: &mut RecordedEvent,
    key: Option<&SubjectKey>,
) -> Result<(), Unopenable> {
    let sealer = key.map(SubjectKey::sealer).transpose()?;
    for name in RequestContext::PERSONAL_METADATA {
        let Some(stored) = event.metadata.get(name).and_then(Value::as_str) else {
            continue;
        };
        let opened = match (stored.strip_prefix("sealed:"), &sealer) {
            (Some(sealed), Some(sealer)) => {
                let sealed = STANDARD_NO_PAD.decode(sealed).map_err(|_| Unopenable)?;
                let plain = sealer.open(&place(event, name), &sealed)?;
                let plain = std::str::from_utf8(&plain).map_err(|_| Unopenable)?;
                Value::String(plain.to_owned())
            }
            // A field that is not sealed was erased before the event was stored.
            _ => erased(),
        };
        event.metadata[name] = opened;
    }
    Ok(())
}

/// The value of a personal field that can no longer be decrypted; see `authlog_domain::Personal`.
fn erased() -> Value {
    json!({ "erased": true })
}

fn place(event: &RecordedEvent, pointer: &str) -> String {
    format!(
        "{}/{}/{}#{pointer}",
        event.aggregate_type, event.aggregate_id, event.sequence
    )
}
