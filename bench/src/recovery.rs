//! Measures whether the program recovers from a disturbance under load. Clients register and sign in, each right after
//! its last answer; other processes use the processors for a moment; then the rate of successes is compared with the
//! rate before.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use hyper::header::RETRY_AFTER;
use hyper::{Method, StatusCode};
use serde_json::json;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use crate::http::{Carried, Connection, JSON, address_of_client};
use crate::operations::{LOGIN, PASSWORD, People, login, person, sign_up};
use crate::report::{Store, print};
use crate::stores::Stores;

/// Options of `recovery`.
#[derive(Args)]
pub(crate) struct Recovery {
    #[command(flatten)]
    stores: Stores,
    /// Number of disturbances under each load
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Number of connections
    #[arg(long, value_delimiter = ',', default_values_t = [32, 300, 3000])]
    connections: Vec<usize>,
    /// Reaction of clients to a refusal
    #[arg(long, value_delimiter = ',', default_values_t = [Clients::Patient, Clients::Impatient])]
    clients: Vec<Clients>,
    /// Only this store
    #[arg(long)]
    only: Option<Store>,
}

/// The reaction of clients to a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Clients {
    /// They retry after `Retry-After`.
    Patient,
    /// They retry at once.
    Impatient,
}

impl fmt::Display for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Patient => "patient",
            Self::Impatient => "impatient",
        })
    }
}

/// The warm-up: long enough for every client to have an answer.
const WARM_UP: Duration = Duration::from_secs(5);

/// The duration of each measurement, before and after.
const MEASURED: Duration = Duration::from_secs(6);

/// The duration of the disturbance.
const DISTURBED: Duration = Duration::from_secs(6);

/// The time in which the rate has to recover.
const RECOVERED_WITHIN: Duration = Duration::from_secs(2);

/// The wanted share of the quiet rate after that time.
const WANTED: f64 = 0.95;

/// Accounts that sign in.
const PEOPLE: u64 = 32;

/// Measures and prints a table.
pub(crate) async fn run(recovery: &Recovery) -> anyhow::Result<()> {
    print(
        "| store | connections | clients | succeed a second, quiet | refused | of the quiet rate after 2 s: median (least) | recovered |\n|---|--:|---|--:|--:|--:|--:|\n",
    );
    for store in recovery.stores.wanted(recovery.only) {
        for &connections in &recovery.connections {
            for &clients in &recovery.clients {
                measure(recovery, store, connections, clients).await?;
            }
        }
    }
    Ok(())
}

/// The clients' answers so far.
#[derive(Default)]
struct Answers {
    succeeded: AtomicU64,
    refused: AtomicU64,
}

impl Answers {
    /// Successes and refusals a second, from now on.
    async fn rates(&self) -> (f64, f64) {
        let now = || {
            let succeeded = self.succeeded.load(Ordering::Relaxed);
            (
                succeeded as f64,
                self.refused.load(Ordering::Relaxed) as f64,
            )
        };
        let (before, began) = (now(), Instant::now());
        tokio::time::sleep(MEASURED).await;
        let (after, seconds) = (now(), began.elapsed().as_secs_f64());
        (
            (after.0 - before.0) / seconds,
            (after.1 - before.1) / seconds,
        )
    }
}

