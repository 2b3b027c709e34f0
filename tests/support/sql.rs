//! Direct SQL access to the store, as an attacker with the database's password has it.

use std::sync::Arc;

use authlog_application::ports::Identifier;
use authlog_infrastructure::Store as AnyStore;
use authlog_infrastructure::postgres::PostgresStore;
use authlog_infrastructure::sealing::MasterKey;
use authlog_infrastructure::sqlite::SqliteStore;
use authlog_infrastructure::system::SystemEntropy;

use super::{Postgres, Settings};

/// The tables of the log, each with the trigger that protects it. Their owner can disable it.
const LOG_TRIGGERS: [(&str, &str); 3] = [
    ("events", "events_are_never_changed"),
    ("event_log", "event_log_is_never_changed"),
    ("checkpoints", "checkpoints_are_never_changed"),
];

/// The triggers that protect the log on SQLite.
const LOG_TRIGGERS_OF_SQLITE: [&str; 6] = [
    "events_are_never_changed",
    "events_are_never_deleted",
    "log_entries_are_never_changed",
    "log_entries_are_never_deleted",
    "checkpoints_are_never_changed",
    "checkpoints_are_never_deleted",
];

impl Settings {
    /// Runs statements that both stores understand. [`Self::is_sqlite`] tells which store it is.
    pub fn execute(&self, sql: &str) {
        match self.get("AUTHLOG_DATABASE_URL") {
            Some(url) => Postgres::execute_at(url, sql),
            None => self.connect().execute_batch(sql).expect("SQL"),
        }
    }

    /// The number of rows of a table.
    pub fn count(&self, table: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        match self.get("AUTHLOG_DATABASE_URL") {
            Some(url) => Postgres::query(url, &sql).parse().expect("a number"),
            None => {
                let counted = self.connect().query_row(&sql, [], |row| row.get(0));
                counted.expect("a number")
            }
        }
    }

    /// The rows of a table, in order.
    pub fn rows(&self, table: &str) -> Vec<String> {
        let mut rows = match self.get("AUTHLOG_DATABASE_URL") {
            Some(url) => Postgres::ask(url, &format!("SELECT t::text FROM {table} t")),
            None => {
                let connection = self.connect();
                let mut select = connection
                    .prepare(&format!("SELECT * FROM {table}"))
                    .expect("a table");
                let columns = select.column_count();
                let read = select.query_map([], |row| {
                    let values = (0..columns).map(|column| row.get_ref(column));
                    Ok(format!("{:?}", values.collect::<Result<Vec<_>, _>>()?))
                });
                let read = read.expect("rows").collect::<Result<Vec<_>, _>>();
                read.expect("rows")
            }
        };
        rows.sort_unstable();
        rows
    }

    /// Lets the logout tokens that wait look as if their sessions had ended a day ago.
    pub fn age_logouts_by_a_day(&self) {
        self.execute(if self.is_sqlite() {
            "UPDATE due_logouts SET ended_at = ended_at - 86400000"
        } else {
            "UPDATE due_logouts SET ended_at = ended_at - interval '1 day'"
        });
    }

    /// Lets every client that could not be reached look as if that had begun a day before, and be tried again at once. A node that
    /// is trying at this moment undoes it.
    pub fn age_failures_by_a_day(&self) {
        self.execute(if self.is_sqlite() {
            "UPDATE logout_receivers SET failing_since = failing_since - 86400000, due_at = 0"
        } else {
            "UPDATE logout_receivers SET failing_since = failing_since - interval '1 day', due_at = 'epoch'"
        });
    }

    /// How many clients a node has leased to send them logout tokens, of those that have not failed.
    pub fn leased_logout_receivers(&self) -> i64 {
        let now = if self.is_sqlite() {
            "unixepoch('subsec') * 1000"
        } else {
            "now()"
        };
        self.count(&format!(
            "logout_receivers WHERE failures = 0 AND due_at > {now}"
        ))
    }

    /// Whether the store is a file.
    pub fn is_sqlite(&self) -> bool {
        self.get("AUTHLOG_DATABASE_URL").is_none()
    }

    /// Runs statements that change or delete events, log entries or checkpoints, with the protection disabled.
    pub fn tamper(&self, sql: &str) {
        if self.is_sqlite() {
            let connection = self.connect();
            let mut guards = Vec::new();
            for guard in LOG_TRIGGERS_OF_SQLITE {
                let text = "SELECT sql FROM sqlite_schema WHERE name = ?";
                let text = connection.query_row(text, [guard], |row| row.get::<_, String>(0));
                guards.extend(text.ok());
                let drop = format!("DROP TRIGGER IF EXISTS {guard}");
                connection.execute_batch(&drop).expect("the guard's end");
            }
            connection.execute_batch(sql).expect("SQL");
            for guard in guards {
                connection.execute_batch(&guard).expect("the guard");
            }
            return;
        }
        let of_all = |what: &str, sure: &str| -> String {
            LOG_TRIGGERS
                .map(|(table, guard)| format!("ALTER TABLE {table} {what} TRIGGER {guard} {sure};"))
                .concat()
        };
        let (before, after) = (of_all("DISABLE", ""), of_all("ENABLE ALWAYS", ""));
        self.execute(&format!("{before} {sql}; {after}"));
    }

    /// The password hash of an account, decrypted with the master key in the data directory.
    pub async fn stored_hash(&self, username: &str) -> String {
        let key = MasterKey::load(&self.data().join("master.key")).expect("the master key");
        let store: Arc<dyn AnyStore> = match self.get("AUTHLOG_DATABASE_URL") {
            None => {
                let path = self.data().join("authlog.db");
                Arc::new(SqliteStore::open(&path, key, Arc::new(SystemEntropy)).expect("the file"))
            }
            Some(url) => Arc::new(
                PostgresStore::open(url, false, key, Arc::new(SystemEntropy))
                    .await
                    .expect("the database"),
            ),
        };
        let name = Identifier::parse(username).expect("a name");
        let found = store.find_for_sign_in(&name).await.expect("an answer");
        let hash = found.expect("an account").hash.expect("a password");
        hash.as_stored().to_owned()
    }

    fn connect(&self) -> rusqlite::Connection {
        let connection = rusqlite::Connection::open(self.data().join("authlog.db"));
        let connection = connection.expect("the file");
        let patience = std::time::Duration::from_secs(10);
        connection.busy_timeout(patience).expect("patience");
        connection
    }
}
