//! Reading the clients.

use async_trait::async_trait;
use authlog_application::ports::{Clients, ClientsPage, StoreError};
use authlog_domain::ClientId;
use authlog_projections::ClientRecord;

use super::PostgresStore;
use super::rows::{CheckedClientRow, checked_client_columns};
use crate::sealing::Stored;
use crate::store::{clients_page, readable_row};

const CLIENT: &str = concat!(
    "SELECT ",
    checked_client_columns!(),
    " FROM clients c WHERE c.client_id = $1"
);

const CLIENTS_AFTER: &str = concat!(
    "SELECT ",
    checked_client_columns!(),
    " FROM clients c WHERE c.client_id > $1 AND c.state IS NOT NULL ORDER BY c.client_id LIMIT $2"
);

const HAS_CLIENTS: &str = "SELECT EXISTS (SELECT FROM clients WHERE state IS NOT NULL)";

#[async_trait]
impl Clients for PostgresStore {
    async fn record(&self, id: &ClientId) -> Result<Option<ClientRecord>, StoreError> {
        let row: Option<CheckedClientRow> = self
            .connections
            .ask(|pool| {
                sqlx::query_as(CLIENT)
                    .bind(id.as_str())
                    .fetch_optional(pool)
            })
            .await?;
        row.map_or(Ok(None), |row| self.accept_client(row))
    }

    async fn clients(
        &self,
        after: Option<&ClientId>,
        limit: u32,
    ) -> Result<ClientsPage, StoreError> {
        let after = after.map_or("", ClientId::as_str);
        let rows: Vec<CheckedClientRow> = self
            .connections
            .ask(|pool| {
                sqlx::query_as(CLIENTS_AFTER)
                    .bind(after)
                    .bind(i64::from(limit))
                    .fetch_all(pool)
            })
            .await?;
        let mut examined = Vec::with_capacity(rows.len());
        for row in rows {
            examined.push((row.id(), self.accept_client(row)?));
        }
        Ok(clients_page(examined, limit))
    }

    async fn has_clients(&self) -> Result<bool, StoreError> {
        self.connections
            .ask(|pool| sqlx::query_scalar(HAS_CLIENTS).fetch_one(pool))
            .await
    }
}

impl PostgresStore {
    fn accept_client(&self, row: CheckedClientRow) -> Result<Option<ClientRecord>, StoreError> {
        let stored: Option<Stored<ClientRecord>> = readable_row(row.try_into())?;
        Ok(stored.and_then(|stored| self.vault.seals.accept(stored)))
    }
}
