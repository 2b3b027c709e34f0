//! The connection pool, with a time limit on every wait for a server that does not answer.
//!
//! A connection can die unnoticed: a firewall or a load balancer that lost its state drops packets, and neither end
//! learns of it. sqlx waits for an answer as long as the kernel does, a quarter of an hour or for ever. It waits
//! equally long when it returns a connection to the pool, and occupies the connection's slot meanwhile. So each
//! statement has a time limit here, and so has the return of a connection.

use std::io;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt as _, TryFutureExt as _, TryStreamExt as _};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{Describe, Either, Error, Execute, Executor, PgConnection, PgPool, Postgres};

/// The time limit for a statement of a request, as the setting `statement_timeout` of the connection.
pub(super) const STATEMENT_TIMEOUT: &str = "5s";

/// How long to wait for the answer to a statement: the server would have cancelled it three seconds before.
const ANSWER_WITHIN: Duration = Duration::from_secs(8);

/// The connections of requests and of background work.
#[derive(Clone, Debug)]
pub(super) struct Pool(PgPool);

/// A connection from the pool. It is returned when this is dropped.
#[derive(Debug)]
pub(super) struct Lease {
    connection: PoolConnection<Postgres>,
    /// Whether the server did not answer.
    is_broken: bool,
}

/// The answer of the server, or a time-out after [`ANSWER_WITHIN`].
pub(super) async fn answered<T>(
    answer: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::time::timeout(ANSWER_WITHIN, answer)
        .await
        .unwrap_or_else(|_| Err(Error::Io(io::ErrorKind::TimedOut.into())))
}

impl Pool {
    pub(super) const fn new(pool: PgPool) -> Self {
        Self(pool)
    }

    /// The pool as sqlx has it, without limits, for a crate that takes no other.
    pub(super) const fn unlimited(&self) -> &PgPool {
        &self.0
    }

    /// A connection for several statements, each of which needs a limit ([`answered`]).
    pub(super) async fn acquire(&self) -> Result<Lease, Error> {
        let connection = self.0.acquire().await?;
        Ok(Lease {
            connection,
            is_broken: false,
        })
    }
}

impl Lease {
    /// Passes the answer on. If there was none, the connection is closed and not returned.
    fn returned<T>(mut self, answer: Result<T, Error>) -> Result<T, Error> {
        self.is_broken = matches!(answer, Err(Error::Io(_)));
        answer
    }
}

impl Deref for Lease {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

impl Drop for Lease {
    /// Returns the connection to the pool. sqlx first waits until the server has answered the last statement.
    fn drop(&mut self) {
        if self.is_broken {
            self.connection.close_on_drop();
        } else {
            let returned = self.connection.return_to_pool();
            tokio::spawn(tokio::time::timeout(ANSWER_WITHIN, returned));
        }
    }
}

/// Runs a single statement over any connection, as sqlx's own pool does.
impl<'c> Executor<'c> for &'c Pool {
    type Database = Postgres;

    fn execute<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<PgQueryResult, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        Box::pin(async move {
            let mut lease = self.acquire().await?;
            let answer = answered(lease.execute(query)).await;
            lease.returned(answer)
        })
    }

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let all = async move {
            let mut lease = self.acquire().await?;
            let all = answered(lease.fetch_many(query).try_collect::<Vec<_>>()).await;
            Ok(stream::iter(lease.returned(all)?).map(Ok))
        };
        all.try_flatten_stream().boxed()
    }

    fn fetch_all<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Vec<PgRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        Box::pin(async move {
            let mut lease = self.acquire().await?;
            let answer = answered(lease.fetch_all(query)).await;
            lease.returned(answer)
        })
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        Box::pin(async move {
            let mut lease = self.acquire().await?;
            let answer = answered(lease.fetch_optional(query)).await;
            lease.returned(answer)
        })
    }

    fn prepare_with<'e, 'q: 'e>(
        self,
        sql: &'q str,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement<'q>, Error>>
    where
        'c: 'e,
    {
        Box::pin(async move {
            let mut lease = self.acquire().await?;
            let answer = answered(lease.prepare_with(sql, parameters)).await;
            lease.returned(answer)
        })
    }

    fn describe<'e, 'q: 'e>(self, sql: &'q str) -> BoxFuture<'e, Result<Describe<Postgres>, Error>>
    where
        'c: 'e,
    {
        Box::pin(async move {
            let mut lease = self.acquire().await?;
            let answer = answered(lease.describe(sql)).await;
            lease.returned(answer)
        })
    }
}
