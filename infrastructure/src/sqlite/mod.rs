//! The store on SQLite: the embedded default, one file and no server.
//!
//! One thread writes ([`writer`]), a few read ([`readers`]); all of them see one file in WAL mode, which other programs,
//! such as the command line, may use at the same time. Every implementation of a port has a file here; statements stand
//! where they are used.

mod append;
mod checkpoint;
mod clients;
mod connection;
mod device_authorizations;
mod directory;
mod doctor;
mod erasure;
mod errors;
mod event_log;
mod event_store;
mod factors;
mod files;
mod history;
mod housekeeping;
mod lease_queue;
mod log_end;
mod log_records;
mod log_tree;
mod logouts;
mod mail_gate;
mod mail_queue;
mod mailbox_claims;
mod readers;
mod rebuild;
mod reset_requests;
mod revocations;
mod rotation;
mod rows;
mod schema_objects;
mod seals;
mod shared_secrets;
mod signing_keys;
mod traces;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use authlog_application::ports::{Entropy, Health, NotReady, StoreError};
use authlog_application::supervisor::WorkerState;
use tokio::sync::watch;

use crate::sealing::{Fingerprint, MasterKeys};
use crate::store::{
    KeyVault, STORE_SECRET, StoreSecret, check_keys, shared_secret_place, unreadable,
};
use crate::transparency::SchemaCheck;
use crate::{OpenError, StoreAccess};
use checkpoint::WalLimit;
use files::DatabaseFiles;
use readers::Readers;
use writer::{Writer, WriterParts};

/// How many threads read: reads are short and mostly from memory, so a few serve many cores.
const READERS: std::ops::RangeInclusive<usize> = 2..=8;

/// For this many threads for other reads, there is one thread that reads pages.
const READERS_PER_PAGE_READER: usize = 2;

/// A store in one SQLite file.
///
/// Dropping it finishes what is queued, and so may wait for the disk.
pub struct SqliteStore {
    // Readers are dropped first: the last connection to be closed checkpoints the log, and only the writer can.
    readers: Readers,
    /// Read pages of an account's history and of its sessions, which take longer than reading a row. They have a
    /// separate queue, so that they never delay a login or a refresh.
    page_readers: Readers,
    writer: Writer,
    files: Arc<DatabaseFiles>,
    vault: KeyVault,
    path: PathBuf,
    /// Tells the readers of the log that this node has added to it.
    grown: watch::Sender<()>,
    /// Held while the file is searched for traces of an erased account: one search at a time.
    removing_traces: tokio::sync::Mutex<()>,
}

