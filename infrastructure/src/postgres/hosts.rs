//! The PostgreSQL servers of one cluster, one of which accepts writes.
//!
//! A URL may name several hosts, as libpq reads it: `postgres://a:5432,b:5432/db?target_session_attrs=read-write` or
//! `?host=a,b&port=5432,5433`. sqlx knows one host, so each connection is opened here: to the first host, in turn, that
//! answers and accepts writes.

use std::io;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Executor as _, PgConnection, PgPool, Row as _};
use url::Url;

/// How long one of several hosts may take to answer. A request waits three seconds for a connection, within which the
/// next host should have been tried.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// How long a single host may take to answer: it may be starting.
const ONLY_HOST_WITHIN: Duration = Duration::from_secs(10);

/// Parameters of libpq that sqlx does not know. They are handled here, or have no effect on a single program.
const LIBPQ_PARAMETERS: [&str; 5] = [
    "host",
    "port",
    "target_session_attrs",
    "load_balance_hosts",
    "connect_timeout",
];

/// The servers that a URL names.
#[derive(Clone)]
pub struct PostgresServers {
    each: Vec<PgConnectOptions>,
    /// Whether a server has to accept writes to be used.
    must_write: bool,
}

/// Why a URL cannot be used. The text never contains the URL, which may hold a password.
#[derive(Debug, thiserror::Error)]
pub enum ServersError {
    /// It is not a URL of PostgreSQL.
    #[error("it is not a URL that begins with postgres://")]
    NotPostgres,
    /// A host or a port is malformed.
    #[error("one of its hosts or ports is malformed")]
    Host,
    /// There are neither as many ports as hosts, nor one for all.
    #[error(
        "it has {hosts} hosts and {ports} ports: there should be as many ports as hosts, or one"
    )]
    Ports {
        /// How many hosts.
        hosts: usize,
        /// How many ports.
        ports: usize,
    },
    /// This program has to write.
    #[error("target_session_attrs should be read-write, primary or any: the service writes")]
    ReadOnly,
    /// sqlx rejects a parameter.
    #[error("one of its parameters is not valid")]
    Parameter(#[source] sqlx::Error),
}

impl PostgresServers {
    /// Reads a URL with one host or several.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, ServersError> {
        let parts = Parts::of(text)?;
        let target = parts.parameter("target_session_attrs");
        let asks_for_writes = match target.as_deref() {
            None | Some("any") => false,
            Some("read-write" | "primary") => true,
            Some(_) => return Err(ServersError::ReadOnly),
        };
        let each = parts.each()?;
        // Some of several hosts are standbys. This program needs the one that accepts writes.
        let must_write = asks_for_writes || each.len() > 1;
        Ok(Self { each, must_write })
    }

    pub(super) const fn has_several(&self) -> bool {
        self.each.len() > 1
    }
}

/// The parts of a URL. The `url` crate cannot parse a URL with several hosts.
struct Parts<'a> {
    scheme: &'a str,
    user: &'a str,
    hosts: &'a str,
    path: &'a str,
    query: Vec<(String, String)>,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Result<Self, ServersError> {
        let (scheme, rest) = text.split_once("://").ok_or(ServersError::NotPostgres)?;
        if !matches!(scheme, "postgres" | "postgresql") {
            return Err(ServersError::NotPostgres);
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let query = url::form_urlencoded::parse(query.as_bytes());
        Ok(Self {
            scheme,
            user,
            hosts,
            path,
            query: query.into_owned().collect(),
        })
    }

    fn parameter(&self, name: &str) -> Option<String> {
        let found = self.query.iter().rfind(|(key, _)| key == name);
        found.map(|(_, value)| value.clone())
    }

    /// The options of sqlx for each server.
    fn each(&self) -> Result<Vec<PgConnectOptions>, ServersError> {
        let named = self.parameter("host").unwrap_or_default();
        let ports = self.parameter("port").unwrap_or_default();
        let hosts: Vec<&str> = if named.is_empty() {
            self.hosts.split(',').collect()
        } else {
            named.split(',').collect()
        };
        let ports: Vec<&str> = ports.split(',').collect();
        if ports.len() != 1 && ports.len() != hosts.len() {
            let (hosts, ports) = (hosts.len(), ports.len());
            return Err(ServersError::Ports { hosts, ports });
        }
        let is_missing = |host: &&str| host.is_empty() && hosts.len() > 1;
        if hosts.iter().any(is_missing) {
            return Err(ServersError::Host);
        }
        let ports = ports.iter().cycle();
        let each = hosts.iter().zip(ports).map(|(host, port)| {
            // A host of `host=` may be the directory of a socket, which cannot be part of the authority of a URL.
            let in_authority = if named.is_empty() { host } else { "" };
            let mut options = PgConnectOptions::from_str(&self.url(in_authority)?)
                .map_err(ServersError::Parameter)?;
            if host.starts_with('/') {
                options = options.socket(host);
            } else if !named.is_empty() {
                options = options.host(host);
            }
            if !port.is_empty() {
                options = options.port(port.parse().map_err(|_| ServersError::Host)?);
            }
            // PgBouncer rejects `extra_float_digits`, and this program reads no floating-point number as text.
            Ok(options.extra_float_digits(None).application_name("authlog"))
        });
        each.collect()
    }

    /// The URL with one host, and without the parameters that are handled here.
    fn url(&self, host: &str) -> Result<String, ServersError> {
        let host = if host.is_empty() { "localhost" } else { host };
        let user = match self.user {
            "" => String::new(),
            user => format!("{user}@"),
        };
        let text = format!("{}://{user}{host}/{}", self.scheme, self.path);
        let mut url = Url::parse(&text).map_err(|_| ServersError::Host)?;
        let others = self
            .query
            .iter()
            .filter(|(key, _)| !LIBPQ_PARAMETERS.contains(&key.as_str()));
        let others: Vec<&(String, String)> = others.collect();
        if !others.is_empty() {
            let mut query = url.query_pairs_mut();
            for (key, value) in others {
                query.append_pair(key, value);
            }
        }
        Ok(url.into())
    }
}

