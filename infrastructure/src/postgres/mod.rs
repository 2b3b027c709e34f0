//! The store on PostgreSQL, for more than one node.
//!
//! | file | content |
//! |---|---|
//! | `connections`, `errors`, `schema`, `schema_objects` | the pool, which outlives a restart of the server; what errors mean; migrations |
//! | `instants` | instants in rows, including those out of range |
//! | `server_clock` | an estimate of the server's clock |
//! | `hosts`, `pooling` | opening connections to the server that accepts writes; detection of a connection pooler |
//! | `lease_queue` | taking due entries of a queue for a lease, postponing them |
//! | `events`, `append` | reading a stream; the one statement that writes everything of a command |
//! | `batching` | batching concurrent requests into one statement |
//! | `session_appends`, `session_lookups` | the batched operations: the append of an event of a session with its row, a session with its account |
//! | `rows`, `directory`, `rebuild` | the read models as rows, looking them up, rebuilding them |
//! | `erasure` | the look-ups before an erasure |
//! | `mail_queue`, `mail_gate` | the queue of notification mails; limits on the mail of a mailbox |
//! | `logouts` | the queue of logout tokens |
//! | `revocations`, `reset_requests`, `secrets`, `signing_keys`, `rotation`, `seals` | the other ports |
//! | `leadership`, `election` | electing one node for work that only one may do |
//! | `guesses` | exchange of counted attempts between nodes |
//! | `sequencer`, `event_log`, `signals` | the final order of all events, reading it, and waking those who do |
//! | `log_tree`, `log_end`, `log_records` | the tree, the end and the entries of the log, for its proof |
//! | `write_health`, `hold_up` | whether writes work; which transaction holds up the log |
//! | `history`, `doctor` | reading one account's events; examining everything |

mod append;
mod batching;
mod clients;
mod connections;
mod device_authorizations;
mod directory;
mod doctor;
mod election;
mod erasure;
mod errors;
mod event_log;
mod events;
mod guesses;
mod history;
mod hold_up;
mod hosts;
mod housekeeping;
mod instants;
mod leadership;
mod lease_queue;
mod log_end;
mod log_records;
mod log_tree;
mod logouts;
mod mail_gate;
mod mail_queue;
mod mailbox_claims;
mod pool;
mod pooling;
mod rebuild;
mod reset_requests;
mod revocations;
mod rotation;
mod rows;
mod schema;
mod schema_objects;
mod seals;
mod secrets;
mod sequencer;
mod server_clock;
mod session_appends;
mod session_lookups;
mod signals;
mod signing_keys;

mod write_health;

use std::sync::Arc;

use authlog_application::ports::Entropy;
use postgres_es::PostgresEventRepository;
use tokio::sync::watch;

pub use election::Election;
pub use guesses::GuessExchange;
pub use hosts::{PostgresServers, ServersError};
pub use sequencer::Sequencer;

use self::batching::Batcher;
use self::connections::Connections;
use self::hosts::Hosts;
use self::leadership::LeaderRole;
use self::pool::Pool;
use self::session_appends::SessionAppends;
use self::session_lookups::SessionLookups;
use self::signals::Signals;

use crate::sealing::MasterKeys;
use crate::store::{
    KeyVault, STORE_SECRET, StoreSecret, check_keys, shared_secret_place, unreadable,
};
use crate::write_health::WriteHealth;
use crate::{OpenError, StoreAccess};

/// A store on a PostgreSQL database, which any number of nodes may share.
pub struct PostgresStore {
    connections: Arc<Connections>,
    session_appends: Arc<Batcher<SessionAppends>>,
    session_lookups: Arc<Batcher<SessionLookups>>,
    /// Reads streams. Events are written by [`append`].
    repository: PostgresEventRepository,
    vault: KeyVault,
    /// The outcomes of the latest writes.
    writes: Arc<WriteHealth>,
    signals: Arc<Signals>,
}

