//! Comparison and repair of a stream that differs from its log, on a real NATS server.

#![expect(clippy::unwrap_used, reason = "what fails in a test may panic")]

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::{self, stream::Config};
use async_trait::async_trait;
use authlog_application::ports::RecordedEvent;
use authlog_application::ports::{
    ChangedAccounts, Check, Diagnosis, EventId, EventLog, LogCoverage, LogCursor, LogFilter,
    LogHead, LogPage, LoggedEvent, ReadOnError, StoreError,
};
use authlog_application::published::{self, publish};
use authlog_domain::{Timestamp, UserId};
use authlog_infrastructure::nats::{
    NatsAccess, NatsServers, RepairError, Repaired, STREAM, compare_stream, repair_stream,
};
use serde_json::json;
use tempfile::TempDir;
use uuid::Uuid;

/// The NATS server of one test.
struct Server {
    process: Child,
    url: String,
    _folder: TempDir,
}

impl Server {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let process = Command::new("nats-server")
            .args(["-js", "-a", "127.0.0.1", "-p", &port.to_string(), "-sd"])
            .arg(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let url = format!("nats://127.0.0.1:{port}");
        while async_nats::connect(&url).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Self {
            process,
            url,
            _folder: folder,
        }
    }

    /// A stream with these messages.
    async fn with_stream(messages: &[Message]) -> Self {
        let server = Self::start().await;
        let config = Config {
            name: STREAM.to_owned(),
            subjects: vec!["auth.v1.>".to_owned()],
            description: Some("Made by others".to_owned()),
            ..Config::default()
        };
        let jetstream = server.jetstream().await;
        jetstream.create_stream(config).await.unwrap();
        for message in messages {
            server.publish(message).await;
        }
        server
    }

    async fn jetstream(&self) -> jetstream::Context {
        jetstream::new(async_nats::connect(&self.url).await.unwrap())
    }

    async fn publish(&self, message: &Message) {
        let Message {
            subject,
            headers,
            data,
        } = message.clone();
        let jetstream = self.jetstream().await;
        let sent = jetstream.publish_with_headers(subject, headers, data.into());
        sent.await.unwrap().await.unwrap();
    }

    /// The `ce-id` of each message.
    async fn ids(&self) -> Vec<String> {
        let stream = self.jetstream().await.get_stream(STREAM).await.unwrap();
        let mut ids = vec![];
        for sequence in 1..=stream.cached_info().state.last_sequence {
            let message = stream.get_raw_message(sequence).await.unwrap();
            let id = message.headers.get("ce-id").map(|id| id.to_string());
            ids.push(id.unwrap_or_default());
        }
        ids
    }

    async fn description(&self) -> String {
        let stream = self.jetstream().await.get_stream(STREAM).await.unwrap();
        stream.cached_info().config.description.clone().unwrap()
    }

    fn access(&self) -> NatsAccess {
        NatsServers::parse(&self.url).unwrap().into()
    }

    async fn repaired(&self, log: &Log, forged: bool) -> Result<Repaired, RepairError> {
        repair_stream(&self.access(), log, "authlog", forged).await
    }

    async fn diagnosis(&self, log: &Log) -> Diagnosis {
        let mut diagnosis = Diagnosis::default();
        let compared = compare_stream(&self.access(), log, &mut diagnosis).await;
        compared.unwrap();
        diagnosis
    }

