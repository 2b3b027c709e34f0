//! Compares the speed of operations on a grown store: each is measured on an empty store, on a store that `fill` has
//! filled, and with sessions that were refreshed ten thousand times.

use std::path::PathBuf;

use clap::Args;

use crate::Effort;
use crate::clients::{Accounts, Clients, Measuring, Names, repeat};
use crate::report::{Report, Store};
use crate::service::{Service, Setup};

/// Options of `grown`.
#[derive(Args)]
pub(crate) struct Grown {
    #[command(flatten)]
    effort: Effort,
    /// Data directory with the filled store's master key, and with its SQLite file
    #[arg(long)]
    filled: PathBuf,
    /// Filled PostgreSQL database; without one SQLite is measured
    #[arg(long, requires = "empty_postgres")]
    filled_postgres: Option<String>,
    /// Empty PostgreSQL database
    #[arg(long)]
    empty_postgres: Option<String>,
    /// Number of accounts in the filled store
    #[arg(long)]
    accounts: u64,
    /// Number of earlier refreshes of each session
    #[arg(long, default_value_t = 10_000)]
    refreshes: u32,
}

const FILLED: Names = Names {
    verify: "verify, filled",
    introspect: "introspect, filled",
    refresh: "refresh, filled",
    login: "login, filled",
    register: "register, filled",
};

/// Measures both stores and prints the figures.
pub(crate) async fn run(grown: &Grown) -> anyhow::Result<()> {
    let effort = &grown.effort;
    std::fs::create_dir_all(&effort.directory)?;
    let folder = tempfile::tempdir_in(&effort.directory)?;
    let mut report = Report::default();
    let store = match grown.filled_postgres {
        None => Store::Sqlite,
        Some(_) => Store::Postgres,
    };
    let empty = Setup {
        program: effort.program.clone(),
        data: folder.path().join("data"),
        database: grown.empty_postgres.clone(),
    };
    let filled = Setup {
        program: effort.program.clone(),
        data: grown.filled.clone(),
        database: grown.filled_postgres.clone(),
    };
    let mut small = Side::start(&empty, effort.connections, &Accounts::New).await?;
    let mut large = Side::start(&filled, effort.connections, &Accounts::Of(grown.accounts)).await?;
    report.time("start to ready, filled", store, large.service.ready_after);
    eprintln!("{store}: {} refreshes of each session", grown.refreshes);
    repeat(&mut large.clients.refresh, grown.refreshes).await?;
    for round in 1..=effort.rounds {
        eprintln!("{store}: round {round} of {}", effort.rounds);
        for (side, names) in [(&mut small, &Names::PLAIN), (&mut large, &FILLED)] {
            let mut measuring = Measuring {
                service: &side.service,
                store,
                effort,
                report: &mut report,
            };
            measuring.measure_all(names, &mut side.clients).await?;
        }
    }
    report.memory("peak memory, filled", store, large.service.peak_of_all()?);
    large.service.stop().await?;
    small.service.stop().await?;
    let again = filled.start(&[]).await?;
    report.time("start to ready, filled, again", store, again.ready_after);
    // Dropping the service kills it.
    drop(again);
    let again = filled.start(&[]).await?;
    report.time(
        "start to ready, filled, after a kill",
        store,
        again.ready_after,
    );
    again.stop().await?;
    report.end(effort.json.as_deref())
}

/// A service with its clients.
struct Side {
    service: Service,
    clients: Clients,
}

impl Side {
    async fn start(setup: &Setup, count: usize, accounts: &Accounts) -> anyhow::Result<Self> {
        let service = setup.start(&[]).await?;
        let clients = Clients::of(setup, &service, count, accounts).await?;
        Ok(Self { service, clients })
    }
}
