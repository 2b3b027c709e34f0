//! The log's entries with the events exactly as they are stored.

use std::ops::Range;

use async_trait::async_trait;
use authlog_application::ports::StoreError;
use authlog_domain::UserId;
use rusqlite::{OptionalExtension, Row, params};

use super::SqliteStore;
use super::log_tree::{hash, signed};
use crate::leaf::{LeafInput, is_calendar_time, leaf_hash};
use crate::transparency::tree::Hash;
use crate::transparency::{
    EventName, Extent, LeafCheck, LogRecords, Record, WrittenPage, WrittenPlace,
};

#[async_trait]
impl LogRecords for SqliteStore {
    async fn leaf_checks(&self, range: Range<u64>) -> Result<Vec<LeafCheck>, StoreError> {
        const SELECT: &str = "
            SELECT l.log_index, l.leaf_hash, e.aggregate_type, e.aggregate_id, e.sequence, e.event_type,
                   e.event_version, e.recorded_at, e.payload, e.metadata
              FROM event_log l LEFT JOIN events e USING (aggregate_type, aggregate_id, sequence)
             WHERE l.log_index >= ? AND l.log_index < ? ORDER BY l.log_index";
        let (from, to) = (signed(range.start), signed(range.end));
        self.readers
            .read(move |connection| {
                let mut select = connection.prepare_cached(SELECT)?;
                select.query_map([from, to], leaf_check)?.collect()
            })
            .await
    }

    async fn records(
        &self,
        after: u64,
        limit: u32,
        user: Option<UserId>,
    ) -> Result<Vec<Record>, StoreError> {
        const COLUMNS: &str = "
            SELECT l.log_index, l.leaf_hash, e.aggregate_type, e.aggregate_id, e.sequence, e.event_type,
                   e.event_version, e.recorded_at, e.payload, e.metadata";
        let sql = match user {
            None => format!(
                "{COLUMNS} FROM event_log l JOIN events e USING (aggregate_type, aggregate_id, sequence)
                 WHERE l.log_index > ?1 AND ?3 IS NULL ORDER BY l.log_index LIMIT ?2"
            ),
            // The join begins with the events of the account, which are a range of an index.
            Some(_) => format!(
                "{COLUMNS} FROM events e INDEXED BY events_by_user
                 CROSS JOIN event_log l USING (aggregate_type, aggregate_id, sequence)
                 WHERE l.log_index > ?1 AND e.user_id = ?3 ORDER BY l.log_index LIMIT ?2"
            ),
        };
        let user = user.map(|user| user.to_string());
        self.readers
            .read(move |connection| {
                let mut select = connection.prepare_cached(&sql)?;
                let found = select.query_map(params![signed(after), limit, user], record)?;
                found.collect()
            })
            .await
    }

    async fn index_of(&self, event: &EventName) -> Result<Option<u64>, StoreError> {
        const SELECT: &str = "
            SELECT log_index FROM event_log WHERE aggregate_type = ? AND aggregate_id = ? AND sequence = ?";
        let event = event.clone();
        self.readers
            .read(move |connection| {
                let mut select = connection.prepare_cached(SELECT)?;
                let name = params![event.aggregate_type, event.aggregate_id, event.sequence];
                let index = select.query_row(name, |row| row.get::<_, i64>(0));
                Ok(index.optional()?.map(i64::unsigned_abs))
            })
            .await
    }

    async fn name_at(&self, log_index: u64) -> Result<Option<EventName>, StoreError> {
        const SELECT: &str =
            "SELECT aggregate_type, aggregate_id, sequence FROM event_log WHERE log_index = ?";
        self.readers
            .read(move |connection| {
                let mut select = connection.prepare_cached(SELECT)?;
                select
                    .query_row([signed(log_index)], |row| name(row, 0))
                    .optional()
            })
            .await
    }

