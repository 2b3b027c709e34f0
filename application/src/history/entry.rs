//! The entries of an account's history, as auditors read them.

use authlog_domain::{
    AggregateKind, AuthenticationLevel, AuthenticationMethod, EventKind, Personal, Timestamp,
};
use serde::Serialize;
use serde_json::Value;

use super::level::known_level;
use crate::ports::PastEvent;

/// One event of an account's history, with its time, actor, contract and origin.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entry {
    /// The log index, from which a reader can continue; `null` until the event has one, which takes milliseconds.
    pub log_index: Option<u64>,
    /// The id of the event, `<aggregate>/<aggregate id>/<sequence>`. It equals `ce-id` of the published event.
    pub id: String,
    /// The stored type, such as `LoggedIn`.
    #[serde(rename = "type")]
    pub event_type: String,
    /// What happened, in words that continue the sentence "The person …".
    pub what: String,
    /// When the event occurred, by the clock of the node that recorded it; `null` if the event has no such member.
    pub at: Option<Timestamp>,
    /// When the event was recorded, by the store's clock. The proofs of the log cover this time.
    pub recorded_at: Timestamp,
    /// The id of the session, for an event of a session.
    pub session: Option<String>,
    /// Who caused the event: `user:<id>`, or `operator` for the command line.
    pub actor: Option<String>,
    /// The level at which the actor was authenticated, as in the claim `acr`; `null` if it is not known.
    pub acr: Option<AuthenticationLevel>,
    /// The id of the session of the actor, for an event that was caused with an access token. For the session of a device, it is that in
    /// which the person approved the device.
    pub actor_session: Option<String>,
    /// The contract of the request.
    pub contract: Option<String>,
    /// The id of the request, as in the program's log and in `X-Request-Id`.
    pub request_id: Option<String>,
    /// The client address; `{"erased": true}` after the account was erased.
    pub ip: Option<Personal<String>>,
    /// The user agent that the client sent; erased like `ip`.
    pub user_agent: Option<Personal<String>>,
    /// The stored members of the event except `at`. Personal ones are erased like `ip`.
    pub data: Value,
}

impl Entry {
    /// The entry for `past`. For an event whose type this program does not know, `what` is the name of the type in words.
    pub fn of(past: PastEvent) -> Self {
        let PastEvent {
            log_index,
            recorded_at,
            event,
        } = past;
        let acr = known_level(&event);
        let id = format!(
            "{}/{}/{}",
            event.aggregate_type, event.aggregate_id, event.sequence
        );
        let mut data = match event.payload {
            // Serde writes an enum as an object with one member, which has the name of the variant.
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
            acr,
            actor_session: text("session"),
            contract: text("contract"),
            request_id: text("request_id"),
            ip: personal("ip"),
            user_agent: personal("user_agent"),
            event_type: event.event_type,
            data,
        }
    }
}

/// A member of an event in words.
fn text_of(member: &Value) -> String {
    match member {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => "?".to_owned(),
    }
}

/// What happened, in words that continue the sentence "The person …", or "The client …".
fn in_words(event_type: &str, data: &Value) -> String {
    let member = |name: &str| text_of(&data[name]);
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
            // Version 1 of the event ended no session.
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
        EventKind::TotpEnrolled => "enrolled an authenticator app",
        EventKind::PasskeyEnrolled => "enrolled a passkey",
        EventKind::PasskeyCounterWentBack => "used a passkey of which there may be a copy",
        EventKind::FactorRemoved => {
            return format!("had a second factor removed by the {}", member("reason"));
        }
        EventKind::RecoveryCodesIssued => "made new recovery codes",
        EventKind::RecoveryCodeUsed => {
            return format!("used a recovery code, of which {} are left", member("left"));
        }
        EventKind::FactorRenamed if data["label"].is_null() => {
            "removed the name of a second factor"
        }
        EventKind::FactorRenamed => "named a second factor",
        EventKind::PasswordFoundBreached => {
            "signed in with a password that is on the list of breached ones"
        }
        EventKind::ConsentGiven => {
            let (client, scopes) = (member("client"), member("scopes"));
            return format!("consented that the application {client} has the scopes {scopes}");
        }
        EventKind::ConsentWithdrawn => {
            return format!(
                "withdrew the consent to the application {}",
                member("client")
            );
        }
        EventKind::UserErased => "was erased with all personal data",
        EventKind::LoggedIn
        | EventKind::TokenRefreshed
        | EventKind::SteppedUp
        | EventKind::RefreshTokenReused
        | EventKind::AuthorizationCodeReused
        | EventKind::LoggedOut
        | EventKind::SessionRevoked => return session_in_words(kind, data),
        EventKind::LoginRefused => {
            return format!("was refused: {}", member("reason").replace('-', " "));
        }
        EventKind::ClientRegistered
        | EventKind::ClientChanged
        | EventKind::ClientSecretIssued
        | EventKind::ClientSecretRetired
        | EventKind::ClientLocked
        | EventKind::ClientUnlocked
        | EventKind::ClientRemoved
        | EventKind::LogoutNotDelivered => return client_in_words(kind, data),
    };
    words.to_owned()
}

