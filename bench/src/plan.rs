//! The plan of the measurement.
//!
//! Each round measures every operation and its limit in turn, so that a slow moment of the machine affects both.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use hyper::Method;

use crate::applications::ApplicationClients;
use crate::clients::{Accounts, Clients, Measuring, Names};
use crate::factors::FactorClients;
use crate::http::{Carried, Connection};
use crate::limits::pgbench::{self, Pgbench};
use crate::limits::{bare, hashing, jetstream, reference, sqlite};
use crate::load::{Sample, load};
use crate::native::NativeClients;
use crate::operations::{People, Refresh, Verify};
use crate::report::{Report, Store};
use crate::service::Setup;
use crate::storm::Storm;
use crate::stream;
use crate::{Effort, Run};

/// Measures everything and prints the results.
pub(crate) async fn run(run: &Run) -> anyhow::Result<()> {
    std::fs::create_dir_all(&run.effort.directory)?;
    let mut report = Report::default();
    warn(run, &mut report).await?;
    measure(run, Store::Sqlite, &mut report).await?;
    if run.postgres.is_some() {
        measure(run, Store::Postgres, &mut report).await?;
    }
    report.end(run.effort.json.as_deref())
}

/// Adds warnings about conditions that distort the figures.
async fn warn(run: &Run, report: &mut Report) -> anyhow::Result<()> {
    let directory = run.effort.directory.canonicalize()?;
    if file_system(&directory)?.as_deref() == Some("tmpfs") {
        report.warn("SQLite's file is on tmpfs: its commits are not durable");
    }
    if let Some(database) = &run.postgres {
        for (setting, wanted) in [
            ("fsync", "on"),
            ("synchronous_commit", "on"),
            ("full_page_writes", "on"),
        ] {
            let found = pgbench::ask(database, &format!("SHOW {setting}")).await?;
            if found != wanted {
                report.warn(&format!("PostgreSQL has {setting} = {found}"));
            }
        }
        let files = pgbench::ask(database, "SHOW data_directory").await?;
        if file_system(Path::new(&files))?.as_deref() == Some("tmpfs") {
            report.warn("PostgreSQL's files are on tmpfs: its commits are not durable");
        }
    }
    Ok(())
}

/// The type of the file system that `path` is on.
fn file_system(path: &Path) -> anyhow::Result<Option<String>> {
    let mounts = std::fs::read_to_string("/proc/self/mounts")?;
    let under = mounts.lines().filter_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (place, kind) = (fields.next()?, fields.next()?);
        path.starts_with(place).then_some((place.len(), kind))
    });
    let nearest = under.max_by_key(|(length, _)| *length);
    Ok(nearest.map(|(_, kind)| kind.to_owned()))
}

async fn measure(run: &Run, store: Store, report: &mut Report) -> anyhow::Result<()> {
    let effort = &run.effort;
    let folder = tempfile::tempdir_in(&effort.directory)?;
    let setup = Setup {
        program: effort.program.clone(),
        data: folder.path().join("data"),
        database: match store {
            Store::Sqlite => None,
            Store::Postgres => run.postgres.clone(),
        },
    };
    let service = setup.start(&[]).await?;
    report.time("start to ready, empty", store, service.ready_after);
    tokio::time::sleep(Duration::from_secs(2)).await;
    report.memory("memory, idle", store, service.memory()?);

    let mut connection = Connection::open(&service.address).await?;
    let keys = connection
        .succeed(Method::GET, "/.well-known/jwks.json", Carried::default())
        .await?;
    let bare = bare::start(&keys).await?;
    let mut clients = Clients::of(&setup, &service, effort.connections, &Accounts::New).await?;
    let native = NativeClients::of(&setup, &service, &clients).await?;
    let mut applications = ApplicationClients::of(&setup, &service, effort.connections).await?;
    let mut factors = FactorClients::of(&setup, &service, effort).await?;
    let mut limits = Limits {
        effort,
        store,
        pgbench: match (store, &run.pgbench) {
            (Store::Postgres, Some(database)) => Some(Pgbench::prepare(database).await?),
            _ => None,
        },
        plain: bare_clients(&bare.address, bare::PLAIN, &clients.verify).await?,
        signed: bare_clients(&bare.address, bare::SIGNED, &clients.verify).await?,
    };
    for round in 1..=effort.rounds {
        eprintln!("{store}: round {round} of {}", effort.rounds);
        if effort.only.is_empty() {
            limits.measure(report).await?;
        }
        let mut measuring = Measuring {
            service: &service,
            store,
            effort,
            report,
        };
        measuring.measure_all(&Names::PLAIN, &mut clients).await?;
        applications.measure_all(&mut measuring).await?;
        factors.measure_all(&mut measuring).await?;
        native.measure_all(&mut measuring, &mut clients).await?;
        if effort.wants("storm") {
            measure_storm(&mut measuring, &mut clients).await?;
        }
    }
    report.memory("peak memory", store, service.peak_of_all()?);

    let events = stream::logged(&service).await?;
    let took = setup.run(&["rebuild"]).await?;
    report.sample("rebuild, rows intact", store, Sample::counted(events, took));
    empty_read_models(&setup).await?;
    let took = setup.run(&["rebuild"]).await?;
    report.sample("rebuild", store, Sample::counted(events, took));
    service.stop().await?;
    if let Some(url) = &run.nats {
        measure_stream(
            run,
            &setup,
            store,
            url,
            events,
            &mut clients.refresh,
            report,
        )
        .await?;
    }
    Ok(())
}

