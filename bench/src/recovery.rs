//! Whether the program recovers from a disturbance under ordinary load: clients register and sign in, each as soon as it was
//! answered; something else takes the processors for a moment; how many succeed afterwards, compared with before?

use std::fmt;
use std::path::PathBuf;
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
use crate::limits::pgbench::fresh_database;
use crate::operations::{LOGIN, PASSWORD, People, login, person, sign_up};
use crate::report::{Store, print};
use crate::service::Setup;

/// What to measure.
#[derive(Args)]
pub(crate) struct Recovery {
    /// The release program
    #[arg(long, default_value = "target/release/authlog")]
    program: PathBuf,
    /// Where the SQLite file goes
    #[arg(long, default_value = "target/bench")]
    directory: PathBuf,
    /// A PostgreSQL server, as the URL of a database, without one PostgreSQL is left out; each measurement has a database
    /// of its own there
    #[arg(long)]
    postgres: Option<String>,
    /// How many disturbances under each load
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// How many connections
    #[arg(long, value_delimiter = ',', default_values_t = [32, 300, 3000])]
    connections: Vec<usize>,
    /// How clients take a refusal
    #[arg(long, value_delimiter = ',', default_values_t = [Clients::Patient, Clients::Impatient])]
    clients: Vec<Clients>,
    /// On which store alone
    #[arg(long)]
    only: Option<Store>,
}

/// How clients take a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Clients {
    /// They come again when the answer says (`Retry-After`).
    Patient,
    /// They come again at once.
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

/// How long the load goes on before it counts: until every client has been answered.
const WARM_UP: Duration = Duration::from_secs(5);

/// How long the rate is measured, before and after.
const MEASURED: Duration = Duration::from_secs(6);

/// How long something else takes the processors.
const DISTURBED: Duration = Duration::from_secs(6);

/// How soon the rate has to be as before.
const RECOVERED_WITHIN: Duration = Duration::from_secs(2);

/// The share of the quiet rate that is wanted then.
const WANTED: f64 = 0.95;

/// Accounts that sign in.
const PEOPLE: u64 = 32;

/// Measures and prints a table.
pub(crate) async fn run(recovery: &Recovery) -> anyhow::Result<()> {
    std::fs::create_dir_all(&recovery.directory)?;
    print(
        "| store | connections | clients | succeed a second, quiet | refused | of the quiet rate after 2 s: median (least) | recovered |\n|---|--:|---|--:|--:|--:|--:|\n",
    );
    for store in [Store::Sqlite, Store::Postgres] {
        let absent = store == Store::Postgres && recovery.postgres.is_none();
        if absent || recovery.only.is_some_and(|only| only != store) {
            continue;
        }
        for &connections in &recovery.connections {
            for &clients in &recovery.clients {
                measure(recovery, store, connections, clients).await?;
            }
        }
    }
    Ok(())
}

/// What the clients were answered so far.
#[derive(Default)]
struct Answers {
    succeeded: AtomicU64,
    refused: AtomicU64,
}

impl Answers {
    /// How many succeed and are refused a second, from now on.
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
    let folder = tempfile::tempdir_in(&recovery.directory)?;
    let database = match (&recovery.postgres, store) {
        (Some(server), Store::Postgres) => {
            Some(fresh_database(server, &format!("recovery_{connections}_{clients}")).await?)
        }
        _ => None,
    };
    let setup = Setup {
        program: recovery.program.clone(),
        data: folder.path().join("data"),
        database,
    };
    let service = setup.start(&[]).await?;
    let mut connection = Connection::to(&service.address);
    for number in 0..PEOPLE {
        sign_up(&mut connection, &person(number)).await?;
    }
    let answers = Arc::<Answers>::default();
    let mut coming = JoinSet::new();
    for number in 0..connections as u64 {
        let client = Client {
            // People are at different places, and so may be treated apart.
            connection: Connection::from(address_of_client(number), &service.address),
            number,
            people: People::new(PEOPLE, number),
            clients,
        };
        coming.spawn(client.come(Arc::clone(&answers)));
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
    if let Some(ended) = coming.try_join_next() {
        return ended?.context("a client");
    }
    coming.shutdown().await;
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

/// Has twice as many processes as there are processors compute something for a while.
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

/// Computes for a while.
pub(crate) fn be_busy(seconds: f64) {
    let began = Instant::now();
    while began.elapsed().as_secs_f64() < seconds {
        std::hint::spin_loop();
    }
}

/// Registers and signs in by turns, as soon as it was answered.
struct Client {
    connection: Connection,
    number: u64,
    people: People,
    clients: Clients,
}

impl Client {
    async fn come(mut self, answers: Arc<Answers>) -> anyhow::Result<()> {
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

    /// Asks once; when to come again, if that is the answer.
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
