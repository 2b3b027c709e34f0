//! The row of a client.

use authlog_domain::client::{Registered, RegisteredClient};
use authlog_domain::{Client, ClientId};

/// One client: the fold of its `Client` events. A client that was removed keeps its row, because its id stays taken.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientRecord {
    /// The id of the client.
    pub id: ClientId,
    /// The sequence of the last event that this row contains.
    pub version: u64,
    /// The state of the client; `None` if it was removed.
    pub state: Option<Registered>,
}

impl ClientRecord {
    /// The state of the `Client` aggregate: the row holds everything that decisions depend on.
    pub fn aggregate(&self) -> Client {
        match &self.state {
            Some(state) => Client::Registered(state.clone()),
            None => Client::Removed,
        }
    }

    /// The client; `None` if it was removed.
    pub fn registered(self) -> Option<RegisteredClient> {
        let Self { id, state, .. } = self;
        state.map(|state| RegisteredClient::new(id, state))
    }
}
