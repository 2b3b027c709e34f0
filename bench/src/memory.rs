//! The memory of the program under each load, measured for long enough to see growth.

use clap::Args;

use crate::Effort;
use crate::applications::ApplicationClients;
use crate::clients::{Accounts, Clients, Measuring, Names};
use crate::factors::FactorClients;
use crate::native::NativeClients;
use crate::report::{Report, Store};
use crate::service::Setup;

/// Options of `memory`.
#[derive(Args)]
pub(crate) struct Memory {
    #[command(flatten)]
    effort: Effort,
    /// Empty PostgreSQL database; without one PostgreSQL is left out
    #[arg(long)]
    postgres: Option<String>,
    /// Only this store
    #[arg(long)]
    store: Option<Store>,
}

/// Measures each load once and prints a table for each store.
pub(crate) async fn run(memory: &Memory) -> anyhow::Result<()> {
    let effort = &memory.effort;
    std::fs::create_dir_all(&effort.directory)?;
    let wanted = |store| memory.store.is_none_or(|alone| alone == store);
    if wanted(Store::Sqlite) {
        measure(effort, Store::Sqlite, None).await?;
    }
    if memory.postgres.is_some() && wanted(Store::Postgres) {
        measure(effort, Store::Postgres, memory.postgres.clone()).await?;
    }
    Ok(())
}

async fn measure(effort: &Effort, store: Store, database: Option<String>) -> anyhow::Result<()> {
    let folder = tempfile::tempdir_in(&effort.directory)?;
    let setup = Setup {
        program: effort.program.clone(),
        data: folder.path().join("data"),
        database,
    };
    let service = setup.start(&[]).await?;
    let mut clients = Clients::of(&setup, &service, effort.connections, &Accounts::New).await?;
    let native = NativeClients::of(&setup, &service, &clients).await?;
    let mut applications = ApplicationClients::of(&setup, &service, effort.connections).await?;
    let mut factors = FactorClients::of(&setup, &service, effort).await?;
    let mut report = Report::default();
    let mut measuring = Measuring {
        service: &service,
        store,
        effort,
        report: &mut report,
    };
    native.measure_all(&mut measuring, &mut clients).await?;
    measuring.measure_all(&Names::PLAIN, &mut clients).await?;
    applications.measure_all(&mut measuring).await?;
    factors.measure_all(&mut measuring).await?;
    report.print_memory(effort.connections);
    let (after, peak) = (service.memory()?, service.peak_of_all()?);
    eprintln!("{store}: {after:.0} MiB after the last load, peak {peak:.0} MiB");
    service.stop().await
}
