//! The stores on which a measurement runs, each of them empty at its start.

use std::path::PathBuf;

use clap::Args;
use tempfile::TempDir;

use crate::limits::pgbench::fresh_database;
use crate::report::Store;
use crate::service::Setup;

/// The program to measure, and where its stores are.
#[derive(Args)]
pub(crate) struct Stores {
    /// Release program
    #[arg(long, default_value = "target/release/authlog")]
    program: PathBuf,
    /// Directory for the SQLite file
    #[arg(long, default_value = "target/bench")]
    directory: PathBuf,
    /// URL of a database on a PostgreSQL server, where each measurement creates its own database; without one
    /// PostgreSQL is left out
    #[arg(long)]
    postgres: Option<String>,
}

impl Stores {
    /// The stores to measure: both, or `only` one. PostgreSQL needs a server.
    pub(crate) fn wanted(&self, only: Option<Store>) -> impl Iterator<Item = Store> {
        let is_there = |store| store == Store::Sqlite || self.postgres.is_some();
        let both = [Store::Sqlite, Store::Postgres].into_iter();
        both.filter(move |&store| is_there(store) && only.is_none_or(|only| only == store))
    }

    /// The program on an empty store. On PostgreSQL, that is a database of this name. The files are in the folder that is returned.
    pub(crate) async fn empty(
        &self,
        store: Store,
        database: &str,
    ) -> anyhow::Result<(TempDir, Setup)> {
        std::fs::create_dir_all(&self.directory)?;
        let folder = tempfile::tempdir_in(&self.directory)?;
        let setup = Setup {
            program: self.program.clone(),
            data: folder.path().join("data"),
            database: match (&self.postgres, store) {
                (Some(server), Store::Postgres) => Some(fresh_database(server, database).await?),
                _ => None,
            },
        };
        Ok((folder, setup))
    }
}
