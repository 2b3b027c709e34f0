//! The schema: bringing it up to date, and telling whether it is.

use async_trait::async_trait;
use authlog_application::ports::{Health, StoreError};
use sqlx::migrate::Migrator;
use sqlx::{Connection, PgConnection};

use super::PostgresStore;
use super::connections::ISOLATION;
use super::errors::store_error;
use super::hosts::Hosts;
use super::pooling;
use crate::OpenError;

/// Forward only. Each migration runs in a transaction, and all under a lock, so that nodes may start at once.
static MIGRATIONS: Migrator = sqlx::migrate!("../migrations/postgres");

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

/// Makes sure of the schema, by migrating if `migrate` says so.
pub(super) async fn prepare(hosts: &Hosts, migrate: bool) -> Result<(), OpenError> {
    let connect = || hosts.connect(&[ISOLATION]);
    let mut connection = connect().await.map_err(unreachable)?;
    pooling::require_own_session(&mut connection, connect).await?;
    let state = match check(&mut connection).await.map_err(store_error)? {
        // Looked at before it is locked: a role that may not change the schema can still start the program.
        Err(SchemaError::Behind { .. }) if migrate => MIGRATIONS
            .run_direct(&mut connection)
            .await
            .map_err(|error| OpenError::Schema(Box::new(error))),
        other => other.map_err(|error| OpenError::Schema(Box::new(error))),
    };
    // Whether the server hears of the end makes no difference.
    let _ = connection.close().await;
    state
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
impl Health for PostgresStore {
    /// A schema that is ahead does no harm: while nodes are replaced one by one, the old ones serve on.
    async fn check(&self) -> Result<(), StoreError> {
        let applied: Vec<(i64, Vec<u8>)> = self
            .connections
            .ask(|pool| {
                sqlx::query_as("SELECT version, checksum FROM _sqlx_migrations ORDER BY version")
                    .fetch_all(pool)
            })
            .await?;
        match compare(&applied) {
            Ok(()) | Err(SchemaError::Ahead(_)) => self.check_writes().await,
            Err(error) => Err(StoreError::Unreadable(Box::new(error))),
        }
    }
}