impl PostgresStore {
    /// Opens the database at `url`, a `postgres://` URL, whose schema is brought up to date first if `migrate` is set.
    ///
    /// # Errors
    /// The database cannot be reached, its schema is not the one that this program expects, or its secrets were sealed
    /// under another master key.
    pub async fn open(
        url: &str,
        migrate: bool,
        master: impl Into<MasterKeys>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, OpenError> {
        let servers = PostgresServers::parse(url)
            .map_err(|source| OpenError::Unreachable(Box::new(source)))?;
        Self::open_for(StoreAccess::Create, servers, migrate, master, entropy).await
    }

    /// Opens the database on these servers, as [`Self::open`] does, for the given access. A program that only reads
    /// refuses an older schema and does not change it, even if `migrate` is set.
    ///
    /// # Errors
    /// As for [`Self::open`]; also if there is no store and `access` does not allow to create one.
    pub async fn open_for(
        access: StoreAccess,
        servers: PostgresServers,
        migrate: bool,
        master: impl Into<MasterKeys>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, OpenError> {
        let master = master.into();
        let connections = Arc::new(Connections::new(servers, access));
        schema::prepare(connections.hosts(), access, migrate).await?;
        let secret = open_secret(&connections, access, &master, &*entropy).await?;
        Ok(Self {
            repository: PostgresEventRepository::new(connections.pool().unlimited().clone()),
            session_appends: Batcher::new(&connections, SessionAppends::new(&connections)),
            session_lookups: Batcher::new(&connections, SessionLookups::new(&connections)),
            connections,
            vault: KeyVault::new(master, &secret, entropy).map_err(unreadable)?,
            writes: Arc::default(),
            signals: Arc::default(),
        })
    }

    /// Brings the schema of the database up to date. No master key is needed.
    ///
    /// # Errors
    /// The database cannot be reached, or its schema cannot be brought up to what this program expects.
    pub async fn migrate(servers: PostgresServers) -> Result<(), OpenError> {
        schema::prepare(&Hosts::new(servers), StoreAccess::Create, true).await
    }

    /// The worker that puts the events of this store into one order. Every node runs one, and one of them is elected to
    /// work.
    pub fn sequencer(&self) -> Sequencer {
        let signals = Arc::clone(&self.signals);
        Sequencer::new(Arc::clone(self.connections.hosts()), signals)
    }

    /// The exchange of guesses with the other nodes.
    pub fn guess_exchange(&self) -> GuessExchange {
        GuessExchange::new(Arc::clone(self.connections.hosts()))
    }

    /// The election of the node that publishes the log, and where to watch whether this one was elected.
    pub fn publisher_election(&self) -> (Election, watch::Receiver<bool>) {
        Election::new(Arc::clone(self.connections.hosts()), LeaderRole::Publisher)
    }

    /// The election of the node that signs checkpoints, and where to watch whether this one was elected.
    pub fn signer_election(&self) -> (Election, watch::Receiver<bool>) {
        Election::new(Arc::clone(self.connections.hosts()), LeaderRole::Signer)
    }
}

/// The store's secret, made at the first opening by a program that may create a store. Opening it also proves that the
/// master key is the right one.
async fn open_secret(
    connections: &Connections,
    access: StoreAccess,
    master: &MasterKeys,
    entropy: &dyn Entropy,
) -> Result<StoreSecret, OpenError> {
    let find = || connections.ask(|pool| secrets::find(pool, STORE_SECRET));
    let mut sealed = find().await?;
    if sealed.is_none() && connections.ask(has_events).await? {
        // Another node may have made the secret and stored events in between.
        sealed = find().await?;
        if sealed.is_none() {
            return Err(OpenError::SecretRemoved);
        }
    }
    let place = shared_secret_place(STORE_SECRET);
    let sealed = match sealed {
        Some(sealed) => sealed,
        None if access != StoreAccess::Create => return Err(OpenError::Unused),
        None => {
            let candidate = master
                .seal(&place, &StoreSecret::generate(entropy).to_stored(), entropy)
                .map_err(unreadable)?;
            secrets::sealed_secret(connections, STORE_SECRET, &candidate).await?
        }
    };
    let secret = master.open(&place, &sealed);
    let sealing = match (rotation::sealing_key(connections).await?, &secret) {
        (None, Ok(_)) if access == StoreAccess::Read => master.fingerprint().to_vec(),
        // If the store names no sealing key yet, the key that opens its secret becomes the sealing key.
        (None, Ok(_)) => {
            rotation::keep_first_sealing_key(connections, &master.fingerprint()).await?
        }
        (sealing, _) => sealing.unwrap_or_default(),
    };
    check_keys(master, &sealing, secret.is_ok())?;
    let secret = secret.map_err(|_| OpenError::WrongMasterKey)?;
    Ok(StoreSecret::from_stored(&secret).map_err(unreadable)?)
}

async fn has_events(pool: &Pool) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM events)")
        .fetch_one(pool)
        .await
}
