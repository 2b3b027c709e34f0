//! The keys that sign tokens.

use std::path::PathBuf;

use async_trait::async_trait;
use authlog_application::ports::StoreError;
use authlog_domain::Timestamp;
use sqlx::{Connection as _, FromRow};

use super::PostgresStore;
use super::errors::{SchemaRefusal, refused_by_schema};
use super::instants::StoredInstant;
use super::pool::answered;
use crate::store::{SigningKeyStore, StoredKeys, signing_key_place};
use crate::tokens::{KeyPurpose, KeyRecord, KeyRow, KeyTimes, SigningKeys};

/// The statements on the tables of one purpose.
struct Statements {
    /// There is one row even if there is no key.
    select: &'static str,
    /// Counts a change.
    count: &'static str,
    /// For an existing key, only its times can change, and its private half can be removed.
    upsert: &'static str,
    /// Removes rows.
    remove: &'static str,
    /// The private halves.
    sealed: &'static str,
    /// Replaces private halves. A key that was retired meanwhile stays without one.
    reseal: &'static str,
}

macro_rules! statements {
    ($keys:literal, $changes:literal) => {
        Statements {
            select: concat!(
                r"
    SELECT c.number, k.kid, k.algorithm, k.signs_from, k.signs_until, k.retired_at, k.sealed,
           (SELECT sealed FROM shared_secrets WHERE name = $1) AS ledger
      FROM (SELECT coalesce(max(number), 0) AS number FROM ",
                $changes,
                ") c LEFT JOIN ",
                $keys,
                r" k ON true
     ORDER BY k.signs_from, k.kid"
            ),
            count: concat!(
                "INSERT INTO ",
                $changes,
                r" AS c (id, number) VALUES (1, $1 + 1)
    ON CONFLICT (id) DO UPDATE SET number = excluded.number WHERE c.number = $1"
            ),
            upsert: concat!(
                "INSERT INTO ",
                $keys,
                r" AS k (kid, algorithm, signs_from, signs_until, retired_at, sealed)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (kid) DO UPDATE
    SET algorithm = excluded.algorithm, signs_from = excluded.signs_from, signs_until = excluded.signs_until,
        retired_at = excluded.retired_at, sealed = CASE WHEN excluded.sealed IS NULL THEN NULL ELSE k.sealed END"
            ),
            remove: concat!("DELETE FROM ", $keys, " WHERE kid = ANY ($1)"),
            sealed: concat!("SELECT algorithm, kid, sealed FROM ", $keys, " WHERE sealed IS NOT NULL"),
            reseal: concat!(
                "UPDATE ",
                $keys,
                r" k SET sealed = n.renewed
      FROM unnest($1::text[], $2::bytea[], $3::bytea[]) AS n (kid, was, renewed)
     WHERE k.kid = n.kid AND k.sealed = n.was"
            ),
        }
    };
}

const fn statements(purpose: KeyPurpose) -> Statements {
    match purpose {
        KeyPurpose::Access => statements!("signing_keys", "signing_key_changes"),
        KeyPurpose::IdToken => statements!("id_token_keys", "id_token_key_changes"),
    }
}

const LEDGER: &str = r"
    INSERT INTO shared_secrets (name, sealed) VALUES ($1, $2)
    ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed";

/// Removes the secrets in which earlier versions kept the keys.
const FORMER: &str = "DELETE FROM shared_secrets WHERE name LIKE 'signing-key/%'";

#[derive(FromRow)]
struct Row {
    number: i64,
    kid: Option<String>,
    algorithm: Option<String>,
    signs_from: Option<StoredInstant>,
    signs_until: Option<StoredInstant>,
    retired_at: Option<StoredInstant>,
    sealed: Option<Vec<u8>>,
    ledger: Option<Vec<u8>>,
}

#[async_trait]
impl SigningKeyStore for PostgresStore {
    async fn signing_keys(
        &self,
        purpose: KeyPurpose,
        now: Timestamp,
    ) -> Result<SigningKeys, StoreError> {
        let stored = self.stored_keys(purpose).await?;
        self.vault.signing_keys(&stored, now)
    }

    async fn change_signing_keys(
        &self,
        purpose: KeyPurpose,
        after: i64,
        changed: &[KeyRecord],
        removed: &[String],
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        // They must not be sealed under a master key that is being replaced.
        self.follow_rotation().await?;
        let fingerprint = self.vault.master.fingerprint();
        let stored = self.stored_keys(purpose).await?;
        if stored.number != after {
            return Ok(false);
        }
        let change = self.vault.change_of_keys(&stored, changed, removed, now)?;
        let statements = statements(purpose);
        let written = self.connections.ask_once(answered(async {
            let mut connection = self.connections.pool().acquire().await?;
            let mut transaction = connection.begin().await?;
            let counted = sqlx::query(statements.count)
                .bind(after)
                .execute(&mut *transaction)
                .await?;
            if counted.rows_affected() == 0 {
                return Ok(false);
            }
            let kept = sqlx::query("SELECT require_sealing_key($1)")
                .bind(fingerprint.as_slice())
                .execute(&mut *transaction)
                .await;
            match kept {
                Err(error) if refused_by_schema(&error) == Some(SchemaRefusal::OtherMasterKey) => {
                    return Ok(false);
                }
                other => other?,
            };
            sqlx::query(statements.remove)
                .bind(&change.removed)
                .execute(&mut *transaction)
                .await?;
            for (row, times) in &change.rows {
                sqlx::query(statements.upsert)
                    .bind(&row.kid)
                    .bind(&row.algorithm)
                    .bind(times.signs_from.date_time())
                    .bind(times.signs_until.map(Timestamp::date_time))
                    .bind(times.retired_at.map(Timestamp::date_time))
                    .bind(&row.sealed)
                    .execute(&mut *transaction)
                    .await?;
            }
            sqlx::query(LEDGER)
                .bind(purpose.ledger())
                .bind(&change.ledger)
                .execute(&mut *transaction)
                .await?;
            if purpose == KeyPurpose::Access {
                sqlx::query(FORMER).execute(&mut *transaction).await?;
            }
            transaction.commit().await?;
            Ok(true)
        }));
        written.await
    }

    fn keep_retired_keys_in(&self, file: PathBuf) -> std::io::Result<()> {
        self.vault.retired_keys.keep_in(file)
    }
}

impl PostgresStore {
    async fn stored_keys(&self, purpose: KeyPurpose) -> Result<StoredKeys, StoreError> {
        let select = statements(purpose).select;
        let rows: Vec<Row> = self
            .connections
            .ask(|pool| {
                sqlx::query_as(select)
                    .bind(purpose.ledger())
                    .fetch_all(pool)
            })
            .await?;
        let first = rows.first();
        let (number, ledger) = first
            .map(|row| (row.number, row.ledger.clone()))
            .unwrap_or_default();
        Ok(StoredKeys {
            purpose,
            number,
            ledger,
            rows: rows.into_iter().filter_map(Row::key).collect(),
        })
    }
}

impl PostgresStore {
    /// Seals the private halves of this purpose under the master key that replaces the former one.
    pub(super) async fn reseal_signing_keys(&self, purpose: KeyPurpose) -> Result<(), StoreError> {
        let statements = statements(purpose);
        let keys: Vec<(String, String, Vec<u8>)> = self
            .connections
            .ask(|pool| sqlx::query_as(statements.sealed).fetch_all(pool))
            .await?;
        let place = |algorithm: &str, kid: &str| signing_key_place(purpose, algorithm, kid);
        // A value that no master key opens is not a signing key of this service.
        let keys = keys
            .into_iter()
            .filter(|(algorithm, kid, sealed)| {
                let opened = self.vault.master.open(&place(algorithm, kid), sealed);
                opened.is_ok()
            })
            .map(|(algorithm, kid, sealed)| ((algorithm, kid), sealed));
        let (names, was, renewed) =
            self.resealed(keys.collect(), |(algorithm, kid)| place(algorithm, kid))?;
        let kids: Vec<String> = names.into_iter().map(|(_, kid)| kid).collect();
        self.connections
            .ask(|pool| {
                sqlx::query(statements.reseal)
                    .bind(&kids)
                    .bind(&was)
                    .bind(&renewed)
                    .execute(pool)
            })
            .await?;
        Ok(())
    }
}

impl Row {
    /// The key of the row, if there is one in it.
    fn key(self) -> Option<KeyRow> {
        let (kid, algorithm, signs_from) = (self.kid?, self.algorithm?, self.signs_from?);
        let is_newest = self.signs_until.is_none();
        let times = || {
            Some(KeyTimes {
                signs_from: signs_from.get()?,
                signs_until: match self.signs_until {
                    Some(until) => Some(until.get()?),
                    None => None,
                },
                retired_at: match self.retired_at {
                    Some(at) => Some(at.get()?),
                    None => None,
                },
            })
        };
        Some(KeyRow {
            kid,
            algorithm,
            times: times(),
            is_newest,
            sealed: self.sealed,
        })
    }
}
