//! SQLite with one writer, batches as large as the clients allow, and the service's durability.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};

use crate::load::Sample;

const SCHEMA: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    CREATE TABLE events (
        position INTEGER PRIMARY KEY,
        aggregate_id TEXT NOT NULL, sequence INTEGER NOT NULL, payload TEXT NOT NULL, metadata TEXT NOT NULL,
        UNIQUE (aggregate_id, sequence)
    ) STRICT;
    CREATE TABLE sessions (
        session_id TEXT PRIMARY KEY, version INTEGER NOT NULL, user_id TEXT NOT NULL, generation INTEGER NOT NULL,
        last_used_at INTEGER NOT NULL, expires_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE accounts (user_id TEXT PRIMARY KEY, email TEXT NOT NULL) STRICT, WITHOUT ROWID;";

/// A payload and metadata that are as long as those of a refresh.
const PAYLOAD: &str = r#"{"TokenRefreshed":{"at":"2026-11-21T10:55:18.432Z","expires_at":"2026-11-24T10:55:18.432Z","generation":17}}"#;
const METADATA: &str = r#"{"actor":"user:01a1fdbf-0b5f-7f69-9c90-34ecbb43e155","contract":"api-auth","ip":"sealed:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTA","request_id":"a0df6ada-4ff7-4016-adea-6207d8b7f365","user_agent":"sealed:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMzQ1Njc4OTA","user_id":"01a1fdbf-0b5f-7f69-9c90-34ecbb43e155"}"#;

/// Runs a select and an append with an update of its row, `batch` of them in a commit, for a while.
pub(crate) fn measure(directory: &Path, batch: usize, a_while: Duration) -> anyhow::Result<Sample> {
    let folder = tempfile::tempdir_in(directory)?;
    let connection = Connection::open(folder.path().join("limit.db"))?;
    connection.execute_batch(SCHEMA)?;
    for session in 0..batch {
        connection.execute(
            "INSERT INTO accounts VALUES (?, ?)",
            params![user(session), format!("person{session}@example.com")],
        )?;
        connection.execute(
            "INSERT INTO sessions VALUES (?, 1, ?, 0, 0, 0)",
            params![format!("session-{session}"), user(session)],
        )?;
    }
    let began = Instant::now();
    let mut count = 0;
    while began.elapsed() < a_while {
        connection.execute_batch("BEGIN IMMEDIATE")?;
        for session in 0..batch {
            append(&connection, session)?;
            count += 1;
        }
        connection.execute_batch("COMMIT")?;
    }
    Ok(Sample::counted(count, began.elapsed()))
}

fn append(connection: &Connection, session: usize) -> rusqlite::Result<()> {
    let id = format!("session-{session}");
    let version: i64 = connection
        .prepare_cached(
            "SELECT version FROM sessions JOIN accounts USING (user_id) WHERE session_id = ?",
        )?
        .query_row([&id], |row| row.get(0))?;
    connection
        .prepare_cached("SAVEPOINT command")?
        .execute([])?;
    connection
        .prepare_cached(
            "INSERT INTO events (aggregate_id, sequence, payload, metadata) VALUES (?, ?, ?, ?)",
        )?
        .execute(params![id, version + 1, PAYLOAD, METADATA])?;
    connection
        .prepare_cached(
            "UPDATE sessions SET version = ?2, generation = ?2, last_used_at = ?2, expires_at = ?2 WHERE session_id = ?1",
        )?
        .execute(params![id, version + 1])?;
    connection.prepare_cached("RELEASE command")?.execute([])?;
    Ok(())
}

fn user(number: usize) -> String {
    format!("01a1fdbf-0b5f-7f69-9c90-{number:012}")
}
