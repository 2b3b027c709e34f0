//! The doctor's queries on the database, and its repairs.

use std::collections::HashMap;

use async_trait::async_trait;
use authlog_application::ports::{
    Account, Diagnosis, Doctor, EventStore, OpaqueTokenRecord, StoreError, StreamId, TokenDigest,
};
use authlog_domain::{AggregateKind, Timestamp};
use authlog_projections::{Row, row};
use sqlx::{Connection as _, FromRow, PgConnection};
use uuid::Uuid;

use super::PostgresStore;
use super::instants::recorded_micros;
use super::pool::Pool;
use super::rows::{AccountRow, ClientRow, SessionRow, account_columns, session_columns};
use super::seals::CredentialRow;
use crate::doctor::{
    Examinable, LogEntry, Place, Placed, Reading, Scope, StoredClaim, StoredEvent, StoredFactor,
    StreamName, Table, examine, steps,
};
use crate::sealing::Stored;
use crate::store::{ClaimDigest, KeyVault, unreadable};

/// Selects events with their log entries. An event after the sequencer's mark waits for its entry; one before the mark
/// should have one.
macro_rules! select_events {
    ($where:literal) => {
        concat!(
            r"
            SELECT e.aggregate_type, e.aggregate_id, e.sequence, e.event_type, e.event_version, ",
            recorded_micros!(),
            r" AS recorded_at_micros,
                   e.payload::text AS payload, e.metadata::text AS metadata, e.user_id, l.log_index, l.leaf_hash,
                   (e.txid, e.position) > (mark.last_txid, mark.last_position)
                       AND e.position > mark.min_position AS waiting
              FROM events e
              LEFT JOIN event_log l USING (aggregate_type, aggregate_id, sequence)
             CROSS JOIN sequencer mark
             WHERE ",
            $where,
            " ORDER BY e.aggregate_type, e.aggregate_id, e.sequence"
        )
    };
}

const EVENTS_AFTER: &str = concat!(
    select_events!("(e.aggregate_type, e.aggregate_id) > ($1, $2)"),
    " LIMIT $3"
);

const EVENTS_OF: &str = select_events!("e.aggregate_type = $1 AND e.aggregate_id = $2");

const ACCOUNTS: &str = concat!(
    "SELECT ",
    account_columns!(),
    " FROM accounts a WHERE a.user_id = ANY($1)"
);

const SESSIONS: &str = concat!(
    "SELECT s.user_id, ",
    session_columns!(),
    " FROM sessions s WHERE s.session_id = ANY($1)"
);

const CLIENTS: &str =
    "SELECT client_id, version, state, mac FROM clients WHERE client_id = ANY($1)";

const CREDENTIALS: &str = r"
    SELECT user_id, credential_id, sealed, password_hash FROM credentials WHERE user_id = ANY($1)";

/// Entries that were restored from a backup keep their order.
const LOG_AFTER: &str = r"
    SELECT l.log_index, l.aggregate_type, l.aggregate_id, l.sequence, e.position,
           CASE WHEN e.position > mark.min_position THEN e.txid::text END AS txid
      FROM event_log l
      LEFT JOIN events e USING (aggregate_type, aggregate_id, sequence)
     CROSS JOIN sequencer mark
     WHERE l.log_index > $1
     ORDER BY l.log_index
     LIMIT $2";

const LOG_ENDS: &str =
    "SELECT last_index, (SELECT coalesce(max(log_index), 0) FROM event_log) FROM sequencer";

const CLAIMS_AFTER: &str = r"
    SELECT kind, digest, owner FROM identifier_claims
     WHERE (kind, digest) > ($1, $2) ORDER BY kind, digest LIMIT $3";

const CLAIMED: &str = r"
    SELECT wanted.nth, c.owner
      FROM unnest($1::text[], $2::bytea[]) WITH ORDINALITY AS wanted (kind, digest, nth)
      JOIN identifier_claims c USING (kind, digest)";

/// A concurrent erasure waits until the claim is stored, and then removes it. After an erasure nothing is stored.
const REWRITE_CLAIM: &str = r"
    INSERT INTO identifier_claims (kind, digest, owner)
    SELECT $1, $2, $3 WHERE cardinality(hold_accounts(ARRAY[$3::uuid])) = 0
    ON CONFLICT (kind, digest) DO UPDATE SET owner = excluded.owner";

