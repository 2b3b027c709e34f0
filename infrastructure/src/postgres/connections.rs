//! The connections to PostgreSQL, which outlive a restart of the server.

use std::convert::Infallible;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use authlog_application::ports::StoreError;
use sqlx::PgConnection;
use sqlx::postgres::PgPoolOptions;
use tokio_util::task::AbortOnDropHandle;

use super::errors::{is_broken, store_error};
use super::hosts::{Hosts, PostgresServers, Setting};
use super::leadership::{KEEPALIVE, heard};
use super::pool::{Lease, Pool, STATEMENT_TIMEOUT};
use super::server_clock::ServerClock;
use crate::StoreAccess;

/// Connections of one node. A server's default allows 100 in all, so that a few nodes fit without further settings; more
/// of them would wait for the same disk.
const MAX_CONNECTIONS: u32 = 20;

/// How long a request waits for a connection before it fails because the store is unavailable. A client gives up soon
/// after, and a quick restart of the server goes unnoticed.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

/// The settings for statements of requests. No client waits longer than the timeout. While a table has no statistics,
/// the planner takes short statements for so expensive that it compiles them first (`jit`), which takes tens of
/// milliseconds.
const OF_REQUESTS: [Setting; 4] = [
    ("statement_timeout", STATEMENT_TIMEOUT),
    ("lock_timeout", "2s"),
    ("idle_in_transaction_session_timeout", "5s"),
    ("jit", "off"),
];

/// What holds for every session, independent of the defaults of the server, the database and the role. Every statement of the
/// store relies on reading what others committed while it waited for them. Functions of the schema hold texts with
/// backslashes, which the server parses in each session.
pub(super) const OF_EVERY_SESSION: [Setting; 2] = [
    ("default_transaction_isolation", "read committed"),
    ("standard_conforming_strings", "on"),
];

/// How often a node with several servers to choose from makes sure that the one it uses takes writes.
const WATCH_EVERY: Duration = Duration::from_millis(500);

/// How long to wait before all servers are tried again, when none takes writes: a standby is promoted within seconds.
const TRY_EVERY: Duration = Duration::from_millis(250);

/// A pool whose connections are not tested before use, because that would cost a round trip each time. Instead the
/// first one found broken condemns all that are as old: after a restart of the server the idle connections are replaced
/// as they come up, and not one request has to fail for each.
pub(super) struct Connections {
    pool: Pool,
    hosts: Arc<Hosts>,
    access: StoreAccess,
    broken_at: Arc<Mutex<Option<Instant>>>,
    server_clock: ServerClock,
    _watch: Option<AbortOnDropHandle<Infallible>>,
}

/// A connection that is not in the pool, and since when.
pub(super) struct Held {
    connection: Lease,
    since: Instant,
}

impl Deref for Held {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Held {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

/// The server refuses to write for a program that only reads.
const READ_ONLY: Setting = ("default_transaction_read_only", "on");

fn settings_of_requests(access: StoreAccess) -> Vec<Setting> {
    let read_only = (access == StoreAccess::Read).then_some(READ_ONLY);
    let settings = OF_EVERY_SESSION.into_iter().chain(OF_REQUESTS);
    settings.chain(KEEPALIVE).chain(read_only).collect()
}

impl Connections {
    /// Connections to these servers; the first is made when it is needed.
    pub(super) fn new(servers: PostgresServers, access: StoreAccess) -> Self {
        let hosts = Hosts::new(servers);
        let broken_at = Arc::new(Mutex::new(None::<Instant>));
        let condemned = Arc::clone(&broken_at);
        let options = PgPoolOptions::new()
            .max_connections(MAX_CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .test_before_acquire(false)
            .before_acquire(move |_, connection| {
                let broken_at = *condemned.lock().unwrap_or_else(PoisonError::into_inner);
                let good = broken_at.is_none_or(|at| connection.age < at.elapsed());
                Box::pin(async move { Ok(good) })
            });
        let pool = Pool::new(hosts.pool(options, settings_of_requests(access)));
        let watch = hosts.are_several().then(|| {
            let watching = watch(Arc::clone(&hosts), Arc::clone(&broken_at));
            AbortOnDropHandle::new(tokio::spawn(watching))
        });
        Self {
            pool,
            hosts,
            access,
            broken_at,
            server_clock: ServerClock::default(),
            _watch: watch,
        }
    }

    /// The pool, for what must not be asked twice.
    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// How to make a connection of one's own, on which no limits are set.
    pub(super) fn hosts(&self) -> &Arc<Hosts> {
        &self.hosts
    }

    /// What time it is on the server.
    pub(super) fn server_clock(&self) -> &ServerClock {
        &self.server_clock
    }

    /// A connection for one statement after the other: the one that was held before, unless it was condemned since.
    pub(super) async fn hold(&self, held: Option<Held>) -> Result<Held, sqlx::Error> {
        let broken_at = *self
            .broken_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match held {
            Some(held) if broken_at.is_none_or(|at| at < held.since) => Ok(held),
            _ => {
                let since = Instant::now();
                let connection = match self.pool.acquire().await {
                    Err(error) if self.condemns(&error) => self.pool.acquire().await?,
                    acquired => acquired?,
                };
                Ok(Held { connection, since })
            }
        }
    }

    /// A connection that is not in the pool and has its settings.
    pub(super) async fn dedicated(&self) -> Result<PgConnection, sqlx::Error> {
        self.hosts.connect(&settings_of_requests(self.access)).await
    }

    /// Lets no connection of the pool be used again that was made before now.
    pub(super) fn condemn_all(&self) {
        *self
            .broken_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Asks something that may be asked twice, and does so if the first connection turns out to be broken.
    pub(super) async fn ask<'a, T, Fut>(
        &'a self,
        question: impl Fn(&'a Pool) -> Fut,
    ) -> Result<T, StoreError>
    where
        Fut: Future<Output = Result<T, sqlx::Error>>,
    {
        match question(&self.pool).await {
            Err(error) if self.condemns(&error) => self.ask_once(question(&self.pool)).await,
            answer => answer.map_err(store_error),
        }
    }

    /// Asks something that must not be asked twice.
    pub(super) async fn ask_once<T>(
        &self,
        question: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, StoreError> {
        question.await.map_err(|error| {
            self.condemns(&error);
            store_error(error)
        })
    }

    /// Whether the error says that its connection is broken. Then no connection as old is used again.
    pub(super) fn condemns(&self, error: &sqlx::Error) -> bool {
        let broken = is_broken(error);
        if broken {
            self.condemn_all();
        }
        broken
    }
}

/// Follows the server that takes writes. When it is no longer the one that was used, no connection as old is used again.
async fn watch(hosts: Arc<Hosts>, broken_at: Arc<Mutex<Option<Instant>>>) -> Infallible {
    loop {
        let Ok(mut connection) = hosts.connect(&[]).await else {
            tokio::time::sleep(TRY_EVERY).await;
            continue;
        };
        *broken_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        while heard(hosts.check(&mut connection)).await.is_ok() {
            tokio::time::sleep(WATCH_EVERY).await;
        }
    }
}
