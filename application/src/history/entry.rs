//! An event as an entry of a history.

use authlog_domain::{AggregateKind, EventKind, Personal, Timestamp};
use serde::Serialize;
use serde_json::Value;

use crate::ports::PastEvent;

/// An event of an account's history: what happened, when, who did it, from where and through what.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// Its place in the log, where a reader can go on; `null` while it has none, which takes milliseconds.
    pub log_index: Option<u64>,
    /// `<aggregate>/<aggregate id>/<sequence>`: the same name as `ce-id` of the published event.
    pub id: String,
    /// The stored type, such as `LoggedIn`.
    #[serde(rename = "type")]
    pub event_type: String,
    /// What happened, in words.
    pub what: String,
    /// When it happened, by the clock of the node that did it.
    pub at: Option<Timestamp>,
    /// When it was recorded, by the store's clock. The log's proof vouches for it.
    pub recorded_at: Timestamp,
    /// Whose session it happened in, if it did in one.
    pub session: Option<String>,
    /// Who did it: `user:<id>`, or `operator` at the command line.
    pub actor: Option<String>,
    /// Through which contract.
    pub contract: Option<String>,
    /// The request, as it is named in the program's own log and in `X-Request-Id`.
    pub request_id: Option<String>,
    /// From which address; `{"erased": true}` after the person's data was erased.
    pub ip: Option<Personal<String>>,
    /// With which program, as it called itself; may be erased likewise.
    pub user_agent: Option<Personal<String>>,
    /// The event's own members less `at`, as they are stored; personal ones may be erased likewise.
    pub data: Value,
}

impl Entry {
    /// The entry that shows `past`. An event of a type that only a newer program knows is shown as well as can be.
    pub fn of(past: PastEvent) -> Self {
        let PastEvent {
            log_index,
            recorded_at,
            event,
        } = past;
        let id = format!(
            "{}/{}/{}",
            event.aggregate_type, event.aggregate_id, event.sequence
        );
        let mut data = match event.payload {
            // As serde writes an enum: the variant's name around its members.
            Value::Object(mut variants) if variants.len() == 1 => variants
                .remove(&event.event_type)
                .unwrap_or(Value::Object(variants)),
            other => other,
        };
        let at = data
            .as_object_mut()
            .and_then(|members| members.remove("at"));
        let metadata = &event.metadata;
        let text = |name: &str| metadata.get(name)?.as_str().map(str::to_owned);
        let personal = |name: &str| match metadata.get(name)? {
            Value::String(known) => Some(Personal::Known(known.clone())),
            Value::Null => None,
            _ => Some(Personal::Erased),
        };
        Self {
            log_index,
            id,
            what: in_words(&event.event_type, &data),
            at: at
                .as_ref()
                .and_then(Value::as_str)
                .and_then(Timestamp::parse),
            recorded_at,
            session: (event.aggregate_type == AggregateKind::Session.as_str())
                .then_some(event.aggregate_id),
            actor: text("actor"),
            contract: text("contract"),
            request_id: text("request_id"),
            ip: personal("ip"),
            user_agent: personal("user_agent"),
            event_type: event.event_type,
            data,
        }
    }
}

/// What happened, in words that fit after "the person".
fn in_words(event_type: &str, data: &Value) -> String {
    let member = |name: &str| match &data[name] {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => "?".to_owned(),
    };
    let Some(kind) = EventKind::from_stored(event_type) else {
        return spaced(event_type);
    };
    let words = match kind {
        EventKind::UserRegistered => return format!("registered with the role {}", member("role")),
        EventKind::PasswordResetRequested => "asked for a new password",
        EventKind::PasswordReset => "set a new password, which ended every session",
        EventKind::PasswordRehashed => "signed in, and the password's hash was renewed",
        EventKind::PasswordChanged => "changed the password, which ended every other session",
        EventKind::SessionsRevoked => {
            let others = if data["kept_session"].is_null() {
                ""
            } else {
                " other"
            };
            let reason = member("reason");
            return format!("had every{others} session ended by the {reason}");
        }
        EventKind::RoleChanged => {
            let role = member("role");
            // The first version ended none.
            let and = if data["session_epoch"].is_number() {
                ", which ended every session"
            } else {
                ""
            };
            return format!("was given the role {role}{and}");
        }
        EventKind::UserLocked => "was locked, which ended every session",
        EventKind::UserUnlocked => "was unlocked",
        EventKind::EmailVerificationRequested if data["email"].is_null() => {
            "was sent a link to confirm the e-mail address"
        }
        EventKind::EmailVerificationRequested => "asked for another e-mail address",
        EventKind::EmailVerified => "confirmed the e-mail address",
        EventKind::EmailChanged => "got another e-mail address",
        EventKind::UserErased => "was erased with all personal data",
        EventKind::LoggedIn => "signed in",
        EventKind::TokenRefreshed => "refreshed a token",
        EventKind::RefreshTokenReused => "used a copied refresh token, which ended the session",
        EventKind::LoggedOut => "signed out",
        EventKind::SessionRevoked => {
            return format!("had the session ended by the {}", member("reason"));
        }
        EventKind::LoginRefused => {
            return format!("was refused: {}", member("reason").replace('-', " "));
        }
    };
    words.to_owned()
}

/// `PasswordForgotten` as `password forgotten`.
fn spaced(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use crate::ports::RecordedEvent;
    use serde_json::json;

    use super::*;

    fn past(event_type: &str, payload: Value, metadata: Value) -> PastEvent {
        PastEvent {
            log_index: Some(7),
            recorded_at: Timestamp::from_unix_millis(1_000),
            event: RecordedEvent {
                aggregate_id: "some-id".to_owned(),
                sequence: 3,
                aggregate_type: "session".to_owned(),
                event_type: event_type.to_owned(),
                event_version: "1".to_owned(),
                payload,
                metadata,
            },
        }
    }

    #[test]
    fn an_entry_says_what_happened_when_from_where_and_through_what() {
        let entry = Entry::of(past(
            "LoggedOut",
            json!({"LoggedOut": {"at": "1970-01-01T00:00:00.500Z"}}),
            json!({"actor": "user:u", "contract": "api", "request_id": "r", "ip": "192.0.2.1",
                   "user_agent": {"erased": true}}),
        ));
        assert_eq!(
            serde_json::to_value(entry).unwrap(),
            json!({
                "log_index": 7, "id": "session/some-id/3", "type": "LoggedOut", "what": "signed out",
                "at": "1970-01-01T00:00:00.500Z", "recorded_at": "1970-01-01T00:00:01.000Z",
                "session": "some-id", "actor": "user:u", "contract": "api", "request_id": "r",
                "ip": "192.0.2.1", "user_agent": {"erased": true}, "data": {},
            })
        );
    }

    #[test]
    fn an_event_of_a_later_program_is_shown_as_well_as_can_be() {
        let entry = Entry::of(past(
            "PasswordForgotten",
            json!({"odd": 1, "b": 2}),
            json!({}),
        ));
        assert_eq!(entry.what, "password forgotten");
        assert_eq!((entry.at, entry.ip), (None, None));
        assert_eq!(entry.data, json!({"odd": 1, "b": 2}));
    }
}
