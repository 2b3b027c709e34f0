//! A PostgreSQL store in a database of its own, on a real server.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what fails in a test may panic"
)]

mod appending;
mod batching;
mod deadlines;
mod instants;
mod opening;
mod outages;
mod paging;
mod rebuilding;
mod revoking;
mod sequencing;
mod server;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use authlog_application::ports::StreamId;
use authlog_infrastructure::postgres::PostgresStore;
use authlog_infrastructure::sealing::{MasterKey, MasterKeys};
use authlog_infrastructure::{OpenError, Store};
use sqlx::PgPool;
use tokio_util::sync::{CancellationToken, DropGuard};

use self::server::Server;
use crate::store_behaviour::system::SystemEntropy;
use crate::store_behaviour::{LogEntry, StoredEvent, World};

/// A store on a database that was empty before.
pub struct PostgresWorld {
    pub store: Arc<PostgresStore>,
    pub master: MasterKey,
    pub url: String,
    /// Connections of the test's own, as another program would have.
    pub sql: PgPool,
    _sequencer: Option<DropGuard>,
    _server: Arc<Server>,
}

/// The store at `url` under `master`, its schema brought up to date.
pub async fn open_url(url: &str, master: &MasterKey) -> Result<Arc<PostgresStore>, OpenError> {
    let entropy = Arc::new(SystemEntropy);
    let store = PostgresStore::open(url, true, master.clone(), entropy).await;
    store.map(Arc::new)
}

/// A new store without a sequencer.
pub async fn open_unsequenced() -> PostgresWorld {
    let server = tokio::task::spawn_blocking(Server::shared).await.unwrap();
    let url = server.url(&server.database().await);
    let master = MasterKey::generate(&SystemEntropy);
    PostgresWorld {
        store: open_url(&url, &master).await.unwrap(),
        master,
        sql: PgPool::connect(&url).await.unwrap(),
        url,
        _sequencer: None,
        _server: server,
    }
}

/// A new store as a node runs it.
pub async fn open() -> PostgresWorld {
    let world = open_unsequenced().await;
    let shutdown = CancellationToken::new();
    let (sequencer, stop) = (world.store.sequencer(), shutdown.clone());
    tokio::spawn(async move { sequencer.run(stop).await });
    PostgresWorld {
        _sequencer: Some(shutdown.drop_guard()),
        ..world
    }
}

impl PostgresWorld {
    pub async fn number(&self, sql: &str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.sql).await.unwrap()
    }
}

#[async_trait]
impl World for PostgresWorld {
    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as Arc<dyn Store>
    }

    async fn another_node(&self) -> Arc<dyn Store> {
        open_url(&self.url, &self.master).await.unwrap()
    }

    fn master(&self) -> MasterKey {
        self.master.clone()
    }

    async fn open_with(&self, master: MasterKeys) -> Result<Arc<dyn Store>, OpenError> {
        let entropy = Arc::new(SystemEntropy);
        let store = PostgresStore::open(&self.url, true, master, entropy).await?;
        Ok(Arc::new(store))
    }

    async fn settle(&self) {
        let settled = async {
            while self.count("event_log").await < self.count("events").await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let within = Duration::from_secs(30);
        tokio::time::timeout(within, settled).await.unwrap();
    }

    async fn stored_events(&self) -> Vec<StoredEvent> {
        type Row = (String, String, i64, String, String, i64, String, String);
        let rows: Vec<Row> = sqlx::query_as(
            r"
            SELECT aggregate_type, aggregate_id, sequence, event_type, event_version,
                   (extract(epoch FROM recorded_at) * 1000000)::bigint, payload::text, metadata::text
              FROM events ORDER BY position",
        )
        .fetch_all(&self.sql)
        .await
        .unwrap();
        let event = |row: Row| StoredEvent {
            aggregate_type: row.0,
            aggregate_id: row.1,
            sequence: row.2,
            event_type: row.3,
            event_version: row.4,
            recorded_at_micros: row.5,
            payload: row.6,
            metadata: row.7,
        };
        rows.into_iter().map(event).collect()
    }

    async fn event_log(&self) -> Vec<LogEntry> {
        type Row = (i64, String, String, i64, Vec<u8>);
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT log_index, aggregate_type, aggregate_id, sequence, leaf_hash FROM event_log ORDER BY log_index",
        )
        .fetch_all(&self.sql)
        .await
        .unwrap();
        let entry = |row: Row| LogEntry {
            log_index: row.0,
            aggregate_type: row.1,
            aggregate_id: row.2,
            sequence: row.3,
            leaf_hash: row.4,
        };
        rows.into_iter().map(entry).collect()
    }

    async fn count(&self, table: &str) -> i64 {
        self.number(&format!("SELECT count(*) FROM {table}")).await
    }

    async fn execute(&self, sql: &str) {
        sqlx::raw_sql(sql).execute(&self.sql).await.unwrap();
    }

    async fn execute_own(&self, _: &str, postgres: &str) {
        self.execute(postgres).await;
    }

    async fn drop_guards(&self) {
        for table in ["events", "event_log", "checkpoints"] {
            let sql = format!("ALTER TABLE {table} DISABLE TRIGGER USER");
            self.execute(&sql).await;
        }
    }

    async fn overwrite_payload(&self, stream: &StreamId, sequence: i64, payload: &str) {
        let mut transaction = self.sql.begin().await.unwrap();
        sqlx::query("ALTER TABLE events DISABLE TRIGGER events_are_never_changed")
            .execute(&mut *transaction)
            .await
            .unwrap();
        let changed = sqlx::query(
            r"
            UPDATE events SET payload = $1::text::json
             WHERE aggregate_type = $2 AND aggregate_id = $3 AND sequence = $4",
        )
        .bind(payload)
        .bind(stream.kind.as_str())
        .bind(&stream.id)
        .bind(sequence)
        .execute(&mut *transaction)
        .await
        .unwrap();
        assert_eq!(changed.rows_affected(), 1);
        sqlx::query("ALTER TABLE events ENABLE ALWAYS TRIGGER events_are_never_changed")
            .execute(&mut *transaction)
            .await
            .unwrap();
        transaction.commit().await.unwrap();
    }
}
