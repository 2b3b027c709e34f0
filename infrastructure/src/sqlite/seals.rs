//! The upgrade that seals the data of the previous version.

use std::time::Duration;

use async_trait::async_trait;
use authlog_application::ports::{OpaqueTokenRecord, StoreError, TokenDigest};
use authlog_domain::{CredentialId, UserId};
use rusqlite::{Connection, Result, Row, params};

use super::errors::store_error;
use super::rows::{id, opaque_token};
use super::shared_secrets::find;
use super::{SqliteStore, rotation};
use crate::SealUpgrade;
use crate::sealing::{SealedCredential, Stored, StoredCredential, Unopenable, WithMac};
use crate::store::{STORE_SECRET, unreadable};

type Answer<T> = std::result::Result<T, StoreError>;

#[async_trait]
impl SealUpgrade for SqliteStore {
    async fn seals_are_required(&self) -> Answer<bool> {
        let secret = self.store_secret().await?;
        self.vault.follow_seals(&secret)
    }

    async fn since_schema_upgrade(&self) -> Answer<Option<Duration>> {
        Ok(None)
    }

    async fn seal_credentials_after(
        &self,
        after: Option<UserId>,
        limit: u32,
    ) -> Answer<Option<UserId>> {
        let page = self
            .readers
            .read(move |connection| credentials_after(connection, after, limit))
            .await?;
        let last = page.last().map(|it| it.user);
        let vault = &self.vault;
        let sealed = vault.seals.seal_missing(page, &*vault.entropy);
        let sealed = sealed.map_err(unreadable)?;
        self.writer
            .write(move |connection| write_credentials(connection, &sealed).map_err(store_error))
            .await?;
        Ok(last)
    }

    async fn seal_opaque_tokens_after(
        &self,
        after: Option<TokenDigest>,
        limit: u32,
    ) -> Answer<Option<TokenDigest>> {
        let page = self
            .readers
            .read(move |connection| opaque_tokens_after(connection, after, limit))
            .await?;
        let last = page.last().map(|it| it.row.digest.clone());
        let sealed = self.vault.seals.add_missing_macs(page);
        self.writer
            .write(move |connection| write_macs(connection, &sealed).map_err(store_error))
            .await?;
        Ok(last)
    }

    async fn require_seals(&self) -> Answer<bool> {
        const UPDATE: &str =
            "UPDATE shared_secrets SET sealed = ?3 WHERE name = ?1 AND sealed = ?2";
        self.follow_rotation().await?;
        let was = self.store_secret().await?;
        let fingerprint = self.vault.master.fingerprint();
        let sealed = self.vault.secret_requiring_seals(&was)?;
        let written = self
            .writer
            .write(move |connection| {
                // A rotation of the master key that began meanwhile has to find the secret under the previous key.
                let is_current = rotation::sealing_key(connection)
                    .map(|sealing| sealing == Some(fingerprint))
                    .map_err(store_error)?;
                if !is_current {
                    return Ok(false);
                }
                let changed = connection.execute(UPDATE, params![STORE_SECRET, was, sealed]);
                changed.map(|count| count > 0).map_err(store_error)
            })
            .await?;
        if written {
            self.vault.seals.require();
        }
        Ok(written)
    }

    async fn remove_plain_hashes(&self, limit: u32) -> Answer<u64> {
        const UPDATE: &str = "
            UPDATE credentials SET password_hash = '' WHERE user_id IN
                (SELECT user_id FROM credentials WHERE password_hash <> '' AND sealed IS NOT NULL LIMIT ?)";
        self.writer
            .write(move |connection| {
                let removed = connection.execute(UPDATE, [limit]);
                removed.map(|count| count as u64).map_err(store_error)
            })
            .await
    }
}

impl SqliteStore {
    /// The store's secret as it is stored.
    async fn store_secret(&self) -> Answer<Vec<u8>> {
        let sealed = self
            .readers
            .read(|connection| find(connection, STORE_SECRET))
            .await?;
        sealed.ok_or_else(|| unreadable(Unopenable))
    }
}

fn credentials_after(
    connection: &Connection,
    after: Option<UserId>,
    limit: u32,
) -> Result<Vec<StoredCredential>> {
    const SELECT: &str = "
        SELECT user_id, credential_id, sealed, password_hash FROM credentials
        WHERE user_id > ? ORDER BY user_id LIMIT ?";
    let after = after.map_or_else(String::new, |user| user.to_string());
    connection
        .prepare_cached(SELECT)?
        .query_map(params![after, limit], stored_credential)?
        .collect()
}

/// The credential in the columns `user_id, credential_id, sealed, password_hash`.
pub(super) fn stored_credential(row: &Row<'_>) -> Result<StoredCredential> {
    Ok(StoredCredential {
        user: id(row, 0, UserId::parse)?,
        credential: id(row, 1, CredentialId::parse)?,
        sealed: row.get(2)?,
        plain: row.get(3)?,
    })
}

/// A credential that was replaced meanwhile has another id, and was stored sealed.
fn write_credentials(connection: &Connection, credentials: &[SealedCredential]) -> Result<()> {
    const UPDATE: &str = "
        UPDATE credentials SET sealed = ? WHERE user_id = ? AND credential_id = ?";
    let mut update = connection.prepare_cached(UPDATE)?;
    for it in credentials {
        let (user, credential) = (it.user.to_string(), it.credential.to_string());
        update.execute(params![it.sealed, user, credential])?;
    }
    Ok(())
}

pub(super) fn opaque_tokens_after(
    connection: &Connection,
    after: Option<TokenDigest>,
    limit: u32,
) -> Result<Vec<Stored<OpaqueTokenRecord>>> {
    const SELECT: &str = "
        SELECT digest, session_id, expires_at, mac FROM opaque_tokens
        WHERE digest > ? ORDER BY digest LIMIT ?";
    let after = after.map_or_else(Vec::new, |digest| digest.0.to_vec());
    connection
        .prepare_cached(SELECT)?
        .query_map(params![after, limit], |row| {
            opaque_token(TokenDigest(row.get(0)?), row, 1)
        })?
        .collect()
}

fn write_macs(connection: &Connection, tokens: &[WithMac<OpaqueTokenRecord>]) -> Result<()> {
    const UPDATE: &str = "
        UPDATE opaque_tokens SET mac = ? WHERE digest = ? AND session_id = ? AND expires_at = ?";
    let mut update = connection.prepare_cached(UPDATE)?;
    for WithMac { row, mac } in tokens {
        let (session, expires_at) = (row.session.to_string(), row.expires_at.unix_millis());
        update.execute(params![mac, row.digest.0, session, expires_at])?;
    }
    Ok(())
}
