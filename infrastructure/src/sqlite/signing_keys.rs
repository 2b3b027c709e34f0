//! The keys that sign tokens.

use std::path::PathBuf;

use async_trait::async_trait;
use authlog_application::ports::StoreError;
use authlog_domain::Timestamp;
use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use super::SqliteStore;
use super::errors::store_error;
use super::rotation::sealing_key;
use super::shared_secrets::find;
use crate::sealing::Fingerprint;
use crate::store::{KeyChange, SigningKeyStore, StoredKeys};
use crate::tokens::{KeyLedger, KeyRecord, KeyRow, KeyTimes, SigningKeys};

type Answer<T> = std::result::Result<T, StoreError>;

#[async_trait]
impl SigningKeyStore for SqliteStore {
    async fn signing_keys(&self, now: Timestamp) -> Answer<SigningKeys> {
        let stored = self.readers.read(select).await?;
        self.vault.signing_keys(&stored, now)
    }

    async fn change_signing_keys(
        &self,
        after: i64,
        changed: &[KeyRecord],
        removed: &[String],
        now: Timestamp,
    ) -> Answer<bool> {
        // They must not be sealed under a master key that is being replaced.
        self.follow_rotation().await?;
        let fingerprint = self.vault.master.fingerprint();
        let stored = self.readers.read(select).await?;
        if stored.number != after {
            return Ok(false);
        }
        let change = self.vault.change_of_keys(&stored, changed, removed, now)?;
        self.writer
            .write(move |connection| {
                write(connection, after, fingerprint, &change).map_err(store_error)
            })
            .await
    }

    fn keep_retired_keys_in(&self, file: PathBuf) -> std::io::Result<()> {
        self.vault.retired_keys.keep_in(file)
    }
}

fn select(connection: &Connection) -> Result<StoredKeys> {
    const SELECT: &str = "
        SELECT kid, algorithm, signs_from, signs_until, retired_at, sealed FROM signing_keys ORDER BY signs_from, kid";
    let snapshot = connection.unchecked_transaction()?;
    let number = snapshot
        .prepare_cached("SELECT number FROM signing_key_changes")?
        .query_row([], |row| row.get(0))
        .optional()?;
    let rows = snapshot
        .prepare_cached(SELECT)?
        .query_map([], read)?
        .collect::<Result<_>>()?;
    Ok(StoredKeys {
        rows,
        // The migration creates this row. Without it, no change was counted.
        number: number.unwrap_or_default(),
        ledger: find(&snapshot, KeyLedger::NAME)?,
    })
}

fn read(row: &Row<'_>) -> Result<KeyRow> {
    let signs_until: Option<i64> = row.get(3)?;
    let retired_at: Option<i64> = row.get(4)?;
    Ok(KeyRow {
        kid: row.get(0)?,
        algorithm: row.get(1)?,
        times: KeyTimes::from_unix_millis(row.get(2)?, signs_until, retired_at),
        is_newest: signs_until.is_none(),
        sealed: row.get(5)?,
    })
}

/// Writes the keys, unless they were changed since `after` or another master key seals new secrets. Returns whether it
/// has written them.
fn write(
    connection: &Connection,
    after: i64,
    fingerprint: Fingerprint,
    change: &KeyChange,
) -> Result<bool> {
    const COUNT: &str = "
        INSERT INTO signing_key_changes (id, number) VALUES (1, ?1 + 1)
        ON CONFLICT (id) DO UPDATE SET number = excluded.number WHERE number = ?1";
    // For an existing key, only its times can change, and its private half can be removed.
    const UPSERT: &str = "
        INSERT INTO signing_keys (kid, algorithm, signs_from, signs_until, retired_at, sealed)
        VALUES (?, ?, ?, ?, ?, ?)
        ON CONFLICT (kid) DO UPDATE
        SET algorithm = excluded.algorithm, signs_from = excluded.signs_from, signs_until = excluded.signs_until,
            retired_at = excluded.retired_at, sealed = CASE WHEN excluded.sealed IS NULL THEN NULL ELSE sealed END";
    const LEDGER: &str = "
        INSERT INTO shared_secrets (name, sealed) VALUES (?, ?)
        ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed";
    // Removes the secrets in which earlier versions kept the keys.
    const FORMER: &str = "DELETE FROM shared_secrets WHERE name LIKE 'signing-key/%'";
    if sealing_key(connection)? != Some(fingerprint) {
        return Ok(false);
    }
    if connection.prepare_cached(COUNT)?.execute([after])? == 0 {
        return Ok(false);
    }
    let mut delete = connection.prepare_cached("DELETE FROM signing_keys WHERE kid = ?")?;
    for kid in &change.removed {
        delete.execute([kid])?;
    }
    let mut upsert = connection.prepare_cached(UPSERT)?;
    for (row, times) in &change.rows {
        upsert.execute(params![
            row.kid,
            row.algorithm,
            times.signs_from.unix_millis(),
            times.signs_until.map(Timestamp::unix_millis),
            times.retired_at.map(Timestamp::unix_millis),
            row.sealed,
        ])?;
    }
    connection
        .prepare_cached(LEDGER)?
        .execute(params![KeyLedger::NAME, change.ledger])?;
    connection.prepare_cached(FORMER)?.execute([])?;
    Ok(true)
}
