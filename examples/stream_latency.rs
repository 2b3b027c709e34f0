//! How soon an acknowledged change is on the stream, and how fast a backlog gets there.
//!
//! `cargo run --release --example stream_latency [postgres://…/empty-database]` starts the release program, on SQLite
//! unless told otherwise, and a real nats-server, and measures on a machine that should be idle:
//!
//! 1. the time from the HTTP answer of a refresh to its message at a JetStream consumer, one at a time;
//! 2. how many refreshes a second clients get done over HTTP while NATS is away;
//! 3. how fast the program publishes these once NATS is there;
//! 4. how fast the same messages can be published to JetStream by a client that has nothing else to do.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark that cannot go on ends, and its figures go to the terminal"
)]

use std::collections::VecDeque;
use std::future::IntoFuture as _;
use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, Context};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Changes whose way is timed.
const TIMED: usize = 400;

/// Events that wait for NATS.
const BACKLOG: u64 = 20_000;

/// Clients that make the backlog.
const CLIENTS: u64 = 16;

/// Messages under way, as the program has them.
const IN_FLIGHT: usize = 1000;

/// The program, or the server; ended when this is dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::main]
async fn main() {
    let directory = TempDir::new().unwrap();
    let nats_port = free_port();
    let program = build();
    let (_service, base) = serve(&program, directory.path(), nats_port);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    println!(
        "store: {}",
        std::env::args()
            .nth(1)
            .unwrap_or_else(|| "SQLite".to_owned())
    );

    let (made, seconds) = make_backlog(&client, &base).await;
    let appended = made as f64 / seconds;
    println!("appended over HTTP by {CLIENTS} clients: {made} events, {appended:.0}/s");

    let _server = nats(directory.path(), nats_port);
    let jetstream = connect(nats_port).await;
    let (stored, seconds) = watch_backlog(&jetstream, made).await;
    let published = stored as f64 / seconds;
    println!(
        "published: {stored} events in {seconds:.2} s, {published:.0}/s, {:.1} times what was appended",
        published / appended
    );

    let limit = limit_of_jetstream(&jetstream).await;
    println!(
        "JetStream, the same messages from memory: {limit:.0}/s; the program reaches {:.0} %",
        100.0 * published / limit
    );

    let mut waits = time_changes(&client, &base, &jetstream).await;
    waits.sort();
    let millis = |wait: Duration| wait.as_secs_f64() * 1000.0;
    println!(
        "from the HTTP answer to a JetStream consumer, {} changes, ms: median {:.1}, p99 {:.1}, min {:.1}, max {:.1}",
        waits.len(),
        millis(waits[waits.len() / 2]),
        millis(waits[waits.len() * 99 / 100]),
        millis(waits[0]),
        millis(waits[waits.len() - 1]),
    );
}

/// Builds the program as this example was built.
fn build() -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--bin", "authlog"]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    assert!(cargo.status().unwrap().success());
    let example = std::env::current_exe().unwrap();
    example.ancestors().nth(2).unwrap().join("authlog")
}

fn serve(program: &Path, directory: &Path, nats_port: u16) -> (Process, String) {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("AUTHLOG_LISTEN", "127.0.0.1:0")
        .env("AUTHLOG_DATA_DIR", directory.join("data"))
        .env("AUTHLOG_RATE_LIMIT", "off")
        .env("AUTHLOG_LOG", "error")
        .env("AUTHLOG_NATS_URL", format!("nats://127.0.0.1:{nats_port}"))
        .stdout(Stdio::piped());
    if let Some(url) = std::env::args().nth(1) {
        command.env("AUTHLOG_DATABASE_URL", url);
    }
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let base = line
        .trim()
        .strip_prefix("listening on ")
        .unwrap()
        .to_owned();
    (Process(child), base)
}

fn nats(directory: &Path, port: u16) -> Process {
    let installed = Path::new("/usr/sbin/nats-server");
    let binary = if installed.exists() {
        installed
    } else {
        Path::new("nats-server")
    };
    let child = Command::new(binary)
        .args([
            "--addr",
            "127.0.0.1",
            "--port",
            &port.to_string(),
            "--jetstream",
        ])
        .arg("--store_dir")
        .arg(directory.join("nats"))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let server = Process(child);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        std::thread::sleep(Duration::from_millis(5));
    }
    server
}

async fn connect(port: u16) -> Context {
    let client = async_nats::connect(format!("nats://127.0.0.1:{port}")).await;
    jetstream::new(client.unwrap())
}

/// Lets clients refresh at once until enough happened; how many events there are, and how long the refreshes took.
async fn make_backlog(client: &reqwest::Client, base: &str) -> (u64, f64) {
    let mut sessions = Vec::new();
    for number in 0..CLIENTS {
        sessions.push(sign_up(client, base, &format!("client-{number}")).await);
    }
    let began = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    for session in sessions {
        let (client, base) = (client.clone(), base.to_owned());
        running.spawn(async move {
            let mut session = session;
            for _ in 0..BACKLOG / CLIENTS {
                session = refresh(&client, &base, &session).await;
            }
        });
    }
    running.join_all().await;
    let refreshes = BACKLOG / CLIENTS * CLIENTS;
    (refreshes, began.elapsed().as_secs_f64())
}