const PLACES_AFTER: &str = r"
    SELECT n.number, EXISTS (SELECT FROM accounts a WHERE a.number = n.number),
           EXISTS (SELECT FROM account_places p WHERE p.number = n.number AND p.listed)
      FROM ((SELECT number FROM accounts WHERE number > $1 ORDER BY number LIMIT $2) UNION
            (SELECT number FROM account_places WHERE number > $1 ORDER BY number LIMIT $2)) AS n
     ORDER BY n.number LIMIT $2";

/// A lost place is assigned like that of a new account, because no page has shown the account yet.
const LIST_ACCOUNT: &str = r"
    INSERT INTO account_places (number, txid, listed)
    SELECT number, pg_current_xact_id(), true FROM accounts WHERE number = $1
    ON CONFLICT (number) DO UPDATE SET listed = true";

const UNLIST_ACCOUNT: &str = r"
    UPDATE account_places p SET listed = false
     WHERE p.number = $1 AND NOT EXISTS (SELECT FROM accounts a WHERE a.number = p.number)";

#[derive(FromRow)]
struct EventRow {
    aggregate_type: String,
    aggregate_id: String,
    sequence: i64,
    event_type: String,
    event_version: String,
    recorded_at_micros: i64,
    payload: String,
    metadata: String,
    user_id: Option<Uuid>,
    log_index: Option<i64>,
    leaf_hash: Option<Vec<u8>>,
    waiting: bool,
}

#[derive(FromRow)]
struct LogRow {
    log_index: i64,
    aggregate_type: String,
    aggregate_id: String,
    sequence: i64,
    position: Option<i64>,
    txid: Option<String>,
}

#[async_trait]
impl Doctor for PostgresStore {
    async fn examination_steps(&self) -> Result<u64, StoreError> {
        steps(self).await
    }

    async fn examine(
        &self,
        repair: bool,
        now: Timestamp,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<Diagnosis, StoreError> {
        examine(self, repair, now, progress).await
    }
}

impl Examinable for PostgresStore {
    fn vault(&self) -> &KeyVault {
        &self.vault
    }

    async fn read(&self, scope: Scope) -> Result<Reading, StoreError> {
        self.connections.ask(|pool| read(pool, &scope)).await
    }

    async fn log_after(&self, index: i64, limit: u32) -> Result<Vec<LogEntry>, StoreError> {
        let rows: Vec<LogRow> = self
            .connections
            .ask(|pool| {
                sqlx::query_as(LOG_AFTER)
                    .bind(index)
                    .bind(i64::from(limit))
                    .fetch_all(pool)
            })
            .await?;
        Ok(rows.into_iter().map(LogEntry::from).collect())
    }

    async fn log_ends(&self) -> Result<(i64, i64), StoreError> {
        self.connections
            .ask(|pool| sqlx::query_as(LOG_ENDS).fetch_one(pool))
            .await
    }

    async fn claimed(&self, claims: Vec<ClaimDigest>) -> Result<Vec<Option<String>>, StoreError> {
        let (kinds, digests): (Vec<&str>, Vec<Vec<u8>>) = claims
            .iter()
            .map(|claim| (claim.kind.as_str(), claim.digest.to_vec()))
            .unzip();
        let found: Vec<(i64, Uuid)> = self
            .connections
            .ask(|pool| {
                sqlx::query_as(CLAIMED)
                    .bind(&kinds)
                    .bind(&digests)
                    .fetch_all(pool)
            })
            .await?;
        let found: HashMap<i64, Uuid> = found.into_iter().collect();
        let owner = |(nth, _)| found.get(&nth).map(Uuid::to_string);
        Ok((1..).zip(&claims).map(owner).collect())
    }

    async fn claims_after(
        &self,
        after: Option<StoredClaim>,
        limit: u32,
    ) -> Result<Vec<StoredClaim>, StoreError> {
        let (kind, digest) = after.map(|it| (it.kind, it.digest)).unwrap_or_default();
        let claims: Vec<(String, Vec<u8>, Uuid)> = self
            .connections
            .ask(|pool| {
                sqlx::query_as(CLAIMS_AFTER)
                    .bind(&kind)
                    .bind(&digest)
                    .bind(i64::from(limit))
                    .fetch_all(pool)
            })
            .await?;
        let owners: Vec<Uuid> = claims.iter().map(|(_, _, owner)| *owner).collect();
        let rows: Vec<AccountRow> = self
            .connections
            .ask(|pool| sqlx::query_as(ACCOUNTS).bind(&owners).fetch_all(pool))
            .await?;
        let accounts = by_id(rows);
        Ok(claims
            .into_iter()
            .map(|(kind, digest, owner)| {
                let owner = owner.to_string();
                let account = accounts.get(&owner).cloned();
                StoredClaim {
                    kind,
                    digest,
                    owner,
                    account,
                }
            })
            .collect())
    }

