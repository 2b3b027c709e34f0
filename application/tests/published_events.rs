//! Published events: their schemas are checked in, they hold no personal data, and no change breaks a reader.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod golden;

use std::collections::{BTreeMap, BTreeSet};

use authlog_application::published::{
    ANY_EVENT, ENVELOPE, any_event, async_api, cloud_event_type, envelope, publish, schema,
    schema_names, subject,
};
use authlog_domain::EventKind;
use golden::{check_in, folder, golden_events};
use serde_json::{Value, json};

/// Everything on which a reader relies, as schemas by their file names.
type Formats = BTreeMap<String, Value>;

/// The formats of this version.
fn current() -> Formats {
    let document = async_api();
    let mut formats: Formats = schema_names()
        .map(|(name, kind)| (name, schema(kind)))
        .collect();
    formats.insert(ENVELOPE.to_owned(), envelope());
    let headers = document["components"]["schemas"]["headers"].clone();
    formats.insert("headers.json".to_owned(), headers);
    // The subject of each message, in the form of a member that must not change.
    let channels = document["channels"].as_object().unwrap();
    let places: serde_json::Map<_, _> = channels
        .values()
        // The channel of heartbeats has no events.
        .filter_map(|channel| {
            let message = channel["messages"]["event"]["$ref"].as_str()?;
            let message = document.pointer(message.trim_start_matches('#')).unwrap();
            let name = message["name"].as_str().unwrap().to_owned();
            Some((name, json!({ "const": channel["address"] })))
        })
        .collect();
    formats.insert("subjects.json".to_owned(), json!({ "properties": places }));
    formats
}

/// The formats that were published as version 1. Files are added, and never edited.
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

/// The differences in the current formats that break a reader of the published ones.
fn broken(published: &Formats, current: &Formats) -> BTreeSet<String> {
    let mut broken = BTreeSet::new();
    for (name, before) in published {
        let Some(now) = current.get(name) else {
            broken.insert(format!("{name} is gone"));
            continue;
        };
        for (member, form) in before["properties"].as_object().into_iter().flatten() {
            let is_widened = WIDENED.contains(&(name.as_str(), member.as_str()));
            if !is_widened && !is_kept(form, &now["properties"][member]) {
                broken.insert(format!("{name}: {member} is another"));
            }
        }
        for member in required(before).difference(&required(now)) {
            broken.insert(format!("{name}: {member} may be missing"));
        }
    }
    broken
}

/// Members whose form became wider, with the reason. Nothing is ever added here that a reader meets without its operator's doing.
const WIDENED: [(&str, &str); 2] = [
    // The subject of an event about a client is no UUID. There is none before an operator registers a client.
    (ENVELOPE, "subject"),
    ("headers.json", "ce-subject"),
];

/// Whether a reader of the earlier form of a member can read the present form. A text may gain a format, if every value that
/// was ever sent has it.
fn is_kept(before: &Value, now: &Value) -> bool {
    let (before, now) = (meaning(before), meaning(now));
    let is_text = |form: &Value| form["type"] == "string";
    let fits = |(before, now): (&Value, &Value)| {
        let mut now = now.clone();
        if is_text(before)
            && before.get("format").is_none()
            && let Some(members) = now.as_object_mut()
        {
            members.remove("format");
        }
        *before == now
    };
    before.len() == now.len() && before.iter().zip(&now).all(fits)
}

/// A schema without its descriptions, as one form for each type that a value may have. The notation that schemars used for
/// numbers and for lists of types is rewritten to the one that strict validators accept.
fn meaning(schema: &Value) -> Vec<Value> {
    let Some(members) = schema.as_object() else {
        return vec![schema.clone()];
    };
    let mut members = members.clone();
    members.retain(|name, _| !["title", "description", "examples"].contains(&name.as_str()));
    match members.get("format").and_then(Value::as_str) {
        Some("uint32") => {
            members.remove("format");
            members.insert("maximum".to_owned(), json!(u32::MAX));
        }
        Some("int64") => drop(members.remove("format")),
        _ => {}
    }
    let forms = match (members.remove("type"), members.remove("anyOf")) {
        (Some(Value::Array(types)), None) => types
            .into_iter()
            .map(|kind| json!({ "type": kind }))
            .collect(),
        (None, Some(Value::Array(forms))) => forms,
        (Some(kind), None) => vec![json!({ "type": kind })],
        _ => vec![json!({})],
    };
    let whole = |form: Value| {
        // Bounds and formats do not apply to null.
        if form["type"] == "null" {
            return form;
        }
        let mut whole = members.clone();
        whole.extend(form.as_object().cloned().unwrap_or_default());
        Value::Object(whole)
    };
    forms.into_iter().map(whole).collect()
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
    check_in(&schemas.join(ANY_EVENT), &format!("{:#}\n", any_event()));
    let files = std::fs::read_dir(schemas).unwrap().count();
    assert_eq!(
        files,
        EventKind::ALL.len() + 2,
        "there is a file that no kind of event writes"
    );
    check_in(
        &folder("../docs/asyncapi.json"),
        &format!("{:#}\n", async_api()),
    );
}