    /// The place and the description of the first difference.
    async fn finds(&self, log: &Log) -> (String, u64) {
        let mut diagnosis = self.diagnosis(log).await;
        let found = diagnosis.divergences.remove(&Check::Stream).unwrap();
        (
            format!("{}: {}", found.first.place, found.first.detail),
            found.count,
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A log with this many ended sessions.
struct Log(u64);

impl Log {
    fn event(log_index: u64) -> LoggedEvent {
        LoggedEvent {
            log_index,
            recorded_at: Timestamp::from_unix_millis(0),
            user: Some(UserId::new(Uuid::from_u128(7))),
            leaf_hash: [0; 32],
            event: RecordedEvent {
                aggregate_id: format!("s-{log_index}"),
                sequence: 1,
                aggregate_type: "session".to_owned(),
                event_type: "LoggedOut".to_owned(),
                event_version: "1".to_owned(),
                payload: json!({"LoggedOut": {"at": "2026-11-21T09:25:00.123Z"}}),
                metadata: json!({}),
            },
        }
    }
}

#[derive(Clone)]
struct Message {
    subject: String,
    headers: HeaderMap,
    data: String,
}

impl Message {
    /// The message of an event, as documented.
    fn of(log_index: u64) -> Self {
        let event = publish(&Log::event(log_index)).unwrap();
        let json = event.to_json("authlog");
        let mut headers = HeaderMap::new();
        for name in ["id", "type", "subject", "time", "sequence", "logindex"] {
            headers.insert(format!("ce-{name}"), json[name].as_str().unwrap());
        }
        Self {
            subject: published::subject(event.kind, &event.subject),
            headers,
            data: json["data"].to_string(),
        }
    }

    fn of_events(count: u64) -> Vec<Self> {
        (1..=count).map(Self::of).collect()
    }

    /// A message of a client that knows nothing of events.
    fn of_a_stranger() -> Self {
        Self {
            subject: "auth.v1.user.evil.registered".to_owned(),
            headers: HeaderMap::new(),
            data: "{}".to_owned(),
        }
    }

    fn with(mut self, header: &str, value: &str) -> Self {
        self.headers.insert(header, value);
        self
    }
}

#[async_trait]
impl EventLog for Log {
    async fn read_log(
        &self,
        after: u64,
        limit: u32,
        _: &LogFilter,
    ) -> Result<Vec<LoggedEvent>, StoreError> {
        let last = self.0.min(after + u64::from(limit));
        Ok((after + 1..=last).map(Self::event).collect())
    }

    async fn read_on(&self, _: LogCursor, _: u32, _: &LogFilter) -> Result<LogPage, ReadOnError> {
        unreachable!()
    }

    async fn changed_accounts(&self, _: LogCursor, _: u32) -> Result<ChangedAccounts, ReadOnError> {
        unreachable!()
    }

    async fn log_head(&self) -> Result<LogHead, StoreError> {
        Ok(LogHead {
            log_index: self.0,
            ..LogHead::default()
        })
    }

    async fn coverage(&self) -> Result<LogCoverage, StoreError> {
        unreachable!()
    }

    async fn indexes_of(&self, _: &[EventId]) -> Result<Vec<Option<u64>>, StoreError> {
        unreachable!()
    }

    async fn log_index_at_mark(&self, _: u32) -> Result<u64, StoreError> {
        unreachable!()
    }
}

#[tokio::test]
async fn a_stream_that_is_a_beginning_of_the_log_has_no_difference() {
    let server = Server::with_stream(&Message::of_events(2500)).await;
    for length in [2500, 2600] {
        let diagnosis = server.diagnosis(&Log(length)).await;
        assert!(diagnosis.is_well(), "{diagnosis:?}");
    }
    let repaired = server.repaired(&Log(2500), false).await.unwrap();
    assert!(repaired.excluded.is_empty() && repaired.list.is_empty());
    assert_eq!(server.description().await, "Made by others");
    let without = Server::start().await;
    assert!(without.diagnosis(&Log(3)).await.is_well());
}

#[tokio::test]
async fn every_difference_is_named() {
    let mut another = Message::of_events(5);
    another[2] = Message::of(3).with("ce-id", "session/else/1");
    let server = Server::with_stream(&another).await;
    let (found, count) = server.finds(&Log(5)).await;
    assert!(found.starts_with("sequence 3 of AUTH_EVENTS"), "{found}");
    assert!(found.contains("session/else/1"), "{found}");
    // The message, and the event whose place it takes.
    assert_eq!(count, 2);

    for change in [
        |it: &mut Message| it.subject = it.subject.replace("logged-out", "revoked"),
        |it: &mut Message| it.data = r#"{"session_id":"s-9"}"#.to_owned(),
        |it: &mut Message| {
            it.headers
                .insert("ce-type", "dev.authlog.session.revoked.v1");
        },
    ] {
        let mut altered = Message::of_events(3);
        change(&mut altered[1]);
        let server = Server::with_stream(&altered).await;
        let (found, _) = server.finds(&Log(3)).await;
        assert!(found.contains("sequence 2"), "{found}");
        assert!(found.contains("other contents"), "{found}");
    }

    let server = Server::with_stream(&Message::of_events(5)).await;
    let (found, _) = server.finds(&Log(4)).await;
    assert!(
        found.contains("sequence 5") && found.contains("ends at 4"),
        "{found}"
    );

    let stream = server.jetstream().await.get_stream(STREAM).await.unwrap();
    stream.delete_message(2).await.unwrap();
    let (found, count) = server.finds(&Log(5)).await;
    assert!(
        found.contains("sequence 2") && found.contains("missing"),
        "{found}"
    );
    assert_eq!(count, 2);
    let refused = server.repaired(&Log(5), true).await.unwrap_err();
    assert!(matches!(refused, RepairError::Lost(2)), "{refused}");
}

#[tokio::test]
async fn messages_of_other_clients_are_excluded_at_any_place() {
    // Two foreign messages between events, a copy of an event, and one more at the end.
    let mut messages = Message::of_events(20);
    messages.extend([Message::of_a_stranger(), Message::of_a_stranger()]);
    messages.extend((21..=25).map(Message::of));
    messages.push(Message::of(3));
    messages.push(Message::of_a_stranger());
    let server = Server::with_stream(&messages).await;
    let (found, count) = server.finds(&Log(25)).await;
    assert!(
        found.contains("sequence 21") && found.contains("no event of this log"),
        "{found}"
    );
    assert_eq!(count, 4);
    let repaired = server.repaired(&Log(25), false).await.unwrap();
    let excluded: Vec<u64> = repaired.excluded.iter().map(|it| it.0).collect();
    assert_eq!(excluded, [21, 22, 28, 29]);
    assert!(repaired.added.is_empty());
    let description = server.description().await;
    assert_eq!(description, "Made by others. Not events: 21-22, 28-29.");
    assert!(server.diagnosis(&Log(25)).await.is_well());

    // A second repair changes nothing until there is a new foreign message.
    let repaired = server.repaired(&Log(25), false).await.unwrap();
    assert!(repaired.excluded.is_empty());
    assert_eq!(repaired.list, "21-22, 28-29");
    server.publish(&Message::of(26)).await;
    server.publish(&Message::of_a_stranger()).await;
    let repaired = server.repaired(&Log(26), false).await.unwrap();
    assert_eq!(repaired.list, "21-22, 28-29, 31");
    assert!(server.diagnosis(&Log(26)).await.is_well());
}

#[tokio::test]
async fn an_event_whose_place_is_taken_is_added_at_the_end_of_the_stream() {
    let mut messages = Message::of_events(10);
    messages[2].data = r#"{"session_id":"forged"}"#.to_owned();
    messages[5] = Message::of_a_stranger();
    let server = Server::with_stream(&messages).await;
    let repaired = server.repaired(&Log(10), false).await.unwrap();
    assert_eq!(repaired.list, "3, 6");
    assert_eq!(repaired.added, [3, 6]);
    let ids = server.ids().await;
    assert_eq!(ids[10..], ["session/s-3/1", "session/s-6/1"]);
    let description = server.description().await;
    assert!(
        description.ends_with("Late events: 11-12."),
        "{description}"
    );
    assert!(server.diagnosis(&Log(10)).await.is_well());
}

#[tokio::test]
async fn a_message_that_may_be_a_lost_event_is_excluded_only_as_forged() {
    let beyond = Message::of(6);
    let other = Message::of(5).with("ce-id", "session/else/1");
    for (message, log) in [(beyond, Log(5)), (other, Log(6))] {
        let mut messages = Message::of_events(4);
        messages.extend([Message::of(5), message]);
        let server = Server::with_stream(&messages).await;
        let refused = server.repaired(&log, false).await.unwrap_err();
        assert!(
            matches!(refused, RepairError::Contradicts { sequence: 6, .. }),
            "{refused}"
        );
        assert_eq!(server.description().await, "Made by others");
        let repaired = server.repaired(&log, true).await.unwrap();
        assert_eq!(repaired.list, "6");
        assert!(server.diagnosis(&log).await.is_well());
    }
}
