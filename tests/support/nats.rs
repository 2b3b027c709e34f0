//! A real NATS server with JetStream, and the stream as any subscriber can read it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::stream::{Config, Stream};
use futures_util::StreamExt as _;
use serde_json::Value;
use tempfile::TempDir;

use super::eventually;
use super::program::{free_port, signal};

/// The stream to which events are published.
pub const STREAM: &str = "AUTH_EVENTS";

/// Starts the server, and ends it by the signal that is written to the standard input. If the input closes, because the
/// test process has ended in any way, the signal is SIGKILL.
const KEEPER: &str = r#"
    "$@" >/dev/null 2>&1 &
    server=$!
    echo $server
    read -r signal
    kill -s "${signal:-KILL}" $server
    # One that was stopped would not hear of it.
    kill -s CONT $server
    wait $server
"#;

/// A server.
pub struct Nats {
    directory: TempDir,
    port: u16,
    arguments: Vec<String>,
    running: Option<Running>,
}

struct Running {
    keeper: Child,
    process: u32,
}

/// A message of the stream.
#[derive(Clone, Debug)]
pub struct Message {
    pub sequence: u64,
    pub subject: String,
    pub headers: BTreeMap<String, String>,
    pub data: Vec<u8>,
}

impl Nats {
    /// A server with an empty store.
    pub async fn start() -> Self {
        let mut server = Self::that_is_away();
        server.restart().await;
        server
    }

    /// Like [`Self::start`], with a user and a password for clients.
    pub async fn guarded_by(user: &str, password: &str) -> Self {
        let mut server = Self::that_is_away();
        server.arguments = ["--user", user, "--pass", password]
            .map(str::to_owned)
            .into();
        server.restart().await;
        server
    }

    /// Like [`Self::start`], with this configuration.
    pub async fn configured(configuration: &str) -> Self {
        let mut server = Self::that_is_away();
        let file = server.directory.path().join("nats.conf");
        fs::write(&file, configuration).expect("a file");
        server.arguments = vec!["--config".to_owned(), file.display().to_string()];
        server.restart().await;
        server
    }

    /// Three servers of one cluster.
    pub async fn cluster() -> [Self; 3] {
        let mut servers = [(); 3].map(|()| Self::that_is_away());
        let routes = [(); 3].map(|()| format!("nats://127.0.0.1:{}", free_port()));
        for (number, server) in servers.iter_mut().enumerate() {
            let options = [
                ("--server_name", server.name()),
                ("--cluster_name", "authlog".to_owned()),
                ("--cluster", routes[number].clone()),
                ("--routes", routes.join(",")),
            ];
            let options = options.into_iter();
            server.arguments = options
                .flat_map(|(name, value)| [name.to_owned(), value])
                .collect();
            server.restart().await;
        }
        servers
    }

    /// The name of a server in its cluster.
    pub fn name(&self) -> String {
        format!("server-{}", self.port)
    }

    /// A server that has not run yet.
    pub fn that_is_away() -> Self {
        Self {
            directory: TempDir::new().expect("a directory"),
            port: free_port(),
            arguments: Vec::new(),
            running: None,
        }
    }