    async fn keys_after(
        &self,
        table: Table,
        after: Option<String>,
        limit: u32,
    ) -> Result<Vec<(String, bool)>, StoreError> {
        let Table { name, key, .. } = table;
        let key_type = key_type(table.kind);
        let sql = format!(
            "SELECT t.{key}::text, EXISTS
                    (SELECT FROM events e WHERE e.aggregate_type = $1 AND e.aggregate_id = t.{key}::text)
               FROM {name} t
              WHERE $2::text IS NULL OR t.{key} > $2::{key_type}
              ORDER BY t.{key} LIMIT $3"
        );
        self.connections
            .ask(|pool| {
                sqlx::query_as(&sql)
                    .bind(table.kind.as_str())
                    .bind(after.as_deref())
                    .bind(i64::from(limit))
                    .fetch_all(pool)
            })
            .await
    }

    async fn places_after(&self, number: i64, limit: u32) -> Result<Vec<Placed>, StoreError> {
        let rows: Vec<(i64, bool, bool)> = self
            .connections
            .ask(|pool| {
                sqlx::query_as(PLACES_AFTER)
                    .bind(number)
                    .bind(i64::from(limit))
                    .fetch_all(pool)
            })
            .await?;
        let placed = |(number, has_account, is_listed)| Placed {
            number,
            has_account,
            is_listed,
        };
        Ok(rows.into_iter().map(placed).collect())
    }

    async fn repair_place(&self, number: i64) -> Result<(), StoreError> {
        for repair in [LIST_ACCOUNT, UNLIST_ACCOUNT] {
            self.connections
                .ask(|pool| sqlx::query(repair).bind(number).execute(pool))
                .await?;
        }
        Ok(())
    }

    async fn rewrite_row(&self, stream: &StreamId) -> Result<(), StoreError> {
        let Some((table, key)) = table_of(stream.kind) else {
            return Ok(());
        };
        let key_type = key_type(stream.kind);
        // A row with a higher version than its events would be overwritten neither now nor by later appends.
        let lower = format!(
            "UPDATE {table} SET version = 0 WHERE {key} = $1::{key_type} AND version >
             (SELECT coalesce(max(sequence), 0) FROM events WHERE aggregate_type = $2 AND aggregate_id = $1)"
        );
        self.connections
            .ask(|pool| {
                sqlx::query(&lower)
                    .bind(&stream.id)
                    .bind(stream.kind.as_str())
                    .execute(pool)
            })
            .await?;
        let events = self.load(stream).await?;
        match row(stream.kind, &events).map_err(unreadable)? {
            Some(Row::Account(row)) => {
                let row = self.vault.seals.with_mac(*row);
                self.write_rows(&[row], &[]).await
            }
            Some(Row::Session(row)) => {
                let row = self.vault.seals.with_mac(*row);
                self.write_rows(&[], &[row]).await
            }
            Some(Row::Client(row)) => {
                let row = self.vault.seals.with_mac(*row);
                self.write_clients(&[row]).await
            }
            None => Ok(()),
        }
    }

    async fn remove_row(&self, stream: &StreamId) -> Result<(), StoreError> {
        let Some((table, key)) = table_of(stream.kind) else {
            return Ok(());
        };
        let key_type = key_type(stream.kind);
        let remove = format!("DELETE FROM {table} WHERE {key} = $1::{key_type}");
        self.connections
            .ask(|pool| sqlx::query(&remove).bind(&stream.id).execute(pool))
            .await?;
        Ok(())
    }

    async fn rewrite_claim(&self, claim: ClaimDigest) -> Result<(), StoreError> {
        self.connections
            .ask(|pool| {
                sqlx::query(REWRITE_CLAIM)
                    .bind(claim.kind.as_str())
                    .bind(claim.digest)
                    .bind(claim.owner.as_uuid())
                    .execute(pool)
            })
            .await?;
        Ok(())
    }

