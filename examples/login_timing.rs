//! Measures whether the response time of a login reveals which accounts exist:
//! `cargo run --release --example login_timing`.
//!
//! Starts the release program on SQLite, or on the given empty PostgreSQL database, and signs in with wrong passwords,
//! one after the other: to an existing account, to an unknown one, and to one that was imported with a cheap bcrypt
//! hash. Prints the distributions, and Welch's t between the first and each of the others. On a quiet machine, a t
//! beyond ±4 is a real difference.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark that cannot go on ends, and its figures go to the terminal"
)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::Client;
use serde_json::json;
use tempfile::TempDir;

/// The number of logins of each kind.
const TRIES: usize = 500;

/// The number of warm-up logins.
const WARM_UP: usize = 30;

/// The pause between two logins.
const PAUSE: Duration = Duration::from_millis(10);

/// The usernames: an existing account, an unknown one, and an imported one.
const NAMES: [&str; 3] = ["existing", "unknown", "imported"];

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
        "username": NAMES[2],
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
    let body = json!({"username": NAMES[0], "password": "the-right-password"});
    let answer = client.post(format!("{}/users", service.base)).json(&body);
    assert!(answer.send().await.unwrap().status().is_success());

    let mut millis = NAMES.map(|_| Vec::with_capacity(TRIES));
    for number in 0..WARM_UP + TRIES {
        let mut turns: Vec<_> = NAMES.iter().zip(&mut millis).collect();
        // The order changes, so that none always follows the same one.
        if number % 2 == 1 {
            turns.reverse();
        }
        for (name, millis) in turns {
            // Background work of a refused login must not count for the next one.
            tokio::time::sleep(PAUSE).await;
            let took = log_in(&client, &service.base, name).await;
            if number >= WARM_UP {
                millis.push(took);
            }
        }
    }
    let [first, ..] = &millis;
    for (name, these) in NAMES.iter().zip(&millis) {
        let mut sorted = these.clone();
        sorted.sort_by(f64::total_cmp);
        let (mean, variance) = moments(these);
        println!(
            "{name:18} ms: median {:.3}, mean {mean:.3} ± {:.3}, p5 {:.3}, p95 {:.3}; t {:+.2}",
            sorted[TRIES / 2],
            variance.sqrt(),
            sorted[TRIES / 20],
            sorted[TRIES * 19 / 20],
            welch(these, first),
        );
    }
}

/// The time of a refused login, in milliseconds.
async fn log_in(client: &Client, base: &str, name: &str) -> f64 {
    let body = json!({"username": name, "password": "a-wrong-password"});
    let request = client.post(format!("{base}/users/login")).json(&body);
    let begun = Instant::now();
    let answer = request.send().await.unwrap();
    let status = answer.status();
    answer.bytes().await.unwrap();
    let took = begun.elapsed().as_secs_f64() * 1000.0;
    assert_eq!(status, 400);
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

/// Builds the program with the profile of this example.
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
