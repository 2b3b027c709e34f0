//! The machine-readable documentation of published events: a JSON Schema of each kind, and one AsyncAPI document.

use authlog_domain::{AggregateKind, EventKind};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use super::client_data::{ClientSecret, ClientSettings, UndeliveredLogout};
use super::data::{
    ConsentGiven, ConsentWithdrawn, EmailVerificationRequested, Erased, FactorRemoved,
    FactorRenamed, Locked, LoggedIn, Nothing, PasskeyCounterWentBack, PasskeyEnrolled,
    PasswordChanged, PasswordRehashed, PasswordReset, PasswordResetRequested, RecoveryCodes,
    RefusedLogin, Registered, RoleChanged, SessionEnded, SessionRevoked, SessionsRevoked,
    SteppedUp, TokenRefreshed, TotpEnrolled,
};
use super::{HEARTBEAT_SUBJECT, cloud_event_type, subject};

/// The file name of [`envelope`].
pub const ENVELOPE: &str = "cloudevent.json";

/// The file name of [`any_event`].
pub const ANY_EVENT: &str = "event.json";

/// The prefix of the `$id` of every schema. These URLs only identify the schemas; a reader never has to fetch them.
const IDS: &str = "https://authlog.dev/schemas/";

/// The dialect of every schema.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The file name of each kind's schema, which is its CloudEvents type with `.json`, and the kind.
pub fn schema_names() -> impl Iterator<Item = (String, EventKind)> {
    EventKind::ALL
        .into_iter()
        .map(|kind| (format!("{}.json", cloud_event_type(kind)), kind))
}

/// The JSON Schema (2020-12) of the data of events of this kind.
pub fn schema(kind: EventKind) -> Value {
    let mut schema = match kind {
        EventKind::UserRegistered => schema_of::<Registered>(),
        EventKind::PasswordResetRequested => schema_of::<PasswordResetRequested>(),
        EventKind::PasswordReset => schema_of::<PasswordReset>(),
        EventKind::PasswordRehashed => schema_of::<PasswordRehashed>(),
        EventKind::PasswordChanged => schema_of::<PasswordChanged>(),
        EventKind::SessionsRevoked => schema_of::<SessionsRevoked>(),
        EventKind::RoleChanged => schema_of::<RoleChanged>(),
        EventKind::UserLocked => schema_of::<Locked>(),
        EventKind::EmailVerificationRequested => schema_of::<EmailVerificationRequested>(),
        EventKind::UserUnlocked
        | EventKind::EmailVerified
        | EventKind::EmailChanged
        | EventKind::PasswordFoundBreached
        | EventKind::ClientLocked
        | EventKind::ClientUnlocked
        | EventKind::ClientRemoved => schema_of::<Nothing>(),
        EventKind::ClientRegistered | EventKind::ClientChanged => schema_of::<ClientSettings>(),
        EventKind::ClientSecretIssued | EventKind::ClientSecretRetired => {
            schema_of::<ClientSecret>()
        }
        EventKind::LogoutNotDelivered => schema_of::<UndeliveredLogout>(),
        EventKind::FactorRenamed => schema_of::<FactorRenamed>(),
        EventKind::SessionRevoked => schema_of::<SessionRevoked>(),
        EventKind::SteppedUp => schema_of::<SteppedUp>(),
        EventKind::TotpEnrolled => schema_of::<TotpEnrolled>(),
        EventKind::PasskeyEnrolled => schema_of::<PasskeyEnrolled>(),
        EventKind::PasskeyCounterWentBack => schema_of::<PasskeyCounterWentBack>(),
        EventKind::FactorRemoved => schema_of::<FactorRemoved>(),
        EventKind::RecoveryCodesIssued | EventKind::RecoveryCodeUsed => {
            schema_of::<RecoveryCodes>()
        }
        EventKind::ConsentGiven => schema_of::<ConsentGiven>(),
        EventKind::ConsentWithdrawn => schema_of::<ConsentWithdrawn>(),
        EventKind::UserErased => schema_of::<Erased>(),
        EventKind::LoggedIn => schema_of::<LoggedIn>(),
        EventKind::TokenRefreshed => schema_of::<TokenRefreshed>(),
        EventKind::RefreshTokenReused
        | EventKind::AuthorizationCodeReused
        | EventKind::LoggedOut => schema_of::<SessionEnded>(),
        EventKind::LoginRefused => schema_of::<RefusedLogin>(),
    };
    // Schemars omits these for a type without members.
    let members = schema.ensure_object();
    members.entry("properties").or_insert_with(|| json!({}));
    members.entry("required").or_insert_with(|| json!([]));
    let properties = members.get_mut("properties").and_then(Value::as_object_mut);
    for member in properties.into_iter().flat_map(Map::values_mut) {
        make_strict(member);
    }
    let id = format!("{IDS}{}.json", cloud_event_type(kind));
    schema.insert("$id".to_owned(), id.into());
    schema.insert("title".to_owned(), cloud_event_type(kind).into());
    schema.insert("description".to_owned(), kind.summary().into());
    schema.to_value()
}

fn schema_of<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<T>()
}