    async fn remove_claim(&self, claim: StoredClaim) -> Result<(), StoreError> {
        let owner = Uuid::try_parse(&claim.owner).map_err(unreadable)?;
        self.connections
            .ask(|pool| {
                sqlx::query(
                    "DELETE FROM identifier_claims WHERE kind = $1 AND digest = $2 AND owner = $3",
                )
                .bind(&claim.kind)
                .bind(&claim.digest)
                .bind(owner)
                .execute(pool)
            })
            .await?;
        Ok(())
    }

    async fn opaque_tokens_after(
        &self,
        after: Option<TokenDigest>,
        limit: u32,
    ) -> Result<Vec<Stored<OpaqueTokenRecord>>, StoreError> {
        self.stored_tokens_after(after, limit).await
    }

    async fn remove_opaque_token(&self, digest: TokenDigest) -> Result<(), StoreError> {
        self.connections
            .ask(|pool| {
                sqlx::query("DELETE FROM opaque_tokens WHERE digest = $1")
                    .bind(digest.0)
                    .execute(pool)
            })
            .await?;
        Ok(())
    }
}

/// The table with the rows of a kind of aggregate, and its key column.
const fn table_of(kind: AggregateKind) -> Option<(&'static str, &'static str)> {
    match kind {
        AggregateKind::User => Some(("accounts", "user_id")),
        AggregateKind::Session => Some(("sessions", "session_id")),
        AggregateKind::Client => Some(("clients", "client_id")),
        AggregateKind::RefusedLogins => None,
    }
}

/// The type of the column that names the aggregate, in every table of this kind.
const fn key_type(kind: AggregateKind) -> &'static str {
    match kind {
        AggregateKind::User | AggregateKind::Session => "uuid",
        AggregateKind::Client | AggregateKind::RefusedLogins => "text",
    }
}

/// Reads everything in one snapshot.
async fn read(pool: &Pool, scope: &Scope) -> Result<Reading, sqlx::Error> {
    let mut connection = pool.acquire().await?;
    let mut snapshot = connection.begin().await?;
    sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        .execute(&mut *snapshot)
        .await?;
    let events: Vec<EventRow> = match scope {
        Scope::After(after, limit) => sqlx::query_as(EVENTS_AFTER)
            .bind(&after.kind)
            .bind(&after.id)
            .bind(i64::from(*limit)),
        Scope::Only(stream) => sqlx::query_as(EVENTS_OF)
            .bind(&stream.kind)
            .bind(&stream.id),
    }
    .fetch_all(&mut *snapshot)
    .await?;
    let mut reading = Reading {
        events: events.into_iter().map(StoredEvent::from).collect(),
        ..Reading::default()
    };
    read_derived(&mut snapshot, &mut reading).await?;
    snapshot.commit().await?;
    Ok(reading)
}

async fn read_factors(
    snapshot: &mut PgConnection,
    accounts: &[Uuid],
    reading: &mut Reading,
) -> Result<(), sqlx::Error> {
    const SEEDS: &str = "SELECT user_id, factor_id, sealed FROM second_factors WHERE user_id = ANY($1) ORDER BY factor_id";
    const PASSKEYS: &str = "SELECT user_id, factor_id, sealed FROM passkeys WHERE user_id = ANY($1) ORDER BY factor_id";
    for (sql, read) in [
        (SEEDS, &mut reading.seeds),
        (PASSKEYS, &mut reading.passkeys),
    ] {
        let rows: Vec<(Uuid, Uuid, Vec<u8>)> = sqlx::query_as(sql)
            .bind(accounts)
            .fetch_all(&mut *snapshot)
            .await?;
        for (user, factor, sealed) in rows {
            let stored = read.entry(user.to_string()).or_default();
            stored.push(StoredFactor {
                factor: factor.to_string(),
                sealed,
            });
        }
    }
    let codes: Vec<(Uuid, i64)> = sqlx::query_as(
        "SELECT user_id, count(*) FROM recovery_codes WHERE user_id = ANY($1) GROUP BY user_id",
    )
    .bind(accounts)
    .fetch_all(&mut *snapshot)
    .await?;
    reading.recovery_codes = codes
        .into_iter()
        .map(|(user, codes)| (user.to_string(), codes))
        .collect();
    Ok(())
}

