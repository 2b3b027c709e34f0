//! The keys that sign tokens.

use async_trait::async_trait;
use authlog_application::ports::StoreError;
use authlog_domain::Timestamp;
use rusqlite::{Connection, Result, Row, params};

use super::SqliteStore;
use super::errors::store_error;
use super::rotation::sealing_key;
use crate::sealing::Fingerprint;
use crate::store::{SigningKeyStore, newest_last, signing_key_place, unreadable};
use crate::tokens::KeyRecord;

type Answer<T> = std::result::Result<T, StoreError>;

/// A key, its private half as it is stored.
struct SealedKey {
    kid: String,
    algorithm: String,
    signs_from: Timestamp,
    signs_until: Option<Timestamp>,
    retired_at: Option<Timestamp>,
    sealed: Option<Vec<u8>>,
}

#[async_trait]
impl SigningKeyStore for SqliteStore {
    async fn signing_keys(&self) -> Answer<(Vec<KeyRecord>, i64)> {
        let (keys, number) = self.readers.read(select).await?;
        let keys = keys.into_iter().map(|key| self.opened(key));
        Ok((keys.collect::<Answer<_>>()?, number))
    }

    async fn change_signing_keys(&self, after: i64, changed: &[KeyRecord]) -> Answer<bool> {
        // They must not be sealed under a master key that is being replaced.
        self.follow_rotation().await?;
        let fingerprint = self.vault.master.fingerprint();
        let keys = newest_last(changed)
            .iter()
            .map(|key| self.sealed(key))
            .collect::<Answer<Vec<_>>>()?;
        self.writer
            .write(move |connection| {
                write(connection, after, fingerprint, &keys).map_err(store_error)
            })
            .await
    }
}

impl SqliteStore {
    fn sealed(&self, key: &KeyRecord) -> Answer<SealedKey> {
        let vault = &self.vault;
        let place = signing_key_place(key.algorithm.as_str(), &key.kid);
        let private = key.private.as_ref();
        let sealed = private.map(|private| vault.master.seal(&place, private, &*vault.entropy));
        Ok(SealedKey {
            kid: key.kid.clone(),
            algorithm: key.algorithm.to_string(),
            signs_from: key.signs_from,
            signs_until: key.signs_until,
            retired_at: key.retired_at,
            sealed: sealed.transpose().map_err(unreadable)?,
        })
    }

    fn opened(&self, key: SealedKey) -> Answer<KeyRecord> {
        let place = signing_key_place(&key.algorithm, &key.kid);
        let private = key
            .sealed
            .map(|sealed| self.vault.master.open(&place, &sealed));
        Ok(KeyRecord {
            kid: key.kid,
            algorithm: key.algorithm.parse().map_err(unreadable)?,
            signs_from: key.signs_from,
            signs_until: key.signs_until,
            retired_at: key.retired_at,
            private: private.transpose().map_err(unreadable)?,
        })
    }
}

fn select(connection: &Connection) -> Result<(Vec<SealedKey>, i64)> {
    const SELECT: &str = "
        SELECT kid, algorithm, signs_from, signs_until, retired_at, sealed FROM signing_keys ORDER BY signs_from, kid";
    let snapshot = connection.unchecked_transaction()?;
    let number = snapshot
        .prepare_cached("SELECT number FROM signing_key_changes")?
        .query_row([], |row| row.get(0))?;
    let keys = snapshot
        .prepare_cached(SELECT)?
        .query_map([], read)?
        .collect::<Result<_>>()?;
    Ok((keys, number))
}

fn read(row: &Row<'_>) -> Result<SealedKey> {
    let instant = |place| {
        let millis: Option<i64> = row.get(place)?;
        Ok::<_, rusqlite::Error>(millis.map(Timestamp::from_unix_millis))
    };
    Ok(SealedKey {
        kid: row.get(0)?,
        algorithm: row.get(1)?,
        signs_from: Timestamp::from_unix_millis(row.get(2)?),
        signs_until: instant(3)?,
        retired_at: instant(4)?,
        sealed: row.get(5)?,
    })
}

/// Writes the keys, unless something was changed since `after` or another master key seals what is new; whether it did.
fn write(
    connection: &Connection,
    after: i64,
    fingerprint: Fingerprint,
    keys: &[SealedKey],
) -> Result<bool> {
    const COUNT: &str = "UPDATE signing_key_changes SET number = number + 1 WHERE number = ?";
    // Of a key that is there only its times change, and its private half can go.
    const UPSERT: &str = "
        INSERT INTO signing_keys (kid, algorithm, signs_from, signs_until, retired_at, sealed)
        VALUES (?, ?, ?, ?, ?, ?)
        ON CONFLICT (kid) DO UPDATE
        SET signs_from = excluded.signs_from, signs_until = excluded.signs_until, retired_at = excluded.retired_at,
            sealed = CASE WHEN excluded.sealed IS NULL THEN NULL ELSE sealed END";
    // Where they were kept before there was a set of them.
    const FORMER: &str = "DELETE FROM shared_secrets WHERE name LIKE 'signing-key/%'";
    if sealing_key(connection)? != Some(fingerprint) {
        return Ok(false);
    }
    if connection.prepare_cached(COUNT)?.execute([after])? == 0 {
        return Ok(false);
    }
    let mut upsert = connection.prepare_cached(UPSERT)?;
    for key in keys {
        upsert.execute(params![
            key.kid,
            key.algorithm,
            key.signs_from.unix_millis(),
            key.signs_until.map(Timestamp::unix_millis),
            key.retired_at.map(Timestamp::unix_millis),
            key.sealed,
        ])?;
    }
    connection.prepare_cached(FORMER)?.execute([])?;
    Ok(true)
}
