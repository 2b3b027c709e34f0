//! The upgrade that seals the data of the previous version.

use std::time::Duration;

use async_trait::async_trait;
use authlog_application::ports::{OpaqueTokenRecord, StoreError, TokenDigest};
use authlog_domain::{CredentialId, UserId};
use sqlx::{Connection as _, FromRow};
use uuid::Uuid;

use super::PostgresStore;
use super::pool::answered;
use super::rows::OpaqueTokenRow;
use super::secrets::find;
use crate::SealUpgrade;
use crate::sealing::{Stored, StoredCredential, Unopenable};
use crate::store::{STORE_SECRET, unreadable};

/// The migration that introduced seals.
const MIGRATION: i64 = 13;

const CREDENTIALS_AFTER: &str = r"
    SELECT user_id, credential_id, sealed, password_hash FROM credentials
     WHERE $1::uuid IS NULL OR user_id > $1 ORDER BY user_id LIMIT $2";

/// A credential that was replaced meanwhile has another id, and is left out.
const SEAL_CREDENTIALS: &str = r"
    UPDATE credentials c SET sealed = n.sealed
      FROM unnest($1::uuid[], $2::uuid[], $3::bytea[]) AS n (user_id, credential_id, sealed)
     WHERE c.user_id = n.user_id AND c.credential_id = n.credential_id";

const TOKENS_AFTER: &str = r"
    SELECT digest, session_id AS token_session_id, expires_at AS token_expires_at, mac AS token_mac
      FROM opaque_tokens WHERE digest > $1 ORDER BY digest LIMIT $2";

const SEAL_TOKENS: &str = r"
    UPDATE opaque_tokens t SET mac = n.mac
      FROM unnest($1::bytea[], $2::uuid[], $3::bytea[]) AS n (digest, session_id, mac)
     WHERE t.digest = n.digest AND t.session_id = n.session_id";

/// Nodes that do this at the same time take different rows.
const REMOVE_PLAIN: &str = r"
    UPDATE credentials SET password_hash = '' WHERE user_id IN (
        SELECT user_id FROM credentials WHERE password_hash <> '' AND sealed IS NOT NULL
         LIMIT $1 FOR UPDATE SKIP LOCKED)";

/// A password as it is stored.
#[derive(FromRow)]
pub(super) struct CredentialRow {
    pub(super) user_id: Uuid,
    credential_id: Uuid,
    sealed: Option<Vec<u8>>,
    password_hash: String,
}

impl From<CredentialRow> for StoredCredential {
    fn from(row: CredentialRow) -> Self {
        Self {
            user: UserId::new(row.user_id),
            credential: CredentialId::new(row.credential_id),
            sealed: row.sealed,
            plain: row.password_hash,
        }
    }
}

#[async_trait]
impl SealUpgrade for PostgresStore {
    async fn seals_are_required(&self) -> Result<bool, StoreError> {
        let secret = self.store_secret().await?;
        self.vault.follow_seals(&secret)
    }

    async fn since_schema_upgrade(&self) -> Result<Option<Duration>, StoreError> {
        self.since_migration(MIGRATION).await.map(Some)
    }