/// Writes new formats to the published ones, if `AUTHLOG_WRITE_SCHEMAS` is set.
fn add_new_formats() {
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
    add_new_formats();
    let (published, current) = (published(), current());
    assert_eq!(broken(&published, &current), BTreeSet::new());
    // A new format is published from now on: run this test with AUTHLOG_WRITE_SCHEMAS=1.
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
    let of_role: [Change; 5] = [
        |formats| {
            let members = properties(formats, REGISTERED);
            let role = members.remove("role").unwrap();
            members.insert("may".to_owned(), role);
        },
        |formats| drop(properties(formats, REGISTERED).remove("role")),
        |formats| properties(formats, REGISTERED)["role"]["type"] = json!("integer"),
        |formats| properties(formats, REGISTERED)["role"]["type"] = json!(["string", "null"]),
        |formats| {
            let either = json!({ "anyOf": [{ "type": "string" }, { "type": "null" }] });
            properties(formats, REGISTERED)["role"] = either;
        },
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
    // These break no reader.
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

#[test]
fn one_schema_ties_the_type_to_the_data() {
    let schema = any_event();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let events: Vec<Value> = golden_events()
        .iter()
        .map(|event| publish(event).unwrap().to_json("authlog"))
        .collect();
    for event in &events {
        assert!(validator.is_valid(event), "{event}");
        // The type of another event requires other members in the data.
        let mut other = event.clone();
        other["type"] = if event["type"] == "dev.authlog.user.registered.v1" {
            json!("dev.authlog.session.logged-in.v1")
        } else {
            json!("dev.authlog.user.registered.v1")
        };
        assert!(!validator.is_valid(&other), "{other}");
        other["type"] = json!("dev.authlog.user.unheard-of.v1");
        assert!(!validator.is_valid(&other), "{other}");
    }
    let kinds = schema["oneOf"].as_array().unwrap();
    assert_eq!(kinds.len(), EventKind::ALL.len());
    for (reference, kind) in kinds.iter().zip(EventKind::ALL) {
        let place = reference["$ref"].as_str().unwrap().trim_start_matches('#');
        let event = schema.pointer(place).unwrap();
        assert_eq!(event["properties"]["type"]["const"], cloud_event_type(kind));
    }
}

#[test]
fn every_schema_has_an_identifier_of_its_own() {
    let schemas = schema_names().map(|(_, kind)| schema(kind));
    let schemas: Vec<Value> = schemas.chain([envelope(), any_event()]).collect();
    let ids: BTreeSet<&str> = schemas
        .iter()
        .map(|it| it["$id"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), schemas.len());
    assert!(ids.iter().all(|id| is_schema_url(id)), "{ids:?}");
    // An identifier inside of another document would change the base of its references.
    for document in [any_event(), async_api()] {
        let all = document.to_string();
        assert_eq!(
            all.matches("\"$id\"").count(),
            usize::from(document.get("$id").is_some())
        );
    }
}

#[expect(
    clippy::case_sensitive_file_extension_comparisons,
    reason = "it is a URL"
)]
fn is_schema_url(id: &str) -> bool {
    id.starts_with("https://authlog.dev/schemas/") && id.ends_with(".json")
}

/// Ajv in its strict mode (<https://ajv.js.org/strict-mode.html>) refuses unknown keywords and formats, lists of types,
/// keywords that do not apply to the `type`, and required members without a schema.
#[test]
fn strict_validators_accept_every_schema() {
    let schemas = schema_names().map(|(_, kind)| schema(kind));
    for schema in schemas.chain([envelope(), any_event()]) {
        assert_strict(&schema, &schema["$id"]);
    }
}

fn assert_strict(schema: &Value, name: &Value) {
    const WORDS: [&str; 18] = [
        "$defs",
        "$id",
        "$ref",
        "$schema",
        "anyOf",
        "const",
        "description",
        "format",
        "items",
        "maximum",
        "minimum",
        "oneOf",
        "pattern",
        "properties",
        "required",
        "title",
        "type",
        "examples",
    ];
    const OF_TYPES: [(&str, &str); 7] = [
        ("properties", "object"),
        ("required", "object"),
        ("items", "array"),
        ("pattern", "string"),
        ("format", "string"),
        ("minimum", "integer"),
        ("maximum", "integer"),
    ];
    let members = schema.as_object().unwrap();
    for word in members.keys() {
        assert!(WORDS.contains(&word.as_str()), "{name}: {word}");
    }
    for (word, kind) in OF_TYPES {
        assert!(
            !members.contains_key(word) || schema["type"] == kind,
            "{name}: {word} in {schema}"
        );
    }
    if let Some(format) = members.get("format") {
        assert!(
            ["date-time", "uuid"].iter().any(|known| format == known),
            "{name}: {format}"
        );
    }
    for member in required(schema) {
        assert!(
            schema["properties"].get(&member).is_some(),
            "{name}: {member}"
        );
    }
    let alternatives = ["anyOf", "oneOf"]
        .iter()
        .filter_map(|word| schema[word].as_array());
    let described = ["properties", "$defs"]
        .iter()
        .filter_map(|word| schema[word].as_object());
    let parts = alternatives
        .flatten()
        .chain(schema.get("items"))
        .chain(described.flat_map(|parts| parts.values()));
    for part in parts {
        assert_strict(part, name);
    }
}

/// The attributes satisfy the requirements of CloudEvents 1.0 §3.1.
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
            // All values are texts, because an integer in CloudEvents has 32 bits.
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
    assert!(events.len() >= EventKind::ALL.len());
    for event in &events {
        let published = publish(event).unwrap();
        let kind = published.kind;
        assert_eq!(kind.stored_type(), event.event.event_type);
        assert_eq!(
            published.id,
            format!(
                "{}/{}/3",
                kind.aggregate().as_str(),
                event.event.aggregate_id
            )
        );
        assert_eq!(published.padded_sequence(), "00000000000000000003");
        assert_eq!(
            subject(kind, &published.subject),
            format!(
                "auth.v1.{}.{}.{}",
                kind.aggregate().as_str(),
                published.subject,
                kind.public_name()
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
fn an_event_of_an_unknown_type_is_an_error_and_not_skipped() {
    let mut event = golden_events().remove(0);
    event.event.event_type = "FromTheFuture".to_owned();
    assert!(publish(&event).is_err());
}
