//! The log as a client reads it over HTTP, for a comparison with the stream.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::nats::Message;
use super::{Contract, Endpoint, Nats, Person, Program, Settings, eventually, own};

/// The log over HTTP.
const EVENTS: Endpoint = Endpoint::at("GET", "/audit/events");

/// A client that may read the log.
pub struct Auditor {
    token: String,
}

impl Auditor {
    /// Creates its account, as an operator does.
    pub async fn of(service: &Program) -> Self {
        let person = Person::called("the-auditor");
        Self::hired(&service.settings, &person);
        let tokens = Contract::ApiAuth.signs_in(&service.http(), &person).await;
        Self {
            token: tokens.access,
        }
    }

    fn hired(settings: &Settings, person: &Person) {
        let arguments = [
            "user",
            "create",
            "--username",
            &person.username,
            "--email",
            &person.email,
            "--role",
            "service",
        ];
        let made = tokio::task::block_in_place(|| settings.run(&arguments, &person.password));
        assert!(made.status.success(), "{made:?}");
    }

    /// Every event of the log.
    pub async fn log(&self, service: &Program) -> Vec<Value> {
        let mut events: Vec<Value> = Vec::new();
        loop {
            let request = service
                .send(EVENTS)
                .query(&format!("after={}&limit=1000", events.len()))
                .bearer(&self.token);
            let answer = request.await;
            assert_eq!(answer.status, 200, "{answer}");
            let page: Vec<Value> = answer
                .body
                .lines()
                .map(|line| serde_json::from_str(line).expect("an event"))
                .collect();
            if page.is_empty() {
                return events;
            }
            events.extend(page);
        }
    }

    /// Waits until everything is published, asserts that the stream equals the log, and returns its messages.
    pub async fn finds_the_log_on(&self, nats: &Nats, service: &Program) -> Vec<Message> {
        let (log, messages) = eventually("the stream is as long as the log", async || {
            let lag = lag(service).await?;
            if lag["sequencer"]["events"] != 0 {
                return None;
            }
            let log = self.log(service).await;
            if (log.len() as u64) < lag["log_index"].as_u64()? {
                return None;
            }
            let messages = nats.messages().await;
            (messages.len() == log.len()).then_some((log, messages))
        })
        .await;
        is_a_copy(&messages, &log);
        messages
    }
}

/// The lag that a service reports, if it is ready.
pub async fn lag(service: &Program) -> Option<Value> {
    let answer = service.send(own::READYZ).attempt().await.ok()?;
    (answer.status == 200).then(|| answer.json()["lag"].clone())
}

/// Waits until a service reports an obstacle to publishing that contains these words, and returns the whole report.
pub async fn trouble_with(service: &Program, words: &str) -> String {
    let mut last = None;
    let said = tokio::time::timeout(std::time::Duration::from_secs(60), async {
        loop {
            let lag = lag(service).await.unwrap_or_default();
            let trouble = lag["publisher"]["trouble"].as_str().map(str::to_owned);
            match trouble {
                Some(trouble) if trouble.contains(words) => return trouble,
                other => last = Some((other, lag)),
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    said.unwrap_or_else(|_| panic!("no report with {words:?}; the last was {last:?}"))
}

/// Asserts that the messages are the events of the log: each once, in order, none missing.
#[track_caller]
pub fn is_a_copy(messages: &[Message], log: &[Value]) {
    for (number, (message, event)) in messages.iter().zip(log).enumerate() {
        assert_eq!(message.sequence, number as u64 + 1, "{message:?}");
        assert_eq!(&as_event(message), event, "at {}", number + 1);
    }
    assert_eq!(
        messages.len(),
        log.len(),
        "number of messages and of events"
    );
    is_whole(messages);
}

/// Asserts that the messages, and the events of every aggregate, are numbered without gaps.
#[track_caller]
pub fn is_whole(messages: &[Message]) {
    let mut ends: BTreeMap<&str, u64> = BTreeMap::new();
    for (number, message) in messages.iter().enumerate() {
        let place = number as u64 + 1;
        assert_eq!(message.sequence, place, "{message:?}");
        assert_eq!(message.header("ce-logindex"), place.to_string());
        let (aggregate, sequence) = message.header("ce-id").rsplit_once('/').expect("an id");
        let end = ends.entry(aggregate).or_default();
        assert_eq!(sequence, (*end + 1).to_string(), "{message:?}");
        *end += 1;
    }
}

/// Converts a CloudEvent in binary mode to structured mode (CloudEvents NATS binding §3.1).
#[track_caller]
fn as_event(message: &Message) -> Value {
    json!({
        "specversion": message.header("ce-specversion"),
        "id": message.header("ce-id"),
        "source": message.header("ce-source"),
        "type": message.header("ce-type"),
        "subject": message.header("ce-subject"),
        "time": message.header("ce-time"),
        "datacontenttype": message.header("content-type"),
        "sequence": message.header("ce-sequence"),
        "logindex": message.header("ce-logindex"),
        "data": message.json(),
    })
}
