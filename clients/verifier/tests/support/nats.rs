//! A NATS server for tests, with the stream of events and the heartbeats as Authlog publishes them.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use async_nats::jetstream::stream::Config;
use async_nats::jetstream::{self, Context};
use async_nats::{Client, HeaderMap};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use uuid::Uuid;

use crate::support::{account, eventually, seconds, session};

/// Starts the server, and kills it when the standard input closes, also because the test has ended in any way.
const KEEPER: &str = r#"
    "$@" >/dev/null 2>&1 &
    server=$!
    echo $server
    read -r end
    kill -s KILL $server
    wait $server
"#;

/// A server with an empty store.
pub struct Server {
    pub url: String,
    pub client: Client,
    pub jetstream: Context,
    directory: PathBuf,
    keeper: Child,
    input: Option<ChildStdin>,
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.keeper.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl Server {
    /// A server with the stream of events.
    pub async fn start() -> Self {
        let directory = std::env::temp_dir().join(format!("authlog-verifier-{}", random()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.to_str().unwrap();
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "sh", &program()])
            .args(["--addr", "127.0.0.1", "--port", "-1", "--jetstream"])
            .args(["--store_dir", path, "--ports_file_dir", path])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = keeper.stdin.take();
        let mut process = String::new();
        let mut output = BufReader::new(keeper.stdout.take().unwrap());
        output.read_line(&mut process).unwrap();
        let ports = directory.join(format!("nats-server_{}.ports", process.trim()));
        let mut url = None;
        eventually("the NATS server listens", || {
            url = url.take().or_else(|| listens_at(&ports));
            url.is_some()
        })
        .await;
        let url = url.unwrap();
        let client = async_nats::connect(&url).await.unwrap();
        let jetstream = jetstream::new(client.clone());
        let server = Self {
            url,
            client,
            jetstream,
            directory,
            keeper,
            input,
        };
        let config = Config {
            name: "AUTH_EVENTS".to_owned(),
            subjects: vec!["auth.v1.>".to_owned()],
            ..Config::default()
        };
        server.jetstream.create_stream(config).await.unwrap();
        server
    }

    /// Publishes an event.
    pub async fn publish(&self, source: &str, index: u64, kind: &str, data: &Value) {
        let time = OffsetDateTime::from_unix_timestamp(seconds()).unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("ce-logindex", index.to_string()),
            ("ce-id", format!("event/{index}")),
            ("ce-type", format!("dev.authlog.{kind}")),
            ("ce-source", source.to_owned()),
            ("ce-subject", account(1).to_string()),
            ("ce-time", time.format(&Rfc3339).unwrap()),
        ] {
            headers.insert(name, value);
        }
        let subject = format!("auth.v1.session.{}.x", account(1));
        let payload = data.to_string().into();
        let published = self
            .jetstream
            .publish_with_headers(subject, headers, payload);
        published.await.unwrap().await.unwrap();
    }

    /// Publishes the logout of a session.
    pub async fn log_out(&self, source: &str, index: u64, number: u128) {
        let data = json!({ "session_id": session(number) });
        self.publish(source, index, "session.logged-out.v1", &data)
            .await;
    }

    /// Publishes a heartbeat.
    pub async fn beat(&self, log_index: u64, elapsed_ms: u64) {
        let beat = json!({
            "elapsed_ms": elapsed_ms, "logindex": log_index.to_string(), "publisher": "a publisher",
        });
        let payload = beat.to_string().into();
        self.client
            .publish("auth-heartbeat.v1", payload)
            .await
            .unwrap();
        self.client.flush().await.unwrap();
    }
}

fn random() -> Uuid {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    Uuid::from_bytes(bytes)
}

/// The program that `AUTHLOG_TEST_NATS_SERVER` names or, without it, the one that is installed.
fn program() -> String {
    if let Ok(program) = std::env::var("AUTHLOG_TEST_NATS_SERVER") {
        return program;
    }
    let places = ["/usr/sbin/nats-server", "/usr/local/bin/nats-server"];
    let found = places.into_iter().find(|place| Path::new(place).exists());
    found.unwrap_or("nats-server").to_owned()
}

fn listens_at(ports: &Path) -> Option<String> {
    let ports: Value = serde_json::from_slice(&std::fs::read(ports).ok()?).ok()?;
    Some(ports["nats"][0].as_str()?.to_owned())
}

/// A relay to a server, which holds back what the client sends from the first message with a text in it.
pub struct Relay {
    pub url: String,
    /// Whether the server has processed everything before that message.
    pub is_holding: watch::Receiver<bool>,
    pub release: watch::Sender<bool>,
}

impl Relay {
    pub async fn start(server: &str, text: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("nats://{}", listener.local_addr().unwrap());
        let server = server.trim_start_matches("nats://").to_owned();
        let (holding, is_holding) = watch::channel(false);
        let (release, released) = watch::channel(false);
        tokio::spawn(async move {
            // One connection is enough for a test.
            let (client, _) = listener.accept().await?;
            let server = TcpStream::connect(&server).await?;
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            let (ponged, pongs) = watch::channel(0);
            let back = tokio::spawn(relay_back(from_server, to_client, ponged));
            let hold = Hold {
                text,
                pongs,
                holding,
                released,
            };
            let _ = hold.relay(from_client, to_server).await;
            back.abort();
            Ok::<_, std::io::Error>(())
        });
        Self {
            url,
            is_holding,
            release,
        }
    }
}

/// Relays what the server sends, and counts the answers to a ping.
async fn relay_back(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    pongs: watch::Sender<usize>,
) -> std::io::Result<()> {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut bytes).await?;
        if length == 0 {
            return Ok(());
        }
        let part = &bytes[..length];
        to.write_all(part).await?;
        let found = part.windows(6).filter(|it| it == b"PONG\r\n").count();
        pongs.send_modify(|count| *count += found);
    }
}

struct Hold {
    text: &'static str,
    pongs: watch::Receiver<usize>,
    holding: watch::Sender<bool>,
    released: watch::Receiver<bool>,
}

impl Hold {
    async fn relay(
        mut self,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
    ) -> std::io::Result<()> {
        let mut bytes = vec![0; 64 * 1024];
        loop {
            let length = from.read(&mut bytes).await?;
            if length == 0 {
                return Ok(());
            }
            let part = &bytes[..length];
            let mut windows = part.windows(self.text.len());
            let found = windows.position(|it| it == self.text.as_bytes());
            let Some(found) = found.filter(|_| !*self.released.borrow()) else {
                to.write_all(part).await?;
                continue;
            };
            let line = part[..found].iter().rposition(|byte| *byte == b'\n');
            let (before, after) = part.split_at(line.map_or(0, |end| end + 1));
            let known = *self.pongs.borrow();
            to.write_all(before).await?;
            // The server answers after it has processed what is before it.
            to.write_all(b"PING\r\n").await?;
            let _ = self.pongs.wait_for(|count| *count > known).await;
            self.holding.send_replace(true);
            let _ = self.released.wait_for(|it| *it).await;
            to.write_all(after).await?;
        }
    }
}
