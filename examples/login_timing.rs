//! Measures whether the response time of a login reveals which accounts exist, or that a password was right:
//! `cargo run --release --example login_timing`.
//!
//! Starts the release program on SQLite, or on the given empty PostgreSQL database, and sends logins that are refused, one
//! after the other: with a wrong password to an existing account, to an unknown one, and to one that was imported with a
//! cheap bcrypt hash; and to an account with an authenticator app, with the password or the code or both wrong. Prints the
//! distributions, and Welch's t between the first and each of the others. On a quiet machine, a t beyond ±4 is a real
//! difference.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark that cannot go on ends, and its figures go to the terminal"
)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use authlog_application::ports::Clock as _;
use authlog_infrastructure::system::SystemClock;
use aws_lc_rs::hmac;
use data_encoding::BASE32_NOPAD;
use reqwest::Client;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The number of logins of each kind.
const TRIES: usize = 500;

/// The number of warm-up logins.
const WARM_UP: usize = 30;

/// The pause between two logins.
const PAUSE: Duration = Duration::from_millis(10);

const RIGHT: &str = "the-right-password";
const WRONG: &str = "a-wrong-password";

/// A kind of login that is refused: the username, the password, and the code after it.
struct Login {
    of: &'static str,
    username: &'static str,
    password: &'static str,
    code: Code,
}

#[derive(Clone, Copy)]
enum Code {
    None,
    Right,
    Wrong,
}

/// The logins.
const LOGINS: [Login; 8] = {
    const fn login(
        of: &'static str,
        username: &'static str,
        password: &'static str,
        code: Code,
    ) -> Login {
        Login {
            of,
            username,
            password,
            code,
        }
    }
    [
        login("existing", "existing", WRONG, Code::None),
        login("unknown", "unknown", WRONG, Code::None),
        login("imported", "imported", WRONG, Code::None),
        login("app, wrong password", "app", WRONG, Code::None),
        login("app, right password", "app", RIGHT, Code::None),
        login(
            "app, wrong password and right code",
            "app",
            WRONG,
            Code::Right,
        ),
        login(
            "app, wrong password and wrong code",
            "app",
            WRONG,
            Code::Wrong,
        ),
        login(
            "app, right password and wrong code",
            "app",
            RIGHT,
            Code::Wrong,
        ),
    ]
};