/// What happened to a session; see [`in_words`]. Empty for another kind of event.
fn session_in_words(kind: EventKind, data: &Value) -> String {
    let member = |name: &str| text_of(&data[name]);
    let words = match kind {
        EventKind::LoggedIn if data["client"].is_string() => {
            let (client, scopes) = (member("client"), member("scopes"));
            return format!("signed in to the application {client} with the scopes {scopes}");
        }
        EventKind::LoggedIn if is_without_password(data) => "signed in with a passkey",
        EventKind::LoggedIn if data["acr"] == AuthenticationLevel::Aal2.as_str() => {
            "signed in with a second factor"
        }
        EventKind::LoggedIn => "signed in",
        EventKind::TokenRefreshed => "refreshed a token",
        EventKind::SteppedUp if data["acr"] == AuthenticationLevel::Aal2.as_str() => {
            "showed a second factor again"
        }
        EventKind::SteppedUp => "gave the password again",
        EventKind::RefreshTokenReused => "used a copied refresh token, which ended the session",
        EventKind::AuthorizationCodeReused => "had a copied code used, which ended the session",
        EventKind::LoggedOut => "signed out",
        EventKind::SessionRevoked if data["reason"] == "consent-withdrawn" => {
            "ended the session by withdrawing the consent to its application"
        }
        EventKind::SessionRevoked => {
            return format!("had the session ended by the {}", member("reason"));
        }
        _ => "",
    };
    words.to_owned()
}

/// What happened to a client; see [`in_words`]. Empty for another kind of event.
fn client_in_words(kind: EventKind, data: &Value) -> String {
    let member = |name: &str| text_of(&data[name]);
    let words = match kind {
        EventKind::ClientRegistered => {
            return format!("was registered as {}", text_of(&data["settings"]["name"]));
        }
        EventKind::ClientChanged => "got other settings",
        EventKind::ClientSecretIssued => {
            return format!("was given the secret {}", member("secret_id"));
        }
        EventKind::ClientSecretRetired => {
            return format!("lost the secret {}", member("secret_id"));
        }
        EventKind::ClientLocked => "was locked",
        EventKind::ClientUnlocked => "was unlocked",
        EventKind::ClientRemoved => "was removed for good",
        EventKind::LogoutNotDelivered => {
            return format!(
                "did not take the logout token of the session {} for a day",
                member("session")
            );
        }
        _ => "",
    };
    words.to_owned()
}

/// Whether the methods of a login are known, and the password is none of them.
fn is_without_password(login: &Value) -> bool {
    let password = AuthenticationMethod::Pwd.as_str();
    let methods = login["amr"].as_array();
    methods.is_some_and(|methods| methods.iter().all(|method| method != password))
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
    fn an_entry_has_the_time_the_actor_and_the_origin_of_its_event() {
        let entry = Entry::of(past(
            "LoggedOut",
            json!({"LoggedOut": {"at": "1970-01-01T00:00:00.500Z"}}),
            json!({"actor": "user:u", "acr": "urn:authlog:aal2", "session": "another-id", "contract": "api",
                   "request_id": "r", "ip": "192.0.2.1", "user_agent": {"erased": true}}),
        ));
        assert_eq!(
            serde_json::to_value(entry).unwrap(),
            json!({
                "log_index": 7, "id": "session/some-id/3", "type": "LoggedOut", "what": "signed out",
                "at": "1970-01-01T00:00:00.500Z", "recorded_at": "1970-01-01T00:00:01.000Z",
                "session": "some-id", "actor": "user:u", "acr": "urn:authlog:aal2",
                "actor_session": "another-id", "contract": "api", "request_id": "r",
                "ip": "192.0.2.1", "user_agent": {"erased": true}, "data": {},
            })
        );
    }

    #[test]
    fn an_event_of_an_unknown_type_is_described_by_the_name_of_its_type() {
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
