//! `docs/events.md` is generated from the types of the events, and is current.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod golden;

use std::fmt::Write as _;

use authlog_application::published::{cloud_event_type, envelope, publish, schema, subject};
use authlog_domain::{AggregateKind, EventKind};
use golden::{check_in, folder, golden_events};
use serde_json::Value;

const INTRODUCTION: &str = "\
# Events

Every change to an account, a session or a client is an event, and every event is published: on the NATS JetStream stream
`AUTH_EVENTS`, and over HTTP by `GET /audit/events`. [consuming.md](consuming.md) says how to read them.

An event is a [CloudEvent 1.0](https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md). It holds no personal
data and no secret: it says *that* an account was registered, not by whom. Query the API for the profile.

This page is generated from the Rust types by a test (`application/tests/events_page.rs`), as are the JSON Schemas in
`schemas/` and the AsyncAPI document `asyncapi.json`. A running service serves them at `/schemas/<type>.json`,
`/schemas/cloudevent.json`, `/schemas/event.json` and `/asyncapi.json`.

To generate types, use [`schemas/event.json`](schemas/event.json). It is one schema of all events, which describes `data` for
each `type` and refers to no other file. It rejects types that are newer than itself, so check `type` before you validate.
[`schemas/cloudevent.json`](schemas/cloudevent.json) describes what events of all types have in common. The `$id` of a schema
only identifies it; there is nothing to fetch at that URL.

## What every event has

On the stream these are headers (`ce-id`, `ce-type`, …) and the message is `data`: the binary mode of the NATS binding.
Over HTTP an event is one JSON object.

";

const VERSIONS: &str = "\
## What may change

The version is at the end of the type (`….v1`) and in the subject (`auth.v1.…`). Within a version

- new kinds of event may be added: ignore types that you do not know;
- new members may be added: ignore members that you do not know;
- a member that is always present stays present, with its name, its JSON type and its meaning.

Any other change becomes a new version, which is published in addition to the old one for as long as the old one has
readers. A test compares the formats with those that were published (`application/tests/published_v1/`).

There is no `dataschema` attribute: CloudEvents requires an absolute URI there, which a service without a public URL does
not have, and the type already names the schema.
";

#[test]
fn the_page_of_events_is_checked_in() {
    let mut page = INTRODUCTION.to_owned();
    let envelope = envelope();
    page.push_str(&table("attribute", &envelope, &["data"]));
    page.push_str("\n## The events\n\n| type | subject | when |\n|---|---|---|\n");
    for kind in EventKind::ALL {
        let (name, subject) = (cloud_event_type(kind), subject(kind, concerned(kind)));
        let anchor = name.replace('.', "");
        let when = kind.summary();
        writeln!(page, "| [`{name}`](#{anchor}) | `{subject}` | {when} |").unwrap();
    }
    for kind in EventKind::ALL {
        page.push_str(&section(kind));
    }
    writeln!(page, "\n{}", VERSIONS.trim_end()).unwrap();
    check_in(&folder("../docs/events.md"), &page);
}

fn concerned(kind: EventKind) -> &'static str {
    match kind.aggregate() {
        AggregateKind::Client => "<client>",
        AggregateKind::User | AggregateKind::Session | AggregateKind::RefusedLogins => "<account>",
    }
}

fn section(kind: EventKind) -> String {
    let name = cloud_event_type(kind);
    let golden = golden_events();
    let example = golden
        .iter()
        .rfind(|logged| logged.event.event_type == kind.stored_type())
        .unwrap();
    let example = publish(example)
        .unwrap()
        .to_json("https://auth.example.com");
    let schema = schema(kind);
    let members = match schema["properties"].as_object() {
        Some(members) if members.is_empty() => "`data` is an empty object.\n".to_owned(),
        _ => table("member", &schema, &[]),
    };
    format!(
        "\n### {name}\n\n{}\n\nSubject `{}`, schema [`{name}.json`](schemas/{name}.json).\n\n{}\n```json\n{example:#}\n```\n",
        kind.summary(),
        subject(kind, concerned(kind)),
        members,
    )
}

/// The members of a schema as a table.
fn table(heading: &str, schema: &Value, without: &[&str]) -> String {
    let Some(members) = schema["properties"].as_object() else {
        return "Its data has no members.\n".to_owned();
    };
    let mut table = format!("| {heading} | type | always | |\n|---|---|---|---|\n");
    let required = schema["required"].as_array().unwrap();
    for (name, member) in members {
        if without.contains(&name.as_str()) {
            continue;
        }
        let always = if required.contains(&name.as_str().into()) {
            "yes"
        } else {
            "no"
        };
        let words = member["description"].as_str().unwrap().replace('<', "&lt;");
        writeln!(
            table,
            "| `{name}` | {} | {always} | {words} |",
            form(member)
        )
        .unwrap();
    }
    table
}

/// The type of a member and its bounds, in a few words.
fn form(member: &Value) -> String {
    if let Some(forms) = member["anyOf"].as_array() {
        return forms.iter().map(form).collect::<Vec<_>>().join(" or ");
    }
    let mut form = member["type"].as_str().unwrap_or_default().to_owned();
    if let (Some(least), Some(most)) = (member["minimum"].as_u64(), member["maximum"].as_u64()) {
        write!(form, ", {least} to {most}").unwrap();
    } else if let Some(only) = member["const"].as_str() {
        write!(form, ", `{only}`").unwrap();
    } else if let Some(format) = member["format"].as_str() {
        write!(form, ", {format}").unwrap();
    } else if let Some(pattern) = member["pattern"].as_str() {
        write!(form, ", `{pattern}`").unwrap();
    }
    form
}