/// Rewrites the schema of a member for strict validators: schemars uses number formats of OpenAPI, and lists of types, where
/// strict validators require bounds and `anyOf`.
fn make_strict(member: &mut Value) {
    let Some(member) = member.as_object_mut() else {
        return;
    };
    match member.get("format").and_then(Value::as_str) {
        Some("uint32") => {
            member.remove("format");
            member.insert("maximum".to_owned(), u32::MAX.into());
        }
        Some("int64") => drop(member.remove("format")),
        _ => {}
    }
    let Some(Value::Array(types)) = member.get("type").cloned() else {
        return;
    };
    let of_type = |kind: Value| {
        let words: &[&str] = match kind.as_str() {
            Some("string") => &["format", "pattern"],
            Some("integer") => &["minimum", "maximum"],
            Some("array") => &["items"],
            _ => &[],
        };
        let words = words
            .iter()
            .filter_map(|word| Some(((*word).to_owned(), member.get(*word)?.clone())));
        let alternative: Map<_, _> = words.chain([("type".to_owned(), kind)]).collect();
        Value::Object(alternative)
    };
    let alternatives: Vec<Value> = types.into_iter().map(of_type).collect();
    for word in ["type", "format", "pattern", "minimum", "maximum", "items"] {
        member.remove(word);
    }
    member.insert("anyOf".to_owned(), alternatives.into());
}

/// The JSON Schema (2020-12) of an event of any kind in CloudEvents' JSON format, as the HTTP feed writes it. It does not
/// describe `data`, which has a schema of its own for each `type`.
pub fn envelope() -> Value {
    json!({
        "$schema": DIALECT,
        "$id": format!("{IDS}{ENVELOPE}"),
        "title": "An event of Authlog",
        "description": "A CloudEvent 1.0 in the JSON format.",
        "type": "object",
        "required": [
            "specversion", "id", "source", "type", "subject", "time", "datacontenttype", "sequence", "logindex", "data",
        ],
        "properties": {
            "specversion": { "type": "string", "const": "1.0", "description": "The version of CloudEvents" },
            "id": text(ID),
            "source": text(SOURCE),
            "type": text(TYPE),
            "subject": text(SUBJECT),
            "time": { "type": "string", "format": "date-time", "description": TIME },
            "datacontenttype": { "type": "string", "const": JSON, "description": "The media type of `data`" },
            "sequence": { "type": "string", "pattern": "^[0-9]{20}$", "description": SEQUENCE },
            "logindex": { "type": "string", "pattern": "^[1-9][0-9]*$", "description": LOG_INDEX },
            "data": { "type": "object", "description": "What is to be said of such an event" },
        },
    })
}

/// The JSON Schema (2020-12) of an event of any kind that this version knows, with the `data` of each `type`. It refers to no
/// other document, so that code generators create one union type from it.
pub fn any_event() -> Value {
    let reference = |kind: EventKind| json!({ "$ref": format!("#/$defs/{}", kind.stored_type()) });
    let definitions: Map<_, _> = EventKind::ALL
        .into_iter()
        .map(|kind| (kind.stored_type().to_owned(), event_of(kind)))
        .collect();
    json!({
        "$schema": DIALECT,
        "$id": format!("{IDS}{ANY_EVENT}"),
        "title": "AuthlogEvent",
        "description": "A CloudEvent 1.0 of Authlog in the JSON format, of one of the types that this version knows.",
        "oneOf": EventKind::ALL.map(reference).to_vec(),
        "$defs": definitions,
    })
}

/// The schema of a whole event of this kind.
fn event_of(kind: EventKind) -> Value {
    let mut data = embedded(kind);
    data["title"] = format!("{}Data", kind.stored_type()).into();
    let mut event = envelope();
    event["title"] = kind.stored_type().into();
    event["description"] = kind.summary().into();
    event["properties"]["type"]["const"] = cloud_event_type(kind).into();
    event["properties"]["subject"] = match kind.aggregate() {
        AggregateKind::User | AggregateKind::Session | AggregateKind::RefusedLogins => {
            json!({ "type": "string", "format": "uuid", "description": ACCOUNT })
        }
        AggregateKind::Client => {
            json!({ "type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$", "description": CLIENT })
        }
    };
    event["properties"]["data"] = data;
    without_identifier(event)
}

