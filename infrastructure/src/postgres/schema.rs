//! The schema: migrating it, and checking whether it is up to date.

use std::io;
use std::time::Duration;

use async_trait::async_trait;
use authlog_application::ports::{Health, StoreError};
use sqlx::migrate::Migrator;
use sqlx::{Connection, Executor as _, PgConnection};

use super::PostgresStore;
use super::connections::SESSION_SETTINGS;
use super::errors::store_error;
use super::hosts::{Hosts, Setting};
use super::leadership::{KEEPALIVE, with_timeout};
use super::{pooling, schema_objects};
use crate::transparency::SchemaCheck;
use crate::{OpenError, StoreAccess};

/// Forward only. Each migration runs in a transaction, and all under a lock, so that nodes may start at once.
pub(super) static MIGRATIONS: Migrator = sqlx::migrate!("../migrations/postgres");

/// Why the schema cannot be used.
#[derive(Debug, thiserror::Error)]
enum SchemaError {
    #[error(
        "the database lacks {missing} of the schema's {expected} migrations; run `authlog migrate`"
    )]
    Behind { missing: usize, expected: usize },
    #[error(
        "the database has migration {0}, which this program does not know: it was made by a newer one, which should be run instead"
    )]
    Ahead(i64),
    #[error(
        "migration {0} was run in another form than this program has it: it was made by a development version"
    )]
    Changed(i64),
}

/// Checks the schema, and first migrates it if `migrate` is set and the program may change it.
pub(super) async fn prepare(
    hosts: &Hosts,
    access: StoreAccess,
    migrate: bool,
) -> Result<(), OpenError> {
    let migrate = migrate && access != StoreAccess::Read;
    let settings = settings();
    let connect = || hosts.connect(&settings);
    let mut connection = connect().await.map_err(unreachable)?;
    pooling::require_own_session(&mut connection, connect).await?;
    let state = match check(&mut connection).await.map_err(store_error)? {
        Err(SchemaError::Behind { missing, expected })
            if missing == expected && access != StoreAccess::Create =>
        {
            Err(OpenError::Missing)
        }
        // The schema is checked before it is locked, so that a role that may not change it can still start the program.
        Err(SchemaError::Behind { .. }) if migrate => {
            bring_up_to_date(hosts, &mut connection).await
        }
        other => other.map_err(|error| OpenError::Schema(Box::new(error))),
    };
    // The result does not depend on whether the server receives the end of the connection.
    let _ = connection.close().await;
    state
}

/// The settings of a connection that migrates. A node that is gone keeps neither the lock of the migrations nor a
/// transaction for longer than these time limits. A working node never waits between two statements.
fn settings() -> Vec<Setting> {
    SESSION_SETTINGS
        .into_iter()
        .chain([("idle_in_transaction_session_timeout", "10s")])
        .chain(KEEPALIVE)
        .collect()
}

/// The same limit for a node that is gone between two transactions. PostgreSQL before 14 does not know it.
const SET_IDLE_TIMEOUT: &str = "SET idle_session_timeout = '10s'";

/// How often a node that migrates, or waits for another that does, checks that its connection still exists.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Runs the migrations that are missing. They have no time limit. If the connection is lost, which shows by its process
/// on the server being gone, they fail.
async fn bring_up_to_date(hosts: &Hosts, connection: &mut PgConnection) -> Result<(), OpenError> {
    let process = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut *connection);
    let process: i32 = with_timeout(process).await.map_err(unreachable)?;
    if let Err(error) = with_timeout(connection.execute(SET_IDLE_TIMEOUT)).await {
        tracing::debug!(%error, "could not set a timeout for a migration that hangs; it ends only with its connection");
    }
    tokio::select! {
        migrated = MIGRATIONS.run_direct(connection) => {
            migrated.map_err(|error| OpenError::Schema(Box::new(error)))
        }
        lost = is_lost(hosts, process) => Err(unreachable(lost)),
    }
}

/// Waits until the server process that serves the connection is gone.
async fn is_lost(hosts: &Hosts, process: i32) -> sqlx::Error {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let look = async {
            let mut connection = hosts.connect(&[]).await?;
            let state: Option<Option<String>> =
                sqlx::query_scalar("SELECT wait_event FROM pg_stat_activity WHERE pid = $1")
                    .bind(process)
                    .fetch_optional(&mut connection)
                    .await?;
            connection.close().await?;
            Ok(state)
        };
        match with_timeout(look).await {
            Ok(None) => return sqlx::Error::Io(io::ErrorKind::ConnectionAborted.into()),
            Ok(Some(waiting)) if waiting.as_deref() == Some("advisory") => {
                tracing::info!("waiting for another node to migrate the schema");
            }
            Ok(Some(_)) => tracing::info!("the schema is being migrated"),
            Err(error) => {
                tracing::warn!(%error, "the database does not answer while its schema is being migrated");
            }
        }
    }
}

fn unreachable(source: sqlx::Error) -> OpenError {
    OpenError::Unreachable(Box::new(source))
}

async fn check(connection: &mut PgConnection) -> Result<Result<(), SchemaError>, sqlx::Error> {
    let migrated: bool = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await?;
    let applied: Vec<(i64, Vec<u8>)> = if migrated {
        sqlx::query_as("SELECT version, checksum FROM _sqlx_migrations ORDER BY version")
            .fetch_all(connection)
            .await?
    } else {
        vec![]
    };
    Ok(compare(&applied))
}

fn compare(applied: &[(i64, Vec<u8>)]) -> Result<(), SchemaError> {
    for (version, checksum) in applied {
        let known = MIGRATIONS
            .iter()
            .find(|known| known.version == *version)
            .ok_or(SchemaError::Ahead(*version))?;
        if known.checksum.as_ref() != checksum.as_slice() {
            return Err(SchemaError::Changed(*version));
        }
    }
    let expected = MIGRATIONS.iter().count();
    match expected.saturating_sub(applied.len()) {
        0 => Ok(()),
        missing => Err(SchemaError::Behind { missing, expected }),
    }
}

#[async_trait]
impl SchemaCheck for PostgresStore {
    async fn schema_faults(&self, _whole: bool) -> Result<Vec<String>, StoreError> {
        let applied: Vec<(i64, Vec<u8>)> = self.applied().await?;
        match compare(&applied) {
            Ok(()) => self.connections.ask(schema_objects::faults).await,
            // Nodes are being replaced by newer ones, which check the objects that they have created.
            Err(SchemaError::Ahead(_)) => Ok(vec![]),
            Err(error) => Ok(vec![error.to_string()]),
        }
    }
}

impl PostgresStore {
    /// The migrations that were run, with their checksums.
    async fn applied(&self) -> Result<Vec<(i64, Vec<u8>)>, StoreError> {
        self.connections
            .ask(|pool| {
                sqlx::query_as("SELECT version, checksum FROM _sqlx_migrations ORDER BY version")
                    .fetch_all(pool)
            })
            .await
    }
}

#[async_trait]
impl Health for PostgresStore {
    /// A schema that is ahead does no harm: while nodes are replaced one by one, the old ones serve on.
    async fn check(&self) -> Result<(), StoreError> {
        let applied = self.applied().await?;
        match compare(&applied) {
            Ok(()) | Err(SchemaError::Ahead(_)) => {
                self.follow_rotation().await?;
                self.check_writes().await
            }
            Err(error) => Err(StoreError::Unreadable(Box::new(error))),
        }
    }
}
