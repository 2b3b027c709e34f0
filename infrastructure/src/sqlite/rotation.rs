//! Replacing the master key.

use async_trait::async_trait;
use authlog_application::ports::{MasterKeyRotation, Rewrapped, StoreError};
use authlog_domain::UserId;
use rusqlite::{Connection, OptionalExtension, Result, params};

use super::SqliteStore;
use super::errors::store_error;
use super::rows::id;
use super::signing_keys::{SigningKeyName, private_halves, reseal};
use crate::sealing::{Fingerprint, Unopenable, subject_key_place};
use crate::store::{shared_secret_place as place, signing_key_place, unreadable};
use crate::tokens::KeyPurpose;

type Answer<T> = std::result::Result<T, StoreError>;

/// A name, the old sealed value, and the new sealed value.
pub(super) type Resealed<T> = (T, Vec<u8>, Vec<u8>);

#[async_trait]
impl MasterKeyRotation for SqliteStore {
    async fn begin_rotation(&self) -> Answer<u64> {
        const UPSERT: &str = "
            INSERT INTO sealing_key (id, fingerprint) VALUES (1, ?)
            ON CONFLICT (id) DO UPDATE SET fingerprint = excluded.fingerprint";
        let replacement = self.vault.master.replacement();
        let fingerprint = replacement
            .ok_or_else(|| unreadable(Unopenable))?
            .fingerprint();
        self.writer
            .write(move |connection| {
                let changed = connection.execute(UPSERT, [fingerprint.as_slice()]);
                changed.map(drop).map_err(store_error)
            })
            .await?;
        self.vault.follow_rotation(&fingerprint)?;
        let count: i64 = self
            .readers
            .read(|connection| {
                connection.query_row("SELECT count(*) FROM subject_keys", [], |row| row.get(0))
            })
            .await?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    async fn rewrap_after(&self, after: Option<UserId>, limit: u32) -> Answer<Option<Rewrapped>> {
        let keys = self
            .readers
            .read(move |connection| keys_after(connection, after, limit))
            .await?;
        let Some((user, _)) = keys.last() else {
            return Ok(None);
        };
        let (user, seen) = (*user, keys.len() as u64);
        let changed = self.resealed(keys, |user| subject_key_place(*user))?;
        let rewrapped = self
            .writer
            .write(move |connection| write_keys(connection, &changed).map_err(store_error))
            .await?;
        Ok(Some(Rewrapped {
            user,
            seen,
            rewrapped,
        }))
    }

    async fn finish_rotation(&self) -> Answer<()> {
        let secrets = self.readers.read(secrets).await?;
        let changed = self.resealed(secrets, |name| place(name))?;
        let mut keys = Vec::new();
        for purpose in KeyPurpose::ALL {
            keys.push((purpose, self.resealed_signing_keys(purpose).await?));
        }
        self.writer
            .write(move |connection| {
                for (purpose, keys) in &keys {
                    reseal(connection, *purpose, keys).map_err(store_error)?;
                }
                write_secrets(connection, &changed).map_err(store_error)
            })
            .await
    }
}

impl SqliteStore {
    async fn resealed_signing_keys(
        &self,
        purpose: KeyPurpose,
    ) -> Answer<Vec<Resealed<SigningKeyName>>> {
        let place = |algorithm: &str, kid: &str| signing_key_place(purpose, algorithm, kid);
        let mut keys = self
            .readers
            .read(move |connection| private_halves(connection, purpose))
            .await?;
        // A value that no master key opens is not a signing key of this service.
        keys.retain(|((algorithm, kid), sealed)| {
            let opened = self.vault.master.open(&place(algorithm, kid), sealed);
            opened.is_ok()
        });
        self.resealed(keys, |(algorithm, kid)| place(algorithm, kid))
    }

    /// The values that are not sealed under the new key yet, with their replacements.
    fn resealed<T>(
        &self,
        stored: Vec<(T, Vec<u8>)>,
        place: impl Fn(&T) -> String,
    ) -> Answer<Vec<Resealed<T>>> {
        let vault = &self.vault;
        let mut changed = Vec::new();
        for (name, sealed) in stored {
            let renewed = vault
                .master
                .rewrap(&place(&name), &sealed, &*vault.entropy)
                .map_err(unreadable)?;
            changed.extend(renewed.map(|renewed| (name, sealed, renewed)));
        }
        Ok(changed)
    }

    /// Switches to the master key that seals new secrets now.
    pub(super) async fn follow_rotation(&self) -> Answer<()> {
        let sealing = self.readers.read(sealing_key).await?;
        self.vault
            .follow_rotation(sealing.as_ref().map_or(&[], |it| it.as_slice()))
    }
}

/// The fingerprint of the master key that seals new secrets.
pub(super) fn sealing_key(connection: &Connection) -> Result<Option<Fingerprint>> {
    connection
        .prepare_cached("SELECT fingerprint FROM sealing_key")?
        .query_row([], |row| row.get(0))
        .optional()
}

fn keys_after(
    connection: &Connection,
    after: Option<UserId>,
    limit: u32,
) -> Result<Vec<(UserId, Vec<u8>)>> {
    const SELECT: &str = "
        SELECT user_id, wrapped FROM subject_keys WHERE user_id > ? ORDER BY user_id LIMIT ?";
    let after = after.map_or_else(String::new, |user| user.to_string());
    connection
        .prepare_cached(SELECT)?
        .query_map(params![after, limit], |row| {
            Ok((id(row, 0, UserId::parse)?, row.get(1)?))
        })?
        .collect()
}

/// A key that was deleted meanwhile, because its account was erased, stays deleted.
fn write_keys(connection: &Connection, changed: &[Resealed<UserId>]) -> Result<u64> {
    const UPDATE: &str = "UPDATE subject_keys SET wrapped = ?3 WHERE user_id = ?1 AND wrapped = ?2";
    let mut update = connection.prepare_cached(UPDATE)?;
    let mut written = 0;
    for (user, was, renewed) in changed {
        written += update.execute(params![user.to_string(), was, renewed])? as u64;
    }
    Ok(written)
}

fn secrets(connection: &Connection) -> Result<Vec<(String, Vec<u8>)>> {
    connection
        .prepare_cached("SELECT name, sealed FROM shared_secrets")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

fn write_secrets(connection: &Connection, changed: &[Resealed<String>]) -> Result<()> {
    const UPDATE: &str = "UPDATE shared_secrets SET sealed = ?3 WHERE name = ?1 AND sealed = ?2";
    let mut update = connection.prepare_cached(UPDATE)?;
    for (name, was, renewed) in changed {
        update.execute(params![name, was, renewed])?;
    }
    Ok(())
}