    async fn seal_credentials_after(
        &self,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Option<UserId>, StoreError> {
        let rows: Vec<CredentialRow> = self
            .connections
            .ask(|pool| {
                sqlx::query_as(CREDENTIALS_AFTER)
                    .bind(after.map(UserId::as_uuid))
                    .bind(i64::from(limit))
                    .fetch_all(pool)
            })
            .await?;
        let last = rows.last().map(|row| UserId::new(row.user_id));
        let page = rows.into_iter().map(StoredCredential::from).collect();
        let vault = &self.vault;
        let sealed = vault.seals.seal_missing(page, &*vault.entropy);
        let sealed = sealed.map_err(unreadable)?;
        let users: Vec<_> = sealed.iter().map(|it| it.user.as_uuid()).collect();
        let names: Vec<_> = sealed.iter().map(|it| it.credential.as_uuid()).collect();
        let hashes: Vec<_> = sealed.iter().map(|it| it.sealed.as_slice()).collect();
        self.connections
            .ask(|pool| {
                sqlx::query(SEAL_CREDENTIALS)
                    .bind(&users)
                    .bind(&names)
                    .bind(&hashes)
                    .execute(pool)
            })
            .await?;
        Ok(last)
    }

    async fn seal_opaque_tokens_after(
        &self,
        after: Option<TokenDigest>,
        limit: u32,
    ) -> Result<Option<TokenDigest>, StoreError> {
        let page = self.stored_tokens_after(after, limit).await?;
        let last = page.last().map(|token| token.row.digest.clone());
        let sealed = self.vault.seals.add_missing_macs(page);
        let tokens = sealed.iter();
        let digests: Vec<_> = tokens
            .clone()
            .map(|it| it.row.digest.0.as_slice())
            .collect();
        let sessions: Vec<_> = tokens.clone().map(|it| it.row.session.as_uuid()).collect();
        let macs: Vec<_> = tokens.map(|it| it.mac.as_slice()).collect();
        self.connections
            .ask(|pool| {
                sqlx::query(SEAL_TOKENS)
                    .bind(&digests)
                    .bind(&sessions)
                    .bind(&macs)
                    .execute(pool)
            })
            .await?;
        Ok(last)
    }

    async fn require_seals(&self) -> Result<bool, StoreError> {
        self.follow_rotation().await?;
        let was = self.store_secret().await?;
        let fingerprint = self.vault.master.fingerprint();
        let sealed = self.vault.secret_requiring_seals(&was)?;
        let (was, sealed, fingerprint) = (&was, &sealed, &fingerprint);
        let changed = self
            .connections
            .ask(|pool| {
                answered(async move {
                    let mut connection = pool.acquire().await?;
                    let mut transaction = connection.begin().await?;
                    // A rotation of the master key that begins meanwhile waits, and then finds the secret under the
                    // previous key.
                    sqlx::query("SELECT require_sealing_key($1)")
                        .bind(fingerprint.as_slice())
                        .execute(&mut *transaction)
                        .await?;
                    let changed = sqlx::query(
                        "UPDATE shared_secrets SET sealed = $3 WHERE name = $1 AND sealed = $2",
                    )
                    .bind(STORE_SECRET)
                    .bind(was)
                    .bind(sealed)
                    .execute(&mut *transaction)
                    .await?;
                    transaction.commit().await?;
                    Ok(changed.rows_affected())
                })
            })
            .await?;
        if changed > 0 {
            self.vault.seals.require();
        }
        Ok(changed > 0)
    }

    async fn remove_plain_hashes(&self, limit: u32) -> Result<u64, StoreError> {
        let removed = self
            .connections
            .ask(|pool| {
                sqlx::query(REMOVE_PLAIN)
                    .bind(i64::from(limit))
                    .execute(pool)
            })
            .await?;
        Ok(removed.rows_affected())
    }
}

impl PostgresStore {
    /// The time since this migration was run, by the clock of the database.
    pub(super) async fn since_migration(&self, version: i64) -> Result<Duration, StoreError> {
        const SELECT: &str = r"
            SELECT extract(epoch FROM now() - installed_on)::float8
              FROM _sqlx_migrations WHERE version = $1";
        let seconds: f64 = self
            .connections
            .ask(|pool| sqlx::query_scalar(SELECT).bind(version).fetch_one(pool))
            .await?;
        Ok(Duration::try_from_secs_f64(seconds).unwrap_or_default())
    }

    /// The store's secret as it is stored.
    async fn store_secret(&self) -> Result<Vec<u8>, StoreError> {
        let sealed = self
            .connections
            .ask(|pool| find(pool, STORE_SECRET))
            .await?;
        sealed.ok_or_else(|| unreadable(Unopenable))
    }

    /// Up to `limit` opaque tokens after one of them.
    pub(super) async fn stored_tokens_after(
        &self,
        after: Option<TokenDigest>,
        limit: u32,
    ) -> Result<Vec<Stored<OpaqueTokenRecord>>, StoreError> {
        let after = after.map_or_else(Vec::new, |digest| digest.0.to_vec());
        let rows: Vec<OpaqueTokenRow> = self
            .connections
            .ask(|pool| {
                sqlx::query_as(TOKENS_AFTER)
                    .bind(&after)
                    .bind(i64::from(limit))
                    .fetch_all(pool)
            })
            .await?;
        rows.into_iter().map(Stored::try_from).collect()
    }
}
