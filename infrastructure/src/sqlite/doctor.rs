//! The doctor's queries on the file, and its repairs.

use std::collections::HashMap;

use async_trait::async_trait;
use authlog_application::ports::{
    Diagnosis, Doctor, EventStore, OpaqueTokenRecord, StoreError, StreamId, TokenDigest,
};
use authlog_domain::{AggregateKind, Timestamp, UserId};
use authlog_projections::row;
use rusqlite::types::Type;
use rusqlite::{Connection, Error, OptionalExtension, Result, Row, params};

use super::SqliteStore;
use super::erasure::is_erased;
use super::errors::store_error;
use super::rebuild::{model_of, write_rows};
use super::rows::{ACCOUNT, CLIENT, SESSION, account, client, session};
use super::seals::{opaque_tokens_after, stored_credential};
use crate::doctor::{
    Examinable, LogEntry, Place, Placed, Reading, Scope, StoredClaim, StoredEvent, StoredFactor,
    StreamName, Table, examine, steps,
};
use crate::sealing::Stored;
use crate::store::{ClaimDigest, KeyVault, unreadable};

type Answer<T> = std::result::Result<T, StoreError>;

const EVENTS: &str = "
    SELECT e.aggregate_type, e.aggregate_id, e.sequence, e.event_type, e.event_version, e.recorded_at, e.payload,
        e.metadata, l.log_index, l.leaf_hash, e.user_id
    FROM events AS e
    LEFT JOIN event_log AS l ON l.aggregate_type = e.aggregate_type AND l.aggregate_id = e.aggregate_id
        AND l.sequence = e.sequence";

const PLACES_AFTER: &str = "
    SELECT n.number, EXISTS (SELECT 1 FROM accounts AS a WHERE a.number = n.number),
        EXISTS (SELECT 1 FROM account_places AS p WHERE p.number = n.number AND p.listed = 1)
    FROM (
        SELECT number FROM (SELECT number FROM accounts WHERE number > ?1 ORDER BY number LIMIT ?2)
        UNION
        SELECT number FROM (SELECT number FROM account_places WHERE number > ?1 ORDER BY number LIMIT ?2)
    ) AS n
    ORDER BY n.number LIMIT ?2";

/// A lost place is assigned like that of a new account, because no page has shown the account yet.
const LIST_ACCOUNT: &str = "
    INSERT INTO account_places (number, listed) SELECT number, 1 FROM accounts WHERE number = ?1
    ON CONFLICT (number) DO UPDATE SET listed = 1";

const UNLIST_ACCOUNT: &str = "
    UPDATE account_places SET listed = 0
    WHERE number = ?1 AND NOT EXISTS (SELECT 1 FROM accounts AS a WHERE a.number = account_places.number)";

#[async_trait]
impl Doctor for SqliteStore {
    async fn examination_steps(&self) -> Answer<u64> {
        steps(self).await
    }

    async fn examine(
        &self,
        repair: bool,
        now: Timestamp,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Answer<Diagnosis> {
        examine(self, repair, now, progress).await
    }
}

impl Examinable for SqliteStore {
    fn vault(&self) -> &KeyVault {
        &self.vault
    }

    async fn read(&self, scope: Scope) -> Answer<Reading> {
        self.readers
            .read(move |connection| {
                // One transaction is one snapshot; it ends with this value.
                let snapshot = connection.unchecked_transaction()?;
                let mut reading = Reading {
                    events: events(&snapshot, &scope)?,
                    ..Reading::default()
                };
                read_derived(&snapshot, &mut reading)?;
                Ok(reading)
            })
            .await
    }

    async fn log_after(&self, index: i64, limit: u32) -> Answer<Vec<LogEntry>> {
        const SELECT: &str = "
            SELECT l.log_index, l.aggregate_type, l.aggregate_id, l.sequence, e.position
            FROM event_log AS l
            LEFT JOIN events AS e ON e.aggregate_type = l.aggregate_type AND e.aggregate_id = l.aggregate_id
                AND e.sequence = l.sequence
            WHERE l.log_index > ? ORDER BY l.log_index LIMIT ?";
        self.readers
            .read(move |connection| {
                connection
                    .prepare_cached(SELECT)?
                    .query_map(params![index, limit], |row| {
                        let (kind, id): (String, String) = (row.get(1)?, row.get(2)?);
                        let sequence: i64 = row.get(3)?;
                        let position: Option<i64> = row.get(4)?;
                        Ok(LogEntry {
                            log_index: row.get(0)?,
                            event: format!("{kind}/{id}/{sequence}"),
                            has_event: position.is_some(),
                            order: position.map(|position| (0, position)),
                        })
                    })?
                    .collect()
            })
            .await
    }

