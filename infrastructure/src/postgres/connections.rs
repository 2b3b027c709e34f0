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
use super::leadership::{KEEPALIVE, with_timeout};
use super::pool::{Lease, Pool, STATEMENT_TIMEOUT};
use super::server_clock::ServerClock;
use crate::StoreAccess;

/// Connections of one node. A server's default allows 100 in all, so that a few nodes fit without further settings;
/// more connections would only wait for the same disk.
const MAX_CONNECTIONS: u32 = 20;

/// How long a request waits for a connection before it fails because the store is unavailable. A client gives up soon
/// after, and a quick restart of the server goes unnoticed.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

/// The settings for statements of requests. No client waits longer than the timeout. While a table has no statistics,
/// the planner overestimates the cost of short statements and compiles them first (`jit`), which takes tens of
/// milliseconds.
const REQUEST_SETTINGS: [Setting; 4] = [
    ("statement_timeout", STATEMENT_TIMEOUT),
    ("lock_timeout", "2s"),
    ("idle_in_transaction_session_timeout", "5s"),
    ("jit", "off"),
];

/// The settings of every session, whose defaults in the server, the database and the role may differ. Every statement
/// of the store relies on reading what others committed while it waited for them. Functions of the schema hold texts
/// with backslashes, which the server parses in each session.
pub(super) const SESSION_SETTINGS: [Setting; 2] = [
    ("default_transaction_isolation", "read committed"),
    ("standard_conforming_strings", "on"),
];

/// How often a node with several servers checks that the one it uses accepts writes.
const WATCH_EVERY: Duration = Duration::from_millis(500);

/// How long to wait before all servers are tried again, when none accepts writes: a standby is promoted within seconds.
const TRY_EVERY: Duration = Duration::from_millis(250);

/// A pool whose connections are not tested before use, because that would cost a round trip each time. Instead the
/// first connection that is found broken invalidates all that are as old. So after a restart of the server, idle
/// connections are replaced when they are used next, and requests do not fail once for each of them.
pub(super) struct Connections {
    pool: Pool,
    hosts: Arc<Hosts>,
    access: StoreAccess,
    broken_at: Arc<Mutex<Option<Instant>>>,
    server_clock: ServerClock,
    _watch: Option<AbortOnDropHandle<Infallible>>,
}

/// A connection that was taken out of the pool, and when.
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

/// The setting by which the server refuses writes of a program that only reads.
const READ_ONLY: Setting = ("default_transaction_read_only", "on");

fn settings_of_requests(access: StoreAccess) -> Vec<Setting> {
    let read_only = (access == StoreAccess::Read).then_some(READ_ONLY);
    let settings = SESSION_SETTINGS.into_iter().chain(REQUEST_SETTINGS);
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
        let watch = hosts.has_several().then(|| {
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

    /// The pool, for statements that must not be repeated.
    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// The servers, to open a separate connection without time limits.
    pub(super) fn hosts(&self) -> &Arc<Hosts> {
        &self.hosts
    }

    /// The estimate of the server's clock.
    pub(super) fn server_clock(&self) -> &ServerClock {
        &self.server_clock
    }

    /// A connection for several statements in sequence: the one that was held before, unless it has been invalidated.
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

    /// A connection outside the pool, with the settings of the pool.
    pub(super) async fn dedicated(&self) -> Result<PgConnection, sqlx::Error> {
        self.hosts.connect(&settings_of_requests(self.access)).await
    }

    /// Invalidates all connections of the pool that were opened before now.
    pub(super) fn condemn_all(&self) {
        *self
            .broken_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Executes a statement that may be repeated, and repeats it if the first connection turns out to be broken.
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

    /// Executes a statement that must not be repeated.
    pub(super) async fn ask_once<T>(
        &self,
        question: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, StoreError> {
        question.await.map_err(|error| {
            self.condemns(&error);
            store_error(error)
        })
    }

    /// Whether the error means that the connection is broken. If so, all connections that are as old are invalidated.
    pub(super) fn condemns(&self, error: &sqlx::Error) -> bool {
        let broken = is_broken(error);
        if broken {
            self.condemn_all();
        }
        broken
    }
}

/// Follows the server that accepts writes. When another server takes over, all connections that are as old are
/// invalidated.
async fn watch(hosts: Arc<Hosts>, broken_at: Arc<Mutex<Option<Instant>>>) -> Infallible {
    loop {
        let Ok(mut connection) = hosts.connect(&[]).await else {
            tokio::time::sleep(TRY_EVERY).await;
            continue;
        };
        *broken_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        while with_timeout(hosts.check(&mut connection)).await.is_ok() {
            tokio::time::sleep(WATCH_EVERY).await;
        }
    }
}
