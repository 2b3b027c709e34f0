//! The log of events: reading streams and appending to them.

use async_trait::async_trait;
use authlog_application::ports::RecordedEvent;
use authlog_application::ports::{Append, AppendError, Appended, EventStore, StoreError, StreamId};
use authlog_domain::UserId;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::Value;

use super::erasure::is_erased;
use super::errors::malformed;
use super::{SqliteStore, append};
use crate::store::{AppendPlanner, WrappedKeys};

#[async_trait]
impl EventStore for SqliteStore {
    async fn load(&self, stream: &StreamId) -> Result<Vec<RecordedEvent>, StoreError> {
        let wanted = stream.clone();
        let stored = self
            .readers
            .read(move |connection| stored_events(connection, &wanted))
            .await?;
        self.vault.open(stream, stored, self).await
    }

    async fn last_events(
        &self,
        stream: &StreamId,
        event_type: &str,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        const SELECT: &str = "
            SELECT aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata
            FROM events WHERE aggregate_type = ? AND aggregate_id = ? AND event_type = ?
            ORDER BY sequence DESC LIMIT ?";
        let (kind, id, event_type) = (stream.kind, stream.id.clone(), event_type.to_owned());
        let mut stored: Vec<RecordedEvent> = self
            .readers
            .read(move |connection| {
                connection
                    .prepare_cached(SELECT)?
                    .query_map(params![kind.as_str(), id, event_type, limit as i64], event)?
                    .collect()
            })
            .await?;
        stored.reverse();
        self.vault.open(stream, stored, self).await
    }

    async fn last_sequence(&self, stream: &StreamId, limit: u64) -> Result<u64, StoreError> {
        const SELECT: &str = "
            SELECT coalesce(max(sequence), 0) FROM events
            WHERE aggregate_type = ? AND aggregate_id = ? AND sequence <= ?";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let stream = stream.clone();
        let last: i64 = self
            .readers
            .read(move |connection| {
                connection
                    .prepare_cached(SELECT)?
                    .query_row(params![stream.kind.as_str(), stream.id, limit], |row| {
                        row.get(0)
                    })
            })
            .await?;
        Ok(last.cast_unsigned())
    }

    async fn is_erased(&self, user: UserId) -> Result<bool, StoreError> {
        self.readers
            .read(move |connection| is_erased(connection, user))
            .await
    }

    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let mut plan = AppendPlanner::plan(append, &self.vault, self).await?;
        let mut erased = None;
        if let Some(erasure) = &mut plan.erasure {
            erasure.resets = self.resets_about(erasure.user).await?;
            erased = Some((erasure.user, self.traces_of(erasure.user).await?));
        }
        let wraps = plan.wrapped_under.is_some();
        let written = self
            .writer
            .write(move |connection| append::write(connection, &plan))
            .await;
        if written.is_ok() {
            self.grown.send_replace(());
        }
        match (written, erased) {
            (Ok(appended), Some((user, traces))) => {
                self.vault.forget(user);
                self.remove_traces(traces).await;
                Ok(appended)
            }
            // The reason may be that another master key seals new secrets.
            (Err(AppendError::Conflict), _) if wraps => {
                self.follow_rotation().await?;
                Err(AppendError::Conflict)
            }
            (written, _) => written,
        }
    }
}

impl WrappedKeys for SqliteStore {
    async fn wrapped_key(&self, user: UserId) -> Result<Option<Vec<u8>>, StoreError> {
        // A key that was restored after the erasure is ignored.
        const SELECT: &str = "
            SELECT wrapped FROM subject_keys AS k WHERE user_id = ?
            AND NOT EXISTS (SELECT 1 FROM events WHERE event_type = 'UserErased' AND events.user_id = k.user_id)";
        self.readers
            .read(move |connection| {
                connection
                    .prepare_cached(SELECT)?
                    .query_row([user.to_string()], |row| row.get(0))
                    .optional()
            })
            .await
    }
}

/// The events of a stream as they are stored, in order.
pub(super) fn stored_events(
    connection: &Connection,
    stream: &StreamId,
) -> rusqlite::Result<Vec<RecordedEvent>> {
    const SELECT: &str = "
        SELECT aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata
        FROM events WHERE aggregate_type = ? AND aggregate_id = ? ORDER BY sequence";
    connection
        .prepare_cached(SELECT)?
        .query_map(params![stream.kind.as_str(), stream.id], event)?
        .collect()
}

fn event(row: &Row<'_>) -> rusqlite::Result<RecordedEvent> {
    let sequence: i64 = row.get(2)?;
    Ok(RecordedEvent {
        aggregate_type: row.get(0)?,
        aggregate_id: row.get(1)?,
        sequence: u64::try_from(sequence).map_err(|error| malformed(2, error))?,
        event_type: row.get(3)?,
        event_version: row.get(4)?,
        payload: json(row, 5)?,
        metadata: json(row, 6)?,
    })
}

pub(super) fn json(row: &Row<'_>, index: usize) -> rusqlite::Result<Value> {
    let text = row.get_ref(index)?.as_str()?;
    serde_json::from_str(text).map_err(|error| malformed(index, error))
}