/// Opens every connection of a store, each with the settings that it needs.
///
/// Settings are applied by a statement after connecting, because PgBouncer rejects or drops settings in the start-up
/// packet.
pub(super) struct Hosts {
    servers: PostgresServers,
    state: Mutex<State>,
}

struct State {
    /// The server that was written to last.
    current: usize,
    /// Pools that connect to it.
    pools: Vec<PgPool>,
}

/// A setting of a connection: its name and its value.
pub(super) type Setting = (&'static str, &'static str);

impl Hosts {
    pub(super) fn new(servers: PostgresServers) -> Arc<Self> {
        Arc::new(Self {
            servers,
            state: Mutex::new(State {
                current: 0,
                pools: vec![],
            }),
        })
    }

    /// Whether there are several servers.
    pub(super) const fn has_several(&self) -> bool {
        self.servers.has_several()
    }

    /// A connection to the first server, in turn, that answers and accepts writes, beginning with the last one that
    /// did. The pools connect to that server from now on.
    pub(super) async fn connect(&self, settings: &[Setting]) -> Result<PgConnection, sqlx::Error> {
        let count = self.servers.each.len();
        let first = self.lock().current;
        let within = if count > 1 {
            ANSWER_WITHIN
        } else {
            ONLY_HOST_WITHIN
        };
        let mut outcome = Err(sqlx::Error::Io(io::ErrorKind::NotConnected.into()));
        for number in (first..count).chain(0..first) {
            let attempt = tokio::time::timeout(within, self.connect_to(number, settings)).await;
            outcome =
                attempt.unwrap_or_else(|_| Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into())));
            match &outcome {
                Ok(_) => {
                    self.choose(number);
                    break;
                }
                Err(error) if count > 1 => {
                    tracing::debug!(%error, number, "a PostgreSQL server was skipped");
                }
                Err(_) => {}
            }
        }
        outcome
    }

    async fn connect_to(
        &self,
        number: usize,
        settings: &[Setting],
    ) -> Result<PgConnection, sqlx::Error> {
        let mut connection = self.options(number).connect().await?;
        set_up(&mut connection, settings, self.servers.must_write).await?;
        Ok(connection)
    }

    fn options(&self, number: usize) -> PgConnectOptions {
        self.servers.each[number].clone()
    }

    /// A pool whose connections have these settings. It opens connections to the server that was written to last.
    pub(super) fn pool(&self, options: PgPoolOptions, settings: Vec<Setting>) -> PgPool {
        let mut state = self.lock();
        let pool = self.pool_to(state.current, options, settings);
        state.pools.push(pool.clone());
        pool
    }

    /// A pool for one connection with these settings, to the server that was written to last.
    pub(super) fn pool_of_one(&self, settings: Vec<Setting>) -> PgPool {
        let options = PgPoolOptions::new()
            .max_connections(1)
            .max_lifetime(None)
            .acquire_timeout(ONLY_HOST_WITHIN);
        let current = self.lock().current;
        self.pool_to(current, options, settings)
    }

    fn pool_to(&self, number: usize, options: PgPoolOptions, settings: Vec<Setting>) -> PgPool {
        let must_write = self.servers.must_write;
        let settings = Arc::new(settings);
        let options = options.after_connect(move |connection, _| {
            let settings = Arc::clone(&settings);
            Box::pin(async move { set_up(connection, &settings, must_write).await })
        });
        options.connect_lazy_with(self.options(number))
    }

    /// Checks that the connection still leads to a server that can be used. It serves as a heartbeat, too.
    pub(super) async fn check(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        if self.servers.must_write {
            set_up(connection, &[], true).await
        } else {
            connection.execute(sqlx::query("SELECT 1")).await.map(drop)
        }
    }

    fn choose(&self, number: usize) {
        let mut state = self.lock();
        if state.current == number {
            return;
        }
        state.current = number;
        for pool in &state.pools {
            pool.set_connect_options(self.options(number));
        }
        let host = self.servers.each[number].get_host();
        let port = self.servers.each[number].get_port();
        tracing::warn!(
            host,
            port,
            "switched to another PostgreSQL server, which accepts writes"
        );
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Applies the settings of a connection and, if `must_write` is set, checks that its server accepts writes, in one
/// statement. The simple protocol is used, so that no statement is prepared on a connection that may be closed again.
async fn set_up(
    connection: &mut PgConnection,
    settings: &[Setting],
    must_write: bool,
) -> Result<(), sqlx::Error> {
    let mut columns: Vec<String> = settings
        .iter()
        .map(|(name, value)| format!("set_config('{name}', '{value}', false)"))
        .collect();
    if must_write {
        // This is `on` in a standby, and on a server that an operator has made read-only (`SHOW
        // transaction_read_only`).
        columns.push("current_setting('transaction_read_only') AS read_only".to_owned());
    }
    if columns.is_empty() {
        return Ok(());
    }
    let statement = format!("SELECT {}", columns.join(", "));
    let row = connection.fetch_one(sqlx::raw_sql(&statement)).await?;
    if must_write && row.try_get::<String, _>("read_only")? == "on" {
        let reason = "the PostgreSQL server accepts no writes";
        return Err(sqlx::Error::Io(io::Error::new(
            io::ErrorKind::ReadOnlyFilesystem,
            reason,
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
