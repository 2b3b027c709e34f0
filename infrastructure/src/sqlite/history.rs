//! One account's events: a range of an index, in which position order is the log's order.

use async_trait::async_trait;
use authlog_application::ports::{
    History, HistoryFilter, HistoryPage, Moment, PastEvent, PastState, StoreError,
};
use authlog_domain::{AggregateKind, SessionId, Timestamp, UserId};
use cqrs_es::persist::SerializedEvent;
use rusqlite::{OptionalExtension, Row, params, params_from_iter, types::Value};

use super::SqliteStore;
use super::errors::malformed;
use super::event_store::json;
use crate::history::{SealedHistory, opened, opened_history, state_at};
use crate::sealing::SubjectKey;
use crate::store::unreadable;

/// An event whose entry is missing from the log is shown all the same: it happened.
const SELECT: &str = "
    SELECT l.log_index, e.recorded_at, e.aggregate_type, e.aggregate_id, e.sequence, e.event_type, e.event_version,
        e.payload, e.metadata
    FROM events AS e INDEXED BY events_by_user
    LEFT JOIN event_log AS l ON l.log_index = e.position AND l.aggregate_type = e.aggregate_type
        AND l.aggregate_id = e.aggregate_id AND l.sequence = e.sequence
    WHERE e.user_id = ? AND e.position > ?";

/// The first event of a session.
const ORIGIN: &str = "
    SELECT NULL, recorded_at, aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata
    FROM events WHERE aggregate_type = 'session' AND aggregate_id = ?2 AND sequence = 1 AND user_id = ?1";

#[async_trait]
impl History for SqliteStore {
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
        let events = self
            .readers
            .read(move |connection| {
                let mut select = connection.prepare_cached(ORIGIN)?;
                let mut events = Vec::new();
                for id in ids {
                    let event = select.query_row(params![user.to_string(), id], past_event);
                    events.extend(event.optional()?);
                }
                Ok(events)
            })
            .await?;
        opened(self, user, events).await
    }

    async fn state_at(
        &self,
        user: UserId,
        moment: Option<Moment>,
    ) -> Result<PastState, StoreError> {
        state_at(self, user, moment).await
    }
}

impl SealedHistory for SqliteStore {
    async fn sealed_history(
        &self,
        user: UserId,
        after: u64,
        limit: u32,
        filter: &HistoryFilter,
    ) -> Result<HistoryPage, StoreError> {
        let (sql, values) = select(user, after, limit, filter);
        let events: Vec<PastEvent> = self
            .readers
            .read(move |connection| {
                connection
                    .prepare_cached(&sql)?
                    .query_map(params_from_iter(values), past_event)?
                    .collect()
            })
            .await?;
        let more = events.len() as u64 == u64::from(limit);
        Ok(HistoryPage { events, more })
    }

    fn unwrap_key(&self, user: UserId, wrapped: &[u8]) -> Result<SubjectKey, StoreError> {
        SubjectKey::unwrap(user, wrapped, &self.vault.master).map_err(unreadable)
    }
}

fn select(user: UserId, after: u64, limit: u32, filter: &HistoryFilter) -> (String, Vec<Value>) {
    let micros = |at: Timestamp| Value::Integer(at.unix_millis().saturating_mul(1000));
    let mut sql = SELECT.to_owned();
    let mut values = vec![
        Value::Text(user.to_string()),
        Value::Integer(i64::try_from(after).unwrap_or(i64::MAX)),
    ];
    if let Some(since) = filter.since {
        sql.push_str(" AND e.recorded_at >= ?");
        values.push(micros(since));
    }
    if let Some(until) = filter.until {
        sql.push_str(" AND e.recorded_at < ?");
        values.push(micros(until));
    }
    if !filter.event_types.is_empty() {
        let places = vec!["?"; filter.event_types.len()].join(", ");
        sql.push_str(&format!(" AND e.event_type IN ({places})"));
        values.extend(filter.event_types.iter().cloned().map(Value::Text));
    }
    if let Some(session) = filter.session {
        sql.push_str(" AND e.aggregate_type = ? AND e.aggregate_id = ?");
        values.push(Value::Text(AggregateKind::Session.as_str().to_owned()));
        values.push(Value::Text(session.to_string()));
    }
    sql.push_str(" ORDER BY e.position LIMIT ?");
    values.push(Value::Integer(limit.into()));
    (sql, values)
}

fn past_event(row: &Row<'_>) -> rusqlite::Result<PastEvent> {
    let index: Option<i64> = row.get(0)?;
    let micros: i64 = row.get(1)?;
    let sequence: i64 = row.get(4)?;
    Ok(PastEvent {
        log_index: index.map(i64::unsigned_abs),
        recorded_at: Timestamp::from_unix_millis(micros.div_euclid(1000)),
        event: SerializedEvent {
            aggregate_type: row.get(2)?,
            aggregate_id: row.get(3)?,
            sequence: usize::try_from(sequence).map_err(|error| malformed(4, error))?,
            event_type: row.get(5)?,
            event_version: row.get(6)?,
            payload: json(row, 7)?,
            metadata: json(row, 8)?,
        },
    })
}
