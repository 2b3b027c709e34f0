//! The store on PostgreSQL, for more than one node.
//!
//! | file | what is in it |
//! |---|---|
//! | `connections`, `errors`, `schema` | the pool and how it outlives a restart, what errors mean, migrations |
//! | `events`, `append` | reading a stream; the one statement that writes everything of a command |
//! | `rows`, `directory`, `rebuild` | the read models as rows, looking them up, writing them anew |
//! | `revocations`, `reset_requests`, `secrets` | the other ports |
//! | `leadership`, `election` | electing one node for work that only one may do |
//! | `sequencer`, `event_log` | the one order of all events, and reading in it |
//! | `history`, `doctor` | reading one account's events; examining everything |

mod append;
mod connections;
mod directory;
mod doctor;
mod election;
mod errors;
mod event_log;
mod events;
mod history;
mod leadership;
mod rebuild;
mod reset_requests;
mod revocations;
mod rows;
mod schema;
mod secrets;
mod sequencer;

use std::sync::Arc;

use authlog_application::ports::Entropy;
use postgres_es::PostgresEventRepository;
use tokio::sync::watch;
use zeroize::Zeroizing;

pub use election::PublisherElection;
pub use sequencer::Sequencer;

use self::connections::Connections;
use crate::OpenError;
use crate::sealing::MasterKey;
use crate::store::{Pepper, Vault, unreadable};

/// Under which name the pepper of identifier claims is kept.
const PEPPER: &str = "identifier-pepper";

/// A store on a PostgreSQL database, which any number of nodes may share.
pub struct PostgresStore {
    connections: Connections,
    /// Reads streams; what it would write, [`append`] writes.
    repository: PostgresEventRepository,
    vault: Vault,
}

impl PostgresStore {
    /// Opens the database at `url`, a `postgres://` URL, whose schema is brought up to date first if `migrate` says so.
    ///
    /// # Errors
    /// The database cannot be reached, its schema is not the one that this program expects, or its secrets were sealed
    /// under another master key.
    pub async fn open(
        url: &str,
        migrate: bool,
        master: MasterKey,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, OpenError> {
        let connections =
            Connections::new(url).map_err(|source| OpenError::Unreachable(Box::new(source)))?;
        schema::prepare(connections.options(), migrate).await?;
        let mut candidate = Zeroizing::new([0; Pepper::LENGTH]);
        entropy.fill(candidate.as_mut_slice());
        let candidate = master
            .seal(&secrets::place(PEPPER), candidate.as_slice(), &*entropy)
            .map_err(unreadable)?;
        let sealed = secrets::sealed_secret(&connections, PEPPER, &candidate).await?;
        let pepper = master
            .open(&secrets::place(PEPPER), &sealed)
            .map_err(|_| OpenError::WrongMasterKey)?;
        Ok(Self {
            repository: PostgresEventRepository::new(connections.pool().clone()),
            connections,
            vault: Vault::new(master, Pepper::new(&pepper), entropy),
        })
    }

    /// The worker that brings the events of this store into one order. Every node runs one, and one of them works.
    pub fn sequencer(&self) -> Sequencer {
        Sequencer::new(self.connections.options().clone())
    }

    /// The election of the node that publishes the log, and where to watch whether this one was elected.
    pub fn publisher_election(&self) -> (PublisherElection, watch::Receiver<bool>) {
        PublisherElection::new(self.connections.options().clone())
    }
}
