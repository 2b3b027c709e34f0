//! Secrets that every program on this database uses, sealed under the master key.

use async_trait::async_trait;
use authlog_application::ports::{SharedSecrets, StoreError};
use rusqlite::{Connection, OptionalExtension, params};
use zeroize::Zeroizing;

use super::SqliteStore;
use super::errors::store_error;
use crate::store::{shared_secret_place as place, unreadable};

#[async_trait]
impl SharedSecrets for SqliteStore {
    async fn shared_secret(
        &self,
        name: &str,
        candidate: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        if let Some(secret) = self.find_shared_secret(name).await? {
            return Ok(secret);
        }
        // A candidate must not be sealed under a master key that is being replaced.
        self.follow_rotation().await?;
        let place = place(name);
        let vault = &self.vault;
        let sealed = vault
            .master
            .seal(&place, candidate, &*vault.entropy)
            .map_err(unreadable)?;
        let name = name.to_owned();
        let kept = self
            .writer
            .write(move |connection| keep_first(connection, &name, &sealed).map_err(store_error))
            .await?;
        vault.master.open(&place, &kept).map_err(unreadable)
    }

    async fn find_shared_secret(
        &self,
        name: &str,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let (place, name) = (place(name), name.to_owned());
        let sealed = self
            .readers
            .read(move |connection| find(connection, &name))
            .await?;
        sealed
            .map(|sealed| self.vault.master.open(&place, &sealed))
            .transpose()
            .map_err(unreadable)
    }
}

/// The secret called `name` as it is stored, if there is one.
pub(super) fn find(connection: &Connection, name: &str) -> rusqlite::Result<Option<Vec<u8>>> {
    connection
        .prepare_cached("SELECT sealed FROM shared_secrets WHERE name = ?")?
        .query_row([name], |row| row.get(0))
        .optional()
}

/// Stores a sealed secret unless there is one with this name, and returns the stored one.
pub(super) fn keep_first(
    connection: &Connection,
    name: &str,
    sealed: &[u8],
) -> rusqlite::Result<Vec<u8>> {
    const INSERT: &str =
        "INSERT INTO shared_secrets (name, sealed) VALUES (?, ?) ON CONFLICT DO NOTHING";
    const SELECT: &str = "SELECT sealed FROM shared_secrets WHERE name = ?";
    connection
        .prepare_cached(INSERT)?
        .execute(params![name, sealed])?;
    connection
        .prepare_cached(SELECT)?
        .query_row([name], |row| row.get(0))
}
