//! Opens the store that the settings name.

use std::sync::Arc;

use authlog_infrastructure::postgres::{Election, GuessExchange, PostgresStore, Sequencer};
use authlog_infrastructure::sealing::MasterKeys;
use authlog_infrastructure::sqlite::SqliteStore;
use authlog_infrastructure::{OpenError, Store, StoreAccess};
use tokio::sync::watch;

use super::entropy;
use super::master_keys::master_keys;
use super::open_errors::explain;
use crate::settings::{Database, Settings};

/// An open store, with the workers that it needs.
pub(crate) struct OpenStore {
    pub(crate) store: Arc<dyn Store>,
    /// Whether this node is the elected publisher.
    pub(crate) publishes: watch::Receiver<bool>,
    /// Whether this node is the elected signer of checkpoints.
    pub(crate) signs: watch::Receiver<bool>,
    /// The workers of a node that shares its store; `None` for a store with one node.
    pub(crate) cluster: Option<ClusterWorkers>,
}

/// The workers that coordinate the nodes of one store.
pub(crate) struct ClusterWorkers {
    pub(crate) sequencer: Sequencer,
    pub(crate) publisher: Election,
    pub(crate) signer: Election,
    /// Exchanges failed logins between nodes.
    pub(crate) guesses: GuessExchange,
}

/// Opens the store that the settings name. Only [`StoreAccess::Create`] creates the data directory and the master key.
///
/// # Errors
/// Which setting is wrong, or why the store cannot be used.
pub(crate) async fn open_store(
    settings: &Settings,
    access: StoreAccess,
) -> anyhow::Result<OpenStore> {
    if access == StoreAccess::Create {
        settings.make_data_dir()?;
    } else {
        require_file(settings)?;
    }
    open_store_with(settings, access, master_keys(settings, access)?).await
}

/// A command in a wrong directory finds neither a store nor a master key; the error has to name the store first.
pub(super) fn require_file(settings: &Settings) -> anyhow::Result<()> {
    match &settings.database {
        Database::Sqlite(path) if !path.try_exists().unwrap_or(true) => {
            Err(explain(OpenError::Missing, &settings.database))
        }
        Database::Sqlite(_) | Database::Postgres(_) => Ok(()),
    }
}

/// Creates the schema of the store or migrates it. It needs no master key.
///
/// # Errors
/// Why the store cannot be used.
pub(crate) async fn migrate(settings: &Settings) -> anyhow::Result<()> {
    let migrated = match &settings.database {
        Database::Sqlite(path) => {
            settings.make_data_dir()?;
            SqliteStore::migrate(path)
        }
        Database::Postgres(servers) => PostgresStore::migrate(servers.clone()).await,
    };
    migrated.map_err(|error| explain(error, &settings.database))
}

/// Opens the store that the settings name, with these master keys.
///
/// # Errors
/// Why the store cannot be used.
pub(crate) async fn open_store_with(
    settings: &Settings,
    access: StoreAccess,
    master: MasterKeys,
) -> anyhow::Result<OpenStore> {
    match &settings.database {
        Database::Sqlite(path) => {
            let store = SqliteStore::open_for(access, path, master, entropy())
                .map_err(|error| explain(error, &settings.database))?;
            Ok(OpenStore {
                store: Arc::new(store),
                // A SQLite file has one service. If there were two, the stream would accept only one publisher.
                publishes: watch::channel(true).1,
                signs: watch::channel(true).1,
                cluster: None,
            })
        }
        Database::Postgres(servers) => {
            let (servers, migrate) = (servers.clone(), settings.storage.migrate);
            let store = PostgresStore::open_for(access, servers, migrate, master, entropy())
                .await
                .map_err(|error| explain(error, &settings.database))?;
            let sequencer = store.sequencer();
            let guesses = store.guess_exchange();
            let (publisher, publishes) = store.publisher_election();
            let (signer, signs) = store.signer_election();
            Ok(OpenStore {
                store: Arc::new(store),
                publishes,
                signs,
                cluster: Some(ClusterWorkers {
                    sequencer,
                    publisher,
                    signer,
                    guesses,
                }),
            })
        }
    }
}
