//! Telling whether a connection has a session of the server to itself.
//!
//! Leader election, the limits of statements, prepared statements and notifications belong to a session. A pooler that
//! hands sessions from client to client between transactions, as PgBouncer does in transaction mode, takes them away
//! without a word.

use sqlx::{Executor as _, PgConnection, Row as _};

use crate::OpenError;

/// How often it is tried to catch a pooler: another client may have got the session that was just given back.
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
    // A server without room for a second connection has other troubles than a pooler.
    let Ok(mut other) = another().await else {
        return Ok(false);
    };
    for _ in 0..TRIES {
        if session_of(connection).await? != first {
            return Ok(true);
        }
        // For as long as its transaction lasts the other client has the session, whose it is.
        other.execute(sqlx::raw_sql("BEGIN")).await?;
        let theirs = session_of(&mut other).await?;
        other.execute(sqlx::raw_sql("ROLLBACK")).await?;
        if theirs == first {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The process of the server that serves a connection, asked without a prepared statement.
async fn session_of(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    let row = connection
        .fetch_one(sqlx::raw_sql("SELECT pg_backend_pid() AS pid"))
        .await?;
    let text: String = row.try_get_unchecked("pid")?;
    Ok(text.parse().unwrap_or_default())
}
