//! A consumer that knows only the schemas that the running program publishes can read every event.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::support;

use std::collections::{BTreeMap, BTreeSet};

use async_nats::jetstream::message::StreamMessage;
use jsonschema::Validator;
use serde_json::{Map, Value, json};
use support::following::{Reader, follow_each_other, log_index};
use support::nats::Nats;
use support::passkey;
use support::staff::signed_in;
use support::story::{every_type, everything_happens};
use support::{Endpoint, Program, Store, on_both_stores, own};

on_both_stores!(every_event_matches_the_schema_that_the_program_serves);

async fn every_event_matches_the_schema_that_the_program_serves(store: Store) {
    let nats = Nats::start().await;
    let settings = passkey::settings(store).with_a_breached_password();
    let settings = settings.with("AUTHLOG_NATS_URL", &nats.url());
    let service = settings.start().await;
    let reader = signed_in(&service, "reader", "service").await;
    let story = everything_happens(&service, "ann").await;
    // The first two events are of the reader.
    let count = 2 + story.events.len();

    let query = format!("follow=true&limit={count}");
    let mut feed = Reader::of(&service, &reader.access, &query).await;
    let lines = feed.events(count).await;
    follow_each_other(0, &lines);
    let schemas = Schemas::served_by(&service).await;
    for line in &lines {
        schemas.accept_line(line);
    }
    let mut seen: Vec<_> = lines[2..]
        .iter()
        .map(|line| line["type"].as_str().unwrap().to_owned())
        .collect();
    seen.sort();
    assert_eq!(seen, story.types());

    let answer = service.send(own::ASYNC_API).await;
    let document = Document::new(answer.json());
    let mut expected = every_type();
    // It is no event.
    expected.insert("heartbeat".to_owned());
    assert_eq!(
        document
            .messages()
            .map(str::to_owned)
            .collect::<BTreeSet<_>>(),
        expected
    );
    let messages = stream(&nats, count).await;
    for (message, line) in messages.iter().zip(&lines) {
        document.accepts(message);
        // The feed and the stream carry the same event.
        let header = |name: &str| message.headers.get(name).unwrap().as_str();
        assert_eq!(message.sequence, log_index(line));
        for (name, value) in line.as_object().unwrap() {
            match name.as_str() {
                "data" => assert_eq!(payload(message), *value),
                "datacontenttype" => assert_eq!(header("content-type"), value),
                name => assert_eq!(header(&format!("ce-{name}")), value, "{name}"),
            }
        }
    }
}

/// The schemas refuse bad events; otherwise the story above would prove nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_differs_from_its_schema_is_refused() {
    let service = Program::on(Store::Sqlite).await;
    let reader = signed_in(&service, "reader", "service").await;
    let mut feed = Reader::of(&service, &reader.access, "follow=true").await;
    let login = feed.events(2).await.remove(1);
    let schemas = Schemas::served_by(&service).await;
    schemas.accept_line(&login);
    let spoiled: [fn(&mut Value); 9] = [
        |event| event["specversion"] = json!("0.3"),
        |event| drop(event.as_object_mut().unwrap().remove("subject")),
        |event| event["subject"] = json!(7),
        |event| event["logindex"] = json!(2),
        |event| event["sequence"] = json!("1"),
        |event| event["time"] = json!("yesterday"),
        |event| drop(event["data"].as_object_mut().unwrap().remove("session_id")),
        |event| event["data"]["session_epoch"] = json!("0"),
        |event| event["data"]["expires_at"] = json!("soon"),
    ];
    for spoil in spoiled {
        let mut event = login.clone();
        spoil(&mut event);
        assert!(!schemas.accepts_line(&event), "{event}");
    }
}

/// The schemas that `/schemas` serves.
struct Schemas {
    envelope: Validator,
    data: BTreeMap<String, Validator>,
}

impl Schemas {
    async fn served_by(service: &Program) -> Self {
        let mut data = BTreeMap::new();
        for kind in every_type() {
            let schema = schema(service, &kind).await;
            data.insert(kind, schema);
        }
        let unknown = Endpoint::at("GET", "/schemas/dev.authlog.user.unheard.v1.json");
        assert_eq!(service.send(unknown).await.status, 404);
        Self {
            envelope: schema(service, "cloudevent").await,
            data,
        }
    }

