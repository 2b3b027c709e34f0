//! One account's events, those included that the sequencer has not given a place yet.

use async_trait::async_trait;
use authlog_application::ports::{
    History, HistoryFilter, HistoryPage, Moment, PastEvent, PastState, StoreError,
};
use authlog_domain::{SessionId, Timestamp, UserId};
use cqrs_es::persist::SerializedEvent;
use serde_json::Value;
use sqlx::FromRow;
use time::OffsetDateTime;

use super::PostgresStore;
use crate::history::{SealedHistory, opened, opened_history, state_at};
use crate::sealing::SubjectKey;
use crate::store::unreadable;

/// What is in the log and what is not there yet in one statement, and so in one snapshot. The filters are always there,
/// so that there is one statement: null passes everything. The sequencer orders by (txid, position).
const READ: &str = r"
    WITH own AS MATERIALIZED (
        SELECT l.log_index, e.txid, e.position, e.aggregate_type, e.aggregate_id, e.sequence
          FROM events e
          LEFT JOIN event_log l USING (aggregate_type, aggregate_id, sequence)
         WHERE e.user_id = $1
           AND (l.log_index IS NULL OR l.log_index > $2)
           AND ($4::timestamptz IS NULL OR e.recorded_at >= $4)
           AND ($5::timestamptz IS NULL OR e.recorded_at < $5)
           AND ($6::text[] IS NULL OR e.event_type = ANY($6))
           AND ($7::text IS NULL OR (e.aggregate_type = 'session' AND e.aggregate_id = $7))
    ), page AS MATERIALIZED (
        (SELECT * FROM own WHERE log_index IS NOT NULL ORDER BY log_index LIMIT $3)
        UNION ALL
        SELECT * FROM own WHERE log_index IS NULL
    )
    SELECT page.log_index, e.recorded_at, e.aggregate_type, e.aggregate_id, e.sequence, e.event_type, e.event_version,
           e.payload, e.metadata
      FROM page JOIN events e USING (aggregate_type, aggregate_id, sequence)
     ORDER BY page.log_index NULLS LAST, page.txid, page.position";

/// The first events of sessions.
const ORIGINS: &str = r"
    SELECT NULL::bigint AS log_index, recorded_at, aggregate_type, aggregate_id, sequence, event_type, event_version,
           payload, metadata
      FROM events
     WHERE aggregate_type = 'session' AND aggregate_id = ANY($2) AND sequence = 1 AND user_id = $1";

#[derive(FromRow)]
struct EventRow {
    log_index: Option<i64>,
    recorded_at: OffsetDateTime,
    aggregate_type: String,
    aggregate_id: String,
    sequence: i64,
    event_type: String,
    event_version: String,
    payload: Value,
    metadata: Value,
}

#[async_trait]
impl History for PostgresStore {
    async fn history(
        &self,
        user: UserId,
        after: u64,
        limit: u32,
        filter: &HistoryFilter,
    ) -> Result<HistoryPage, StoreError> {
        opened_history(self, user, after, limit, filter).await
    }

    async fn origins(
        &self,
        user: UserId,
        sessions: &[SessionId],
    ) -> Result<Vec<PastEvent>, StoreError> {
        let ids: Vec<String> = sessions.iter().map(SessionId::to_string).collect();
        let rows: Vec<EventRow> = self
            .connections
            .ask(|pool| {
                sqlx::query_as(ORIGINS)
                    .bind(user.as_uuid())
                    .bind(&ids)
                    .fetch_all(pool)
            })
            .await?;
        let events = rows.into_iter().map(PastEvent::try_from);
        opened(self, user, events.collect::<Result<_, _>>()?).await
    }

    async fn state_at(
        &self,
        user: UserId,
        moment: Option<Moment>,
    ) -> Result<PastState, StoreError> {
        state_at(self, user, moment).await
    }
}

impl SealedHistory for PostgresStore {
    async fn sealed_history(
        &self,
        user: UserId,
        after: u64,
        limit: u32,
        filter: &HistoryFilter,
    ) -> Result<HistoryPage, StoreError> {
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let types = (!filter.event_types.is_empty()).then_some(&filter.event_types);
        let session = filter.session.map(|session| session.to_string());
        let rows: Vec<EventRow> = self
            .connections
            .ask(|pool| {
                sqlx::query_as(READ)
                    .bind(user.as_uuid())
                    .bind(after)
                    .bind(i64::from(limit))
                    .bind(filter.since.map(Timestamp::date_time))
                    .bind(filter.until.map(Timestamp::date_time))
                    .bind(types)
                    .bind(session.clone())
                    .fetch_all(pool)
            })
            .await?;
        let mut events = rows
            .into_iter()
            .map(PastEvent::try_from)
            .collect::<Result<Vec<_>, _>>()?;
        let placed = events.partition_point(|event| event.log_index.is_some());
        // What has no place comes after all that has: here there may be more of that.
        let more = placed as u64 == u64::from(limit);
        if more {
            events.truncate(placed);
        }
        Ok(HistoryPage { events, more })
    }

    fn unwrap_key(&self, user: UserId, wrapped: &[u8]) -> Result<SubjectKey, StoreError> {
        SubjectKey::unwrap(user, wrapped, &self.vault.master).map_err(unreadable)
    }
}

impl TryFrom<EventRow> for PastEvent {
    type Error = StoreError;

    fn try_from(row: EventRow) -> Result<Self, StoreError> {
        Ok(Self {
            log_index: row.log_index.map(i64::unsigned_abs),
            recorded_at: Timestamp::new(row.recorded_at),
            event: SerializedEvent::new(
                row.aggregate_id,
                usize::try_from(row.sequence).map_err(unreadable)?,
                row.aggregate_type,
                row.event_type,
                row.event_version,
                row.payload,
                row.metadata,
            ),
        })
    }
}