    async fn log_ends(&self) -> Answer<(i64, i64)> {
        const SELECT: &str = "
            SELECT (SELECT coalesce(max(position), 0) FROM events),
                (SELECT coalesce(max(log_index), 0) FROM event_log)";
        self.readers
            .read(|connection| {
                connection.query_row(SELECT, [], |row| Ok((row.get(0)?, row.get(1)?)))
            })
            .await
    }

    async fn claimed(&self, claims: Vec<ClaimDigest>) -> Answer<Vec<Option<String>>> {
        const SELECT: &str = "SELECT owner FROM identifier_claims WHERE kind = ? AND digest = ?";
        self.readers
            .read(move |connection| {
                let mut select = connection.prepare_cached(SELECT)?;
                claims
                    .iter()
                    .map(|claim| {
                        select
                            .query_row(params![claim.kind.as_str(), claim.digest], |row| row.get(0))
                            .optional()
                    })
                    .collect()
            })
            .await
    }

    async fn claims_after(
        &self,
        after: Option<StoredClaim>,
        limit: u32,
    ) -> Answer<Vec<StoredClaim>> {
        let sql = format!(
            "SELECT c.kind, c.digest, c.owner, {ACCOUNT} FROM identifier_claims AS c
             LEFT JOIN accounts AS a ON a.user_id = c.owner
             WHERE (c.kind, c.digest) > (?, ?) ORDER BY c.kind, c.digest LIMIT ?"
        );
        self.readers
            .read(move |connection| {
                let (kind, digest) = after
                    .as_ref()
                    .map_or(("", &[][..]), |it| (it.kind.as_str(), it.digest.as_slice()));
                connection
                    .prepare_cached(&sql)?
                    .query_map(params![kind, digest, limit], stored_claim)?
                    .collect()
            })
            .await
    }

    async fn keys_after(
        &self,
        table: Table,
        after: Option<String>,
        limit: u32,
    ) -> Answer<Vec<(String, bool)>> {
        let Table { name, key, .. } = table;
        let sql = format!(
            "SELECT t.{key}, EXISTS (SELECT 1 FROM events AS e WHERE e.aggregate_type = ?1 AND e.aggregate_id = t.{key})
             FROM {name} AS t WHERE t.{key} > ?2 ORDER BY t.{key} LIMIT ?3"
        );
        let kind = table.kind.as_str();
        self.readers
            .read(move |connection| {
                let after = after.unwrap_or_default();
                connection
                    .prepare_cached(&sql)?
                    .query_map(params![kind, after, limit], |row| {
                        Ok((row.get(0)?, row.get(1)?))
                    })?
                    .collect()
            })
            .await
    }

    async fn places_after(&self, number: i64, limit: u32) -> Answer<Vec<Placed>> {
        let placed = |row: &Row<'_>| {
            Ok(Placed {
                number: row.get(0)?,
                has_account: row.get(1)?,
                is_listed: row.get(2)?,
            })
        };
        self.readers
            .read(move |connection| {
                connection
                    .prepare_cached(PLACES_AFTER)?
                    .query_map(params![number, limit], placed)?
                    .collect()
            })
            .await
    }

    async fn repair_place(&self, number: i64) -> Answer<()> {
        self.writer
            .write(move |connection| {
                connection
                    .execute(LIST_ACCOUNT, [number])
                    .and_then(|_| connection.execute(UNLIST_ACCOUNT, [number]))
                    .map(drop)
                    .map_err(store_error)
            })
            .await
    }

