//! Reading the clients.

use async_trait::async_trait;
use authlog_application::ports::{Clients, ClientsPage, StoreError};
use authlog_domain::ClientId;
use authlog_projections::ClientRecord;
use rusqlite::params;

use super::SqliteStore;
use super::errors::store_error;
use super::rows::{CLIENT, client};
use crate::store::{clients_page, readable_row};

const HAS_CLIENTS: &str = "SELECT EXISTS (SELECT 1 FROM clients WHERE state IS NOT NULL)";

#[async_trait]
impl Clients for SqliteStore {
    async fn record(&self, id: &ClientId) -> Result<Option<ClientRecord>, StoreError> {
        let sql = format!("SELECT {CLIENT} FROM clients AS c WHERE c.client_id = ?");
        let stored = self.find(sql, [id.to_string()], client).await?;
        Ok(stored.and_then(|stored| self.vault.seals.accept(stored)))
    }

    async fn clients(
        &self,
        after: Option<&ClientId>,
        limit: u32,
    ) -> Result<ClientsPage, StoreError> {
        let sql = format!(
            "SELECT {CLIENT} FROM clients AS c WHERE c.client_id > ? AND c.state IS NOT NULL ORDER BY c.client_id LIMIT ?"
        );
        let after = after.map(ClientId::to_string).unwrap_or_default();
        let rows: Vec<(String, rusqlite::Result<_>)> = self
            .readers
            .read(move |connection| {
                connection
                    .prepare_cached(&sql)?
                    .query_map(params![after, limit], |row| Ok((row.get(0)?, client(row))))?
                    .collect()
            })
            .await?;
        let mut examined = Vec::with_capacity(rows.len());
        for (id, row) in rows {
            let stored = readable_row(row.map_err(store_error))?;
            let record = stored.and_then(|stored| self.vault.seals.accept(stored));
            examined.push((id, record));
        }
        Ok(clients_page(examined, limit))
    }

    async fn has_clients(&self) -> Result<bool, StoreError> {
        self.readers
            .read(|connection| {
                connection
                    .prepare_cached(HAS_CLIENTS)?
                    .query_row([], |row| row.get(0))
            })
            .await
    }
}
