//! Messages of other clients in the streams: the service names them, and continues to publish after a repair that
//! deletes nothing.
#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]

use crate::support;

use std::collections::BTreeSet;

use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::stream::{DiscardPolicy, Stream};
use futures_util::StreamExt as _;
use support::events::{Auditor, lag, trouble_with};
use support::nats::Message;
use support::{Contract, Nats, Person, Program, Settings, Store, eventually, on_both_stores, own};

on_both_stores!(
    a_foreign_message_stops_publishing_until_it_is_excluded_and_readers_keep_their_positions,
    a_foreign_message_in_the_middle_raises_an_alarm_until_it_is_excluded,
    a_foreign_message_in_the_middle_that_names_an_event_beyond_the_log_raises_an_alarm,
    a_foreign_message_among_the_checkpoints_is_skipped,
    a_full_stream_makes_events_wait_and_raises_an_alarm,
);

/// The subject on which a client publishes without permission to.
const SUBJECT: &str = "auth.v1.user.evil.registered";

async fn a_foreign_message_stops_publishing_until_it_is_excluded_and_readers_keep_their_positions(
    store: Store,
) {
    let nats = Nats::start().await;
    let mut service = publishing(store, &nats).start().await;
    let auditor = Auditor::of(&service).await;
    let before = auditor.finds_the_log_on(&nats, &service).await;
    let mut reader = DurableReader::of(&nats).await;
    let read = reader.reads(before.len()).await;
    assert_eq!(ids(&read), ids(&before));

    // While the service runs.
    nats.publish(SUBJECT, "{}").await;
    let trouble = trouble_with(&service, "no event of this log").await;
    for words in [SUBJECT, "2 bytes", "authlog nats repair", "other client"] {
        assert!(trouble.contains(words), "{words} is not in {trouble}");
    }
    assert!(!trouble.contains("backup"), "{trouble}");
    raises_the_alarm(&service, true).await;
    Contract::ApiAuth
        .registers(&service.http(), &Person::called("ann"))
        .await;
    let repaired = repairs(&service.settings, &[]);
    let foreign = before.len() + 1;
    assert!(
        repaired.contains(&format!("message {foreign} is excluded: no event")),
        "{repaired}"
    );
    assert!(
        repaired.contains(&format!("not events: {foreign}.")),
        "{repaired}"
    );
    the_log_is_on(&nats, &service, &auditor, &[foreign]).await;
    raises_the_alarm(&service, false).await;

    // While the service is stopped, and several.
    service.terminate().await;
    let end = nats.stored().await as usize;
    nats.publish(SUBJECT, "{}").await;
    nats.publish("auth.v1.hello", "not even JSON").await;
    service.restart().await;
    trouble_with(&service, "no event of this log").await;
    Contract::ApiAuth
        .registers(&service.http(), &Person::called("bob"))
        .await;
    repairs(&service.settings, &[]);
    let all = [foreign, end + 1, end + 2];
    let messages = the_log_is_on(&nats, &service, &auditor, &all).await;
    raises_the_alarm(&service, false).await;

    // The consumer was neither replaced nor moved, and received each further event once, in order.
    let rest = reader.reads(messages.len() - before.len()).await;
    let events = rest.iter().filter(|it| it.headers.contains_key("ce-id"));
    let indexes: Vec<u64> = events.map(log_index).collect();
    let first = before.len() as u64 + 1;
    let last = (messages.len() - all.len()) as u64;
    assert_eq!(indexes, (first..=last).collect::<Vec<_>>());

    // The stream's description remembers it.
    service.terminate().await;
    service.restart().await;
    Contract::ApiAuth
        .registers(&service.http(), &Person::called("cay"))
        .await;
    the_log_is_on(&nats, &service, &auditor, &all).await;
    let doctor = service.settings.run(&["doctor"], "");
    assert!(doctor.status.success(), "{doctor:?}");
    let again = repairs(&service.settings, &[]);
    assert!(again.contains("nothing has to be repaired"), "{again}");
}