    /// The directory of its files.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The URL at which it listens.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// `127.0.0.1:<port>`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Starts it, on the same port and the same store.
    pub async fn restart(&mut self) {
        assert!(self.running.is_none(), "it runs");
        for _ in 0..100 {
            let mut running = Running::start(&self.command());
            if running.listens_on(self.port).await {
                self.running = Some(running);
                return;
            }
            // Another process may have the port for a moment, as the local end of a connection.
            running.end("KILL");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("nats-server does not start: {}", self.log());
    }

    fn command(&self) -> Vec<String> {
        let store = self.store().display().to_string();
        let log = self.directory.path().join("log").display().to_string();
        let port = self.port.to_string();
        let options = [
            "--addr",
            "127.0.0.1",
            "--port",
            &port,
            "--jetstream",
            "--store_dir",
            &store,
            "--log",
            &log,
        ];
        std::iter::once(binary())
            .chain(options.map(str::to_owned))
            .chain(self.arguments.clone())
            .collect()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    fn store(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    /// Stops the server as an operator does.
    pub fn stop(&mut self) {
        self.running.take().expect("it runs").end("TERM");
    }

    /// Kills the server, as a power failure does.
    pub fn kill9(&mut self) {
        self.running.take().expect("it runs").end("KILL");
    }

    /// Removes everything that the stopped server has stored.
    pub fn wipe(&self) {
        assert!(self.running.is_none(), "it runs");
        fs::remove_dir_all(self.store()).expect("its store");
    }

    /// Freezes the server at any point (SIGSTOP).
    pub fn freeze(&self) {
        signal("STOP", self.process());
    }

    /// Lets the frozen server continue.
    pub fn thaw(&self) {
        signal("CONT", self.process());
    }

    fn process(&self) -> u32 {
        self.running.as_ref().expect("it runs").process
    }

    /// A JetStream client.
    pub async fn jetstream(&self) -> jetstream::Context {
        let client = async_nats::connect(self.url()).await.expect("NATS");
        jetstream::new(client)
    }

    /// The stream of events, if it exists.
    pub async fn stream(&self) -> Option<Stream> {
        self.jetstream().await.get_stream(STREAM).await.ok()
    }

    /// The number of messages in the stream; 0 if it does not exist.
    pub async fn stored(&self) -> u64 {
        let stream = self.stream().await;
        stream.map_or(0, |stream| stream.cached_info().state.messages)
    }

    /// Creates the stream of events as the program does, with the changes that `alter` makes.
    pub async fn make_stream(&self, alter: impl FnOnce(&mut Config)) -> Stream {
        let mut config = Config {
            name: STREAM.to_owned(),
            subjects: vec!["auth.v1.>".to_owned()],
            max_messages: -1,
            max_messages_per_subject: -1,
            max_bytes: -1,
            num_replicas: 1,
            ..Config::default()
        };
        alter(&mut config);
        let jetstream = self.jetstream().await;
        jetstream.create_stream(config).await.expect("a stream")
    }

    /// Publishes a message to a subject.
    pub async fn publish(&self, subject: &str, data: &'static str) {
        let jetstream = self.jetstream().await;
        let sent = jetstream.publish(subject.to_owned(), data.into());
        sent.await
            .expect("NATS")
            .await
            .expect("NATS stores the message");
    }

    /// Deletes the stream of events.
    pub async fn delete_stream(&self) {
        let jetstream = self.jetstream().await;
        jetstream.delete_stream(STREAM).await.expect("its end");
    }

    /// Creates the stream again after it was deleted, once the server has removed the files of the old one.
    pub async fn recreate_stream(&self) -> Stream {
        tokio::time::sleep(Duration::from_millis(300)).await;
        self.make_stream(|_| {}).await
    }

    /// Every message of the stream, as a new subscriber receives them.
    pub async fn messages(&self) -> Vec<Message> {
        let Some(stream) = self.stream().await else {
            return Vec::new();
        };
        let config = pull::Config {
            ack_policy: AckPolicy::None,
            ..pull::Config::default()
        };
        // A cluster without a leader creates no consumer.
        let consumer = eventually("a consumer", async || {
            stream.create_consumer(config.clone()).await.ok()
        })
        .await;
        let expected = stream.cached_info().state.messages;
        let mut messages = Vec::new();
        while (messages.len() as u64) < expected {
            let batch = consumer.fetch().max_messages(500).messages().await;
            let mut batch = batch.expect("messages");
            while let Some(message) = batch.next().await {
                messages.push(Message::from(&message.expect("a message")));
            }
        }
        messages
    }
}

impl Running {
    fn start(command: &[String]) -> Self {
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "keeper"])
            .args(command)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh");
        let mut line = String::new();
        let mut output = BufReader::new(keeper.stdout.take().expect("its output"));
        output.read_line(&mut line).expect("a process");
        let process = line.trim().parse().expect("a number");
        Self { keeper, process }
    }

    async fn listens_on(&mut self, port: u16) -> bool {
        for _ in 0..200 {
            if Path::new(&format!("/proc/{}/exe", self.process))
                .canonicalize()
                .is_err()
            {
                return false;
            }
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        false
    }

    fn end(&mut self, signal: &str) {
        let mut input = self.keeper.stdin.take().expect("its input");
        let _ = writeln!(input, "{signal}");
        drop(input);
        let _ = self.keeper.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

impl From<&jetstream::Message> for Message {
    fn from(message: &jetstream::Message) -> Self {
        let headers = message.headers.as_ref().map(|headers| {
            let headers = headers.iter();
            headers
                .map(|(name, values)| {
                    assert_eq!(values.len(), 1, "{name} occurs more than once");
                    (name.to_string(), values[0].to_string())
                })
                .collect()
        });
        Self {
            sequence: message.info().expect("its place").stream_sequence,
            subject: message.subject.to_string(),
            headers: headers.unwrap_or_default(),
            data: message.payload.to_vec(),
        }
    }
}

impl Message {
    /// A header's text.
    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).map(String::as_str);
        value.unwrap_or_else(|| panic!("no {name}: {self:?}"))
    }

    /// The data as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.data).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// All of it as text, to search in.
    pub fn text(&self) -> String {
        let data = String::from_utf8_lossy(&self.data);
        format!("{} {:?} {data}", self.subject, self.headers)
    }
}

/// The program that `AUTHLOG_TEST_NATS_SERVER` names or, without it, the one that is installed.
fn binary() -> String {
    if let Ok(program) = std::env::var("AUTHLOG_TEST_NATS_SERVER") {
        return program;
    }
    let places = ["/usr/sbin/nats-server", "/usr/local/bin/nats-server"];
    let found = places.into_iter().find(|place| Path::new(place).exists());
    found.unwrap_or("nats-server").to_owned()
}
