//! The registered clients, and their secrets.

use async_trait::async_trait;
use authlog_domain::client::RegisteredClient;
use authlog_domain::{ClientId, ClientSecretId};
use zeroize::Zeroizing;

use super::StoreError;

/// Reads the clients.
#[async_trait]
pub trait Clients: Send + Sync {
    /// The client with this id. `None` if there is none, or if it was removed.
    ///
    /// # Errors
    /// The store does not answer, or its rows cannot be read.
    async fn client(&self, id: &ClientId) -> Result<Option<RegisteredClient>, StoreError>;

    /// At most `limit` clients in the order of their ids, beginning after `after`. Removed ones are not among them.
    ///
    /// # Errors
    /// As for [`Self::client`].
    async fn clients(
        &self,
        after: Option<&ClientId>,
        limit: u32,
    ) -> Result<Vec<RegisteredClient>, StoreError>;
}

/// Derives the secrets of clients from their ids, so that none is stored (`docs/adr/0032`).
pub trait ClientSecrets: Send + Sync {
    /// The secret with this id, as it is shown once to the operator.
    fn secret(&self, client: &ClientId, id: ClientSecretId) -> Zeroizing<String>;

    /// The id of the secret that `text` is. `None` if `text` is no secret that was derived for this client. Whether the secret
    /// is still valid is for the caller to decide. The comparison takes the same time for every text of one length.
    fn parse(&self, client: &ClientId, text: &str) -> Option<ClientSecretId>;
}