/// The program, stopped when this is dropped.
struct Service {
    process: Child,
    base: String,
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::main]
async fn main() {
    let directory = TempDir::new().unwrap();
    let program = build();
    let imported = json!({
        "username": "imported",
        "password_hash": "$2b$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK",
    });
    let mut import = command(&program, directory.path())
        .args(["user", "import", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = import.stdin.take().unwrap();
    writeln!(lines, "{imported}").unwrap();
    drop(lines);
    assert!(import.wait().unwrap().success());

    let service = serve(&program, directory.path());
    let client = Client::builder().no_proxy().build().unwrap();
    for username in ["existing", "app"] {
        let body = json!({"username": username, "password": RIGHT});
        send(&client, &format!("{}/users", service.base), "", &body).await;
    }
    let seed = enrol_app(&client, &service.base).await;

    let mut millis = LOGINS.map(|_| Vec::with_capacity(TRIES));
    for number in 0..WARM_UP + TRIES {
        let mut turns: Vec<_> = LOGINS.iter().zip(&mut millis).collect();
        // The order changes, so that none always follows the same one.
        if number % 2 == 1 {
            turns.reverse();
        }
        for (login, millis) in turns {
            // Background work of a refused login must not count for the next one.
            tokio::time::sleep(PAUSE).await;
            let took = log_in(&client, &service.base, login, &seed).await;
            if number >= WARM_UP {
                millis.push(took);
            }
        }
    }
    let [first, ..] = &millis;
    for (login, these) in LOGINS.iter().zip(&millis) {
        let mut sorted = these.clone();
        sorted.sort_by(f64::total_cmp);
        let (mean, variance) = moments(these);
        println!(
            "{:35} ms: median {:.3}, mean {mean:.3} ± {:.3}, p5 {:.3}, p95 {:.3}; t {:+.2}",
            login.of,
            sorted[TRIES / 2],
            variance.sqrt(),
            sorted[TRIES / 20],
            sorted[TRIES * 19 / 20],
            welch(these, first),
        );
    }
}

/// Enrols an authenticator app for the account `app`, and returns its seed.
async fn enrol_app(client: &Client, base: &str) -> Vec<u8> {
    let body = json!({"username": "app", "password": RIGHT});
    let session = send(client, &format!("{base}/users/login"), "", &body).await;
    let access = session["data"]["access_token"].as_str().unwrap();
    let begin = format!("{base}/account/factors/totp");
    let begun = send(client, &begin, access, &body).await;
    let secret = begun["secret"].as_str().unwrap();
    let seed = BASE32_NOPAD.decode(secret.as_bytes()).unwrap();
    let confirm = format!("{begin}/{}/confirm", begun["id"].as_str().unwrap());
    let body = json!({"code": code(&seed, 0)});
    send(client, &confirm, access, &body).await;
    seed
}

/// The answer to a request, which succeeds.
async fn send(client: &Client, url: &str, access: &str, body: &Value) -> Value {
    let request = client.post(url).bearer_auth(access).json(body);
    let answer = request.send().await.unwrap();
    assert!(answer.status().is_success(), "{url}: {answer:?}");
    answer.json().await.unwrap()
}

/// The code that the app shows now, or this many steps of 30 seconds ago (RFC 4226 §5.3, RFC 6238 §4).
fn code(seed: &[u8], ago: i64) -> String {
    let step = SystemClock.now().unix_millis() / 30_000 - ago;
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, seed);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let offset = usize::from(tag.as_ref()[19] & 0xf);
    let part = tag.as_ref()[offset..].first_chunk().unwrap();
    let number = u32::from_be_bytes(*part) & 0x7fff_ffff;
    format!("{:06}", number % 1_000_000)
}

/// The time of a refused login, in milliseconds.
async fn log_in(client: &Client, base: &str, login: &Login, seed: &[u8]) -> f64 {
    let code = match login.code {
        Code::None => String::new(),
        Code::Right => code(seed, 0),
        Code::Wrong => code(seed, 1000),
    };
    let password = format!("{}{code}", login.password);
    let body = json!({"username": login.username, "password": password});
    let request = client.post(format!("{base}/users/login")).json(&body);
    let begun = Instant::now();
    let answer = request.send().await.unwrap();
    let status = answer.status();
    answer.bytes().await.unwrap();
    let took = begun.elapsed().as_secs_f64() * 1000.0;
    assert_eq!(status, 400, "{}", login.of);
    took
}

/// Mean and variance.
fn moments(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, squares / (count - 1.0))
}

/// Welch's t between two samples.
fn welch(one: &[f64], other: &[f64]) -> f64 {
    let (mean_of_one, variance_of_one) = moments(one);
    let (mean_of_other, variance_of_other) = moments(other);
    let error = variance_of_one / one.len() as f64 + variance_of_other / other.len() as f64;
    (mean_of_one - mean_of_other) / error.sqrt()
}

/// The program that `AUTHLOG_PROGRAM` names, or else the one of this tree, built with the profile of this example.
fn build() -> PathBuf {
    if let Some(program) = std::env::var_os("AUTHLOG_PROGRAM") {
        return program.into();
    }
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--bin", "authlog"]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    assert!(cargo.status().unwrap().success());
    let example = std::env::current_exe().unwrap();
    example.ancestors().nth(2).unwrap().join("authlog")
}

fn command(program: &Path, directory: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("AUTHLOG_LISTEN", "127.0.0.1:0")
        .env("AUTHLOG_DATA_DIR", directory.join("data"))
        .env("AUTHLOG_RATE_LIMIT", "off")
        .env("AUTHLOG_LOG", "error");
    if let Some(url) = std::env::args().nth(1) {
        command.env("AUTHLOG_DATABASE_URL", url);
    }
    command
}

fn serve(program: &Path, directory: &Path) -> Service {
    let mut process = command(program, directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let line = lines.next().unwrap().unwrap();
    let base = line.strip_prefix("listening on ").unwrap().to_owned();
    Service { process, base }
}