    async fn rewrite_row(&self, stream: &StreamId) -> Answer<()> {
        let Some(model) = model_of(stream.kind) else {
            return Ok(());
        };
        // A row with a higher version than its events would be overwritten neither now nor by later appends.
        let lower = format!(
            "UPDATE {} SET version = 0 WHERE {} = ?2 AND version >
             (SELECT coalesce(max(sequence), 0) FROM events WHERE aggregate_type = ?1 AND aggregate_id = ?2)",
            model.table, model.key
        );
        let (kind, id) = (stream.kind.as_str(), stream.id.clone());
        self.writer
            .write(move |connection| {
                connection
                    .execute(&lower, params![kind, id])
                    .map_err(store_error)
            })
            .await?;
        let events = self.load(stream).await?;
        let fold = row(stream.kind, &events).map_err(unreadable)?;
        let rows: Vec<_> = fold.into_iter().map(|row| self.with_mac(row)).collect();
        self.writer
            .write(move |connection| write_rows(connection, &rows).map_err(store_error))
            .await
    }

    async fn remove_row(&self, stream: &StreamId) -> Answer<()> {
        let Some(model) = model_of(stream.kind) else {
            return Ok(());
        };
        let remove = format!("DELETE FROM {} WHERE {} = ?", model.table, model.key);
        let id = stream.id.clone();
        self.writer
            .write(move |connection| {
                connection
                    .execute(&remove, [id])
                    .map(|_| ())
                    .map_err(store_error)
            })
            .await
    }

    async fn rewrite_claim(&self, claim: ClaimDigest) -> Answer<()> {
        const UPSERT: &str = "
            INSERT INTO identifier_claims (kind, digest, owner)
            SELECT ?1, ?2, user_id FROM subject_keys WHERE user_id = ?3
            ON CONFLICT (kind, digest) DO UPDATE SET owner = excluded.owner";
        self.writer
            .write(move |connection| {
                let owner = claim.owner.to_string();
                connection
                    .execute(UPSERT, params![claim.kind.as_str(), claim.digest, owner])
                    .map(|_| ())
                    .map_err(store_error)
            })
            .await
    }

    async fn remove_claim(&self, claim: StoredClaim) -> Answer<()> {
        const DELETE: &str =
            "DELETE FROM identifier_claims WHERE kind = ? AND digest = ? AND owner = ?";
        self.writer
            .write(move |connection| {
                connection
                    .execute(DELETE, params![claim.kind, claim.digest, claim.owner])
                    .map(|_| ())
                    .map_err(store_error)
            })
            .await
    }

    async fn opaque_tokens_after(
        &self,
        after: Option<TokenDigest>,
        limit: u32,
    ) -> Answer<Vec<Stored<OpaqueTokenRecord>>> {
        self.readers
            .read(move |connection| opaque_tokens_after(connection, after, limit))
            .await
    }

    async fn remove_opaque_token(&self, digest: TokenDigest) -> Answer<()> {
        self.writer
            .write(move |connection| {
                connection
                    .execute("DELETE FROM opaque_tokens WHERE digest = ?", [digest.0])
                    .map(drop)
                    .map_err(store_error)
            })
            .await
    }
}

fn events(connection: &Connection, scope: &Scope) -> Result<Vec<StoredEvent>> {
    const ORDER: &str = "ORDER BY e.aggregate_type, e.aggregate_id, e.sequence";
    match scope {
        Scope::After(after, limit) => {
            let sql = format!(
                "{EVENTS} WHERE (e.aggregate_type, e.aggregate_id) > (?, ?) {ORDER} LIMIT ?"
            );
            connection
                .prepare_cached(&sql)?
                .query_map(params![after.kind, after.id, limit], stored_event)?
                .collect()
        }
        Scope::Only(stream) => {
            let sql = format!("{EVENTS} WHERE e.aggregate_type = ? AND e.aggregate_id = ? {ORDER}");
            connection
                .prepare_cached(&sql)?
                .query_map(params![stream.kind, stream.id], stored_event)?
                .collect()
        }
    }
}

fn stored_event(row: &Row<'_>) -> Result<StoredEvent> {
    let log_index: Option<i64> = row.get(8)?;
    Ok(StoredEvent {
        stream: StreamName {
            kind: row.get(0)?,
            id: row.get(1)?,
        },
        user: row.get(10)?,
        sequence: row.get(2)?,
        event_type: row.get(3)?,
        event_version: row.get(4)?,
        recorded_at_micros: row.get(5)?,
        payload: row.get(6)?,
        metadata: row.get(7)?,
        place: match log_index {
            Some(log_index) => Place::At {
                log_index,
                leaf_hash: row.get(9)?,
            },
            // Event and entry are written together.
            None => Place::Missing,
        },
    })
}

