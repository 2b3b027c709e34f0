//! The example consumer: its table is correct although the consumer is killed, and in spite of gaps and forged messages.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::stream::Config;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use support::browser::Browser;
use support::contract::Tokens;
use support::events::trouble_with;
use support::following::{Reader, follow_each_other, log_index};
use support::load::Load;
use support::nats::Nats;
use support::oauth::{self, Registration};
use support::passkey;
use support::staff::signed_in;
use support::story::everything_happens;
use support::{Contract, Person, Program, Store, eventually};
use tempfile::TempDir;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_is_killed_repeatedly_ends_with_a_correct_table() {
    let mut nats = Nats::start().await;
    let (service, reader) = service(&nats).await;
    let mut table = Table::new(&nats.url());
    let load = Load::on(&service.http(), "visitor");
    let mut random = Random::seeded();
    for round in 0..12 {
        table.start(&[]);
        // Some runs are killed before they have applied anything, others get far.
        let goal = table.applied() + random.below(60);
        if round % 3 > 0 {
            table.has_applied(goal).await;
        }
        tokio::time::sleep(Duration::from_millis(random.below(40))).await;
        table.kill9();
        if round == 6 {
            nats.kill9();
            nats.restart().await;
        }
    }
    everything_happens(&service, "ann").await;
    load.end().await;
    table.start(&[]);
    let log = log(&service, &reader).await;
    table.has_applied(log.len() as u64).await;
    assert_eq!(table.contents(), truth(&log));
    assert!(table.is_running());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gap_in_the_stream_ends_the_consumer_or_is_filled_from_the_feed() {
    let nats = Nats::start().await;
    let (service, reader) = service(&nats).await;
    let story = everything_happens(&service, "ann").await;
    let log = log(&service, &reader).await;
    let count = log.len() as u64;
    assert_eq!(log.len(), 2 + story.events.len());
    let holed = Nats::start().await;
    copy(&nats, &holed, count, None).await;
    for lost in [5, 6, 7, count - 1] {
        let stream = holed
            .jetstream()
            .await
            .get_stream("AUTH_EVENTS")
            .await
            .unwrap();
        stream.delete_message(lost).await.unwrap();
    }

    let mut table = Table::new(&holed.url());
    let output = table.run_to_its_end().await;
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(words.contains("lost the events 5 to 7;"), "{words}");
    assert_eq!(table.applied(), 4);

    let address = format!("http://{}", service.address());
    table.start(&["--feed", &address, "--token", &reader.access]);
    table.has_applied(count).await;
    assert_eq!(table.contents(), truth(&log));
    table.kill9();

    // The table refuses the stream of another log.
    let other = Nats::start().await;
    copy(&nats, &other, count, Some("user/of-another-log/1")).await;
    table.reads_from(&other.url());
    let output = table.run_to_its_end().await;
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.contains("was made of another log"), "{words}");
    assert_eq!(table.contents(), truth(&log));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_skips_foreign_messages_and_stops_at_a_forged_event() {
    let nats = Nats::start().await;
    let (service, reader) = service(&nats).await;
    everything_happens(&service, "ann").await;
    let mut table = Table::new(&nats.url());
    table.start(&[]);
    let before = log(&service, &reader).await;
    table.has_applied(before.len() as u64).await;

    // A foreign message that the operator excluded: the table continues.
    nats.publish("auth.v1.user.evil.registered", "{}").await;
    trouble_with(&service, "no event of this log").await;
    repairs(&service, &["nats", "repair"]);
    everything_happens(&service, "bob").await;
    let before = log(&service, &reader).await;
    table.has_applied(before.len() as u64).await;
    assert_eq!(table.contents(), truth(&before));

    // A forged message with every attribute of an event: it is applied, and the consumer stops at the true event.
    forge(&nats, before.len() as u64 + 1).await;
    trouble_with(&service, "has another client forged").await;
    table.has_applied(before.len() as u64 + 1).await;
    let refused = service.settings.run(&["nats", "repair"], "");
    assert!(!refused.status.success());
    let words = String::from_utf8_lossy(&refused.stderr);
    assert!(words.contains("--forged"), "{words}");
    repairs(&service, &["nats", "repair", "--forged"]);
    table.kill9();
    everything_happens(&service, "cay").await;
    let all = log(&service, &reader).await;
    eventually("the real event is on the stream", async || {
        (nats.stored().await >= all.len() as u64 + 2).then_some(())
    })
    .await;
    let output = table.run_to_its_end().await;
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.contains("of a forged message"), "{words}");

    // A new table is correct.
    let mut table = Table::new(&nats.url());
    table.start(&[]);
    table.has_applied(all.len() as u64).await;
    assert_eq!(table.contents(), truth(&all));
    assert!(table.is_running());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_table_counts_no_session_of_an_application_that_was_signed_out() {
    let nats = Nats::start().await;
    let (service, reader) = service(&nats).await;
    let http = service.http();
    let ann = Person::called("ann");
    // The only name in this contract is the e-mail address.
    let ann = Person {
        username: ann.email.clone(),
        ..ann
    };
    Contract::Users.registers(&http, &ann).await;
    let app = Registration::public("app").at(&service);
    let mut browser = Browser::new(&http);
    let begun = app.begins("email");
    begun.open_in(&mut browser).await;
    let callback = oauth::completes(&mut browser, &ann).await;
    app.redeems(&begun, &callback).await;
    let mut table = Table::new(&nats.url());
    table.start(&[]);
    // The reader, the browser and the application.
    assert_eq!(table.live_sessions(&service, &reader).await, [1, 2]);

    let again = app.exchange(&begun, callback.code()).await;
    oauth::is_grant_error(&again, 400, "invalid_grant");
    assert_eq!(table.live_sessions(&service, &reader).await, [1, 1]);

    begun.open_in(&mut browser).await;
    let callback = oauth::callback_of(&browser);
    app.redeems(&begun, &callback).await;
    assert_eq!(table.live_sessions(&service, &reader).await, [1, 2]);
    browser.open("/sign-out").await;
    browser.submit("/sign-out", &[]).await;
    assert_eq!(table.live_sessions(&service, &reader).await, [1, 0]);
    assert!(table.is_running());
}

/// Runs a command and asserts that it succeeds.
fn repairs(service: &Program, arguments: &[&str]) {
    let output = tokio::task::block_in_place(|| service.settings.run(arguments, ""));
    assert!(output.status.success(), "{output:?}");
}

/// Publishes a message that looks like the event at this log index.
async fn forge(nats: &Nats, log_index: u64) {
    let account = "01a1fdf6-1cf2-7258-a6b2-6cf094d210be";
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("ce-specversion", "1.0"),
        ("ce-id", &format!("user/{account}/1")),
        ("ce-source", passkey::ORIGIN),
        ("ce-type", "dev.authlog.user.registered.v1"),
        ("ce-subject", account),
        ("ce-time", "2026-11-21T11:55:27.346Z"),
        ("ce-sequence", "00000000000000000001"),
        ("ce-logindex", &log_index.to_string()),
    ] {
        headers.insert(name, value);
    }
    let subject = format!("auth.v1.user.{account}.registered");
    let data = r#"{"number":999,"role":"admin"}"#;
    let jetstream = nats.jetstream().await;
    let sent = jetstream.publish_with_headers(subject, headers, data.into());
    sent.await.unwrap().await.unwrap();
}

