//! Rebuilding the read models from the log.

use std::collections::HashMap;

use async_trait::async_trait;
use authlog_application::ports::RecordedEvent;
use authlog_application::ports::{Rebuild, StoreError, StreamId, StreamRange};
use authlog_domain::{AggregateKind, Timestamp, UserId};
use authlog_projections::{Account, ClientRecord, Row, SessionRecord, row};
use serde_json::Value;
use sqlx::{Connection as _, FromRow};
use uuid::Uuid;

use super::PostgresStore;
use super::append::client_rows;
use super::rows::{AccountRow, SessionRow, accounts, clients, sessions};
use crate::sealing::WithMac;
use crate::store::{WrappedKeys, unreadable, update_on_conflict};

/// The streams of the next events, up to the first stream of another kind. It reads only the primary key.
const STRETCH: &str = r"
    SELECT aggregate_type, max(aggregate_id), count(*) FILTER (WHERE sequence = 1)
      FROM (
          SELECT aggregate_type, aggregate_id, sequence FROM events
           WHERE (aggregate_type, aggregate_id) > ($1, $2)
           ORDER BY aggregate_type, aggregate_id, sequence
           LIMIT $3
      ) AS ahead
     GROUP BY aggregate_type
     ORDER BY aggregate_type
     LIMIT 1";

/// The events of a stretch, one range of the primary key, each account's first with the account's key.
const EVENTS: &str = r"
    SELECT e.aggregate_id, e.sequence, e.event_type, e.event_version, e.payload, e.metadata,
           CASE WHEN e.aggregate_type = 'user' AND e.sequence = 1
                THEN (SELECT k.wrapped FROM subject_keys k WHERE k.user_id = e.user_id)
            END AS wrapped
      FROM events e
     WHERE e.aggregate_type = $1 AND e.aggregate_id > $2 AND e.aggregate_id <= $3
     ORDER BY e.aggregate_type, e.aggregate_id, e.sequence";

/// Writes those rows that are missing or differ. Comparing first is much cheaper than writing rows that exist already,
/// which nearly all do unless the store was damaged. It misses nothing: a row that was correct when the statement began
/// can only have given way to a later version or to an erasure.
///
/// The existing row comes from a subquery, so that no plan joins the whole table: a plan is kept, and may have been
/// made when the table was empty.
const WRITE_ACCOUNTS: &str = concat!(
    r"
    INSERT INTO accounts
    SELECT * FROM unnest($1::accounts[]) AS due
     WHERE (SELECT a FROM accounts a WHERE a.user_id = due.user_id) IS DISTINCT FROM due",
    accounts!(update_on_conflict)
);

/// The same for sessions. It is a statement of its own so that each is planned when its own table has rows.
const WRITE_SESSIONS: &str = concat!(
    r"
    INSERT INTO sessions
    SELECT * FROM unnest($1::sessions[]) AS due
     WHERE (SELECT s FROM sessions s WHERE s.session_id = due.session_id) IS DISTINCT FROM due",
    sessions!(update_on_conflict)
);

/// The same for clients. A client that was changed since its events were read keeps its row, which is of a later version.
const WRITE_CLIENTS: &str = concat!(
    r"
    INSERT INTO clients
    SELECT * FROM jsonb_populate_recordset(NULL::clients, $1) AS due
     WHERE (SELECT c FROM clients c WHERE c.client_id = due.client_id) IS DISTINCT FROM due",
    clients!(update_on_conflict)
);

/// The number of rows that are written in one transaction. Each needs a lock in the server's memory, which has room
/// for 64 locks per connection that it admits, and an erasure of one of the accounts waits for the transaction.
const ROWS_AT_ONCE: usize = 500;

const COUNT: &str = "SELECT count(*) FROM events WHERE sequence = 1";