async fn measure(
    recovery: &Recovery,
    store: Store,
    connections: usize,
    clients: Clients,
) -> anyhow::Result<()> {
    let database = format!("recovery_{connections}_{clients}");
    let (_folder, setup) = recovery.stores.empty(store, &database).await?;
    let service = setup.start(&[]).await?;
    let mut connection = Connection::to(&service.address);
    for number in 0..PEOPLE {
        sign_up(&mut connection, &person(number)).await?;
    }
    let answers = Arc::<Answers>::default();
    let mut running = JoinSet::new();
    for number in 0..connections as u64 {
        let client = Client {
            // People have different addresses, so that limits may treat them separately.
            connection: Connection::from(address_of_client(number), &service.address),
            number,
            people: People::new(PEOPLE, number),
            clients,
        };
        running.spawn(client.run(Arc::clone(&answers)));
    }
    tokio::time::sleep(WARM_UP).await;
    let (quiet, refused) = answers.rates().await;
    let mut ratios = Vec::new();
    for _ in 0..recovery.runs {
        disturb().await?;
        tokio::time::sleep(RECOVERED_WITHIN).await;
        let (after, _) = answers.rates().await;
        ratios.push(after / quiet);
        eprintln!("{store}, {connections} {clients} clients: {quiet:.0} a second, then {after:.0}");
    }
    if let Some(ended) = running.try_join_next() {
        return ended?.context("a client");
    }
    running.shutdown().await;
    service.stop().await?;
    ratios.sort_by(f64::total_cmp);
    let recovered = ratios.iter().filter(|ratio| **ratio >= WANTED).count();
    let missed = if recovered == ratios.len() {
        ""
    } else {
        ", missed"
    };
    print(&format!(
        "| {store} | {connections} | {clients} | {quiet:.0} | {refused:.0} | {:.2} ({:.2}) | {recovered} of {}{missed} |\n",
        ratios.get(ratios.len() / 2).copied().unwrap_or(f64::NAN),
        ratios.first().copied().unwrap_or(f64::NAN),
        ratios.len(),
    ));
    Ok(())
}

/// Runs twice as many busy processes as there are processors for a while.
async fn disturb() -> anyhow::Result<()> {
    let processors = std::thread::available_parallelism()?.get();
    let mut busy: Vec<Child> = Vec::new();
    for _ in 0..2 * processors {
        let mut command = Command::new(std::env::current_exe()?);
        let seconds = DISTURBED.as_secs_f64().to_string();
        command.args(["busy", "--seconds", &seconds]);
        busy.push(command.kill_on_drop(true).spawn()?);
    }
    for mut process in busy {
        process.wait().await?;
    }
    Ok(())
}

/// Keeps a processor busy for a while.
pub(crate) fn be_busy(seconds: f64) {
    let began = Instant::now();
    while began.elapsed().as_secs_f64() < seconds {
        std::hint::spin_loop();
    }
}

/// Registers and signs in by turns, each right after the last answer.
struct Client {
    connection: Connection,
    number: u64,
    people: People,
    clients: Clients,
}

impl Client {
    async fn run(mut self, answers: Arc<Answers>) -> anyhow::Result<()> {
        for turn in self.number.. {
            while let Some(again_after) = self.ask(turn).await? {
                answers.refused.fetch_add(1, Ordering::Relaxed);
                match self.clients {
                    Clients::Patient => tokio::time::sleep(again_after).await,
                    Clients::Impatient => {}
                }
            }
            answers.succeeded.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Sends one request. Returns the time to wait if the service asks to retry.
    async fn ask(&mut self, turn: u64) -> anyhow::Result<Option<Duration>> {
        let (path, body) = if turn.is_multiple_of(2) {
            let name = format!("new-{}-{turn}", self.number);
            let email = format!("{name}@example.com");
            let form = json!({"name": name, "email": email, "password": PASSWORD});
            ("/v1/auth/register", form.to_string())
        } else {
            (LOGIN, login(&self.people.next()))
        };
        let carried = Carried {
            authorization: None,
            body: Some((&body, JSON)),
        };
        let answer = self.connection.send(Method::POST, path, carried).await?;
        match answer.status() {
            status if status.is_success() => Ok(None),
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                let after = answer.headers().get(RETRY_AFTER);
                let after = after.and_then(|after| after.to_str().ok()?.parse().ok());
                Ok(Some(Duration::from_secs(after.context("Retry-After")?)))
            }
            status => bail!("{path} was answered with {status}"),
        }
    }
}
