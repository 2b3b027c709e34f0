//! Rebuilding the read models from the log, in small steps between which others read and write.

use async_trait::async_trait;
use authlog_application::ports::{Rebuild, StoreError, StreamId, StreamRange};
use authlog_domain::{AggregateKind, Timestamp};
use authlog_projections::{Account, ClientRecord, Row as ModelRow, SessionRecord};
use rusqlite::{Connection, OptionalExtension as _, Result, params};

use super::SqliteStore;
use super::erasure::is_erased;
use super::errors::{malformed, store_error};
use super::event_store::stored_events;
use super::rows::{write_account, write_client, write_session};
use crate::sealing::WithMac;
use crate::store::unreadable;

/// Streams that are read at once and rows that are written in one command, so that other writers wait for
/// milliseconds only.
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

    async fn range_after(
        &self,
        after: Option<&StreamId>,
        events: u32,
    ) -> Answer<Option<StreamRange>> {
        let after = after.cloned();
        self.readers
            .read(move |connection| range_after(connection, after.as_ref(), events))
            .await
    }

    async fn rebuild(&self, stretch: &StreamRange, now: Timestamp) -> Answer<()> {
        if model_of(stretch.kind).is_none() {
            return Ok(());
        }
        let within = stretch.clone();
        let streams = self
            .readers
            .read(move |connection| streams_within(connection, &within))
            .await?;
        for slice in streams.chunks(SLICE) {
            self.rebuild_slice(slice, now).await?;
        }
        Ok(())
    }

    async fn remove_orphans(&self) -> Answer<u64> {
        let accounts = self.remove_orphans_of(AggregateKind::User).await?;
        let sessions = self.remove_orphans_of(AggregateKind::Session).await?;
        let clients = self.remove_orphans_of(AggregateKind::Client).await?;
        Ok(accounts + sessions + clients)
    }
}

impl SqliteStore {
    async fn rebuild_slice(&self, streams: &[StreamId], now: Timestamp) -> Answer<()> {
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
            let row = authlog_projections::row(stream.kind, &events).map_err(unreadable)?;
            let row = row.filter(|row| match row {
                ModelRow::Account(_) | ModelRow::Client(_) => true,
                ModelRow::Session(session) => session.has_row(now),
            });
            rows.extend(row.map(|row| self.with_mac(row)));
        }
        self.writer
            .write(move |connection| write_rows(connection, &rows).map_err(store_error))
            .await
    }

    pub(super) fn with_mac(&self, row: ModelRow) -> RowWithMac {
        let seals = &self.vault.seals;
        match row {
            ModelRow::Account(row) => RowWithMac::Account(seals.with_mac(*row)),
            ModelRow::Session(row) => RowWithMac::Session(seals.with_mac(*row)),
            ModelRow::Client(row) => RowWithMac::Client(seals.with_mac(*row)),
        }
    }

    /// Finds the rows without events while others write, then removes those that still have none: an aggregate's row
    /// and its first event are written in one transaction.
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

/// The streams of the next events, up to the first stream of another kind.
fn range_after(
    connection: &Connection,
    after: Option<&StreamId>,
    events: u32,
) -> Result<Option<StreamRange>> {
    const SELECT: &str = "
        SELECT aggregate_type, max(aggregate_id), count(*) FILTER (WHERE sequence = 1)
        FROM (
            SELECT aggregate_type, aggregate_id, sequence FROM events
            WHERE (aggregate_type, aggregate_id) > (?, ?)
            ORDER BY aggregate_type, aggregate_id, sequence LIMIT ?
        )
        GROUP BY aggregate_type ORDER BY aggregate_type LIMIT 1";
    let (kind, id) = after.map_or(("", ""), |it| (it.kind.as_str(), it.id.as_str()));
    connection
        .prepare_cached(SELECT)?
        .query_row(params![kind, id, events], |row| {
            let name = row.get_ref(0)?.as_str()?;
            let after = if name == kind { id } else { "" };
            Ok(StreamRange {
                kind: AggregateKind::from_stored(name)
                    .ok_or_else(|| malformed(0, format!("no aggregate is a {name:?}")))?,
                after: after.to_owned(),
                last: row.get(1)?,
                streams: row.get::<_, i64>(2)?.cast_unsigned(),
            })
        })
        .optional()
}