const REMOVE_ORPHANS: &str = r"
    WITH erased AS (
        SELECT user_id FROM events WHERE event_type = 'UserErased'
    ), account AS (
        DELETE FROM accounts WHERE user_id IN (SELECT user_id FROM erased) OR NOT EXISTS (
            SELECT FROM events
             WHERE aggregate_type = 'user' AND aggregate_id = accounts.user_id::text)
        RETURNING 1
    ), session AS (
        DELETE FROM sessions WHERE user_id IN (SELECT user_id FROM erased) OR NOT EXISTS (
            SELECT FROM events
             WHERE aggregate_type = 'session' AND aggregate_id = sessions.session_id::text)
        RETURNING 1
    ), client AS (
        DELETE FROM clients WHERE NOT EXISTS (
            SELECT FROM events
             WHERE aggregate_type = 'client' AND aggregate_id = clients.client_id)
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM account) + (SELECT count(*) FROM session) + (SELECT count(*) FROM client)";

#[derive(FromRow)]
struct EventRow {
    aggregate_id: String,
    sequence: i64,
    event_type: String,
    event_version: String,
    payload: Value,
    metadata: Value,
    wrapped: Option<Vec<u8>>,
}

impl EventRow {
    fn event(self, kind: AggregateKind) -> RecordedEvent {
        RecordedEvent {
            aggregate_id: self.aggregate_id,
            sequence: u64::try_from(self.sequence).unwrap_or_default(),
            aggregate_type: kind.as_str().to_owned(),
            event_type: self.event_type,
            event_version: self.event_version,
            payload: self.payload,
            metadata: self.metadata,
        }
    }
}

/// A stream of a kind that this program does not know.
#[derive(Debug, thiserror::Error)]
#[error("no aggregate is called {0:?}")]
struct UnknownKind(String);

/// The keys of the accounts of a stretch.
struct Keys(HashMap<UserId, Vec<u8>>);

impl WrappedKeys for Keys {
    async fn wrapped_key(&self, user: UserId) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.get(&user).cloned())
    }
}

#[async_trait]
impl Rebuild for PostgresStore {
    async fn count_streams(&self) -> Result<u64, StoreError> {
        self.count_without_timeout(COUNT).await
    }

    async fn range_after(
        &self,
        after: Option<&StreamId>,
        events: u32,
    ) -> Result<Option<StreamRange>, StoreError> {
        let (kind, id) = after.map_or(("", ""), |it| (it.kind.as_str(), it.id.as_str()));
        let stretch: Option<(String, String, i64)> = self
            .connections
            .ask(|pool| {
                sqlx::query_as(STRETCH)
                    .bind(kind)
                    .bind(id)
                    .bind(i64::from(events))
                    .fetch_optional(pool)
            })
            .await?;
        let Some((name, last, streams)) = stretch else {
            return Ok(None);
        };
        let after = if name == kind { id } else { "" };
        Ok(Some(StreamRange {
            kind: AggregateKind::from_stored(&name).ok_or_else(|| unreadable(UnknownKind(name)))?,
            after: after.to_owned(),
            last,
            streams: streams.cast_unsigned(),
        }))
    }

    async fn rebuild(&self, stretch: &StreamRange, now: Timestamp) -> Result<(), StoreError> {
        let StreamRange {
            kind, after, last, ..
        } = stretch;
        // There is no read model of these.
        if *kind == AggregateKind::RefusedLogins {
            return Ok(());
        }
        let mut events: Vec<EventRow> = self
            .connections
            .ask(|pool| {
                sqlx::query_as(EVENTS)
                    .bind(kind.as_str())
                    .bind(after)
                    .bind(last)
                    .fetch_all(pool)
            })
            .await?;
        let keys = Keys(events.iter_mut().filter_map(key).collect());
        let (mut accounts, mut sessions, mut clients) = (vec![], vec![], vec![]);
        let mut events = events.into_iter().map(|row| row.event(*kind)).peekable();
        while let Some(first) = events.next() {
            let stream = StreamId {
                kind: *kind,
                id: first.aggregate_id.clone(),
            };
            let mut sealed = vec![first];
            while let Some(next) = events.next_if(|event| event.aggregate_id == stream.id) {
                sealed.push(next);
            }
            let opened = self.vault.open(&stream, sealed, &keys).await?;
            match row(*kind, &opened).map_err(unreadable)? {
                Some(Row::Account(account)) => accounts.push(self.vault.seals.with_mac(*account)),
                Some(Row::Session(session)) if session.has_row(now) => {
                    sessions.push(self.vault.seals.with_mac(*session));
                }
                Some(Row::Client(client)) => clients.push(self.vault.seals.with_mac(*client)),
                Some(Row::Session(_)) | None => {}
            }
        }
        for accounts in accounts.chunks(ROWS_AT_ONCE) {
            self.write_rows(accounts, &[]).await?;
        }
        for sessions in sessions.chunks(ROWS_AT_ONCE) {
            self.write_rows(&[], sessions).await?;
        }
        for clients in clients.chunks(ROWS_AT_ONCE) {
            self.write_clients(clients).await?;
        }
        Ok(())
    }