async fn a_foreign_message_in_the_middle_raises_an_alarm_until_it_is_excluded(store: Store) {
    let nats = Nats::start().await;
    let (mut service, auditor, whole) = stopped_service(store, &nats).await;

    // The stream gets the same events except one.
    nats.delete_stream().await;
    nats.recreate_stream().await;
    for message in &whole {
        if message.sequence == 2 {
            nats.publish(SUBJECT, "{}").await;
        } else {
            copy(&nats, message).await;
        }
    }
    service.restart().await;
    let trouble = trouble_with(&service, "message 2 of the stream").await;
    assert!(trouble.contains("no event of this log"), "{trouble}");
    raises_the_alarm(&service, true).await;
    // The events after it are still published.
    Contract::ApiAuth
        .registers(&service.http(), &Person::called("bob"))
        .await;
    eventually("the events are on the stream", async || {
        (nats.stored().await > whole.len() as u64).then_some(())
    })
    .await;
    let doctor = service.settings.run(&["doctor"], "");
    assert!(!doctor.status.success(), "{doctor:?}");

    let repaired = repairs(&service.settings, &[]);
    assert!(repaired.contains("message 2 is excluded"), "{repaired}");
    assert!(repaired.contains("event 2 was added"), "{repaired}");
    raises_the_alarm(&service, false).await;
    let doctor = service.settings.run(&["doctor"], "");
    assert!(doctor.status.success(), "{doctor:?}");
    Contract::ApiAuth
        .registers(&service.http(), &Person::called("cay"))
        .await;
    let log = auditor.log(&service).await.len() as u64;
    eventually(
        "every event is on the stream, one of them late",
        async || {
            let messages = nats.messages().await;
            let events = messages
                .iter()
                .filter(|it| it.headers.contains_key("ce-id"));
            let indexes: BTreeSet<u64> = events.map(log_index).collect();
            // The log may have grown since its length was asked for.
            (1..=log)
                .all(|index| indexes.contains(&index))
                .then_some(())
        },
    )
    .await;
}

/// A service that published its whole log and was stopped, its auditor, and the messages of the stream.
async fn stopped_service(store: Store, nats: &Nats) -> (Program, Auditor, Vec<Message>) {
    let mut service = publishing(store, nats).start().await;
    let auditor = Auditor::of(&service).await;
    Contract::ApiAuth
        .registers(&service.http(), &Person::called("ann"))
        .await;
    let whole = auditor.finds_the_log_on(nats, &service).await;
    service.terminate().await;
    (service, auditor, whole)
}

/// The log may never reach the index that the message names, or only after years.
async fn a_foreign_message_in_the_middle_that_names_an_event_beyond_the_log_raises_an_alarm(
    store: Store,
) {
    let nats = Nats::start().await;
    let (mut service, _, whole) = stopped_service(store, &nats).await;
    nats.delete_stream().await;
    nats.recreate_stream().await;
    for message in &whole {
        let mut message = message.clone();
        if message.sequence == 2 {
            let index = "1000000".to_owned();
            message.headers.insert("ce-logindex".to_owned(), index);
        }
        copy(&nats, &message).await;
    }
    service.restart().await;
    let trouble = trouble_with(&service, "message 2 of the stream").await;
    let end = format!("the log ends at {}", whole.len());
    for words in ["it is event 1000000 by its headers", &end] {
        assert!(trouble.contains(words), "{words} is not in {trouble}");
    }
    raises_the_alarm(&service, true).await;
    let repaired = repairs(&service.settings, &["--forged"]);
    assert!(repaired.contains("message 2 is excluded"), "{repaired}");
    raises_the_alarm(&service, false).await;
    let doctor = service.settings.run(&["doctor"], "");
    assert!(doctor.status.success(), "{doctor:?}");
}

async fn a_foreign_message_among_the_checkpoints_is_skipped(store: Store) {
    let nats = Nats::start().await;
    let mut service = publishing(store, &nats).start().await;
    let auditor = Auditor::of(&service).await;
    auditor.finds_the_log_on(&nats, &service).await;
    the_log_is_signed(&service).await;
    // A checkpoint is stored before it is published.
    eventually("the stream of checkpoints exists", async || {
        let jetstream = nats.jetstream().await;
        let stream = jetstream.get_stream("AUTH_CHECKPOINTS").await.ok()?;
        (stream.cached_info().state.messages > 0).then_some(())
    })
    .await;
    nats.publish("auth-checkpoint.v1", "hello").await;
    Contract::ApiAuth
        .registers(&service.http(), &Person::called("ann"))
        .await;
    the_log_is_signed(&service).await;
    service.terminate().await;
    nats.publish("auth-checkpoint.v1", "hello again").await;
    service.restart().await;
    Contract::ApiAuth
        .registers(&service.http(), &Person::called("bob"))
        .await;
    the_log_is_signed(&service).await;
    let output = service.output();
    assert!(!output.contains("TAMPERED"), "{output}");
    assert!(output.contains("is not a checkpoint"), "{output}");
}

async fn a_full_stream_makes_events_wait_and_raises_an_alarm(store: Store) {
    let nats = Nats::start().await;
    let mut stream = nats
        .make_stream(|config| config.discard = DiscardPolicy::New)
        .await;
    let service = publishing(store, &nats).start().await;
    let auditor = Auditor::of(&service).await;
    auditor.finds_the_log_on(&nats, &service).await;
    let stored = nats.stored().await;

    // The limit is what the stream holds. With a little room left, nats-server 2.9 stores one more message and drops the
    // oldest.
    let info = stream.info().await.expect("the stream").clone();
    let mut config = info.config;
    config.max_bytes = i64::try_from(info.state.bytes).expect("a size");
    let jetstream = nats.jetstream().await;
    jetstream.update_stream(&config).await.expect("less room");
    let person = Person::called("ann");
    Contract::ApiAuth.registers(&service.http(), &person).await;
    let trouble = trouble_with(&service, "maximum bytes").await;
    assert!(trouble.contains("nats stream edit"), "{trouble}");
    raises_the_alarm(&service, true).await;
    assert_eq!(nats.stored().await, stored);
    let first = nats.messages().await;
    assert_eq!(log_index(&first[0]), 1, "the oldest message was dropped");

    config.max_bytes = -1;
    jetstream.update_stream(config).await.expect("more room");
    auditor.finds_the_log_on(&nats, &service).await;
    raises_the_alarm(&service, false).await;
}

