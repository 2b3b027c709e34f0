//! The registered clients, and their secrets.

use async_trait::async_trait;
use authlog_domain::client::RegisteredClient;
use authlog_domain::{ClientId, ClientSecretId};
use authlog_projections::ClientRecord;
use zeroize::Zeroizing;

use super::StoreError;

/// A page of the registered clients.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClientsPage {
    /// The clients, in the order of their ids.
    pub clients: Vec<RegisteredClient>,
    /// The client after which the next page begins; `None` on the last page. There may be a next page although `clients` is
    /// short or empty, because rows that this service did not write are left out.
    pub next: Option<ClientId>,
}

/// Reads the clients. A row that this service did not write is treated as missing.
#[async_trait]
pub trait Clients: Send + Sync {
    /// The row of the client with this id, which exists also after the client was removed. `None` if there never was one.
    ///
    /// # Errors
    /// The store does not answer.
    async fn record(&self, id: &ClientId) -> Result<Option<ClientRecord>, StoreError>;

    /// The client with this id. `None` if there is none, or if it was removed.
    ///
    /// # Errors
    /// As for [`Self::record`].
    async fn client(&self, id: &ClientId) -> Result<Option<RegisteredClient>, StoreError> {
        let record = self.record(id).await?;
        Ok(record.and_then(ClientRecord::registered))
    }

    /// At most `limit` clients, beginning after `after`. Removed ones are not among them.
    ///
    /// # Errors
    /// As for [`Self::record`].
    async fn clients(
        &self,
        after: Option<&ClientId>,
        limit: u32,
    ) -> Result<ClientsPage, StoreError>;

    /// Whether any client is registered. A row that this service did not write counts as well.
    ///
    /// # Errors
    /// As for [`Self::record`].
    async fn has_clients(&self) -> Result<bool, StoreError>;
}

/// Derives the secrets of clients from their ids, so that none is stored (`docs/adr/0032`).
pub trait ClientSecrets: Send + Sync {
    /// The secret with this id, as it is shown once to the operator.
    fn secret(&self, client: &ClientId, id: ClientSecretId) -> Zeroizing<String>;

    /// The id of the secret that `text` is. `None` if `text` is no secret that was derived for this client. Whether the secret
    /// is still valid is for the caller to decide. The comparison takes the same time for every text of one length.
    fn parse(&self, client: &ClientId, text: &str) -> Option<ClientSecretId>;
}
