//! The level at which the person who caused an event was authenticated.

use authlog_domain::{AuthenticationLevel, EventKind};
use authlog_projections::RecordedEvent;
use serde_json::Value;

/// The level of the actor. `None` if it is not known: the actor needed no authentication, is the operator, or an earlier
/// version recorded the event. A login is of the level that it reached.
pub fn known_level(event: &RecordedEvent) -> Option<AuthenticationLevel> {
    let recorded = event.metadata.get("acr").and_then(Value::as_str);
    if let Some(level) = recorded {
        return AuthenticationLevel::parse(level);
    }
    if event.event_type != EventKind::LoggedIn.stored_type() {
        return None;
    }
    // A login by password alone records no level, as before there were levels.
    let login = event.payload.get(event.event_type.as_str())?;
    match login.get("acr") {
        None => Some(AuthenticationLevel::Aal1),
        Some(level) => AuthenticationLevel::parse(level.as_str()?),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_level_is_the_recorded_one_or_that_of_a_login_and_otherwise_unknown() {
        let aal2 = json!("urn:authlog:aal2");
        for (event_type, payload, metadata, expected) in [
            (
                "UserLocked",
                json!({}),
                json!({"acr": aal2}),
                Some(AuthenticationLevel::Aal2),
            ),
            ("UserLocked", json!({}), json!({}), None),
            (
                "LoggedIn",
                json!({"LoggedIn": {}}),
                json!({}),
                Some(AuthenticationLevel::Aal1),
            ),
            (
                "LoggedIn",
                json!({"LoggedIn": {"acr": aal2}}),
                json!({}),
                Some(AuthenticationLevel::Aal2),
            ),
            ("LoggedIn", json!({"unreadable": true}), json!({}), None),
            (
                "UserLocked",
                json!({}),
                json!({"acr": "urn:authlog:aal9"}),
                None,
            ),
        ] {
            let event = RecordedEvent {
                aggregate_id: String::new(),
                sequence: 1,
                aggregate_type: "user".to_owned(),
                event_type: event_type.to_owned(),
                event_version: "1".to_owned(),
                payload,
                metadata,
            };
            assert_eq!(known_level(&event), expected, "{event:?}");
        }
    }
}