/// The AsyncAPI 3.0 document of the stream.
pub fn async_api() -> Value {
    let mut channels = Map::new();
    let mut operations = Map::new();
    let mut messages = Map::new();
    for kind in EventKind::ALL {
        let name = format!("{}.{}", kind.aggregate().as_str(), kind.public_name());
        messages.insert(
            name.clone(),
            json!({
                "name": cloud_event_type(kind),
                "summary": kind.summary(),
                "contentType": "application/json",
                "headers": { "$ref": "#/components/schemas/headers" },
                "payload": embedded(kind),
            }),
        );
        let (parameter, description) = match kind.aggregate() {
            AggregateKind::User | AggregateKind::Session | AggregateKind::RefusedLogins => {
                ("user_id", "The id of the account, a UUID.")
            }
            AggregateKind::Client => (
                "client_id",
                "The id of the client: up to 64 letters, digits, `-` and `_`.",
            ),
        };
        channels.insert(
            name.clone(),
            json!({
                "address": subject(kind, format_args!("{{{parameter}}}")),
                "summary": kind.summary(),
                "parameters": { parameter: { "description": description } },
                "messages": { "event": { "$ref": format!("#/components/messages/{name}") } },
            }),
        );
        operations.insert(
            name.clone(),
            json!({
                "action": "send",
                "channel": { "$ref": format!("#/channels/{name}") },
                "summary": kind.summary(),
            }),
        );
    }
    add_heartbeat(&mut channels, &mut operations, &mut messages);
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Authlog events",
            "version": "1.0.0",
            "description": "Every event of every account and client, in the order of the log, each once, on the JetStream stream AUTH_EVENTS. The sequence of a message in the stream is the event's log index. Messages are CloudEvents 1.0 in the binary mode of the NATS binding, and hold no personal data. New kinds of event and new optional members may be added to version 1: pass over what you do not know.",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {
            "schemas": { "headers": headers() },
            "messages": messages,
        },
    })
}

/// Adds the heartbeats, which are not part of the stream.
fn add_heartbeat(
    channels: &mut Map<String, Value>,
    operations: &mut Map<String, Value>,
    messages: &mut Map<String, Value>,
) {
    const NAME: &str = "heartbeat";
    const SUMMARY: &str = "How current a reader of the stream is. It is sent every half second to the subject itself, not to the stream.";
    let elapsed = "Every event that was committed up to so many milliseconds after the publisher began has an index of at most `logindex`, and is stored in the stream";
    messages.insert(
        NAME.to_owned(),
        json!({
            "name": NAME,
            "summary": SUMMARY,
            "contentType": JSON,
            "payload": {
                "type": "object",
                "required": ["logindex", "publisher", "elapsed_ms"],
                "properties": {
                    "logindex": { "type": "string", "pattern": "^[0-9]+$", "description": "The log index of the last event on the stream, or 0" },
                    "publisher": { "type": "string", "format": "uuid", "description": "A name for the instant from which `elapsed_ms` counts" },
                    "elapsed_ms": { "type": "integer", "minimum": 0, "description": elapsed },
                },
            },
        }),
    );
    channels.insert(
        NAME.to_owned(),
        json!({
            "address": HEARTBEAT_SUBJECT,
            "summary": SUMMARY,
            "messages": { NAME: { "$ref": format!("#/components/messages/{NAME}") } },
        }),
    );
    operations.insert(
        NAME.to_owned(),
        json!({
            "action": "send",
            "channel": { "$ref": format!("#/channels/{NAME}") },
            "summary": SUMMARY,
        }),
    );
}

/// The schema of the data for use inside another document, without a dialect and an identifier of its own.
fn embedded(kind: EventKind) -> Value {
    without_identifier(schema(kind))
}

fn without_identifier(mut schema: Value) -> Value {
    if let Some(members) = schema.as_object_mut() {
        members.remove("$schema");
        members.remove("$id");
    }
    schema
}

/// The headers of a message: CloudEvents attributes in the NATS protocol binding.
fn headers() -> Value {
    json!({
        "type": "object",
        "required": [
            "ce-specversion", "ce-id", "ce-source", "ce-type", "ce-subject", "ce-time",
            "ce-sequence", "ce-logindex", "ce-datacontenttype", "content-type", "Nats-Msg-Id",
        ],
        "properties": {
            "ce-specversion": { "type": "string", "const": "1.0", "description": "The version of CloudEvents" },
            "ce-id": text(ID),
            "ce-source": text(SOURCE),
            "ce-type": text(TYPE),
            "ce-subject": text(SUBJECT),
            "ce-time": { "type": "string", "format": "date-time", "description": TIME },
            "ce-sequence": { "type": "string", "pattern": "^[0-9]{20}$", "description": SEQUENCE },
            "ce-logindex": { "type": "string", "pattern": "^[1-9][0-9]*$", "description": LOG_INDEX },
            "ce-datacontenttype": { "type": "string", "const": JSON, "description": "The media type of the data" },
            "content-type": { "type": "string", "const": JSON, "description": "The media type of the message" },
            "Nats-Msg-Id": text("The same as ce-id"),
        },
    })
}

const JSON: &str = "application/json";
const ID: &str = "<aggregate>/<aggregate id>/<sequence>: the same however often the event is sent";
const SOURCE: &str = "The service that the event happened in, a URI reference";
const TYPE: &str = "What happened";
const SUBJECT: &str = "The id of the account or of the client to which it happened: that of an account is a UUID, and the type says which of the two it is";
const ACCOUNT: &str = "The id of the account to which it happened";
const CLIENT: &str = "The id of the client to which it happened";
const TIME: &str = "When it happened (RFC 3339)";
const SEQUENCE: &str = "Its number in its aggregate, from 1, padded so that it sorts as text";
const LOG_INDEX: &str = "Its number in the whole log, from 1, without gaps; text because an integer of CloudEvents has 32 bits";

fn text(description: &str) -> Value {
    json!({ "type": "string", "description": description })
}
