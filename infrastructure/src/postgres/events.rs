//! Reading and appending events. Streams are read by `postgres-es`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use async_trait::async_trait;
use authlog_application::ports::{
    Append, AppendError, Appended, EventStore, RecordedEvent, StoreError, StreamId,
};
use authlog_domain::{AggregateKind, Client, RefusedLogins, Session, User, UserId};
use cqrs_es::persist::{PersistedEventRepository, PersistenceError, SerializedEvent};
use serde_json::Value;
use sqlx::FromRow;

use super::PostgresStore;
use super::pool::answered;
use super::session_appends::SessionAppend;
use crate::store::{AppendPlanner, WrappedKeys};

/// The last events of one type, the last first.
const LAST_EVENTS: &str = r"
    SELECT sequence, event_type, event_version, payload, metadata
      FROM events WHERE aggregate_type = $1 AND aggregate_id = $2 AND event_type = $3
     ORDER BY sequence DESC LIMIT $4";

/// An event of a known stream.
#[derive(FromRow)]
struct EventRow {
    sequence: i64,
    event_type: String,
    event_version: String,
    payload: Value,
    metadata: Value,
}

impl EventRow {
    fn event(self, stream: &StreamId) -> RecordedEvent {
        RecordedEvent {
            aggregate_id: stream.id.clone(),
            sequence: u64::try_from(self.sequence).unwrap_or_default(),
            aggregate_type: stream.kind.as_str().to_owned(),
            event_type: self.event_type,
            event_version: self.event_version,
            payload: self.payload,
            metadata: self.metadata,
        }
    }
}

#[async_trait]
impl EventStore for PostgresStore {
    async fn load(&self, stream: &StreamId) -> Result<Vec<RecordedEvent>, StoreError> {
        let sealed = self
            .connections
            .ask(|_| answered(self.read(stream)))
            .await?;
        let sealed = sealed.into_iter().map(recorded).collect();
        self.vault.open(stream, sealed, self).await
    }

    async fn last_events(
        &self,
        stream: &StreamId,
        event_type: &str,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        let rows: Vec<EventRow> = self
            .connections
            .ask(|pool| {
                sqlx::query_as(LAST_EVENTS)
                    .bind(stream.kind.as_str())
                    .bind(&stream.id)
                    .bind(event_type)
                    .bind(limit as i64)
                    .fetch_all(pool)
            })
            .await?;
        let events = rows.into_iter().rev().map(|row| row.event(stream));
        self.vault.open(stream, events.collect(), self).await
    }

    async fn last_sequence(&self, stream: &StreamId, limit: u64) -> Result<u64, StoreError> {
        let last: i64 = self
            .connections
            .ask(|pool| {
                sqlx::query_scalar(
                    "SELECT coalesce(max(sequence), 0) FROM events WHERE aggregate_type = $1 AND aggregate_id = $2 AND sequence <= $3",
                )
                .bind(stream.kind.as_str())
                .bind(&stream.id)
                .bind(i64::try_from(limit).unwrap_or(i64::MAX))
                .fetch_one(pool)
            })
            .await?;
        Ok(last.cast_unsigned())
    }

    async fn is_erased(&self, user: UserId) -> Result<bool, StoreError> {
        self.connections
            .ask(|pool| {
                sqlx::query_scalar(
                    "SELECT EXISTS (SELECT FROM events WHERE event_type = 'UserErased' AND user_id = $1)",
                )
                .bind(user.as_uuid())
                .fetch_one(pool)
            })
            .await
    }

    /// The sequencer assigns the log index.
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let mut plan = AppendPlanner::plan(append, &self.vault, self).await?;
        if let Some(append) = SessionAppend::take_from(&mut plan) {
            let written = self.monitor_append(self.session_appends.ask(append)).await;
            return written.map(|()| Appended::default());
        }
        if let Some(erasure) = &mut plan.erasure {
            erasure.resets = self.resets_about(erasure.user).await?;
        }
        let written = self.monitor_append(self.write(&plan)).await;
        match (&written, &plan.erasure) {
            (Ok(()), Some(erasure)) => self.vault.forget(erasure.user),
            // The reason may be that another master key seals new secrets.
            (Err(AppendError::Conflict), _) if plan.wrapped_under.is_some() => {
                self.follow_rotation().await?;
            }
            _ => {}
        }
        written.map(|()| Appended::default())
    }
}

impl PostgresStore {
    async fn read(&self, stream: &StreamId) -> Result<Vec<SerializedEvent>, sqlx::Error> {
        let (repository, id) = (&self.repository, stream.id.as_str());
        let read = catching_panics(async {
            match stream.kind {
                AggregateKind::User => repository.get_events::<User>(id).await,
                AggregateKind::Session => repository.get_events::<Session>(id).await,
                AggregateKind::RefusedLogins => repository.get_events::<RefusedLogins>(id).await,
                AggregateKind::Client => repository.get_events::<Client>(id).await,
            }
        });
        match read.await {
            Ok(Ok(events)) => Ok(events),
            Ok(Err(error)) => Err(sql_error(error)),
            Err(panicked) => Err(panicked.into()),
        }
    }
}

/// The event that `postgres-es` read.
fn recorded(event: SerializedEvent) -> RecordedEvent {
    RecordedEvent {
        aggregate_id: event.aggregate_id,
        sequence: event.sequence as u64,
        aggregate_type: event.aggregate_type,
        event_type: event.event_type,
        event_version: event.event_version,
        payload: event.payload,
        metadata: event.metadata,
    }
}

/// The error that `postgres-es` wrapped.
fn sql_error(error: PersistenceError) -> sqlx::Error {
    match error {
        PersistenceError::ConnectionError(source)
        | PersistenceError::UnknownError(source)
        | PersistenceError::DeserializationError(source) => source
            .downcast::<sqlx::Error>()
            .map_or_else(sqlx::Error::Decode, |error| *error),
        error @ PersistenceError::OptimisticLockError => sqlx::Error::Decode(Box::new(error)),
    }
}

/// A row could not be decoded.
#[derive(Debug, thiserror::Error)]
#[error("a stored value cannot be decoded")]
pub(super) struct Panicked;

impl From<Panicked> for sqlx::Error {
    fn from(panicked: Panicked) -> Self {
        Self::Decode(Box::new(panicked))
    }
}

/// Runs a future that may panic if a row cannot be decoded: `postgres-es` panics at JSON that PostgreSQL accepts and
/// serde does not, and `sqlx` at a time out of range. One damaged row must not end the task that serves this request
/// and others.
pub(super) async fn catching_panics<T>(future: impl Future<Output = T>) -> Result<T, Panicked> {
    let mut future = pin!(future);
    std::future::poll_fn(|context| {
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(poll) => poll.map(Ok),
            Err(_) => Poll::Ready(Err(Panicked)),
        }
    })
    .await
}

impl WrappedKeys for PostgresStore {
    async fn wrapped_key(&self, user: UserId) -> Result<Option<Vec<u8>>, StoreError> {
        // A key that was restored after the erasure is ignored.
        const SELECT: &str = r"
            SELECT wrapped FROM subject_keys k WHERE user_id = $1
               AND NOT EXISTS (SELECT FROM events e WHERE e.event_type = 'UserErased' AND e.user_id = k.user_id)";
        self.connections
            .ask(|pool| {
                sqlx::query_scalar(SELECT)
                    .bind(user.as_uuid())
                    .fetch_optional(pool)
            })
            .await
    }
}
