//! What is measured, in which order.
//!
//! Everything is measured in every round, one after the other, so that a slow moment of the machine meets an operation
//! and its limit alike.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use hyper::Method;

use crate::Run;
use crate::http::{Carried, Connection};
use crate::limits::pgbench::{self, Pgbench};
use crate::limits::{bare, hashing, jetstream, reference, sqlite};
use crate::load::{Sample, Visitor, load};
use crate::operations::{
    Introspect, Login, PASSWORD, Refresh, Register, Verify, login, sign_in, sign_up,
};
use crate::report::{Report, Store};
use crate::service::{Service, Setup};
use crate::stream;

/// Measures everything and prints it.
pub(crate) async fn carry_out(run: &Run) -> anyhow::Result<()> {
    std::fs::create_dir_all(&run.directory)?;
    let mut report = Report::default();
    warn(run, &mut report).await?;
    measure(run, Store::Sqlite, &mut report).await?;
    if run.postgres.is_some() {
        measure(run, Store::Postgres, &mut report).await?;
    }
    report.print();
    if let Some(path) = &run.json {
        report.write(path)?;
    }
    Ok(())
}

/// Notes what would make the figures mean something else.
async fn warn(run: &Run, report: &mut Report) -> anyhow::Result<()> {
    let directory = run.directory.canonicalize()?;
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

/// What clients do in turn.
struct Clients {
    plain: Vec<Verify>,
    signed: Vec<Verify>,
    verify: Vec<Verify>,
    introspect: Vec<Introspect>,
    refresh: Vec<Refresh>,
    login: Vec<Login>,
    register: Vec<Register>,
}

async fn measure(run: &Run, store: Store, report: &mut Report) -> anyhow::Result<()> {
    let folder = tempfile::tempdir_in(&run.directory)?;
    let setup = Setup {
        program: run.program.clone(),
        data: folder.path().join("data"),
        database: match store {
            Store::Sqlite => None,
            Store::Postgres => run.postgres.clone(),
        },
    };
    let service = setup.start(&[]).await?;
    report.time("start to ready, empty", store, service.ready_after);
    tokio::time::sleep(Duration::from_secs(2)).await;
    report.memory("memory, idle", store, service.memory()?.0);

    let mut connection = Connection::open(&service.address).await?;
    let keys = connection
        .succeed(Method::GET, "/.well-known/jwks.json", Carried::default())
        .await?;
    let bare = bare::start(&keys).await?;
    let pgbench = match (store, &run.pgbench) {
        (Store::Postgres, Some(database)) => Some(Pgbench::prepare(database).await?),
        _ => None,
    };
    let mut clients = clients(run, &setup, &service, &bare.address).await?;
    for round in 1..=run.rounds {
        eprintln!("{store}: round {round} of {}", run.rounds);
        let limits = Limits {
            run,
            store,
            pgbench: pgbench.as_ref(),
        };
        measure_round(&limits, &service, &mut clients, report).await?;
    }
    report.memory("memory, at the most", store, service.memory()?.1);

    let events = stream::logged(&service).await?;
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

struct Limits<'a> {
    run: &'a Run,
    store: Store,
    pgbench: Option<&'a Pgbench>,
}

async fn measure_round(
    limits: &Limits<'_>,
    service: &Service,
    clients: &mut Clients,
    report: &mut Report,
) -> anyhow::Result<()> {
    let Limits { run, store, .. } = *limits;
    let a_while = run.a_while();
    report.sample(
        "bare handler",
        store,
        load(&mut clients.plain, a_while).await?,
    );
    report.sample(
        "bare handler with a signature",
        store,
        load(&mut clients.signed, a_while).await?,
    );
    let sample = measured(service, &mut clients.verify, a_while).await?;
    report.sample("verify", store, sample);
    let sample = measured(service, &mut clients.introspect, a_while).await?;
    report.sample("introspect", store, sample);
    let sample = measured(service, &mut clients.refresh, a_while).await?;
    report.sample("refresh", store, sample);
    match (store, limits.pgbench) {
        (Store::Postgres, Some(pgbench)) => {
            let sample = pgbench.measure(run.connections, a_while).await?;
            report.sample("statements of a refresh", store, sample);
        }
        (Store::Postgres, None) => {}
        (Store::Sqlite, _) => {
            let (directory, batch) = (run.directory.clone(), run.connections);
            let sample = blocking(move || sqlite::measure(&directory, batch, a_while)).await?;
            report.sample("statements of a refresh", store, sample);
        }
    }
    let sample = blocking(move || reference::measure(a_while)).await?;
    report.sample("Argon2 reference in C", store, sample);
    report.sample(
        "hash pool",
        store,
        hashing::measure(run.connections, a_while).await?,
    );
    let sample = measured(service, &mut clients.login, a_while).await?;
    report.sample("login", store, sample);
    let sample = measured(service, &mut clients.register, a_while).await?;
    report.sample("register", store, sample);
    Ok(())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(work).await?
}

/// A load, with the processor time that the service took for it.
async fn measured<V: Visitor>(
    service: &Service,
    visitors: &mut Vec<V>,
    a_while: Duration,
) -> anyhow::Result<Sample> {
    let before = service.processor_time()?;
    let mut sample = load(visitors, a_while).await?;
    sample.processor = service.processor_time()? - before;
    Ok(sample)
}

/// Makes accounts, and everything that clients need to come.
async fn clients(
    run: &Run,
    setup: &Setup,
    service: &Service,
    bare: &str,
) -> anyhow::Result<Clients> {
    let create = [
        "user",
        "create",
        "--username",
        "resource-server",
        "--role",
        "service",
    ];
    setup.run_with(&create, &format!("{PASSWORD}\n")).await?;
    let mut connection = Connection::open(&service.address).await?;
    let caller = sign_in(&mut connection, "resource-server").await?;
    let mut clients = Clients {
        plain: vec![],
        signed: vec![],
        verify: vec![],
        introspect: vec![],
        refresh: vec![],
        login: vec![],
        register: vec![],
    };
    let open = || Connection::open(&service.address);
    for number in 0..run.connections {
        let name = format!("client-{number}");
        let (access, refresh) = sign_up(&mut connection, &name).await?;
        for (visitors, path) in [
            (&mut clients.plain, bare::PLAIN),
            (&mut clients.signed, bare::SIGNED),
        ] {
            visitors.push(Verify {
                connection: Connection::open(bare).await?,
                path,
                token: access.clone(),
            });
        }
        clients.introspect.push(Introspect {
            connection: open().await?,
            authorization: format!("Bearer {caller}"),
            form: format!("token={access}"),
        });
        clients.verify.push(Verify {
            connection: open().await?,
            path: "/users/verify-token",
            token: access,
        });
        clients.refresh.push(Refresh {
            connection: open().await?,
            authorization: format!("Bearer {refresh}"),
        });
        clients.login.push(Login {
            connection: open().await?,
            body: login(&name),
        });
        clients.register.push(Register {
            connection: open().await?,
            name: format!("new-{number}"),
            number: 0,
        });
    }
    Ok(clients)
}

/// Starts the service again, with NATS, and measures how its log gets there.
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
    stream::forget(&client).await;
    let watch = tokio::spawn(stream::watch_backlog(client.clone(), events));
    let service = setup.start(&[("AUTHLOG_NATS_URL", url)]).await?;
    report.time("start to ready, again", store, service.ready_after);
    report.sample("log to NATS", store, watch.await??);
    let refresh = refresh.first_mut().context("a client")?;
    refresh.connection = Connection::open(&service.address).await?;
    let sample = stream::time_changes(&client, refresh).await?;
    report.sample("answer to consumer", store, sample);
    for round in 0..run.rounds {
        let sample = jetstream::measure(&client, &format!("limit-{round}")).await?;
        report.sample("JetStream", store, sample);
    }
    service.stop().await
}