impl SqliteStore {
    /// Opens the store in the file `path`. The file is created if it does not exist, and migrated to this program's
    /// schema.
    ///
    /// # Errors
    /// The file cannot be used, a newer program made it, or it was sealed under another master key.
    pub fn open(
        path: &Path,
        master: impl Into<MasterKeys>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, OpenError> {
        Self::open_for(StoreAccess::Create, path, master, entropy)
    }

    /// Opens the store in the file `path`, as [`Self::open`] does, for the given access. A program that only reads
    /// refuses an older schema and does not change it.
    ///
    /// # Errors
    /// As for [`Self::open`]; also if there is no store and `access` does not allow to create one.
    pub fn open_for(
        access: StoreAccess,
        path: &Path,
        master: impl Into<MasterKeys>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, OpenError> {
        let master = master.into();
        let unreachable = |error: std::io::Error| OpenError::Unreachable(Box::new(error));
        let connection = match access {
            StoreAccess::Read => connection::open_checked_reader(path)?,
            StoreAccess::Change => connection::open_existing_writer(path)?,
            StoreAccess::Create => connection::open_writer(path)?,
        };
        let secret = open_secret(&connection, access, &master, &*entropy)?;
        if access != StoreAccess::Read {
            erasure::finish_interrupted(&connection);
        }
        let threads = std::thread::available_parallelism()
            .map_or(*READERS.start(), usize::from)
            .clamp(*READERS.start(), *READERS.end());
        let reading = |threads| {
            let connections = (0..threads).map(|_| connection::open_reader(path));
            connections.collect::<Result<Vec<_>, _>>()
        };
        let (reading, paging) = (
            reading(threads)?,
            reading(threads / READERS_PER_PAGE_READER)?,
        );
        let files = Arc::new(DatabaseFiles::of(path).map_err(unreachable)?);
        let reopened = path.to_owned();
        let writing = WriterParts {
            connection,
            reopen: Box::new(move || match access {
                StoreAccess::Read => connection::reopen_reader(&reopened),
                StoreAccess::Change | StoreAccess::Create => connection::reopen_writer(&reopened),
            }),
            wal: WalLimit::new(files.wal(), WalLimit::BYTES),
            files: Arc::clone(&files),
            entropy: Arc::clone(&entropy),
        };
        Ok(Self {
            readers: Readers::start(reading).map_err(unreachable)?,
            page_readers: Readers::start(paging).map_err(unreachable)?,
            writer: Writer::start(writing).map_err(unreachable)?,
            files,
            vault: KeyVault::new(master, &secret, entropy).map_err(unreadable)?,
            path: path.to_owned(),
            grown: watch::Sender::new(()),
            removing_traces: tokio::sync::Mutex::default(),
        })
    }

    /// Creates the file `path` if it does not exist, and migrates it to this program's schema. No master key is needed.
    ///
    /// # Errors
    /// The file cannot be used, or a newer program made it.
    pub fn migrate(path: &Path) -> Result<(), OpenError> {
        connection::open_writer(path).map(drop)
    }

    /// How many transactions this store committed since it was opened. Under load it is far fewer than the commands
    /// that they carried.
    pub fn commits(&self) -> u64 {
        self.writer.commits()
    }
}

/// The store's secret, made at the first opening by a program that may create a store. Opening it also proves that the
/// master key is the right one.
fn open_secret(
    connection: &rusqlite::Connection,
    access: StoreAccess,
    master: &MasterKeys,
    entropy: &dyn Entropy,
) -> Result<StoreSecret, OpenError> {
    use shared_secrets::{find, keep_first};
    let find = || find(connection, STORE_SECRET).map_err(errors::store_error);
    let mut kept = find()?;
    if kept.is_none() && has_events(connection).map_err(errors::store_error)? {
        // Another program may have made the secret and stored events in between.
        kept = find()?;
        if kept.is_none() {
            return Err(OpenError::SecretRemoved);
        }
    }
    let kept = match kept {
        Some(kept) => kept,
        None if access != StoreAccess::Create => return Err(OpenError::Unused),
        None => {
            let candidate = StoreSecret::generate(entropy).to_stored();
            let sealed = master
                .seal(&shared_secret_place(STORE_SECRET), &candidate, entropy)
                .map_err(|_| OpenError::WrongMasterKey)?;
            keep_first(connection, STORE_SECRET, &sealed).map_err(errors::store_error)?
        }
    };
    let secret = master.open(&shared_secret_place(STORE_SECRET), &kept);
    let sealing = rotation::sealing_key(connection).map_err(errors::store_error)?;
    let sealing = match (sealing, &secret) {
        (None, Ok(_)) if access == StoreAccess::Read => master.fingerprint(),
        (None, Ok(_)) => keep_first_sealing_key(connection, master)?,
        (sealing, _) => sealing.unwrap_or_default(),
    };
    check_keys(master, &sealing, secret.is_ok())?;
    let secret = secret.map_err(|_| OpenError::WrongMasterKey)?;
    Ok(StoreSecret::from_stored(&secret).map_err(unreadable)?)
}

fn has_events(connection: &rusqlite::Connection) -> rusqlite::Result<bool> {
    connection
        .prepare("SELECT 1 FROM events LIMIT 1")?
        .exists([])
}

/// If the store names no sealing key yet, the key that opens its secret becomes the sealing key.
fn keep_first_sealing_key(
    connection: &rusqlite::Connection,
    master: &MasterKeys,
) -> Result<Fingerprint, OpenError> {
    const INSERT: &str =
        "INSERT INTO sealing_key (id, fingerprint) VALUES (1, ?) ON CONFLICT DO NOTHING";
    let keep = || {
        connection.execute(INSERT, [master.fingerprint().as_slice()])?;
        rotation::sealing_key(connection)
    };
    Ok(keep().map_err(errors::store_error)?.unwrap_or_default())
}

/// Another program has changed the database's schema.
#[derive(Debug, thiserror::Error)]
#[error("another program has changed the database's schema")]
struct OtherSchema;

/// The statements of a write probe. They write a few pages, as much as a command.
const PROBE: &str = "
    INSERT INTO write_probe (filler) VALUES (zeroblob(32768));
    DELETE FROM write_probe";

#[async_trait]
impl SchemaCheck for SqliteStore {
    async fn schema_faults(&self, whole: bool) -> Result<Vec<String>, StoreError> {
        self.readers
            .read(move |connection| schema_objects::faults(connection, whole))
            .await
    }
}

#[async_trait]
impl Health for SqliteStore {
    async fn check(&self) -> Result<(), StoreError> {
        if !self.readers.read(connection::has_schema).await? {
            return Err(StoreError::Unavailable(Box::new(OtherSchema)));
        }
        self.follow_rotation().await?;
        if let Err(error) = self.files.check() {
            let fault = NotReady::WritesFail(error.to_string());
            return Err(StoreError::Unavailable(Box::new(fault)));
        }
        let probe = || self.writer.probe(PROBE);
        self.writer.health().check(probe).await
    }

    fn workers(&self) -> Vec<Arc<WorkerState>> {
        vec![Arc::clone(self.writer.worker())]
    }
}
