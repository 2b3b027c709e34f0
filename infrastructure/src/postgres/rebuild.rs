//! Writing the read models anew from the log.

use std::collections::HashMap;

use async_trait::async_trait;
use authlog_application::ports::{Rebuild, RebuiltTo, StoreError, StreamId};
use authlog_domain::{AggregateKind, UserId};
use authlog_projections::{Account, Row, SessionRecord, row};
use cqrs_es::persist::SerializedEvent;
use serde_json::Value;
use sqlx::FromRow;
use sqlx::types::Json;
use uuid::Uuid;

use super::PostgresStore;
use super::rows::{AccountRow, SessionRow, update_session, upsert_accounts, upsert_sessions};
use crate::store::{WrappedKeys, unreadable};

/// The events of the next streams, in order, each account's first with its key. The streams are found by the primary
/// key. Of those that no read model shows the first event is enough to have visited them.
const PAGE: &str = r"
    SELECT e.aggregate_type, e.aggregate_id, e.sequence, e.event_type, e.event_version, e.payload, e.metadata,
           k.user_id, k.wrapped
      FROM (
          SELECT aggregate_type, aggregate_id FROM events
           WHERE sequence = 1 AND (aggregate_type, aggregate_id) > ($1, $2)
           ORDER BY aggregate_type, aggregate_id
           LIMIT $3
      ) AS page
      JOIN events e USING (aggregate_type, aggregate_id)
      LEFT JOIN subject_keys k
        ON e.aggregate_type = 'user' AND e.sequence = 1 AND k.user_id = e.user_id
     WHERE e.aggregate_type IN ('session', 'user') OR e.sequence = 1
     ORDER BY e.aggregate_type, e.aggregate_id, e.sequence";

const UPSERT: &str = concat!(
    "WITH account AS (",
    upsert_accounts!("$1"),
    ")",
    upsert_sessions!("$2")
);

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
    )
    SELECT (SELECT count(*) FROM account) + (SELECT count(*) FROM session)";

#[derive(FromRow)]
struct EventRow {
    aggregate_type: String,
    aggregate_id: String,
    sequence: i64,
    event_type: String,
    event_version: String,
    payload: Value,
    metadata: Value,
    user_id: Option<Uuid>,
    wrapped: Option<Vec<u8>>,
}

impl EventRow {
    fn stream(&self) -> Result<StreamId, StoreError> {
        let kind = AggregateKind::from_stored(&self.aggregate_type)
            .ok_or_else(|| unreadable(UnknownKind(self.aggregate_type.clone())))?;
        Ok(StreamId {
            kind,
            id: self.aggregate_id.clone(),
        })
    }

    fn event(&self) -> SerializedEvent {
        SerializedEvent::new(
            self.aggregate_id.clone(),
            usize::try_from(self.sequence).unwrap_or_default(),
            self.aggregate_type.clone(),
            self.event_type.clone(),
            self.event_version.clone(),
            self.payload.clone(),
            self.metadata.clone(),
        )
    }
}

/// A stream of a kind that this program does not know.
#[derive(Debug, thiserror::Error)]
#[error("no aggregate is called {0:?}")]
struct UnknownKind(String);

/// The keys of the accounts on a page.
struct PageKeys(HashMap<UserId, Vec<u8>>);

impl WrappedKeys for PageKeys {
    async fn wrapped_key(&self, user: UserId) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.get(&user).cloned())
    }
}

#[async_trait]
impl Rebuild for PostgresStore {
    async fn count_streams(&self) -> Result<u64, StoreError> {
        self.count_unhurried(COUNT).await
    }

    async fn rebuild_after(
        &self,
        after: Option<&StreamId>,
        limit: u32,
    ) -> Result<Option<RebuiltTo>, StoreError> {
        let (kind, id) = after.map_or(("", ""), |it| (it.kind.as_str(), it.id.as_str()));
        let events: Vec<EventRow> = self
            .connections
            .ask(|pool| {
                sqlx::query_as(PAGE)
                    .bind(kind)
                    .bind(id)
                    .bind(i64::from(limit))
                    .fetch_all(pool)
            })
            .await?;
        let Some(last) = events.last().map(EventRow::stream).transpose()? else {
            return Ok(None);
        };
        let keys = PageKeys(events.iter().filter_map(key).collect());
        let (mut accounts, mut sessions, mut count) = (vec![], vec![], 0);
        for events in events.chunk_by(|a, b| {
            (&a.aggregate_type, &a.aggregate_id) == (&b.aggregate_type, &b.aggregate_id)
        }) {
            let stream = events[0].stream()?;
            let sealed = events.iter().map(EventRow::event).collect();
            let opened = self.vault.open(&stream, sealed, &keys).await?;
            match row(stream.kind, &opened).map_err(unreadable)? {
                Some(Row::Account(account)) => accounts.push(*account),
                Some(Row::Session(session)) => sessions.push(*session),
                None => {}
            }
            count += 1;
        }
        self.write_rows(&accounts, &sessions).await?;
        Ok(Some(RebuiltTo {
            stream: last,
            count,
        }))
    }

    async fn remove_orphans(&self) -> Result<u64, StoreError> {
        self.count_unhurried(REMOVE_ORPHANS).await
    }
}

fn key(event: &EventRow) -> Option<(UserId, Vec<u8>)> {
    Some((UserId::new(event.user_id?), event.wrapped.clone()?))
}

impl PostgresStore {
    /// Writes these rows but those of accounts that were erased since their events were read.
    pub(super) async fn write_rows(
        &self,
        accounts: &[Account],
        sessions: &[SessionRecord],
    ) -> Result<(), StoreError> {
        let of_accounts = accounts.iter().map(|row| row.id.as_uuid());
        let of_sessions = sessions.iter().map(|row| row.user.as_uuid());
        let users: &Vec<Uuid> = &of_accounts.chain(of_sessions).collect();
        self.connections
            .ask(|pool| async move {
                let mut transaction = pool.begin().await?;
                let erased: Vec<Uuid> = sqlx::query_scalar("SELECT hold_accounts($1)")
                    .bind(users)
                    .fetch_one(&mut *transaction)
                    .await?;
                let accounts = accounts
                    .iter()
                    .filter(|row| !erased.contains(&row.id.as_uuid()));
                let sessions = sessions
                    .iter()
                    .filter(|row| !erased.contains(&row.user.as_uuid()));
                sqlx::query(UPSERT)
                    .bind(Json(accounts.map(AccountRow::from).collect::<Vec<_>>()))
                    .bind(Json(sessions.map(SessionRow::from).collect::<Vec<_>>()))
                    .execute(&mut *transaction)
                    .await?;
                transaction.commit().await
            })
            .await
    }

    /// Runs a statement that counts and may read whole tables, without the limit that requests have.
    async fn count_unhurried(&self, statement: &str) -> Result<u64, StoreError> {
        let count: i64 = self
            .connections
            .ask(|pool| async move {
                let mut transaction = pool.begin().await?;
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