async fn read_derived(
    snapshot: &mut PgConnection,
    reading: &mut Reading,
) -> Result<(), sqlx::Error> {
    let uuids = |ids: Vec<String>| -> Vec<Uuid> {
        ids.iter()
            .filter_map(|id| Uuid::try_parse(id).ok())
            .collect()
    };
    let accounts = uuids(reading.ids_of(AggregateKind::User));
    let sessions = uuids(reading.ids_of(AggregateKind::Session));
    let clients = reading.ids_of(AggregateKind::Client);
    if !clients.is_empty() {
        let rows: Vec<ClientRow> = sqlx::query_as(CLIENTS)
            .bind(&clients)
            .fetch_all(&mut *snapshot)
            .await?;
        reading.clients = rows
            .into_iter()
            .map(|row| (row.id(), row.try_into().map_err(error_text)))
            .collect();
    }
    if !accounts.is_empty() {
        let rows: Vec<AccountRow> = sqlx::query_as(ACCOUNTS)
            .bind(&accounts)
            .fetch_all(&mut *snapshot)
            .await?;
        reading.accounts = by_id(rows);
        let credentials: Vec<CredentialRow> = sqlx::query_as(CREDENTIALS)
            .bind(&accounts)
            .fetch_all(&mut *snapshot)
            .await?;
        reading.credentials = credentials
            .into_iter()
            .map(|row| (row.user_id.to_string(), Ok(row.into())))
            .collect();
        let keys: Vec<(Uuid, Vec<u8>)> =
            sqlx::query_as("SELECT user_id, wrapped FROM subject_keys WHERE user_id = ANY($1)")
                .bind(&accounts)
                .fetch_all(&mut *snapshot)
                .await?;
        reading.keys = keys
            .into_iter()
            .map(|(user, wrapped)| (user.to_string(), wrapped))
            .collect();
        read_factors(snapshot, &accounts, reading).await?;
    }
    let users = uuids(reading.users().into_iter().collect());
    let erased: Vec<Uuid> = sqlx::query_scalar(
        "SELECT user_id FROM events WHERE event_type = 'UserErased' AND user_id = ANY($1)",
    )
    .bind(&users)
    .fetch_all(&mut *snapshot)
    .await?;
    reading.erased = erased.iter().map(Uuid::to_string).collect();
    let unfinished: Vec<Uuid> =
        sqlx::query_scalar("SELECT user_id FROM unfinished_erasures WHERE user_id = ANY($1)")
            .bind(&erased)
            .fetch_all(&mut *snapshot)
            .await?;
    reading.unfinished = unfinished.iter().map(Uuid::to_string).collect();
    if !sessions.is_empty() {
        let rows: Vec<SessionRow> = sqlx::query_as(SESSIONS)
            .bind(&sessions)
            .fetch_all(&mut *snapshot)
            .await?;
        reading.sessions = rows
            .into_iter()
            .map(|row| (row.id(), row.try_into().map_err(error_text)))
            .collect();
    }
    Ok(())
}

fn by_id(rows: Vec<AccountRow>) -> HashMap<String, Result<Stored<Account>, String>> {
    rows.into_iter()
        .map(|row| (row.id(), row.try_into().map_err(error_text)))
        .collect()
}

fn error_text(error: StoreError) -> String {
    match error {
        StoreError::Unavailable(source) | StoreError::Unreadable(source) => source.to_string(),
    }
}

impl From<EventRow> for StoredEvent {
    fn from(row: EventRow) -> Self {
        let place = match (row.log_index, row.leaf_hash) {
            (Some(log_index), Some(leaf_hash)) => Place::At {
                log_index,
                leaf_hash,
            },
            _ if row.waiting => Place::Waiting,
            _ => Place::Missing,
        };
        Self {
            stream: StreamName {
                kind: row.aggregate_type,
                id: row.aggregate_id,
            },
            user: row.user_id.map(|user| user.to_string()),
            sequence: row.sequence,
            event_type: row.event_type,
            event_version: row.event_version,
            recorded_at_micros: row.recorded_at_micros,
            payload: row.payload,
            metadata: row.metadata,
            place,
        }
    }
}

impl From<LogRow> for LogEntry {
    fn from(row: LogRow) -> Self {
        let txid = row.txid.and_then(|txid| txid.parse().ok());
        Self {
            log_index: row.log_index,
            event: format!(
                "{}/{}/{}",
                row.aggregate_type, row.aggregate_id, row.sequence
            ),
            has_event: row.position.is_some(),
            order: txid.zip(row.position),
        }
    }
}
