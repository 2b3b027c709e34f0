//! What other services read: its schemas are checked in, nothing in it is personal, and no change breaks a reader.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};

use authlog_application::ports::LoggedEvent;
use authlog_application::published::{KINDS, async_api, publish, schema, schema_names};
use authlog_domain::{AggregateKind, Timestamp, UserId};
use cqrs_es::persist::SerializedEvent;
use serde_json::{Value, json};

fn folder(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Compares with the file, or writes it where `AUTHLOG_WRITE_SCHEMAS` is set.
fn check_in(path: &Path, document: &Value) {
    let text = format!("{document:#}\n");
    if std::env::var_os("AUTHLOG_WRITE_SCHEMAS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &text).unwrap();
    }
    let checked_in = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(
        checked_in,
        text,
        "{} is not current: run this test with AUTHLOG_WRITE_SCHEMAS=1",
        path.display()
    );
}

/// Every golden event of the domain, with all that is personal still in it, as the publisher never sees it.
fn golden_events() -> Vec<LoggedEvent> {
    let mut events = Vec::new();
    for kind in AggregateKind::ALL {
        let golden = folder("../domain/tests/golden").join(kind.as_str());
        for entry in std::fs::read_dir(golden).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let (event_type, version) = name.split_once(".v").unwrap();
            let text = std::fs::read_to_string(&path).unwrap();
            let event = SerializedEvent::new(
                "019c0000-0000-7000-8000-000000000001".to_owned(),
                3,
                kind.as_str().to_owned(),
                event_type.to_owned(),
                version.to_owned(),
                serde_json::from_str(&text).unwrap(),
                json!({
                    "user_id": "019c0000-0000-7000-8000-000000000002",
                    "contract": "api-auth",
                    "ip": "192.0.2.77",
                    "user_agent": "planted-agent",
                }),
            );
            events.push(LoggedEvent {
                log_index: 41,
                recorded_at: Timestamp::from_unix_millis(0),
                user: UserId::parse("019c0000-0000-7000-8000-000000000002").unwrap(),
                event,
            });
        }
    }
    events
}

#[test]
fn the_schemas_and_the_async_api_document_are_checked_in() {
    for (name, kind) in schema_names() {
        check_in(&folder("../docs/schemas").join(name), &schema(kind));
    }
    check_in(&folder("../docs/asyncapi.json"), &async_api());
}

#[test]
fn no_change_breaks_a_reader_of_what_was_published() {
    let mut compared = 0;
    for entry in std::fs::read_dir(folder("tests/published_v1")).unwrap() {
        let path = entry.unwrap().path();
        let published: Value =
            serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let (_, kind) = schema_names()
            .find(|(current, _)| *current == name)
            .unwrap_or_else(|| unreachable!("{name} was published and is gone"));
        let current = schema(kind);
        for (member, form) in published["properties"].as_object().unwrap() {
            let now = &current["properties"][member];
            for part in ["type", "format"] {
                assert_eq!(now[part], form[part], "{name}: {part} of {member} changed");
            }
        }
        let required = |schema: &Value| -> Vec<Value> {
            schema["required"].as_array().cloned().unwrap_or_default()
        };
        for member in required(&published) {
            assert!(
                required(&current).contains(&member),
                "{name}: {member} was always there"
            );
        }
        compared += 1;
    }
    assert_eq!(compared, KINDS.len());
}

#[test]
fn every_stored_event_is_published_under_its_name_and_place() {
    let events = golden_events();
    assert!(events.len() >= KINDS.len());
    for event in &events {
        let published = publish(event).unwrap();
        let kind = published.kind;
        assert_eq!(kind.stored_type, event.event.event_type);
        assert_eq!(
            published.id,
            format!("{}/{}/3", kind.aggregate.as_str(), event.event.aggregate_id)
        );
        assert_eq!(published.padded_sequence(), "00000000000000000003");
        assert_eq!(
            kind.subject(published.user),
            format!(
                "auth.v1.{}.{}.{}",
                kind.aggregate.as_str(),
                published.user,
                kind.name
            )
        );
    }
}

#[test]
fn nothing_personal_and_no_secret_is_published() {
    for event in golden_events() {
        let text = publish(&event).unwrap().to_json("/").to_string();
        for planted in [
            "Solih",
            "solih",
            "gmail",
            "+62",
            "192.0.2.77",
            "planted-agent",
            "credential",
            "reset\"",
        ] {
            assert!(!text.contains(planted), "{planted} is in {text}");
        }
    }
}

#[test]
fn an_event_of_an_unknown_type_is_not_passed_over() {
    let mut event = golden_events().remove(0);
    event.event.event_type = "FromTheFuture".to_owned();
    assert!(publish(&event).is_err());
}
