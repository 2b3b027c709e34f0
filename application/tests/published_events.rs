//! What other services read: its schemas are checked in, nothing in it is personal, and no change breaks a reader.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod golden;

use std::collections::{BTreeMap, BTreeSet};

use authlog_application::published::{
    ENVELOPE, KINDS, async_api, envelope, publish, schema, schema_names,
};
use golden::{check_in, folder, golden_events};
use serde_json::{Value, json};

/// Everything that a reader relies on, as schemas by their names.
type Formats = BTreeMap<String, Value>;

/// What is published now.
fn current() -> Formats {
    let document = async_api();
    let mut formats: Formats = schema_names()
        .map(|(name, kind)| (name, schema(kind)))
        .collect();
    formats.insert(ENVELOPE.to_owned(), envelope());
    let headers = document["components"]["schemas"]["headers"].clone();
    formats.insert("headers.json".to_owned(), headers);
    // Where each message is found, as if it were a member that may not change.
    let channels = document["channels"].as_object().unwrap();
    let places: serde_json::Map<_, _> = channels
        .values()
        .map(|channel| {
            let message = channel["messages"]["event"]["$ref"].as_str().unwrap();
            let message = document.pointer(message.trim_start_matches('#')).unwrap();
            let name = message["name"].as_str().unwrap().to_owned();
            (name, json!({ "const": channel["address"] }))
        })
        .collect();
    formats.insert("subjects.json".to_owned(), json!({ "properties": places }));
    formats
}

/// What was published as version 1. These files are never edited but to be added to.
fn published() -> Formats {
    let files = std::fs::read_dir(folder("tests/published_v1")).unwrap();
    files
        .map(|file| {
            let path = file.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, serde_json::from_str(&text).unwrap())
        })
        .collect()
}

/// What a reader of the published formats would stumble over in the current ones.
fn broken(published: &Formats, current: &Formats) -> BTreeSet<String> {
    let mut broken = BTreeSet::new();
    for (name, before) in published {
        let Some(now) = current.get(name) else {
            broken.insert(format!("{name} is gone"));
            continue;
        };
        for (member, form) in before["properties"].as_object().into_iter().flatten() {
            if meaning(form) != meaning(&now["properties"][member]) {
                broken.insert(format!("{name}: {member} is another"));
            }
        }
        for member in required(before).difference(&required(now)) {
            broken.insert(format!("{name}: {member} may be missing"));
        }
    }
    broken
}

/// A schema without the words that are for people.
fn meaning(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if let Some(members) = schema.as_object_mut() {
        members.retain(|name, _| !["title", "description", "examples"].contains(&name.as_str()));
    }
    schema
}

fn required(schema: &Value) -> BTreeSet<String> {
    let members = schema["required"].as_array().into_iter().flatten();
    members
        .map(|member| member.as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn the_schemas_and_the_async_api_document_are_checked_in() {
    let schemas = folder("../docs/schemas");
    for (name, kind) in schema_names() {
        check_in(&schemas.join(name), &format!("{:#}\n", schema(kind)));
    }
    check_in(&schemas.join(ENVELOPE), &format!("{:#}\n", envelope()));
    let files = std::fs::read_dir(schemas).unwrap().count();
    assert_eq!(files, KINDS.len() + 1, "a file that nothing keeps current");
    check_in(
        &folder("../docs/asyncapi.json"),
        &format!("{:#}\n", async_api()),
    );
}

/// Adds what is new to what was published, where `AUTHLOG_WRITE_SCHEMAS` is set.
fn add_what_is_new() {
    if std::env::var_os("AUTHLOG_WRITE_SCHEMAS").is_none() {
        return;
    }
    let published = published();
    for (name, format) in current() {
        if !published.contains_key(&name) {
            let file = folder("tests/published_v1").join(name);
            std::fs::write(file, format!("{format:#}\n")).unwrap();
        }
    }
}

#[test]
fn no_change_breaks_a_reader_of_what_was_published() {
    add_what_is_new();
    let (published, current) = (published(), current());
    assert_eq!(broken(&published, &current), BTreeSet::new());
    // What is new is published from now on: run this test with AUTHLOG_WRITE_SCHEMAS=1.
    let names = |formats: &Formats| formats.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(&published), names(&current));
}

#[test]
fn a_change_that_would_break_a_reader_is_found() {
    const REGISTERED: &str = "dev.authlog.user.registered.v1.json";
    type Change = fn(&mut Formats);
    let edit = |change: Change| {
        let mut formats = current();
        change(&mut formats);
        broken(&current(), &formats).into_iter().collect::<Vec<_>>()
    };
    let of_role: [Change; 4] = [
        |formats| {
            let members = properties(formats, REGISTERED);
            let role = members.remove("role").unwrap();
            members.insert("may".to_owned(), role);
        },
        |formats| drop(properties(formats, REGISTERED).remove("role")),
        |formats| properties(formats, REGISTERED)["role"]["type"] = json!("integer"),
        |formats| properties(formats, REGISTERED)["role"]["type"] = json!(["string", "null"]),
    ];
    for change in of_role {
        assert_eq!(edit(change), [format!("{REGISTERED}: role is another")]);
    }
    assert_eq!(
        edit(|formats| formats.get_mut(REGISTERED).unwrap()["required"] = json!(["number"])),
        [format!("{REGISTERED}: role may be missing")]
    );
    assert_eq!(
        edit(|formats| drop(formats.remove(REGISTERED))),
        [format!("{REGISTERED} is gone")]
    );
    assert_eq!(
        edit(|formats| {
            let place = &mut properties(formats, "subjects.json")["dev.authlog.user.registered.v1"];
            place["const"] = json!("auth.v1.user.registered.{user_id}");
        }),
        ["subjects.json: dev.authlog.user.registered.v1 is another"]
    );
    assert_eq!(
        edit(|formats| drop(properties(formats, "headers.json").remove("ce-logindex"))),
        ["headers.json: ce-logindex is another"]
    );
    // These break nobody.
    let harmless: [Change; 3] = [
        |formats| drop(properties(formats, REGISTERED).insert("new".to_owned(), json!({}))),
        |formats| properties(formats, REGISTERED)["role"]["description"] = json!("in other words"),
        |formats| drop(formats.insert("new.json".to_owned(), json!({ "properties": {} }))),
    ];
    for change in harmless {
        assert!(edit(change).is_empty());
    }
}

fn properties<'a>(formats: &'a mut Formats, name: &str) -> &'a mut serde_json::Map<String, Value> {
    let format = formats.get_mut(name).unwrap();
    format["properties"].as_object_mut().unwrap()
}

/// The attributes of CloudEvents 1.0 and what it asks of them (§3.1).
#[test]
fn every_event_is_a_cloud_event() {
    for event in golden_events() {
        let event = publish(&event).unwrap().to_json("authlog");
        let members = event.as_object().unwrap();
        for (name, value) in members.iter().filter(|(name, _)| *name != "data") {
            let fits = (1..=20).contains(&name.len())
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
            assert!(fits, "{name}");
            // All of ours are texts: an integer has 32 bits.
            assert!(
                value.as_str().is_some_and(|text| !text.is_empty()),
                "{name}"
            );
        }
        for name in ["specversion", "id", "source", "type"] {
            assert!(members.contains_key(name), "{name}");
        }
        assert_eq!(event["specversion"], "1.0");
    }
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
