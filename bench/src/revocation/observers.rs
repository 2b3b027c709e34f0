//! What notices a change: the services, which are asked for a resource, and a bare reader of the feed.

use std::process::Stdio;
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::{Method, StatusCode};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::{micros, settings_of_service};
use crate::applications::Registered;
use crate::http::{Carried, Connection};
use crate::service::Service;

/// The time from one question to the next.
const INTERVAL: Duration = Duration::from_millis(1);

/// The protected resource of every service.
const RESOURCE: &str = "/protected";

/// A name and the command that starts a service.
#[derive(Clone)]
pub(super) struct Command {
    name: String,
    words: Vec<String>,
}

impl FromStr for Command {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, command) = text.split_once('=').ok_or("a name, `=` and a command")?;
        Ok(Self {
            name: name.to_owned(),
            words: command.split_whitespace().map(str::to_owned).collect(),
        })
    }
}

/// A running service with a connection to it. Killed when dropped.
pub(super) struct Observed {
    pub(super) name: String,
    /// Where it listens.
    pub(super) address: String,
    connection: Option<Connection>,
    _process: Child,
}

/// The connection, and when the refusal arrived.
type Refusal = anyhow::Result<(Connection, Instant)>;

impl Observed {
    /// Starts a service that follows the events of `service` as the client `reader`, and waits until it listens.
    pub(super) async fn start(
        command: &Command,
        service: &Service,
        reader: &Registered,
        nats: Option<&str>,
    ) -> anyhow::Result<Self> {
        let (program, arguments) = command.words.split_first().context("a command")?;
        let mut process = tokio::process::Command::new(program)
            .args(arguments)
            .envs(settings_of_service(service, reader))
            .envs(nats.map(|url| ("NATS_URL", url)))
            .env("no_proxy", "*")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{program} does not start"))?;
        let output = process.stdout.take().context("it has an output")?;
        let first = BufReader::new(output).lines().next_line().await?;
        let first = first.with_context(|| format!("{} ended at once", command.name))?;
        let address = first.strip_prefix("listening on ");
        let address = address.with_context(|| format!("{} said {first:?}", command.name))?;
        Ok(Self {
            name: command.name.clone(),
            address: address.to_owned(),
            connection: Some(Connection::open(address).await?),
            _process: process,
        })
    }

    /// Asks `count` times with a valid token, and returns the time of each answer in microseconds.
    pub(super) async fn round_trips(
        &mut self,
        token: &str,
        count: usize,
    ) -> anyhow::Result<Vec<u32>> {
        let connection = self.connection.as_mut().context("a connection")?;
        let mut times = Vec::with_capacity(count);
        let mut ticks = ticks();
        // A service may listen before it has read the log.
        let began = Instant::now();
        while ask(connection, token).await? != StatusCode::OK {
            ensure!(
                began.elapsed() < super::PATIENCE,
                "{}: not ready",
                self.name
            );
            ticks.tick().await;
        }
        for _ in 0..count {
            ticks.tick().await;
            let asked = Instant::now();
            let status = ask(connection, token).await?;
            ensure!(status == StatusCode::OK, "{}: {status}", self.name);
            times.push(micros(asked.elapsed()));
        }
        Ok(times)
    }

    /// Asks with a token until it is refused. Returns once the service has accepted it.
    pub(super) async fn watch(&mut self, token: &str) -> anyhow::Result<JoinHandle<Refusal>> {
        let mut connection = self.connection.take().context("a connection")?;
        let (accepted, was_accepted) = oneshot::channel();
        let (name, token) = (self.name.clone(), token.to_owned());
        let watching = tokio::spawn(async move {
            let mut accepted = Some(accepted);
            let mut ticks = ticks();
            loop {
                ticks.tick().await;
                let status = ask(&mut connection, &token).await?;
                let now = Instant::now();
                match (status, accepted.take()) {
                    (StatusCode::OK, Some(accepted)) => drop(accepted.send(())),
                    (StatusCode::OK, None) => {}
                    (StatusCode::UNAUTHORIZED, None) => return Ok((connection, now)),
                    _ => bail!("{name} answered with {status}"),
                }
            }
        });
        match was_accepted.await {
            Ok(()) => Ok(watching),
            Err(_) => Err(watching.await?.err().context("the token was accepted")?),
        }
    }

    /// Takes back the connection that was used to watch.
    pub(super) fn take_back(&mut self, connection: Connection) {
        self.connection = Some(connection);
    }
}

fn ticks() -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks
}

/// The status with which a service answers a request with this token.
pub(super) async fn ask(connection: &mut Connection, token: &str) -> anyhow::Result<StatusCode> {
    let authorization = format!("Bearer {token}");
    let carried = Carried {
        authorization: Some(&authorization),
        body: None,
    };
    let answer = connection.send(Method::GET, RESOURCE, carried).await?;
    Ok(answer.status())
}

/// A reader of the feed that notes when each event arrives.
pub(super) struct FeedReader(mpsc::UnboundedReceiver<(Instant, Value)>);

impl FeedReader {
    /// Reads from the end of the log on.
    pub(super) async fn open(service: &Service, authorization: &str) -> anyhow::Result<Self> {
        let after = crate::stream::logged(service).await?;
        let path = format!("/audit/events?after={after}&follow=true");
        let carried = Carried {
            authorization: Some(authorization),
            body: None,
        };
        let mut connection = Connection::open(&service.address).await?;
        let answer = connection.begin(Method::GET, &path, carried).await?;
        ensure!(
            answer.status().is_success(),
            "the feed: {}",
            answer.status()
        );
        let (sender, events) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            // The connection is closed when it is dropped.
            let _connection = connection;
            read(answer.into_body(), &sender).await
        });
        Ok(Self(events))
    }

    /// When the event of this type and subject arrived. Earlier ones are skipped.
    pub(super) async fn arrival(&mut self, kind: &str, subject: &str) -> anyhow::Result<Instant> {
        loop {
            let (at, event) = self.0.recv().await.context("the feed has ended")?;
            if event["type"] == kind && event["subject"] == subject {
                return Ok(at);
            }
        }
    }
}

async fn read(
    mut body: Incoming,
    events: &mpsc::UnboundedSender<(Instant, Value)>,
) -> anyhow::Result<()> {
    let mut rest = Vec::new();
    while let Some(frame) = body.frame().await {
        let now = Instant::now();
        rest.extend_from_slice(frame?.data_ref().context("data")?);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            events.send((now, serde_json::from_slice(&line)?))?;
        }
    }
    Ok(())
}