/// A service that publishes, and an account that may read its log.
async fn service(nats: &Nats) -> (Program, Tokens) {
    let settings = passkey::settings(Store::Sqlite).with_a_breached_password();
    let settings = settings.with("AUTHLOG_NATS_URL", &nats.url());
    let service = settings.start().await;
    let reader = signed_in(&service, "reader", "service").await;
    (service, reader)
}

/// Copies the first messages of the stream of `from` to `to`. The last one gets `id`, if there is one.
async fn copy(from: &Nats, to: &Nats, count: u64, last_id: Option<&str>) {
    let source = from.jetstream().await;
    let source = eventually("the events are on the stream", async || {
        let mut stream = source.get_stream("AUTH_EVENTS").await.ok()?;
        let state = &stream.info().await.ok()?.state;
        (state.last_sequence >= count).then_some(stream)
    })
    .await;
    let target = to.jetstream().await;
    let config = Config {
        name: "AUTH_EVENTS".to_owned(),
        subjects: vec!["auth.v1.>".to_owned()],
        ..Config::default()
    };
    target.create_stream(config).await.unwrap();
    for sequence in 1..=count {
        let message = source.get_raw_message(sequence).await.unwrap();
        let mut headers = HeaderMap::new();
        for (name, values) in message.headers.iter() {
            if name.to_string().to_lowercase().starts_with("ce-") {
                headers.insert(name.clone(), values[0].clone());
            }
        }
        if let Some(id) = last_id.filter(|_| sequence == count) {
            headers.insert("ce-id", id);
        }
        let sent = target.publish_with_headers(message.subject, headers, message.payload);
        sent.await.unwrap().await.unwrap();
    }
}

