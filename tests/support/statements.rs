//! The statements that PostgreSQL executed, as the server counts them (`pg_stat_statements`).

use std::collections::BTreeMap;

use super::{Postgres, Program, eventually};

/// The beginnings of the statements that a node repeats in the background: for sequencing, the revocation feed, new log
/// entries (with their events while a client follows the log), checkpoints, signing keys, whether there are clients, the check of the
/// schema, due mail and logout tokens, seals, claims of mailboxes, housekeeping and elections.
///
/// How often they run depends on the time and not on the requests, so they do not count for an operation, even if an
/// operation began to use one. `tests/costs.rs` compares this list with the statements of an idle node.
const BACKGROUND: [&str; 39] = [
    "SELECT take_over_sequencer()",
    "SELECT sequence_batch(",
    "SELECT here.*, news.* FROM (SELECT pg_backend_pid() ",
    "SELECT here.reached, ",
    "SELECT l.log_index, ",
    "SELECT * FROM ( SELECT l.log_index, ",
    "SELECT EXISTS ( SELECT FROM events WHERE txid >= ",
    "SELECT mark.last_index, ",
    "SELECT leaf_hash, log_index FROM event_log ",
    "SELECT least((SELECT min(log_index) FROM event_log), ",
    "SELECT e.aggregate_type, e.aggregate_id, e.sequence, e.txid::text::bigint, ",
    "SELECT a.pid, a.usename::text ",
    "SELECT hash FROM log_nodes ",
    "INSERT INTO log_nodes ",
    "SELECT tree_size, note FROM checkpoints ",
    "INSERT INTO checkpoints ",
    "SELECT c.number, k.kid, ",
    "SELECT EXISTS (SELECT FROM clients ",
    "WITH ours AS ( SELECT c.oid, ",
    "SELECT version, checksum FROM _sqlx_migrations ",
    "SELECT fingerprint FROM sealing_key",
    "WITH due AS MATERIALIZED ",
    "DELETE FROM opaque_tokens WHERE expires_at ",
    "SELECT max(number) FROM log_marks",
    "DELETE FROM mail_budgets WHERE used_until ",
    "DELETE FROM device_authorizations WHERE expires_at ",
    "WITH erased AS MATERIALIZED ",
    "SELECT continue_erasure(",
    "SELECT state FROM queue_logouts(",
    "SELECT count(*) FROM logout_receivers r WHERE failures > ",
    "WITH page AS MATERIALIZED ( SELECT session_id FROM sessions ",
    "SELECT sealed FROM shared_secrets ",
    "UPDATE credentials SET password_hash = ",
    "SELECT EXISTS (SELECT FROM finished_upgrades ",
    "SELECT extract($2 FROM now() - installed_on)",
    "SELECT * FROM ( SELECT a.user_id, ",
    "SELECT pg_try_advisory_lock(",
    "SET idle_session_timeout ",
    // Executed once for each connection.
    "SELECT set_config(",
];

/// The statement with which a leader checks that it is still elected.
pub const HEARTBEAT: &str = "SELECT $1";

/// The statements in one program's database.
pub struct Statements {
    server: String,
    database: String,
}

impl Statements {
    /// The statements of `service`, which runs on PostgreSQL.
    #[track_caller]
    pub fn of(service: &Program) -> Self {
        let url = service.settings.get("AUTHLOG_DATABASE_URL");
        let (server, database) = url.expect("PostgreSQL").rsplit_once('/').expect("a name");
        Self {
            server: format!("{server}/postgres"),
            database: database.to_owned(),
        }
    }

    /// Every statement so far, including those of every answered request.
    pub async fn so_far(&self) -> Calls {
        // The server counts a statement at its end, which may be just after the answer.
        let under_way = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND state = 'active'",
            self.database
        );
        eventually("no statement is running", async || {
            (Postgres::query(&self.server, &under_way) == "0").then_some(())
        })
        .await;
        let counted = format!(
            r"SELECT sum(calls) || ' ' || btrim(regexp_replace(query, '\s+', ' ', 'g'))
                FROM pg_stat_statements
               WHERE dbid = (SELECT oid FROM pg_database WHERE datname = '{}')
               GROUP BY query",
            self.database
        );
        let rows = Postgres::ask(&self.server, &counted);
        let calls = rows.iter().map(|row| {
            let (calls, text) = row.split_once(' ').expect("a statement");
            (text.to_owned(), calls.parse().expect("a number"))
        });
        Calls(calls.collect())
    }

    /// Every statement since `before`.
    pub async fn since(&self, before: &Calls) -> Calls {
        let mut calls = self.so_far().await;
        for (text, then) in &before.0 {
            let now = calls
                .0
                .get_mut(text)
                .expect("the server has forgotten a statement");
            *now -= then;
        }
        calls.0.retain(|_, calls| *calls > 0);
        calls
    }
}

/// How often each statement was executed, by its normalized text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calls(BTreeMap<String, u64>);

impl Calls {
    /// How often statements that contain `part` were executed.
    pub fn with(&self, part: &str) -> u64 {
        let found = self.0.iter().filter(|(text, _)| text.contains(part));
        found.map(|(_, calls)| calls).sum()
    }

    /// Only the statements that are not background statements.
    pub fn of_operations(mut self) -> BTreeMap<String, u64> {
        let by_itself = |text: &str| {
            text == HEARTBEAT || BACKGROUND.iter().any(|begin| text.starts_with(begin))
        };
        self.0.retain(|text, _| !by_itself(text));
        self.0
    }
}
