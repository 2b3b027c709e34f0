//! The keys that sign tokens.

use async_trait::async_trait;
use authlog_application::ports::StoreError;
use authlog_domain::Timestamp;
use sqlx::{Connection as _, FromRow};
use time::OffsetDateTime;

use super::PostgresStore;
use super::errors::{SchemaRefusal, refused_by_schema};
use super::pool::answered;
use crate::store::{SigningKeyStore, newest_last, signing_key_place, unreadable};
use crate::tokens::KeyRecord;

/// The number is there even if no key is.
const SELECT: &str = r"
    SELECT c.number, k.kid, k.algorithm, k.signs_from, k.signs_until, k.retired_at, k.sealed
      FROM signing_key_changes c LEFT JOIN signing_keys k ON true
     ORDER BY k.signs_from, k.kid";

const COUNT: &str = "UPDATE signing_key_changes SET number = number + 1 WHERE number = $1";

/// Of a key that is there only its times change, and its private half can go.
const UPSERT: &str = r"
    INSERT INTO signing_keys AS k (kid, algorithm, signs_from, signs_until, retired_at, sealed)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (kid) DO UPDATE
    SET signs_from = excluded.signs_from, signs_until = excluded.signs_until, retired_at = excluded.retired_at,
        sealed = CASE WHEN excluded.sealed IS NULL THEN NULL ELSE k.sealed END";

/// Where they were kept before there was a set of them.
const FORMER: &str = "DELETE FROM shared_secrets WHERE name LIKE 'signing-key/%'";

#[derive(FromRow)]
struct Row {
    number: i64,
    kid: Option<String>,
    algorithm: Option<String>,
    signs_from: Option<OffsetDateTime>,
    signs_until: Option<OffsetDateTime>,
    retired_at: Option<OffsetDateTime>,
    sealed: Option<Vec<u8>>,
}

#[async_trait]
impl SigningKeyStore for PostgresStore {
    async fn signing_keys(&self) -> Result<(Vec<KeyRecord>, i64), StoreError> {
        let rows: Vec<Row> = self
            .connections
            .ask(|pool| sqlx::query_as(SELECT).fetch_all(pool))
            .await?;
        let number = rows
            .first()
            .ok_or_else(|| unreadable(sqlx::Error::RowNotFound))?
            .number;
        let keys = rows.into_iter().filter_map(|row| self.record(row));
        let keys = keys.collect::<Result<_, _>>()?;
        Ok((keys, number))
    }

    async fn change_signing_keys(
        &self,
        after: i64,
        changed: &[KeyRecord],
    ) -> Result<bool, StoreError> {
        // They must not be sealed under a master key that is being replaced.
        self.follow_rotation().await?;
        let fingerprint = self.vault.master.fingerprint();
        let mut writing = Vec::with_capacity(changed.len());
        for key in newest_last(changed) {
            let sealed = self.sealed(&key)?;
            writing.push((key, sealed));
        }
        let written = self.connections.ask_once(answered(async {
            let mut connection = self.connections.pool().acquire().await?;
            let mut transaction = connection.begin().await?;
            let counted = sqlx::query(COUNT)
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
            for (key, sealed) in &writing {
                sqlx::query(UPSERT)
                    .bind(&key.kid)
                    .bind(key.algorithm.as_str())
                    .bind(key.signs_from.date_time())
                    .bind(key.signs_until.map(Timestamp::date_time))
                    .bind(key.retired_at.map(Timestamp::date_time))
                    .bind(sealed)
                    .execute(&mut *transaction)
                    .await?;
            }
            sqlx::query(FORMER).execute(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(true)
        }));
        written.await
    }
}

impl PostgresStore {
    fn sealed(&self, key: &KeyRecord) -> Result<Option<Vec<u8>>, StoreError> {
        let vault = &self.vault;
        let place = signing_key_place(key.algorithm.as_str(), &key.kid);
        let private = key.private.as_ref();
        private
            .map(|private| vault.master.seal(&place, private, &*vault.entropy))
            .transpose()
            .map_err(unreadable)
    }

    /// The key of a row, if there is one in it.
    fn record(&self, row: Row) -> Option<Result<KeyRecord, StoreError>> {
        let (kid, name, signs_from) = (row.kid?, row.algorithm?, row.signs_from?);
        let place = signing_key_place(&name, &kid);
        let private = row
            .sealed
            .map(|sealed| self.vault.master.open(&place, &sealed));
        Some(private.transpose().map_err(unreadable).and_then(|private| {
            Ok(KeyRecord {
                kid,
                algorithm: name.parse().map_err(unreadable)?,
                signs_from: Timestamp::new(signs_from),
                signs_until: row.signs_until.map(Timestamp::new),
                retired_at: row.retired_at.map(Timestamp::new),
                private,
            })
        }))
    }
}
