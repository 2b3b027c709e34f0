//! Replacing the master key.

use async_trait::async_trait;
use authlog_application::ports::{MasterKeyRotation, Rewrapped, StoreError};
use authlog_domain::UserId;
use uuid::Uuid;

use super::PostgresStore;
use super::connections::Connections;
use crate::sealing::{Unopenable, subject_key_place};
use crate::store::{shared_secret_place as place, unreadable};
use crate::tokens::KeyPurpose;

/// The next page of keys, in order of their accounts.
const PAGE: &str = r"
    SELECT user_id, wrapped FROM subject_keys
     WHERE $1::uuid IS NULL OR user_id > $1 ORDER BY user_id LIMIT $2";

/// A key that was deleted meanwhile, because its account was erased, stays deleted.
const REWRAP: &str = r"
    UPDATE subject_keys k SET wrapped = n.renewed
      FROM unnest($1::uuid[], $2::bytea[], $3::bytea[]) AS n (user_id, was, renewed)
     WHERE k.user_id = n.user_id AND k.wrapped = n.was";

/// All secrets at once: one of them is the store's secret, which proves that the rotation is finished.
const RESEAL: &str = r"
    UPDATE shared_secrets s SET sealed = n.renewed
      FROM unnest($1::text[], $2::bytea[], $3::bytea[]) AS n (name, was, renewed)
     WHERE s.name = n.name AND s.sealed = n.was";

/// Names, the old sealed values, and the new sealed values.
pub(super) type Resealed<T> = (Vec<T>, Vec<Vec<u8>>, Vec<Vec<u8>>);

#[async_trait]
impl MasterKeyRotation for PostgresStore {
    async fn begin_rotation(&self) -> Result<u64, StoreError> {
        let replacement = self.vault.master.replacement();
        let fingerprint = replacement
            .ok_or_else(|| unreadable(Unopenable))?
            .fingerprint();
        self.connections
            .ask(|pool| {
                sqlx::query("SELECT change_sealing_key($1)")
                    .bind(fingerprint.as_slice())
                    .execute(pool)
            })
            .await?;
        self.vault.follow_rotation(&fingerprint)?;
        let count: i64 = self
            .connections
            .ask(|pool| sqlx::query_scalar("SELECT count(*) FROM subject_keys").fetch_one(pool))
            .await?;
        Ok(count.cast_unsigned())
    }

    async fn rewrap_after(
        &self,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Option<Rewrapped>, StoreError> {
        let keys: Vec<(Uuid, Vec<u8>)> = self
            .connections
            .ask(|pool| {
                sqlx::query_as(PAGE)
                    .bind(after.map(UserId::as_uuid))
                    .bind(i64::from(limit))
                    .fetch_all(pool)
            })
            .await?;
        let Some((user, _)) = keys.last() else {
            return Ok(None);
        };
        let (user, seen) = (UserId::new(*user), keys.len() as u64);
        let (users, was, renewed) =
            self.resealed(keys, |user| subject_key_place(UserId::new(*user)))?;
        let done = self
            .connections
            .ask(|pool| {
                sqlx::query(REWRAP)
                    .bind(&users)
                    .bind(&was)
                    .bind(&renewed)
                    .execute(pool)
            })
            .await?;
        Ok(Some(Rewrapped {
            user,
            seen,
            rewrapped: done.rows_affected(),
        }))
    }

    async fn finish_rotation(&self) -> Result<(), StoreError> {
        for purpose in KeyPurpose::ALL {
            self.reseal_signing_keys(purpose).await?;
        }
        let secrets: Vec<(String, Vec<u8>)> = self
            .connections
            .ask(|pool| sqlx::query_as("SELECT name, sealed FROM shared_secrets").fetch_all(pool))
            .await?;
        let (names, was, renewed) = self.resealed(secrets, |name| place(name))?;
        self.connections
            .ask(|pool| {
                sqlx::query(RESEAL)
                    .bind(&names)
                    .bind(&was)
                    .bind(&renewed)
                    .execute(pool)
            })
            .await?;
        Ok(())
    }
}

impl PostgresStore {
    /// The values that are not sealed under the new key yet, with their replacements.
    pub(super) fn resealed<T>(
        &self,
        stored: Vec<(T, Vec<u8>)>,
        place: impl Fn(&T) -> String,
    ) -> Result<Resealed<T>, StoreError> {
        let vault = &self.vault;
        let (mut names, mut was, mut now) = (vec![], vec![], vec![]);
        for (name, sealed) in stored {
            let renewed = vault
                .master
                .rewrap(&place(&name), &sealed, &*vault.entropy)
                .map_err(unreadable)?;
            if let Some(renewed) = renewed {
                names.push(name);
                was.push(sealed);
                now.push(renewed);
            }
        }
        Ok((names, was, now))
    }

    /// Switches to the master key that seals new secrets now.
    pub(super) async fn follow_rotation(&self) -> Result<(), StoreError> {
        let sealing = sealing_key(&self.connections).await?;
        self.vault.follow_rotation(&sealing.unwrap_or_default())
    }
}

/// The fingerprint of the master key that seals new secrets.
pub(super) async fn sealing_key(connections: &Connections) -> Result<Option<Vec<u8>>, StoreError> {
    connections
        .ask(|pool| sqlx::query_scalar("SELECT fingerprint FROM sealing_key").fetch_optional(pool))
        .await
}

/// The fingerprint of the master key that seals new secrets, which becomes `first` if the store has none yet.
pub(super) async fn keep_first_sealing_key(
    connections: &Connections,
    first: &[u8],
) -> Result<Vec<u8>, StoreError> {
    connections
        .ask(|pool| {
            sqlx::query("INSERT INTO sealing_key (fingerprint) VALUES ($1) ON CONFLICT DO NOTHING")
                .bind(first)
                .execute(pool)
        })
        .await?;
    Ok(sealing_key(connections).await?.unwrap_or_default())
}