    /// Only the log itself records which indices were assigned.
    async fn extent(&self) -> Result<Extent, StoreError> {
        const SELECT: &str = "SELECT coalesce(max(log_index), 0) FROM event_log";
        self.readers
            .read(|connection| {
                let last: i64 = connection.query_row(SELECT, [], |row| row.get(0))?;
                Ok(Extent {
                    last: last.unsigned_abs(),
                    given_out: None,
                })
            })
            .await
    }

    async fn unlogged_event(&self) -> Result<Option<EventName>, StoreError> {
        const SELECT: &str = "
            SELECT aggregate_type, aggregate_id, sequence FROM events
             WHERE NOT EXISTS (SELECT 1 FROM event_log l
                                WHERE (l.aggregate_type, l.aggregate_id, l.sequence)
                                    = (events.aggregate_type, events.aggregate_id, events.sequence))
             ORDER BY position LIMIT 1";
        self.readers
            .read(|connection| {
                connection
                    .query_row(SELECT, [], |row| name(row, 0))
                    .optional()
            })
            .await
    }

    async fn unlogged_after(
        &self,
        place: WrittenPlace,
        limit: u32,
    ) -> Result<WrittenPage, StoreError> {
        const SELECT: &str = "
            SELECT e.aggregate_type, e.aggregate_id, e.sequence, e.position,
                   EXISTS (SELECT 1 FROM event_log l
                            WHERE (l.aggregate_type, l.aggregate_id, l.sequence)
                                = (e.aggregate_type, e.aggregate_id, e.sequence))
              FROM events e WHERE e.position > ? ORDER BY e.position LIMIT ?";
        self.readers
            .read(move |connection| {
                let mut page = WrittenPage {
                    last: None,
                    unlogged: None,
                };
                let mut select = connection.prepare_cached(SELECT)?;
                let mut rows = select.query(params![place.position, limit])?;
                while let Some(row) = rows.next()? {
                    page.last = Some(WrittenPlace {
                        transaction: 0,
                        position: row.get(3)?,
                    });
                    if page.unlogged.is_none() && !row.get::<_, bool>(4)? {
                        page.unlogged = Some(name(row, 0)?);
                    }
                }
                Ok(page)
            })
            .await
    }
}

/// Hashes the texts in the memory of SQLite, so that the whole log is not copied to be verified.
fn leaf_check(row: &Row<'_>) -> rusqlite::Result<LeafCheck> {
    let index: i64 = row.get(0)?;
    let recorded_at: Option<i64> = row.get(7)?;
    // A sequence is null where the join found no event, and nowhere else.
    let computed = match row.get::<_, Option<i64>>(4)?.zip(recorded_at) {
        None => None,
        Some((sequence, recorded_at_micros)) => Some(Hash(leaf_hash(&LeafInput {
            aggregate_type: row.get_ref(2)?.as_str()?,
            aggregate_id: row.get_ref(3)?.as_str()?,
            sequence,
            event_type: row.get_ref(5)?.as_str()?,
            event_version: row.get_ref(6)?.as_str()?,
            recorded_at_micros,
            payload: row.get_ref(8)?.as_str()?,
            metadata: row.get_ref(9)?.as_str()?,
        }))),
    };
    Ok(LeafCheck {
        log_index: index.unsigned_abs(),
        stored: hash(row, 1).ok(),
        computed,
        has_instant: recorded_at.is_none_or(is_calendar_time),
    })
}

fn record(row: &Row<'_>) -> rusqlite::Result<Record> {
    let index: i64 = row.get(0)?;
    Ok(Record {
        log_index: index.unsigned_abs(),
        leaf: hash(row, 1)?,
        name: name(row, 2)?,
        event_type: row.get(5)?,
        event_version: row.get(6)?,
        recorded_at_micros: row.get(7)?,
        payload: row.get(8)?,
        metadata: row.get(9)?,
    })
}

fn name(row: &Row<'_>, first: usize) -> rusqlite::Result<EventName> {
    Ok(EventName {
        aggregate_type: row.get(first)?,
        aggregate_id: row.get(first + 1)?,
        sequence: row.get(first + 2)?,
    })
}