/// The whole log.
async fn log(service: &Program, reader: &Tokens) -> Vec<Value> {
    let mut all = Vec::new();
    let mut feed = Reader::of(service, &reader.access, "limit=1000000").await;
    while let Some(event) = feed.event().await {
        all.push(event);
    }
    follow_each_other(0, &all);
    all
}

/// A row of the table: number, role, last login, logins, refused logins, live sessions.
type Row = (i64, String, Option<String>, i64, i64, i64);

/// The expected rows, computed from the log in another way: account by account.
fn truth(log: &[Value]) -> Vec<Row> {
    let mut by_account: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    // The subject of an event about a client is the client.
    let of_accounts = log
        .iter()
        .filter(|event| !event["type"].as_str().unwrap().contains(".client."));
    for event in of_accounts {
        let account = event["subject"].as_str().unwrap();
        by_account.entry(account).or_default().push(event);
    }
    let erased = |event: &&Value| event["type"] == "dev.authlog.user.erased.v1";
    by_account.retain(|_, events| !events.iter().any(&erased));
    let mut rows: Vec<Row> = by_account
        .values()
        .map(|events| {
            let of = |kind: &'static str| {
                events
                    .iter()
                    .filter(move |event| event["type"].as_str().unwrap().contains(kind))
            };
            let ended = |session: &Value| {
                let mut ends = of("logged-out")
                    .chain(of("token-reused"))
                    .chain(of("code-reused"))
                    .chain(of("session.revoked"));
                ends.any(|event| event["data"]["session_id"] == *session)
            };
            let live = of(".logged-in.").filter(|login| {
                let session = &login["data"]["session_id"];
                let swept = events.iter().any(|event| {
                    event["type"].as_str().unwrap().contains(".user.")
                        && event["data"]["session_epoch"].is_number()
                        && log_index(event) > log_index(login)
                        && event["data"]["kept_session_id"] != *session
                });
                !swept && !ended(session) && !ended(&login["data"]["parent_session_id"])
            });
            let registered = of("registered").next().unwrap();
            let changed = of("role-changed").next_back();
            let role = changed.unwrap_or(registered)["data"]["role"].as_str();
            let last = of(".logged-in.").next_back();
            (
                registered["data"]["number"].as_i64().unwrap(),
                role.unwrap().to_owned(),
                last.map(|login| login["time"].as_str().unwrap().to_owned()),
                of(".logged-in.").count() as i64,
                of("login-refused").count() as i64,
                live.count() as i64,
            )
        })
        .collect();
    rows.sort();
    rows
}

/// The example program with its table.
struct Table {
    program: PathBuf,
    directory: TempDir,
    nats: String,
    child: Option<Child>,
}