fn read_derived(connection: &Connection, reading: &mut Reading) -> Result<()> {
    let accounts = reading.ids_of(AggregateKind::User);
    let sessions = reading.ids_of(AggregateKind::Session);
    let by_id = format!("SELECT {ACCOUNT} FROM accounts AS a WHERE a.user_id = ?");
    reading.accounts = look_up(connection, &by_id, &accounts, |row| {
        row_or_finding(account(row, 0))
    })?;
    let by_id = format!("SELECT {SESSION} FROM sessions AS s WHERE s.session_id = ?");
    reading.sessions = look_up(connection, &by_id, &sessions, |row| {
        row_or_finding(session(row, 0))
    })?;
    let clients = reading.ids_of(AggregateKind::Client);
    let by_id = format!("SELECT {CLIENT} FROM clients AS c WHERE c.client_id = ?");
    reading.clients = look_up(connection, &by_id, &clients, |row| {
        row_or_finding(client(row))
    })?;
    let by_id =
        "SELECT user_id, credential_id, sealed, password_hash FROM credentials WHERE user_id = ?";
    reading.credentials = look_up(connection, by_id, &accounts, |row| {
        row_or_finding(stored_credential(row))
    })?;
    let by_id = "SELECT wrapped FROM subject_keys WHERE user_id = ?";
    reading.keys = look_up(connection, by_id, &accounts, |row| row.get(0))?;
    let by_user =
        "SELECT factor_id, sealed FROM second_factors WHERE user_id = ? ORDER BY factor_id";
    reading.seeds = factors_of(connection, by_user, &accounts)?;
    let by_user = "SELECT factor_id, sealed FROM passkeys WHERE user_id = ? ORDER BY factor_id";
    reading.passkeys = factors_of(connection, by_user, &accounts)?;
    let by_user = "SELECT count(*) FROM recovery_codes WHERE user_id = ?";
    reading.recovery_codes = look_up(connection, by_user, &accounts, |row| row.get(0))?;
    for user in reading.users() {
        if UserId::parse(&user).map_or(Ok(false), |user| is_erased(connection, user))? {
            reading.erased.insert(user);
        }
    }
    let mut unfinished =
        connection.prepare_cached("SELECT 1 FROM unfinished_erasures WHERE user_id = ?")?;
    for user in &reading.erased {
        if unfinished.exists([user])? {
            reading.unfinished.insert(user.clone());
        }
    }
    Ok(())
}

/// The sealed secrets of the second factors of each account.
fn factors_of(
    connection: &Connection,
    sql: &str,
    accounts: &[String],
) -> Result<HashMap<String, Vec<StoredFactor>>> {
    let mut select = connection.prepare_cached(sql)?;
    let mut found = HashMap::new();
    for user in accounts {
        let rows = select.query_map([user], |row| {
            Ok(StoredFactor {
                factor: row.get(0)?,
                sealed: row.get(1)?,
            })
        })?;
        found.insert(user.clone(), rows.collect::<Result<_>>()?);
    }
    Ok(found)
}

fn look_up<T>(
    connection: &Connection,
    sql: &str,
    ids: &[String],
    read: impl Fn(&Row<'_>) -> Result<T>,
) -> Result<HashMap<String, T>> {
    let mut select = connection.prepare_cached(sql)?;
    let mut found = HashMap::new();
    for id in ids {
        if let Some(value) = select.query_row([id], &read).optional()? {
            found.insert(id.clone(), value);
        }
    }
    Ok(found)
}

/// A row that cannot be read is a finding; a file that cannot be read is an error.
fn row_or_finding<T>(read: Result<T>) -> Result<std::result::Result<T, String>> {
    match read {
        Ok(value) => Ok(Ok(value)),
        Err(
            error @ (Error::FromSqlConversionFailure(..)
            | Error::IntegralValueOutOfRange(..)
            | Error::InvalidColumnType(..)
            | Error::Utf8Error(..)),
        ) => Ok(Err(error.to_string())),
        Err(error) => Err(error),
    }
}

fn stored_claim(row: &Row<'_>) -> Result<StoredClaim> {
    let has_account = row.get_ref(3)?.data_type() != Type::Null;
    Ok(StoredClaim {
        kind: row.get(0)?,
        digest: row.get(1)?,
        owner: row.get(2)?,
        account: has_account
            .then(|| row_or_finding(account(row, 3)))
            .transpose()?,
    })
}
