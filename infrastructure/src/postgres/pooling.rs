//! Detection of a connection pooler that shares sessions of the server between clients.
//!
//! Leader election, the limits of statements, prepared statements and notifications belong to a session. A pooler that
//! hands sessions from client to client between transactions, as PgBouncer does in transaction mode, breaks them
//! without an error.

use sqlx::{Executor as _, PgConnection, Row as _};

use crate::OpenError;

/// The number of attempts to detect a pooler: a third client may have taken the session that was just released.
const TRIES: usize = 5;

/// The sessions are shared.
#[derive(Debug, thiserror::Error)]
#[error(
    "AUTHLOG_DATABASE_URL leads to a pooler that hands a session to another client after each transaction, such as PgBouncer with pool_mode = transaction; the service needs pool_mode = session, or a connection without a pooler"
)]
struct SharedSession;

/// Makes sure that while `connection` is idle no other connection gets its session.
pub(super) async fn require_own_session<Fut>(
    connection: &mut PgConnection,
    another: impl Fn() -> Fut,
) -> Result<(), OpenError>
where
    Fut: Future<Output = Result<PgConnection, sqlx::Error>>,
{
    match shares_its_session(connection, another).await {
        Ok(true) => Err(OpenError::Connections(Box::new(SharedSession))),
        Ok(false) => Ok(()),
        Err(error) => Err(OpenError::Unreachable(Box::new(error))),
    }
}

async fn shares_its_session<Fut>(
    connection: &mut PgConnection,
    another: impl Fn() -> Fut,
) -> Result<bool, sqlx::Error>
where
    Fut: Future<Output = Result<PgConnection, sqlx::Error>>,
{
    let first = session_of(connection).await?;
    // If the server has no room for a second connection, the check is skipped.
    let Ok(mut other) = another().await else {
        return Ok(false);
    };
    for _ in 0..TRIES {
        if session_of(connection).await? != first {
            return Ok(true);
        }
        // During its transaction, the other connection keeps the session that it got.
        other.execute(sqlx::raw_sql("BEGIN")).await?;
        let theirs = session_of(&mut other).await?;
        other.execute(sqlx::raw_sql("ROLLBACK")).await?;
        if theirs == first {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The id of the server process behind a connection, read without a prepared statement.
async fn session_of(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    let row = connection
        .fetch_one(sqlx::raw_sql("SELECT pg_backend_pid() AS pid"))
        .await?;
    let text: String = row.try_get_unchecked("pid")?;
    Ok(text.parse().unwrap_or_default())
}
