//! NATS as operators run it: nkeys, credentials, certificates, permissions, domains and limits, each with a server that
//! requires it.
#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]

use crate::support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::consumer::pull;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::StreamExt as _;
use nkeys::KeyPair;
use serde_json::{Value, json};
use support::events::{lag, trouble_with};
use support::{Contract, Nats, Person, Program, Settings, Store, eventually};
use tempfile::TempDir;

/// The document with the permissions of the service.
const OPERATIONS: &str = include_str!("../docs/operations.md");

/// The document with the permissions of a reader with the durable consumer `mailing`.
const CONSUMING: &str = include_str!("../docs/consuming.md");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_nkey_is_used_and_its_seed_is_never_shown() {
    let files = TempDir::new().expect("a directory");
    let (user, other) = (KeyPair::new_user(), KeyPair::new_user());
    let nats = Nats::configured(&format!(
        "authorization {{ users: [ {{ nkey: {} }} ] }}",
        user.public_key()
    ))
    .await;
    let seed = |pair: &KeyPair| pair.seed().expect("a seed");
    let with = |name: &str, pair: &KeyPair| {
        let file = written(&files, name, &seed(pair));
        with_trace_log(&nats).with("AUTHLOG_NATS_NKEY_FILE", &file)
    };
    let service = with("right.seed", &user).start().await;
    publishes(&service).await;
    let refused = with("wrong.seed", &other).start().await;
    let trouble = trouble_with(&refused, "authorization violation").await;
    for text in [trouble, service.output(), refused.output()] {
        assert!(!text.contains(&seed(&user)), "{text}");
        assert!(!text.contains(&seed(&other)), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credentials_file_is_read_again_for_each_connection() {
    let files = TempDir::new().expect("a directory");
    let issuer = Issuer::new();
    let mut nats = Nats::configured(&issuer.configuration()).await;
    let (expired, good) = (issuer.credentials(Some(1)), issuer.credentials(None));
    let file = written(&files, "user.creds", &expired);
    let settings = with_trace_log(&nats).with("AUTHLOG_NATS_CREDENTIALS_FILE", &file);
    let service = settings.start().await;
    trouble_with(&service, "uth").await;
    fs::write(&file, &good).expect("a file");
    publishes(&service).await;
    nats.stop();
    nats.restart().await;
    publishes(&service).await;
    for line in good
        .lines()
        .filter(|line| line.len() > 40 && !line.contains(' '))
    {
        assert!(!service.output().contains(line), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_certificate_and_a_private_authority_are_used() {
    let files = TempDir::new().expect("a directory");
    certificates(files.path());
    let file = |name: &str| files.path().join(name).display().to_string();
    let nats = Nats::configured(&format!(
        "tls {{ cert_file: {:?}, key_file: {:?}, ca_file: {:?}, verify: true }}",
        file("server.pem"),
        file("server.key"),
        file("ca.pem")
    ))
    .await;
    let trusting = with_trace_log(&nats).with("AUTHLOG_NATS_CA_FILE", &file("ca.pem"));
    let known = trusting
        .clone()
        .with("AUTHLOG_NATS_CLIENT_CERTIFICATE_FILE", &file("client.pem"))
        .with("AUTHLOG_NATS_CLIENT_KEY_FILE", &file("client.key"));
    publishes(&known.clone().start().await).await;
    let unknown = trusting.start().await;
    trouble_with(&unknown, "ertificate").await;
    let distrusting = known.without("AUTHLOG_NATS_CA_FILE").start().await;
    trouble_with(&distrusting, "ertificate").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_private_authority_nothing_is_sent_in_plain_text() {
    let files = TempDir::new().expect("a directory");
    certificates(files.path());
    let nats = Nats::start().await;
    let ca = files.path().join("ca.pem").display().to_string();
    let settings = with_trace_log(&nats).with("AUTHLOG_NATS_CA_FILE", &ca);
    trouble_with(&settings.start().await, "TLS").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jetstream_of_another_server_is_reached_by_its_domain_or_its_prefix() {
    let leaves = support::program::free_port();
    let hub = Nats::configured(&format!(
        "jetstream {{ domain: hub }}\nserver_name: hub\nleafnodes {{ listen: \"127.0.0.1:{leaves}\" }}"
    ))
    .await;
    let leaf = Nats::configured(&format!(
        "jetstream {{ domain: leaf }}\nserver_name: leaf\nleafnodes {{ remotes: [ {{ url: \"nats://127.0.0.1:{leaves}\" }} ] }}"
    ))
    .await;
    for (name, value) in [
        ("AUTHLOG_NATS_JETSTREAM_DOMAIN", "hub"),
        ("AUTHLOG_NATS_API_PREFIX", "$JS.hub.API"),
    ] {
        let service = with_trace_log(&leaf).with(name, value).start().await;
        publishes(&service).await;
        assert!(hub.stored().await > 0, "the stream is not on the hub");
        assert!(leaf.stream().await.is_none(), "the stream is on the leaf");
        drop(service);
        hub.delete_stream().await;
    }
    let wrong = with_trace_log(&leaf).with("AUTHLOG_NATS_JETSTREAM_DOMAIN", "nowhere");
    trouble_with(&wrong.start().await, "domain or prefix").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_permissions_are_enough_and_let_a_reader_publish_nothing() {
    let service = permissions_in(OPERATIONS);
    let reader = permissions_in(CONSUMING);
    let nats = Nats::configured(&format!(
        "authorization {{ users: [ {{ user: authlog, password: a, permissions: {service} }}, {{ user: mailing, password: m, permissions: {reader} }} ] }}"
    ))
    .await;
    let url = format!("nats://authlog:a@{}", nats.address());
    let service = Settings::on(Store::Sqlite)
        .with_cheap_hashing()
        .with("AUTHLOG_NATS_URL", &url)
        .with("AUTHLOG_NATS_INBOX_PREFIX", "_INBOX_authlog");
    let without_inbox = service.clone().without("AUTHLOG_NATS_INBOX_PREFIX");
    let service = service.start().await;
    publishes(&service).await;
    let doctor = service.settings.run(&["doctor"], "");
    assert!(doctor.status.success(), "{doctor:?}");
    // Only an operator may change the stream.
    let client = async_nats::ConnectOptions::with_user_and_password("mailing".into(), "m".into())
        .custom_inbox_prefix("_INBOX_mailing")
        .request_timeout(Some(Duration::from_secs(2)))
        .connect(nats.url())
        .await
        .expect("NATS");
    let jetstream = jetstream::new(client.clone());
    let stream = jetstream
        .get_stream("AUTH_EVENTS")
        .await
        .expect("the stream");
    let config = pull::Config {
        durable_name: Some("mailing".to_owned()),
        ..pull::Config::default()
    };
    let consumer = stream
        .create_consumer(config.clone())
        .await
        .expect("a consumer");
    let mut messages = consumer.messages().await.expect("messages");
    for expected in 1..=2 {
        let message = messages.next().await.expect("a message").expect("NATS");
        let sequence = message.info().expect("its place").stream_sequence;
        assert_eq!(sequence, expected);
        message.ack().await.expect("the acknowledgement is sent");
    }
    let first = stream.get_raw_message(1).await.expect("a message");
    assert!(first.headers.get("ce-id").is_some());
    stream
        .delete_consumer("mailing")
        .await
        .expect("the reader's own consumer");
    stream.create_consumer(config).await.expect("a consumer");
    let mut heartbeats = client
        .subscribe("auth-heartbeat.v1")
        .await
        .expect("a subscription");
    let forged = client.publish("auth-heartbeat.v1", "forged".into()).await;
    forged.expect("the message is sent");
    for _ in 0..2 {
        let heartbeat = heartbeats.next().await.expect("a heartbeat");
        assert_ne!(heartbeat.payload, "forged", "a reader published");
    }
    for subject in ["auth.v1.user.evil.registered", "auth-checkpoint.v1"] {
        let sent = jetstream.publish(subject, "{}".into()).await;
        sent.expect("the message is sent")
            .await
            .expect_err("a reader published");
    }
    let deleted = jetstream.delete_stream("AUTH_EVENTS").await;
    assert!(deleted.is_err(), "a reader deleted the stream");
    publishes(&service).await;
    drop(service);
    // The permissions allow replies only under the prefix.
    trouble_with(&without_inbox.start().await, "_INBOX").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_demands_a_limit_gets_one() {
    let nats = Nats::configured(
        "accounts { A { jetstream { max_bytes_required: true, max_file: 1G }, users: [ { user: authlog, password: a } ] } }",
    )
    .await;
    let url = format!("nats://authlog:a@{}", nats.address());
    let settings = Settings::on(Store::Sqlite)
        .with_cheap_hashing()
        .with("AUTHLOG_NATS_URL", &url);
    let without = settings.clone().start().await;
    trouble_with(&without, "AUTHLOG_NATS_MAX_BYTES").await;
    drop(without);
    let service = settings
        .with("AUTHLOG_NATS_MAX_BYTES", "100000000")
        .start()
        .await;
    publishes(&service).await;
    eventually("the checkpoints are on their stream", async || {
        let ready = service.send(support::own::READYZ).await.json();
        ready["log"]["waiting_for"].is_null().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unusable_file_is_named_at_the_start() {
    let nats = Nats::that_is_away();
    for name in [
        "AUTHLOG_NATS_NKEY_FILE",
        "AUTHLOG_NATS_CREDENTIALS_FILE",
        "AUTHLOG_NATS_CA_FILE",
    ] {
        let settings = with_trace_log(&nats).with(name, "/nonexistent/secret");
        let output = settings.run(&["serve"], "");
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{words}");
        assert!(words.contains(name), "{words}");
        assert!(words.contains("/nonexistent/secret"), "{words}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_has_not_reached_nats_yet_reports_it() {
    let nats = Nats::start().await;
    nats.freeze();
    let service = with_trace_log(&nats).start().await;
    trouble_with(&service, "has not been opened yet").await;
    nats.thaw();
    publishes(&service).await;
}

/// The block of a document that lists permissions.
fn permissions_in(document: &str) -> &str {
    let mut blocks = document.split("```").skip(1).step_by(2);
    let block = blocks.find(|block| block.contains("subscribe: ["));
    block.expect("permissions")
}

/// Settings that log everything that is sent to NATS.
fn with_trace_log(nats: &Nats) -> Settings {
    Settings::on(Store::Sqlite)
        .with_cheap_hashing()
        .with(
            "AUTHLOG_NATS_URL",
            &nats.url().replace("127.0.0.1", "localhost"),
        )
        .with("AUTHLOG_LOG", "debug,async_nats=trace")
}

/// Registers an account, and waits until the event is on the stream.
async fn publishes(service: &Program) {
    static PEOPLE: AtomicU32 = AtomicU32::new(0);
    let name = format!("person-{}", PEOPLE.fetch_add(1, Ordering::Relaxed));
    Contract::ApiAuth
        .registers(&service.http(), &Person::called(&name))
        .await;
    eventually("everything is published", async || {
        let lag = lag(service).await?;
        let publisher = &lag["publisher"];
        let is_done = publisher["trouble"].is_null() && publisher["events"] == 0;
        (is_done && lag["log_index"].as_u64()? > 0).then_some(())
    })
    .await;
}

fn written(files: &TempDir, name: &str, text: &str) -> String {
    let file: PathBuf = files.path().join(name);
    fs::write(&file, text).expect("a file");
    file.display().to_string()
}

/// An operator with an account, as `nsc` makes them.
struct Issuer {
    operator: KeyPair,
    system: KeyPair,
    account: KeyPair,
}

impl Issuer {
    fn new() -> Self {
        Self {
            operator: KeyPair::new_operator(),
            system: KeyPair::new_account(),
            account: KeyPair::new_account(),
        }
    }

    fn configuration(&self) -> String {
        let operator = &self.operator;
        let limits = json!({
            "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
            "conn": -1, "leaf": -1, "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1
        });
        let account = |pair: &KeyPair, limits: Value| {
            let claims = json!({"type": "account", "version": 2, "limits": limits});
            signed(operator, &pair.public_key(), &claims, None)
        };
        let plain = json!({
            "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
            "conn": -1, "leaf": -1
        });
        let own = json!({"type": "operator", "version": 2});
        format!(
            "operator: {}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload: {{ {}: {}, {}: {} }}",
            signed(operator, &operator.public_key(), &own, None),
            self.system.public_key(),
            self.system.public_key(),
            account(&self.system, plain),
            self.account.public_key(),
            account(&self.account, limits),
        )
    }

    /// A credentials file for a user of the account, valid until this Unix time in seconds.
    fn credentials(&self, until: Option<u64>) -> String {
        let user = KeyPair::new_user();
        let claims = json!({
            "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1, "pub": {}, "sub": {}
        });
        let jwt = signed(&self.account, &user.public_key(), &claims, until);
        let seed = user.seed().expect("a seed");
        format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        )
    }
}

/// A NATS JWT: claims about `subject`, signed by `issuer`.
fn signed(issuer: &KeyPair, subject: &str, claims: &Value, until: Option<u64>) -> String {
    let mut body = json!({
        "jti": "id", "iat": 1_700_000_000, "iss": issuer.public_key(), "sub": subject,
        "name": "a-name", "nats": claims
    });
    if let Some(until) = until {
        body["exp"] = until.into();
    }
    let encoded = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let head = encoded(json!({"typ": "JWT", "alg": "ed25519-nkey"}));
    let text = format!("{head}.{}", encoded(body));
    let signature = issuer.sign(text.as_bytes()).expect("a signature");
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Creates `ca.pem`, and certificates and keys of a server `localhost` and of a client.
fn certificates(folder: &Path) {
    let script = "
        set -e
        new='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'
        openssl req -x509 $new -days 2 -subj /CN=Authority -keyout ca.key -out ca.pem
        for name in server client; do
            openssl req $new -subj /CN=$name -keyout $name.key -out $name.csr
            printf 'subjectAltName=DNS:localhost\\nbasicConstraints=CA:FALSE\\n' >extensions
            openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \\
                -extfile extensions -out $name.pem
        done";
    let made = Command::new("sh")
        .args(["-c", script])
        .current_dir(folder)
        .output()
        .expect("openssl");
    assert!(made.status.success(), "{made:?}");
}
