//! A SQLite store in a folder of its own.

#![expect(clippy::unwrap_used, reason = "what fails in a test may panic")]

mod crash;
mod erasing;
mod file;
mod sharing;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use authlog_application::ports::StreamId;
use authlog_infrastructure::sealing::{MasterKey, MasterKeys};
use authlog_infrastructure::sqlite::SqliteStore;
use authlog_infrastructure::{OpenError, Store};
use rusqlite::{Connection, params};
use tempfile::TempDir;

use crate::store_behaviour::system::SystemEntropy;
use crate::store_behaviour::{LogEntry, StoredEvent, World};

/// The folder is removed after the test.
pub struct SqliteWorld {
    pub store: Arc<SqliteStore>,
    pub master: MasterKey,
    folder: TempDir,
}

/// The store in the file `path` under `master`.
pub fn open_file(path: &Path, master: &MasterKey) -> Result<SqliteStore, OpenError> {
    SqliteStore::open(path, master.clone(), Arc::new(SystemEntropy))
}

/// A new store.
pub async fn open() -> SqliteWorld {
    let folder = tempfile::tempdir().unwrap();
    let master = MasterKey::generate(&SystemEntropy);
    let path = folder.path().join("authlog.db");
    let store = open_file(&path, &master).unwrap();
    SqliteWorld {
        store: Arc::new(store),
        master,
        folder,
    }
}

impl SqliteWorld {
    /// The file.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("authlog.db")
    }

    /// A connection of the test's own, as another program would have.
    pub fn connect(&self) -> Connection {
        let connection = Connection::open(self.path()).unwrap();
        connection
            .busy_timeout(std::time::Duration::from_secs(5))
            .unwrap();
        connection
    }
}

#[async_trait]
impl World for SqliteWorld {
    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as Arc<dyn Store>
    }

    async fn another_node(&self) -> Arc<dyn Store> {
        self.open_with(self.master.clone().into()).await.unwrap()
    }

    fn master(&self) -> MasterKey {
        self.master.clone()
    }

    async fn open_with(&self, master: MasterKeys) -> Result<Arc<dyn Store>, OpenError> {
        let entropy = Arc::new(SystemEntropy);
        Ok(Arc::new(SqliteStore::open(&self.path(), master, entropy)?))
    }

    /// An event and its entry in the log are written together.
    async fn settle(&self) {}

    async fn stored_events(&self) -> Vec<StoredEvent> {
        const SELECT: &str = "
            SELECT aggregate_type, aggregate_id, sequence, event_type, event_version, recorded_at, payload, metadata
            FROM events ORDER BY position";
        let connection = self.connect();
        let mut select = connection.prepare(SELECT).unwrap();
        let events = select.query_map([], |row| {
            Ok(StoredEvent {
                aggregate_type: row.get(0)?,
                aggregate_id: row.get(1)?,
                sequence: row.get(2)?,
                event_type: row.get(3)?,
                event_version: row.get(4)?,
                recorded_at_micros: row.get(5)?,
                payload: row.get(6)?,
                metadata: row.get(7)?,
            })
        });
        events.unwrap().collect::<Result<_, _>>().unwrap()
    }

    async fn event_log(&self) -> Vec<LogEntry> {
        const SELECT: &str = "
            SELECT log_index, aggregate_type, aggregate_id, sequence, leaf_hash FROM event_log ORDER BY log_index";
        let connection = self.connect();
        let mut select = connection.prepare(SELECT).unwrap();
        let entries = select.query_map([], |row| {
            Ok(LogEntry {
                log_index: row.get(0)?,
                aggregate_type: row.get(1)?,
                aggregate_id: row.get(2)?,
                sequence: row.get(3)?,
                leaf_hash: row.get(4)?,
            })
        });
        entries.unwrap().collect::<Result<_, _>>().unwrap()
    }

    async fn count(&self, table: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        let count = self.connect().query_row(&sql, [], |row| row.get(0));
        count.unwrap()
    }

    async fn execute(&self, sql: &str) {
        self.connect().execute_batch(sql).unwrap();
    }

    async fn execute_own(&self, sqlite: &str, _: &str) {
        self.execute(sqlite).await;
    }

    async fn drop_guards(&self) {
        let triggers = "
            DROP TRIGGER IF EXISTS events_are_never_changed; DROP TRIGGER IF EXISTS events_are_never_deleted;
            DROP TRIGGER IF EXISTS log_entries_are_never_changed; DROP TRIGGER IF EXISTS log_entries_are_never_deleted;
            DROP TRIGGER IF EXISTS checkpoints_are_never_changed; DROP TRIGGER IF EXISTS checkpoints_are_never_deleted;";
        self.connect().execute_batch(triggers).unwrap();
    }

    async fn overwrite_payload(&self, stream: &StreamId, sequence: i64, payload: &str) {
        let connection = self.connect();
        connection
            .execute_batch("DROP TRIGGER events_are_never_changed")
            .unwrap();
        let changed = connection.execute(
            "UPDATE events SET payload = ? WHERE aggregate_type = ? AND aggregate_id = ? AND sequence = ?",
            params![payload, stream.kind.as_str(), stream.id, sequence],
        );
        assert_eq!(changed.unwrap(), 1);
        connection
            .execute_batch(
                "CREATE TRIGGER events_are_never_changed BEFORE UPDATE ON events
                 BEGIN SELECT RAISE(ABORT, 'an event is never changed'); END",
            )
            .unwrap();
    }
}