    fn accepts_line(&self, line: &Value) -> bool {
        let kind = line["type"].as_str().unwrap();
        self.envelope.is_valid(line) && self.data[kind].is_valid(&line["data"])
    }

    #[track_caller]
    fn accept_line(&self, line: &Value) {
        accept(&self.envelope, line);
        accept(&self.data[line["type"].as_str().unwrap()], &line["data"]);
    }
}

async fn schema(service: &Program, name: &str) -> Validator {
    // An endpoint's path lives as long as the test.
    let path = format!("/schemas/{name}.json").leak();
    let answer = service.send(Endpoint::at("GET", path)).await;
    assert_eq!(answer.status, 200, "{answer}");
    assert_eq!(
        answer.header("content-type"),
        Some("application/schema+json")
    );
    validator(&serde_json::from_str(&answer.body).unwrap())
}

fn validator(schema: &Value) -> Validator {
    jsonschema::draft202012::meta::validate(schema).unwrap();
    jsonschema::options()
        .should_validate_formats(true)
        .build(schema)
        .unwrap()
}

#[track_caller]
fn accept(validator: &Validator, value: &Value) {
    let refused = validator
        .validate(value)
        .err()
        .map(|error| error.to_string());
    assert_eq!(refused, None, "{value}");
}

/// The AsyncAPI document, as a client reads it.
struct Document(Value);

impl Document {
    fn new(document: Value) -> Self {
        assert_eq!(document["asyncapi"], "3.0.0");
        Self(document)
    }

    /// `value`, or the value that it refers to.
    fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(place) => self.0.pointer(place.trim_start_matches('#')).unwrap(),
            None => value,
        }
    }

    /// Each channel that the service sends to, with its only message.
    fn channels(&self) -> impl Iterator<Item = (&Value, &Value)> {
        let operations = self.0["operations"].as_object().unwrap();
        operations.values().map(|operation| {
            assert_eq!(operation["action"], "send");
            let channel = self.resolve(&operation["channel"]);
            let messages = channel["messages"].as_object().unwrap();
            assert_eq!(messages.len(), 1);
            (channel, self.resolve(messages.values().next().unwrap()))
        })
    }

    fn messages(&self) -> impl Iterator<Item = &str> {
        self.channels()
            .map(|(_, message)| message["name"].as_str().unwrap())
    }

    /// Asserts that a message came over the documented channel, with the documented headers and payload.
    #[track_caller]
    fn accepts(&self, message: &StreamMessage) {
        let header = |name: &str| message.headers.get(name).unwrap().as_str();
        let (channel, described) = self
            .channels()
            .find(|(_, described)| described["name"] == header("ce-type"))
            .unwrap();
        let address = channel["address"].as_str().unwrap();
        let address = address.replace("{user_id}", header("ce-subject"));
        let address = address.replace("{client_id}", header("ce-subject"));
        assert_eq!(message.subject.as_str(), address);
        let headers: Map<String, Value> = message
            .headers
            .iter()
            .map(|(name, values)| (name.to_string(), json!(values[0].as_str())))
            .collect();
        accept(
            &validator(self.resolve(&described["headers"])),
            &Value::Object(headers),
        );
        accept(
            &validator(self.resolve(&described["payload"])),
            &payload(message),
        );
    }
}

fn payload(message: &StreamMessage) -> Value {
    serde_json::from_slice(&message.payload).unwrap()
}

/// The first messages of the stream, once they have arrived.
async fn stream(nats: &Nats, count: usize) -> Vec<StreamMessage> {
    let jetstream = nats.jetstream().await;
    let count = count as u64;
    let stream = support::eventually("the events are on the stream", async || {
        let mut stream = jetstream.get_stream("AUTH_EVENTS").await.ok()?;
        let state = &stream.info().await.ok()?.state;
        (state.last_sequence >= count).then_some(stream)
    })
    .await;
    let mut messages = Vec::new();
    for sequence in 1..=count {
        messages.push(stream.get_raw_message(sequence).await.unwrap());
    }
    messages
}
