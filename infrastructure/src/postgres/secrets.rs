//! The secrets that nodes share.

use async_trait::async_trait;
use authlog_application::ports::{SharedSecrets, StoreError};
use zeroize::Zeroizing;

use super::PostgresStore;
use super::connections::Connections;
use super::pool::Pool;
use crate::store::{shared_secret_place as place, unreadable};

/// The secret called `name` as it is stored; `candidate` becomes it if there is none yet.
pub(super) async fn sealed_secret(
    connections: &Connections,
    name: &str,
    candidate: &[u8],
) -> Result<Vec<u8>, StoreError> {
    if let Some(sealed) = connections.ask(|pool| find(pool, name)).await? {
        return Ok(sealed);
    }
    connections
        .ask(|pool| {
            sqlx::query(
                "INSERT INTO shared_secrets (name, sealed) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING",
            )
            .bind(name)
            .bind(candidate)
            .execute(pool)
        })
        .await?;
    // Another node may have been first: what is stored counts.
    connections
        .ask(|pool| async move { find(pool, name).await?.ok_or(sqlx::Error::RowNotFound) })
        .await
}

pub(super) async fn find(pool: &Pool, name: &str) -> Result<Option<Vec<u8>>, sqlx::Error> {
    sqlx::query_scalar("SELECT sealed FROM shared_secrets WHERE name = $1")
        .bind(name)
        .fetch_optional(pool)
        .await
}

#[async_trait]
impl SharedSecrets for PostgresStore {
    async fn shared_secret(
        &self,
        name: &str,
        candidate: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        // A candidate must not be sealed under a master key that is being replaced.
        self.follow_rotation().await?;
        let master = &self.vault.master;
        let candidate = master
            .seal(&place(name), candidate, &*self.vault.entropy)
            .map_err(unreadable)?;
        let sealed = sealed_secret(&self.connections, name, &candidate).await?;
        master.open(&place(name), &sealed).map_err(unreadable)
    }
    async fn find_shared_secret(
        &self,
        name: &str,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let sealed = self.connections.ask(|pool| find(pool, name)).await?;
        sealed
            .map(|sealed| self.vault.master.open(&place(name), &sealed))
            .transpose()
            .map_err(unreadable)
    }
}
