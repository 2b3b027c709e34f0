//! The keys that sign tokens.

use std::path::PathBuf;

use async_trait::async_trait;
use authlog_application::ports::StoreError;
use authlog_domain::Timestamp;
use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use super::SqliteStore;
use super::errors::store_error;
use super::rotation::{Resealed, sealing_key};
use super::shared_secrets::find;
use crate::sealing::Fingerprint;
use crate::store::{KeyChange, SigningKeyStore, StoredKeys};
use crate::tokens::{KeyPurpose, KeyRecord, KeyRow, KeyTimes, SigningKeys};

type Answer<T> = std::result::Result<T, StoreError>;

/// The statements on the tables of one purpose.
struct Statements {
    /// The number of the last change.
    number: &'static str,
    /// All keys.
    select: &'static str,
    /// Counts a change.
    count: &'static str,
    /// For an existing key, only its times can change, and its private half can be removed.
    upsert: &'static str,
    /// Removes a row.
    remove: &'static str,
    /// The private halves.
    sealed: &'static str,
    /// Replaces a private half. A key that was retired meanwhile stays without one.
    reseal: &'static str,
}

macro_rules! statements {
    ($keys:literal, $changes:literal) => {
        Statements {
            number: concat!("SELECT number FROM ", $changes),
            select: concat!(
                "SELECT kid, algorithm, signs_from, signs_until, retired_at, sealed FROM ",
                $keys,
                " ORDER BY signs_from, kid"
            ),
            count: concat!(
                "INSERT INTO ",
                $changes,
                " (id, number) VALUES (1, ?1 + 1)
        ON CONFLICT (id) DO UPDATE SET number = excluded.number WHERE number = ?1"
            ),
            upsert: concat!(
                "INSERT INTO ",
                $keys,
                " (kid, algorithm, signs_from, signs_until, retired_at, sealed)
        VALUES (?, ?, ?, ?, ?, ?)
        ON CONFLICT (kid) DO UPDATE
        SET algorithm = excluded.algorithm, signs_from = excluded.signs_from, signs_until = excluded.signs_until,
            retired_at = excluded.retired_at, sealed = CASE WHEN excluded.sealed IS NULL THEN NULL ELSE sealed END"
            ),
            remove: concat!("DELETE FROM ", $keys, " WHERE kid = ?"),
            sealed: concat!("SELECT algorithm, kid, sealed FROM ", $keys, " WHERE sealed IS NOT NULL"),
            reseal: concat!("UPDATE ", $keys, " SET sealed = ?3 WHERE kid = ?1 AND sealed = ?2"),
        }
    };
}

const fn statements(purpose: KeyPurpose) -> Statements {
    match purpose {
        KeyPurpose::Access => statements!("signing_keys", "signing_key_changes"),
        KeyPurpose::IdToken => statements!("id_token_keys", "id_token_key_changes"),
    }
}

#[async_trait]
impl SigningKeyStore for SqliteStore {
    async fn signing_keys(&self, purpose: KeyPurpose, now: Timestamp) -> Answer<SigningKeys> {
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
    ) -> Answer<bool> {
        // They must not be sealed under a master key that is being replaced.
        self.follow_rotation().await?;
        let fingerprint = self.vault.master.fingerprint();
        let stored = self.stored_keys(purpose).await?;
        if stored.number != after {
            return Ok(false);
        }
        let change = self.vault.change_of_keys(&stored, changed, removed, now)?;
        self.writer
            .write(move |connection| {
                write(connection, purpose, after, fingerprint, &change).map_err(store_error)
            })
            .await
    }

    fn keep_retired_keys_in(&self, file: PathBuf) -> std::io::Result<()> {
        self.vault.retired_keys.keep_in(file)
    }
}

impl SqliteStore {
    async fn stored_keys(&self, purpose: KeyPurpose) -> Answer<StoredKeys> {
        self.readers
            .read(move |connection| select(connection, purpose))
            .await
    }
}

fn select(connection: &Connection, purpose: KeyPurpose) -> Result<StoredKeys> {
    let statements = statements(purpose);
    let snapshot = connection.unchecked_transaction()?;
    let number = snapshot
        .prepare_cached(statements.number)?
        .query_row([], |row| row.get(0))
        .optional()?;
    let rows = snapshot
        .prepare_cached(statements.select)?
        .query_map([], read)?
        .collect::<Result<_>>()?;
    Ok(StoredKeys {
        purpose,
        rows,
        // The migration creates this row. Without it, no change was counted.
        number: number.unwrap_or_default(),
        ledger: find(&snapshot, purpose.ledger())?,
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
    purpose: KeyPurpose,
    after: i64,
    fingerprint: Fingerprint,
    change: &KeyChange,
) -> Result<bool> {
    const LEDGER: &str = "
        INSERT INTO shared_secrets (name, sealed) VALUES (?, ?)
        ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed";
    // Removes the secrets in which earlier versions kept the keys.
    const FORMER: &str = "DELETE FROM shared_secrets WHERE name LIKE 'signing-key/%'";
    let statements = statements(purpose);
    if sealing_key(connection)? != Some(fingerprint) {
        return Ok(false);
    }
    if connection
        .prepare_cached(statements.count)?
        .execute([after])?
        == 0
    {
        return Ok(false);
    }
    let mut delete = connection.prepare_cached(statements.remove)?;
    for kid in &change.removed {
        delete.execute([kid])?;
    }
    let mut upsert = connection.prepare_cached(statements.upsert)?;
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
        .execute(params![purpose.ledger(), change.ledger])?;
    if purpose == KeyPurpose::Access {
        connection.prepare_cached(FORMER)?.execute([])?;
    }
    Ok(true)
}

/// The algorithm and the name of a signing key.
pub(super) type SigningKeyName = (String, String);

/// The private halves of the signing keys of this purpose.
pub(super) fn private_halves(
    connection: &Connection,
    purpose: KeyPurpose,
) -> Result<Vec<(SigningKeyName, Vec<u8>)>> {
    connection
        .prepare_cached(statements(purpose).sealed)?
        .query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)))?
        .collect()
}

/// Replaces the private halves of signing keys of this purpose.
pub(super) fn reseal(
    connection: &Connection,
    purpose: KeyPurpose,
    changed: &[Resealed<SigningKeyName>],
) -> Result<()> {
    let mut update = connection.prepare_cached(statements(purpose).reseal)?;
    for ((_, kid), was, renewed) in changed {
        update.execute(params![kid, was, renewed])?;
    }
    Ok(())
}