/// Deletes every row of the read models, so that a rebuild has to write them all. It may skip rows that are correct.
async fn empty_read_models(setup: &Setup) -> anyhow::Result<()> {
    if let Some(database) = &setup.database {
        pgbench::ask(database, "TRUNCATE accounts, sessions").await?;
        return Ok(());
    }
    let file = setup.data.join("authlog.db");
    blocking(move || {
        let connection = rusqlite::Connection::open(file)?;
        Ok(connection.execute_batch("DELETE FROM accounts; DELETE FROM sessions")?)
    })
    .await
}

/// Measures the limits of the machine.
struct Limits<'a> {
    effort: &'a Effort,
    store: Store,
    pgbench: Option<Pgbench>,
    plain: Vec<Verify>,
    signed: Vec<Verify>,
}

impl Limits<'_> {
    async fn measure(&mut self, report: &mut Report) -> anyhow::Result<()> {
        let (store, connections) = (self.store, self.effort.connections);
        let a_while = self.effort.a_while();
        let sample = load(&mut self.plain, a_while).await?;
        report.sample("bare handler", store, sample);
        let sample = load(&mut self.signed, a_while).await?;
        report.sample("bare handler with a signature", store, sample);
        match (store, &self.pgbench) {
            (Store::Postgres, Some(pgbench)) => {
                let sample = pgbench.measure(connections, a_while).await?;
                report.sample("statements of a refresh", store, sample);
            }
            (Store::Postgres, None) => {}
            (Store::Sqlite, _) => {
                let directory = self.effort.directory.clone();
                let sample = blocking(move || sqlite::measure(&directory, connections, a_while));
                report.sample("statements of a refresh", store, sample.await?);
            }
        }
        let sample = blocking(move || reference::measure(a_while)).await?;
        report.sample("Argon2 reference in C", store, sample);
        let sample = hashing::measure(connections, a_while).await?;
        report.sample("hash pool", store, sample);
        Ok(())
    }
}

/// Clients of the bare server, with the tokens of the service's clients.
async fn bare_clients(
    address: &str,
    path: &'static str,
    others: &[Verify],
) -> anyhow::Result<Vec<Verify>> {
    let mut clients = Vec::new();
    for other in others {
        clients.push(Verify {
            connection: Connection::open(address).await?,
            path,
            token: other.token.clone(),
        });
    }
    Ok(clients)
}

/// Measures the other operations while ten times as many logins arrive as the service can hash.
async fn measure_storm(measuring: &mut Measuring<'_>, clients: &mut Clients) -> anyhow::Result<()> {
    /// The time until the queue has its full length.
    const RISING: Duration = Duration::from_secs(5);
    let (effort, store) = (measuring.effort, measuring.store);
    let hashes = match measuring.report.median("hash pool", store) {
        Some(hashes) => hashes,
        None => {
            let pool = hashing::measure(effort.connections, effort.a_while());
            pool.await?.per_second()
        }
    };
    let a_second = 10.0 * hashes;
    let people = People::new(clients.login.len() as u64, 0);
    let storm = Storm::begin(&measuring.service.address, people, a_second);
    tokio::time::sleep(RISING).await;
    let alone = Instant::now();
    // A login may wait for seconds, so a shorter measurement would count logins of an earlier load.
    tokio::time::sleep(effort.a_while().max(RISING)).await;
    let with_verify = Instant::now();
    let verify = load(&mut clients.verify, effort.a_while()).await?;
    let with_refresh = Instant::now();
    let refresh = load(&mut clients.refresh, effort.a_while()).await?;
    let ended = Instant::now();
    let outcome = storm.end().await?;
    let logins = |from, to| outcome.between(from, to, true);
    for (name, sample) in [
        ("verify in a storm", verify),
        ("refresh in a storm", refresh),
        (
            "login in a storm of logins alone",
            logins(alone, with_verify),
        ),
        (
            "login in a storm, with verify",
            logins(with_verify, with_refresh),
        ),
        (
            "login in a storm, with refresh",
            logins(with_refresh, ended),
        ),
        (
            "login in a storm, refused",
            outcome.between(alone, ended, false),
        ),
    ] {
        measuring.report.sample(name, store, sample);
    }
    Ok(())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(work).await?
}

/// Restarts the service with NATS, and measures how fast it publishes its log.
async fn measure_stream(
    run: &Run,
    setup: &Setup,
    store: Store,
    url: &str,
    events: u64,
    refresh: &mut [Refresh],
    report: &mut Report,
) -> anyhow::Result<()> {
    let client = stream::connect(url).await?;
    stream::delete_streams(&client).await;
    let watch = tokio::spawn(stream::watch_backlog(client.clone(), events));
    let service = setup.start(&[("AUTHLOG_NATS_URL", url)]).await?;
    report.time("start to ready, again", store, service.ready_after);
    report.sample("log to NATS", store, watch.await??);
    let refresh = refresh.first_mut().context("a client")?;
    refresh.connection = Connection::to(&service.address);
    let sample = stream::time_changes(&client, refresh).await?;
    report.sample("answer to consumer", store, sample);
    for round in 0..run.effort.rounds {
        let sample = jetstream::measure(&client, &format!("limit-{round}")).await?;
        report.sample("JetStream", store, sample);
    }
    service.stop().await
}
