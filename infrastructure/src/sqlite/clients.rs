//! Reading the clients.

use async_trait::async_trait;
use authlog_application::ports::{Clients, StoreError};
use authlog_domain::ClientId;
use authlog_domain::client::RegisteredClient;
use authlog_projections::ClientRecord;
use rusqlite::{OptionalExtension as _, params};

use super::SqliteStore;
use super::rows::{CLIENT, client};

#[async_trait]
impl Clients for SqliteStore {
    async fn record(&self, id: &ClientId) -> Result<Option<ClientRecord>, StoreError> {
        let sql = format!("SELECT {CLIENT} FROM clients AS c WHERE c.client_id = ?");
        let id = id.to_string();
        let stored = self
            .readers
            .read(move |connection| {
                connection
                    .prepare_cached(&sql)?
                    .query_row([id], client)
                    .optional()
            })
            .await?;
        Ok(stored.and_then(|stored| self.vault.seals.accept(stored)))
    }

    async fn clients(
        &self,
        after: Option<&ClientId>,
        limit: u32,
    ) -> Result<Vec<RegisteredClient>, StoreError> {
        let sql = format!(
            "SELECT {CLIENT} FROM clients AS c WHERE c.client_id > ? AND c.state IS NOT NULL ORDER BY c.client_id LIMIT ?"
        );
        let after = after.map(ClientId::to_string).unwrap_or_default();
        let stored: Vec<_> = self
            .readers
            .read(move |connection| {
                connection
                    .prepare_cached(&sql)?
                    .query_map(params![after, limit], client)?
                    .collect()
            })
            .await?;
        let clients = stored.into_iter().filter_map(|stored| {
            let record = self.vault.seals.accept(stored)?;
            record.registered()
        });
        Ok(clients.collect())
    }
}