    async fn remove_orphans(&self) -> Result<u64, StoreError> {
        self.count_without_timeout(REMOVE_ORPHANS).await
    }
}

/// The key that came with an account's first event.
fn key(event: &mut EventRow) -> Option<(UserId, Vec<u8>)> {
    let wrapped = event.wrapped.take()?;
    Some((UserId::parse(&event.aggregate_id)?, wrapped))
}

impl PostgresStore {
    /// Writes these rows, except those of accounts that were erased since their events were read.
    pub(super) async fn write_rows(
        &self,
        accounts: &[WithMac<Account>],
        sessions: &[WithMac<SessionRecord>],
    ) -> Result<(), StoreError> {
        let of_accounts = accounts.iter().map(|it| it.row.id.as_uuid());
        let of_sessions = sessions.iter().map(|it| it.row.user.as_uuid());
        let users: &Vec<Uuid> = &of_accounts.chain(of_sessions).collect();
        self.connections
            .ask(|pool| async move {
                let mut connection = pool.acquire().await?;
                let mut transaction = connection.begin().await?;
                let erased: Vec<Uuid> = sqlx::query_scalar("SELECT hold_accounts($1)")
                    .bind(users)
                    .fetch_one(&mut *transaction)
                    .await?;
                let accounts = accounts
                    .iter()
                    .filter(|it| !erased.contains(&it.row.id.as_uuid()));
                let sessions = sessions
                    .iter()
                    .filter(|it| !erased.contains(&it.row.user.as_uuid()));
                let accounts: Vec<_> = accounts.map(AccountRow::from).collect();
                if !accounts.is_empty() {
                    let write = sqlx::query(WRITE_ACCOUNTS).bind(accounts);
                    write.execute(&mut *transaction).await?;
                }
                let sessions: Vec<_> = sessions.map(SessionRow::from).collect();
                if !sessions.is_empty() {
                    let write = sqlx::query(WRITE_SESSIONS).bind(sessions);
                    write.execute(&mut *transaction).await?;
                }
                transaction.commit().await
            })
            .await
    }

    /// Writes these rows of clients, except those that were changed since their events were read.
    pub(super) async fn write_clients(
        &self,
        clients: &[WithMac<ClientRecord>],
    ) -> Result<(), StoreError> {
        self.connections
            .ask(|pool| {
                sqlx::query(WRITE_CLIENTS)
                    .bind(client_rows(clients))
                    .execute(pool)
            })
            .await?;
        Ok(())
    }

    /// Runs a statement that counts and may read whole tables, without the limit that requests have.
    async fn count_without_timeout(&self, statement: &str) -> Result<u64, StoreError> {
        let count: i64 = self
            .connections
            .ask(|pool| async move {
                let mut connection = pool.acquire().await?;
                let mut transaction = connection.begin().await?;
                sqlx::query("SET LOCAL statement_timeout = 0")
                    .execute(&mut *transaction)
                    .await?;
                let count = sqlx::query_scalar(statement)
                    .fetch_one(&mut *transaction)
                    .await?;
                transaction.commit().await?;
                Ok(count)
            })
            .await?;
        Ok(count.cast_unsigned())
    }
}
