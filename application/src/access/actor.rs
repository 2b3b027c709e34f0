//! Who acts: an account or a client.

use authlog_domain::{ClientId, UserId};

/// An account or a client, for limits that hold for each of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Actor {
    /// The account of a person or of a service.
    Account(UserId),
    /// A client, with an access token of its own.
    Client(ClientId),
}

impl From<UserId> for Actor {
    fn from(user: UserId) -> Self {
        Self::Account(user)
    }
}