fn streams_within(connection: &Connection, stretch: &StreamRange) -> Result<Vec<StreamId>> {
    const SELECT: &str = "
        SELECT aggregate_id FROM events
        WHERE aggregate_type = ? AND aggregate_id > ? AND aggregate_id <= ? AND sequence = 1
        ORDER BY aggregate_id";
    let StreamRange {
        kind, after, last, ..
    } = stretch;
    connection
        .prepare_cached(SELECT)?
        .query_map(params![kind.as_str(), after, last], |row| {
            Ok(StreamId {
                kind: *kind,
                id: row.get(0)?,
            })
        })?
        .collect()
}

/// A row to write, with its MAC.
pub(super) enum RowWithMac {
    Account(WithMac<Account>),
    Session(WithMac<SessionRecord>),
    Client(WithMac<ClientRecord>),
}

/// Writes these rows, except those of accounts that were erased since their events were read.
pub(super) fn write_rows(connection: &Connection, rows: &[RowWithMac]) -> Result<()> {
    for row in rows {
        let user = match row {
            RowWithMac::Account(it) => Some(it.row.id),
            RowWithMac::Session(it) => Some(it.row.user),
            RowWithMac::Client(_) => None,
        };
        if user.map_or(Ok(false), |user| is_erased(connection, user))? {
            continue;
        }
        match row {
            RowWithMac::Account(row) => write_account(connection, row)?,
            RowWithMac::Session(row) => write_session(connection, row)?,
            RowWithMac::Client(row) => write_client(connection, row)?,
        };
    }
    Ok(())
}

/// A table of rows and the column that names the aggregate.
#[derive(Clone, Copy)]
pub(super) struct Model {
    pub(super) table: &'static str,
    pub(super) key: &'static str,
    /// Whether the row `r` belongs to an account that was erased.
    of_erased: &'static str,
}

/// The table with the rows of a kind of aggregate.
pub(super) const fn model_of(kind: AggregateKind) -> Option<Model> {
    const OF_ERASED: &str =
        "r.user_id IN (SELECT e.user_id FROM events AS e WHERE e.event_type = 'UserErased')";
    let (table, key, of_erased) = match kind {
        AggregateKind::User => ("accounts", "user_id", OF_ERASED),
        AggregateKind::Session => ("sessions", "session_id", OF_ERASED),
        AggregateKind::Client => ("clients", "client_id", "FALSE"),
        AggregateKind::RefusedLogins => return None,
    };
    Some(Model {
        table,
        key,
        of_erased,
    })
}

fn orphans(connection: &Connection, kind: AggregateKind, model: Model) -> Result<Vec<String>> {
    let Model {
        table,
        key,
        of_erased,
    } = model;
    let sql = format!(
        "SELECT {key} FROM {table} AS r WHERE NOT EXISTS
         (SELECT 1 FROM events AS e WHERE e.aggregate_type = ? AND e.aggregate_id = r.{key}) OR {of_erased}"
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
    let Model {
        table,
        key,
        of_erased,
    } = model;
    let sql = format!(
        "DELETE FROM {table} AS r WHERE {key} = ?2 AND (NOT EXISTS
         (SELECT 1 FROM events AS e WHERE e.aggregate_type = ?1 AND e.aggregate_id = ?2) OR {of_erased})"
    );
    let mut delete = connection.prepare_cached(&sql)?;
    let mut removed = 0;
    for id in ids {
        removed += delete.execute(params![kind.as_str(), id])? as u64;
    }
    Ok(removed)
}
