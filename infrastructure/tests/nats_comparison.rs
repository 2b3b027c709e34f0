//! A stream that is not the copy of its log: whatever differs is named.

#![expect(clippy::unwrap_used, reason = "what fails in a test may panic")]

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::{self, stream::Config};
use async_trait::async_trait;
use authlog_application::ports::{
    ChangedAccounts, Check, Diagnosis, EventLog, LogCursor, LogFilter, LogHead, LogPage,
    LoggedEvent, ReadOnError, StoreError,
};
use authlog_domain::{Timestamp, UserId};
use authlog_infrastructure::nats::{NatsServers, STREAM, compare_stream};
use cqrs_es::persist::SerializedEvent;
use serde_json::json;
use tempfile::TempDir;
use uuid::Uuid;

/// A server of a test's own.
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

    /// A stream with these messages: the `ce-id` and the subject of each.
    async fn with_stream(messages: &[(String, String)]) -> Self {
        let server = Self::start().await;
        let jetstream = jetstream::new(async_nats::connect(&server.url).await.unwrap());
        let config = Config {
            name: STREAM.to_owned(),
            subjects: vec!["auth.v1.>".to_owned()],
            ..Config::default()
        };
        jetstream.create_stream(config).await.unwrap();
        for (id, subject) in messages {
            let mut headers = HeaderMap::new();
            headers.insert("ce-id", id.as_str());
            let sent = jetstream.publish_with_headers(subject.clone(), headers, "{}".into());
            sent.await.unwrap().await.unwrap();
        }
        server
    }

    async fn diagnosis(&self, log: &Log) -> Diagnosis {
        let mut diagnosis = Diagnosis::default();
        let servers = NatsServers::parse(&self.url).unwrap();
        compare_stream(&servers, log, &mut diagnosis).await.unwrap();
        diagnosis
    }

    /// Where the first divergence is and what it is.
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

/// A log of logins, as many as it says.
struct Log(u64);

fn user() -> UserId {
    UserId::new(Uuid::from_u128(7))
}

fn messages(count: u64) -> Vec<(String, String)> {
    (1..=count)
        .map(|index| {
            let subject = format!("auth.v1.session.{}.logged-in", user());
            (format!("session/s-{index}/1"), subject)
        })
        .collect()
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
        let event = |log_index| LoggedEvent {
            log_index,
            recorded_at: Timestamp::from_unix_millis(0),
            user: user(),
            leaf_hash: [0; 32],
            event: SerializedEvent::new(
                format!("s-{log_index}"),
                1,
                "session".to_owned(),
                "LoggedIn".to_owned(),
                "1".to_owned(),
                json!({}),
                json!({}),
            ),
        };
        Ok((after + 1..=last).map(event).collect())
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
}

#[tokio::test]
async fn a_stream_that_is_a_copy_or_on_its_way_to_be_one_is_well() {
    let server = Server::with_stream(&messages(2500)).await;
    for length in [2500, 2600] {
        let diagnosis = server.diagnosis(&Log(length)).await;
        assert!(diagnosis.is_well(), "{diagnosis:?}");
    }
    let without = Server::start().await;
    assert!(without.diagnosis(&Log(3)).await.is_well());
}

#[tokio::test]
async fn whatever_differs_is_named() {
    let mut another = messages(5);
    another[2].0 = "session/else/1".to_owned();
    let server = Server::with_stream(&another).await;
    let (found, count) = server.finds(&Log(5)).await;
    assert!(
        found.starts_with("sequence 3 of AUTH_EVENTS: the stream has session/else/1"),
        "{found}"
    );
    assert_eq!(count, 1);

    let mut misfiled = messages(3);
    misfiled[1].1 = format!("auth.v1.session.{}.logged-out", user());
    let server = Server::with_stream(&misfiled).await;
    let (found, _) = server.finds(&Log(3)).await;
    assert!(
        found.contains("sequence 2") && found.contains("another subject"),
        "{found}"
    );

    let server = Server::with_stream(&messages(5)).await;
    let (found, _) = server.finds(&Log(4)).await;
    assert!(
        found.contains("sequence 5") && found.contains("the log at 4"),
        "{found}"
    );

    let client = async_nats::connect(&server.url).await.unwrap();
    let stream = jetstream::new(client).get_stream(STREAM).await.unwrap();
    stream.delete_message(2).await.unwrap();
    let (found, count) = server.finds(&Log(5)).await;
    assert!(
        found.contains("sequence 2") && found.contains("missing"),
        "{found}"
    );
    assert_eq!(count, 1);
}