/// Watches the stream fill, from its first messages to its last.
async fn watch_backlog(jetstream: &Context, expected: u64) -> (u64, f64) {
    let mut began: Option<(Instant, u64)> = None;
    loop {
        if let Ok(stream) = jetstream.get_stream("AUTH_EVENTS").await {
            let stored = stream.cached_info().state.messages;
            let (since, first) = *began.get_or_insert((Instant::now(), stored));
            if stored >= expected {
                return (stored - first, since.elapsed().as_secs_f64());
            }
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Publishes what the stream holds to another one, fenced and pipelined alike, and returns the messages a second.
async fn limit_of_jetstream(jetstream: &Context) -> f64 {
    let config = jetstream::stream::Config {
        name: "LIMIT".to_owned(),
        subjects: vec!["limit.>".to_owned()],
        ..jetstream::stream::Config::default()
    };
    jetstream.create_stream(config).await.unwrap();
    let messages = everything(jetstream).await;
    let count = messages.len();
    let began = Instant::now();
    let mut under_way = VecDeque::new();
    for (number, (subject, headers, data)) in messages.into_iter().enumerate() {
        let message = PublishMessage::build()
            .headers(headers)
            .payload(data.into())
            .expected_stream("LIMIT")
            .expected_last_sequence(number as u64);
        let sent = jetstream.send_publish(subject, message).await.unwrap();
        under_way.push_back(sent);
        if under_way.len() >= IN_FLIGHT {
            under_way.pop_front().unwrap().into_future().await.unwrap();
        }
    }
    for sent in under_way {
        sent.await.unwrap();
    }
    count as f64 / began.elapsed().as_secs_f64()
}

/// Every message of the stream, addressed to the other one.
async fn everything(jetstream: &Context) -> Vec<(String, HeaderMap, Vec<u8>)> {
    let stream = jetstream.get_stream("AUTH_EVENTS").await.unwrap();
    let count = stream.cached_info().state.messages;
    let consumer = stream
        .create_consumer(OrderedConfig::default())
        .await
        .unwrap();
    let mut messages = consumer.messages().await.unwrap();
    let mut found = Vec::new();
    while (found.len() as u64) < count {
        let message = messages.next().await.unwrap().unwrap();
        let subject = format!("limit.{}", message.subject);
        let headers = message.headers.clone().unwrap();
        found.push((subject, headers, message.payload.to_vec()));
    }
    found
}

/// Makes one change after the other, each after a pause, and returns how long each took from its answer to a consumer.
async fn time_changes(client: &reqwest::Client, base: &str, jetstream: &Context) -> Vec<Duration> {
    let mut session = sign_up(client, base, "timed").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let stream = jetstream.get_stream("AUTH_EVENTS").await.unwrap();
    let config = OrderedConfig {
        deliver_policy: jetstream::consumer::DeliverPolicy::New,
        ..OrderedConfig::default()
    };
    let consumer = stream.create_consumer(config).await.unwrap();
    let mut messages = consumer.messages().await.unwrap();
    let (arrived, mut arrivals) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok(message)) = messages.next().await {
            if message.subject.ends_with(".token-refreshed") {
                let _ = arrived.send(Instant::now());
            }
        }
    });
    let mut waits = Vec::new();
    for number in 0..TIMED {
        // Prime to the polls of the program, so that all their phases are met.
        tokio::time::sleep(Duration::from_millis(31 + (number % 17) as u64)).await;
        session = refresh(client, base, &session).await;
        let answered = Instant::now();
        waits.push(
            arrivals
                .recv()
                .await
                .unwrap()
                .saturating_duration_since(answered),
        );
    }
    waits
}

/// Makes an account and returns its refresh token.
async fn sign_up(client: &reqwest::Client, base: &str, name: &str) -> String {
    let person = json!({"username": name, "email": format!("{name}@example.com"), "password": "opens-sesame"});
    post(client, &format!("{base}/api/auth/register"), None, &person).await;
    let login = json!({"username": name, "password": "opens-sesame"});
    let answer = post(client, &format!("{base}/api/auth/login"), None, &login).await;
    refresh_token(&answer)
}

/// Refreshes a session and returns its next refresh token.
async fn refresh(client: &reqwest::Client, base: &str, token: &str) -> String {
    let url = format!("{base}/api/auth/refresh");
    refresh_token(&post(client, &url, Some(token), &Value::Null).await)
}

fn refresh_token(answer: &Value) -> String {
    let token = answer.pointer("/data/refresh_token/token");
    token.unwrap().as_str().unwrap().to_owned()
}

async fn post(client: &reqwest::Client, url: &str, token: Option<&str>, body: &Value) -> Value {
    let mut request = client.post(url);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    if !body.is_null() {
        request = request.json(body);
    }
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let text = answer.text().await.unwrap();
    assert!(status.is_success(), "{url}: {status} {text}");
    serde_json::from_str(&text).unwrap()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
