//! Writing the read models anew from the log, in small steps between which others read and write.

use async_trait::async_trait;
use authlog_application::ports::{Rebuild, RebuiltTo, StoreError, StreamId};
use authlog_domain::AggregateKind;
use authlog_projections::Row as ModelRow;
use rusqlite::{Connection, Result, params};

use super::SqliteStore;
use super::erasure::is_erased;
use super::errors::{malformed, store_error};
use super::event_store::stored_events;
use super::rows::{write_account, write_session};
use crate::store::unreadable;

/// Streams read at once and rows written in one command, so that nobody waits for more than milliseconds.
const SLICE: usize = 50;

type Answer<T> = std::result::Result<T, StoreError>;

#[async_trait]
impl Rebuild for SqliteStore {
    async fn count_streams(&self) -> Answer<u64> {
        const COUNT: &str = "SELECT count(*) FROM events WHERE sequence = 1";
        let count: i64 = self
            .readers
            .read(|connection| connection.query_row(COUNT, [], |row| row.get(0)))
            .await?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    async fn rebuild_after(
        &self,
        after: Option<&StreamId>,
        limit: u32,
    ) -> Answer<Option<RebuiltTo>> {
        let after = after.cloned();
        let streams = self
            .readers
            .read(move |connection| streams_after(connection, after.as_ref(), limit))
            .await?;
        for slice in streams.chunks(SLICE) {
            self.rebuild_slice(slice).await?;
        }
        let count = streams.len() as u64;
        Ok(streams
            .into_iter()
            .last()
            .map(|stream| RebuiltTo { stream, count }))
    }

    async fn remove_orphans(&self) -> Answer<u64> {
        let accounts = self.remove_orphans_of(AggregateKind::User).await?;
        let sessions = self.remove_orphans_of(AggregateKind::Session).await?;
        Ok(accounts + sessions)
    }
}

impl SqliteStore {
    async fn rebuild_slice(&self, streams: &[StreamId]) -> Answer<()> {
        let wanted = streams.to_vec();
        let stored = self
            .readers
            .read(move |connection| {
                let load = |stream| stored_events(connection, stream);
                wanted.iter().map(load).collect::<Result<Vec<_>>>()
            })
            .await?;
        let mut rows = Vec::new();
        for (stream, events) in streams.iter().zip(stored) {
            let events = self.vault.open(stream, events, self).await?;
            rows.extend(authlog_projections::row(stream.kind, &events).map_err(unreadable)?);
        }
        self.writer
            .write(move |connection| write_rows(connection, &rows).map_err(store_error))
            .await
    }

    /// Finds the rows without events while others write, then removes those that still have none: an aggregate's row and
    /// its first event become true together.
    async fn remove_orphans_of(&self, kind: AggregateKind) -> Answer<u64> {
        let Some(model) = model_of(kind) else {
            return Ok(0);
        };
        let orphans = self
            .readers
            .read(move |connection| orphans(connection, kind, model))
            .await?;
        let mut removed = 0;
        for slice in orphans.chunks(SLICE) {
            let slice = slice.to_vec();
            removed += self
                .writer
                .write(move |connection| {
                    remove(connection, kind, model, &slice).map_err(store_error)
                })
                .await?;
        }
        Ok(removed)
    }
}

/// Up to `limit` streams in order of their names.
fn streams_after(
    connection: &Connection,
    after: Option<&StreamId>,
    limit: u32,
) -> Result<Vec<StreamId>> {
    const SELECT: &str = "
        SELECT aggregate_type, aggregate_id FROM events
        WHERE sequence = 1 AND (aggregate_type, aggregate_id) > (?, ?)
        ORDER BY aggregate_type, aggregate_id LIMIT ?";
    let (kind, id) = after.map_or(("", ""), |it| (it.kind.as_str(), it.id.as_str()));
    connection
        .prepare_cached(SELECT)?
        .query_map(params![kind, id, limit], |row| {
            let name = row.get_ref(0)?.as_str()?;
            Ok(StreamId {
                kind: AggregateKind::from_stored(name)
                    .ok_or_else(|| malformed(0, format!("no aggregate is a {name:?}")))?,
                id: row.get(1)?,
            })
        })?
        .collect()
}

/// An account that was erased since its events were read has no rows, nor have its sessions.
pub(super) fn write_rows(connection: &Connection, rows: &[ModelRow]) -> Result<()> {
    for row in rows {
        let user = match row {
            ModelRow::Account(row) => row.id,
            ModelRow::Session(row) => row.user,
        };
        if is_erased(connection, user)? {
            continue;
        }
        match row {
            ModelRow::Account(row) => write_account(connection, row)?,
            ModelRow::Session(row) => write_session(connection, row)?,
        }
    }
    Ok(())
}

/// A table of rows and the column that names the aggregate.
#[derive(Clone, Copy)]
pub(super) struct Model {
    pub(super) table: &'static str,
    pub(super) key: &'static str,
}

/// The read model that shows aggregates of a kind.
pub(super) const fn model_of(kind: AggregateKind) -> Option<Model> {
    let (table, key) = match kind {
        AggregateKind::User => ("accounts", "user_id"),
        AggregateKind::Session => ("sessions", "session_id"),
        AggregateKind::RefusedLogins => return None,
    };
    Some(Model { table, key })
}

/// Whether the account to which the row `r` belongs was erased.
const OF_ERASED: &str =
    "r.user_id IN (SELECT e.user_id FROM events AS e WHERE e.event_type = 'UserErased')";

fn orphans(connection: &Connection, kind: AggregateKind, model: Model) -> Result<Vec<String>> {
    let Model { table, key } = model;
    let sql = format!(
        "SELECT {key} FROM {table} AS r WHERE NOT EXISTS
         (SELECT 1 FROM events AS e WHERE e.aggregate_type = ? AND e.aggregate_id = r.{key}) OR {OF_ERASED}"
    );
    connection
        .prepare_cached(&sql)?
        .query_map([kind.as_str()], |row| row.get(0))?
        .collect()
}

fn remove(
    connection: &Connection,
    kind: AggregateKind,
    model: Model,
    ids: &[String],
) -> Result<u64> {
    let Model { table, key } = model;
    let sql = format!(
        "DELETE FROM {table} AS r WHERE {key} = ?2 AND (NOT EXISTS
         (SELECT 1 FROM events AS e WHERE e.aggregate_type = ?1 AND e.aggregate_id = ?2) OR {OF_ERASED})"
    );
    let mut delete = connection.prepare_cached(&sql)?;
    let mut removed = 0;
    for id in ids {
        removed += delete.execute(params![kind.as_str(), id])? as u64;
    }
    Ok(removed)
}