impl Table {
    fn new(nats: &str) -> Self {
        Self {
            program: example(),
            directory: TempDir::new().unwrap(),
            nats: nats.to_owned(),
            child: None,
        }
    }

    fn reads_from(&mut self, nats: &str) {
        self.nats = nats.to_owned();
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("accounts.db")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["--nats", &self.nats, "--db"]);
        command.arg(self.file()).stdin(Stdio::null());
        command
    }

    fn start(&mut self, arguments: &[&str]) {
        let mut command = self.command();
        let command = command.args(arguments).stdout(Stdio::null());
        self.child = Some(command.spawn().unwrap());
    }

    async fn run_to_its_end(&self) -> Output {
        let mut command = self.command();
        let ended = tokio::task::spawn_blocking(move || command.output());
        let ended = tokio::time::timeout(Duration::from_secs(60), ended).await;
        ended.unwrap().unwrap().unwrap()
    }

    fn kill9(&mut self) {
        let mut child = self.child.take().unwrap();
        assert_eq!(
            child.try_wait().unwrap(),
            None,
            "the consumer ended by itself"
        );
        child.kill().unwrap();
        child.wait().unwrap();
    }

    fn is_running(&mut self) -> bool {
        let child = self.child.as_mut().unwrap();
        child.try_wait().unwrap().is_none()
    }

    /// The log index of the last applied event.
    fn applied(&self) -> u64 {
        let inbox = self.connection().and_then(|table| {
            table
                .query_row("SELECT log_index FROM inbox", [], |row| {
                    row.get::<_, i64>(0)
                })
                .ok()
        });
        // The table may not exist yet.
        inbox.unwrap_or_default().unsigned_abs()
    }

    async fn has_applied(&self, log_index: u64) {
        eventually(&format!("event {log_index} is applied"), async || {
            (self.applied() >= log_index).then_some(())
        })
        .await;
    }

    /// The number of live sessions of each account, once the whole log is applied. The rows are those of the log.
    async fn live_sessions(&self, service: &Program, reader: &Tokens) -> Vec<i64> {
        let log = log(service, reader).await;
        self.has_applied(log.len() as u64).await;
        let rows = self.contents();
        assert_eq!(rows, truth(&log));
        rows.into_iter().map(|(.., live)| live).collect()
    }

    fn contents(&self) -> Vec<Row> {
        let table = self.connection().unwrap();
        let mut rows = table
            .prepare("SELECT number, role, last_login, logins, logins_refused, sessions_live FROM overview")
            .unwrap();
        rows.query_map([], |row| {
            Ok((
                row.get(0)?,
                row.get(1)?,
                row.get(2)?,
                row.get(3)?,
                row.get(4)?,
                row.get(5)?,
            ))
        })
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap()
    }

    fn connection(&self) -> Option<Connection> {
        let table = Connection::open_with_flags(self.file(), OpenFlags::SQLITE_OPEN_READ_WRITE);
        let table = table.ok()?;
        table.busy_timeout(Duration::from_secs(5)).unwrap();
        Some(table)
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The path of the example, built if necessary: `cargo test --test stories` builds no examples. Without `--workspace` the crates
/// would have other features than in the tests, and be compiled once more.
fn example() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args([
            "build",
            "--quiet",
            "--offline",
            "--workspace",
            "--example",
            "accounts_table",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    assert!(built.unwrap().success());
    // Examples are in a folder next to the programs.
    let programs = Path::new(env!("CARGO_BIN_EXE_authlog")).parent().unwrap();
    programs.join("examples/accounts_table")
}

/// Random numbers. `AUTHLOG_TEST_SEED` repeats those of an earlier run, which printed its seed.
struct Random(u64);

impl Random {
    fn seeded() -> Self {
        let given = std::env::var("AUTHLOG_TEST_SEED").ok();
        let seed = given.and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| u64::from(std::process::id()) | 1);
        eprintln!("AUTHLOG_TEST_SEED={seed}");
        Self(seed)
    }

    /// A number less than `bound` (xorshift64).
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}
