//! Opening the database file: its mode, its settings, its schema.

use std::cmp::Ordering;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use rusqlite_migration::{M, Migrations};

use crate::{OpenError, exclusive_file};

/// How long to wait for another program that writes, such as the command line while the service runs.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Statements that a connection keeps prepared: more than the store has.
const PREPARED: usize = 64;

/// The schema's versions, in order. One that was ever released never changes.
const MIGRATIONS: [&str; 27] = [
    include_str!("../../../migrations/sqlite/0001_events.sql"),
    include_str!("../../../migrations/sqlite/0002_read_models.sql"),
    include_str!("../../../migrations/sqlite/0003_event_log.sql"),
    include_str!("../../../migrations/sqlite/0004_log_tree.sql"),
    include_str!("../../../migrations/sqlite/0005_erasure.sql"),
    include_str!("../../../migrations/sqlite/0006_keys_and_roles.sql"),
    include_str!("../../../migrations/sqlite/0007_accounts.sql"),
    include_str!("../../../migrations/sqlite/0008_session_rows.sql"),
    include_str!("../../../migrations/sqlite/0009_account_rows.sql"),
    include_str!("../../../migrations/sqlite/0010_mail_gate.sql"),
    include_str!("../../../migrations/sqlite/0012_proofs_and_sessions.sql"),
    include_str!("../../../migrations/sqlite/0013_access_seals.sql"),
    include_str!("../../../migrations/sqlite/0015_write_probe.sql"),
    include_str!("../../../migrations/sqlite/0019_log_marks.sql"),
    include_str!("../../../migrations/sqlite/0023_mailbox_claims.sql"),
    include_str!("../../../migrations/sqlite/0025_pages_in_order.sql"),
    include_str!("../../../migrations/sqlite/0026_alarms.sql"),
    include_str!("../../../migrations/sqlite/0027_stored_ends_of_sessions.sql"),
    include_str!("../../../migrations/sqlite/0029_levels.sql"),
    include_str!("../../../migrations/sqlite/0030_second_factors.sql"),
    include_str!("../../../migrations/sqlite/0032_passkeys.sql"),
    include_str!("../../../migrations/sqlite/0038_clients.sql"),
    include_str!("../../../migrations/sqlite/0039_id_token_keys.sql"),
    include_str!("../../../migrations/sqlite/0040_sessions_of_applications.sql"),
    include_str!("../../../migrations/sqlite/0042_keys_of_sessions.sql"),
    include_str!("../../../migrations/sqlite/0043_device_authorizations.sql"),
    include_str!("../../../migrations/sqlite/0044_logouts.sql"),
];

/// The version of the schema that this program expects.
const KNOWN: i64 = MIGRATIONS.len() as i64;

/// The database was made by a newer program, which may keep in it what this one would break.
#[derive(Debug, thiserror::Error)]
#[error(
    "the database has schema version {found} and this program knows versions up to {known}: \
     run the newer program that it was last opened with"
)]
struct NewerSchema {
    found: i64,
    known: i64,
}

/// The database was made by an older program, and this one must not change it.
#[derive(Debug, thiserror::Error)]
#[error("the database has schema version {found} and this program reads version {known}")]
struct OlderSchema {
    found: i64,
    known: i64,
}

/// The writing connection of the database in `path`. The file is created with mode 0600 if it does not exist, and
/// migrated to this program's schema.
pub(super) fn open_writer(path: &Path) -> Result<Connection, OpenError> {
    create(path).map_err(|error| OpenError::Unreachable(Box::new(error)))?;
    let mut connection = reopen_writer(path).map_err(unreachable)?;
    migrate(&mut connection)?;
    Ok(connection)
}

/// The writing connection of the database in `path`, which has to exist and is migrated to this program's schema.
pub(super) fn open_existing_writer(path: &Path) -> Result<Connection, OpenError> {
    schema_version_in(path)?;
    open_writer(path)
}

/// A connection that only reads, to a database that has to exist and to have this program's schema.
pub(super) fn open_checked_reader(path: &Path) -> Result<Connection, OpenError> {
    let (found, known) = (schema_version_in(path)?, KNOWN);
    match found.cmp(&known) {
        Ordering::Less => Err(OpenError::Schema(Box::new(OlderSchema { found, known }))),
        Ordering::Equal => open_reader(path),
        Ordering::Greater => Err(OpenError::Schema(Box::new(NewerSchema { found, known }))),
    }
}