/// Settings of a service that publishes to this server.
fn publishing(store: Store, nats: &Nats) -> Settings {
    let settings = Settings::on(store).with_cheap_hashing();
    settings.with("AUTHLOG_NATS_URL", &nats.url())
}

/// Runs the repair, and returns what it prints.
fn repairs(settings: &Settings, flags: &[&str]) -> String {
    let arguments: Vec<&str> = ["nats", "repair"].iter().chain(flags).copied().collect();
    let output = tokio::task::block_in_place(|| settings.run(&arguments, ""));
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Waits until the metrics say whether the stream needs an operator.
async fn raises_the_alarm(service: &Program, wanted: bool) {
    let line = format!("authlog_publisher_alarm {}", u8::from(wanted));
    eventually(&line, async || {
        let metrics = service.send(own::METRICS).await.body;
        metrics.lines().any(|it| it == line).then_some(())
    })
    .await;
}

/// Waits until the stream holds every event of the log in order, and messages of others at these sequences.
async fn the_log_is_on(
    nats: &Nats,
    service: &Program,
    auditor: &Auditor,
    foreign: &[usize],
) -> Vec<Message> {
    eventually("the log is on the stream", async || {
        let log = auditor.log(service).await;
        let messages = nats.messages().await;
        let is_foreign = |it: &&Message| foreign.contains(&(it.sequence as usize));
        let ours = messages.iter().filter(|it| !is_foreign(it));
        let ours: Vec<&str> = ours.map(|it| it.header("ce-id")).collect();
        let all = log.iter().map(|event| event["id"].as_str());
        let all: Vec<&str> = all.collect::<Option<_>>()?;
        let trouble = &lag(service).await?["publisher"]["trouble"];
        (ours == all && trouble.is_null()).then_some(messages)
    })
    .await
}

/// Waits until the newest checkpoint covers the whole log and no alarm contradicts it.
async fn the_log_is_signed(service: &Program) {
    eventually("a checkpoint covers the whole log", async || {
        let metrics = service.send(own::METRICS).await.body;
        let value = |name: &str| {
            let mut lines = metrics.lines();
            lines.find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok())
        };
        let (signed, end) = (
            value("authlog_checkpoint_size ")?,
            value("authlog_log_index ")?,
        );
        let ready = service.send(own::READYZ).await.json();
        let is_sound = ready["log"]["tampered"].is_null() && ready["log"]["waiting_for"].is_null();
        (signed >= end && end > 0.0 && is_sound).then_some(())
    })
    .await;
}

async fn copy(nats: &Nats, message: &Message) {
    let mut headers = async_nats::HeaderMap::new();
    for (name, value) in &message.headers {
        headers.insert(name.as_str(), value.as_str());
    }
    let jetstream = nats.jetstream().await;
    let data = message.data.clone().into();
    let sent = jetstream.publish_with_headers(message.subject.clone(), headers, data);
    sent.await
        .expect("NATS")
        .await
        .expect("NATS stores the message");
}

fn ids(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(|it| it.header("ce-id")).collect()
}

fn log_index(message: &Message) -> u64 {
    message.header("ce-logindex").parse().expect("a number")
}

/// A client that reads with a durable consumer.
struct DurableReader {
    stream: Stream,
}

impl DurableReader {
    async fn of(nats: &Nats) -> Self {
        let stream = nats.stream().await.expect("the stream");
        let config = pull::Config {
            durable_name: Some("mailing".to_owned()),
            ..pull::Config::default()
        };
        stream.create_consumer(config).await.expect("a consumer");
        Self { stream }
    }

    /// Reads and acknowledges this many more messages with the existing consumer.
    async fn reads(&mut self, count: usize) -> Vec<Message> {
        let consumer = self.stream.get_consumer::<pull::Config>("mailing").await;
        let consumer = consumer.expect("the consumer still exists");
        let mut read = vec![];
        while read.len() < count {
            let wanted = count - read.len();
            let batch = consumer.fetch().max_messages(wanted).messages().await;
            let mut batch = batch.expect("messages");
            while let Some(message) = batch.next().await {
                let message = message.expect("a message");
                message
                    .ack()
                    .await
                    .expect("NATS accepts the acknowledgement");
                read.push(Message::from(&message));
            }
        }
        read
    }
}