/// The version of the schema in `path`. A file without a schema holds no store.
fn schema_version_in(path: &Path) -> Result<i64, OpenError> {
    let exists = path
        .try_exists()
        .map_err(|error| OpenError::Unreachable(Box::new(error)))?;
    if !exists {
        return Err(OpenError::Missing);
    }
    let version = schema_version(&open_reader(path)?).map_err(unreachable)?;
    if version == 0 {
        return Err(OpenError::Missing);
    }
    Ok(version)
}

/// Another writing connection of the database in `path`, which exists and has this program's schema.
pub(super) fn reopen_writer(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    set_up(&connection)?;
    Ok(connection)
}

/// A connection that only reads.
pub(super) fn open_reader(path: &Path) -> Result<Connection, OpenError> {
    reopen_reader(path).map_err(unreachable)
}

/// As [`open_reader`], in place of one that was open before.
pub(super) fn reopen_reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    set_up_any(&connection)?;
    Ok(connection)
}

fn unreachable(error: rusqlite::Error) -> OpenError {
    OpenError::Unreachable(Box::new(error))
}

/// SQLite gives its other files the mode of the database. A file that is there is not opened: to open and close it would end
/// the locks that this process has on it (POSIX `fcntl`).
fn create(path: &Path) -> std::io::Result<()> {
    if path.try_exists()? {
        return Ok(());
    }
    let thread = std::thread::current().id();
    let draft = path.with_extension(format!("{}.{thread:?}.draft", std::process::id()));
    exclusive_file::create_empty(path, &draft)
}

/// The settings of every connection.
fn set_up_any(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(PREPARED);
    // Otherwise a statement whose LIMIT is bound is prepared again each time, in case that another plan is better.
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
        .map(drop)
}

fn set_up(connection: &Connection) -> rusqlite::Result<()> {
    set_up_any(connection)?;
    enter_wal_mode(connection)?;
    // Deleted data is overwritten with zeros, so that free pages contain no data of an erased person.
    connection.pragma_update(None, "secure_delete", "ON")?;
    // In WAL mode FULL is what makes an acknowledged commit survive a loss of power.
    connection.pragma_update(None, "synchronous", "FULL")
}

/// Programs that open a new database at the same time contend for this lock, and SQLite does not wait for it by itself.
fn enter_wal_mode(connection: &Connection) -> rusqlite::Result<()> {
    const PAUSE: Duration = Duration::from_millis(20);
    let mut waited = Duration::ZERO;
    loop {
        match connection.pragma_update(None, "journal_mode", "WAL") {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && waited < BUSY_TIMEOUT =>
            {
                std::thread::sleep(PAUSE);
                waited += PAUSE;
            }
            other => return other,
        }
    }
}

/// Migrates the schema to this program's version.
fn migrate(connection: &mut Connection) -> Result<(), OpenError> {
    let known = KNOWN;
    let found = schema_version(connection).map_err(unreachable)?;
    if found > known {
        return Err(OpenError::Schema(Box::new(NewerSchema { found, known })));
    }
    let migrations = Migrations::new(MIGRATIONS.map(M::up).to_vec());
    match migrations.to_latest(connection) {
        Ok(()) => Ok(()),
        // Another program that started at the same moment has done it.
        Err(_) if schema_version(connection).is_ok_and(|found| found == known) => Ok(()),
        Err(error) => Err(OpenError::Schema(Box::new(error))),
    }
}

fn schema_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// A database in memory with this program's schema.
pub(super) fn expected_schema() -> rusqlite::Result<Connection> {
    let connection = Connection::open_in_memory()?;
    for migration in MIGRATIONS {
        connection.execute_batch(migration)?;
    }
    Ok(connection)
}

/// How SQLite executes a statement, for tests.
#[cfg(test)]
pub(super) fn plan(sql: &str) -> Vec<String> {
    let schema = expected_schema().unwrap();
    let mut explain = schema
        .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
        .unwrap();
    let parameters = vec![None::<i64>; explain.parameter_count()];
    let steps = explain.query_map(rusqlite::params_from_iter(parameters), |row| row.get(3));
    steps.unwrap().collect::<rusqlite::Result<_>>().unwrap()
}

/// Whether a newer program made the schema.
pub(super) fn is_newer(connection: &Connection) -> rusqlite::Result<bool> {
    Ok(schema_version(connection)? > KNOWN)
}

/// Whether the schema is this program's.
pub(super) fn has_schema(connection: &Connection) -> rusqlite::Result<bool> {
    Ok(schema_version(connection)? == KNOWN)
}
