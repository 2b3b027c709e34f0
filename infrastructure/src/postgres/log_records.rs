//! The log's entries with the events exactly as they are stored.

use std::ops::Range;

use async_trait::async_trait;
use authlog_application::ports::StoreError;
use authlog_domain::UserId;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::PostgresStore;
use super::connections::SESSION_SETTINGS;
use super::errors::store_error;
use super::instants::recorded_micros;
use super::log_tree::{hash, signed};
use crate::leaf::{LeafInput, is_calendar_time, leaf_hash};
use crate::transparency::tree::Hash;
use crate::transparency::{
    EventName, Extent, LeafCheck, LogRecords, Record, WrittenPage, WrittenPlace,
};

/// JSON as the text that is stored, which the types for JSON would change.
const COLUMNS: &str = concat!(
    r"
    SELECT l.log_index, l.leaf_hash, e.aggregate_type, e.aggregate_id, e.sequence, e.event_type, e.event_version,
           ",
    recorded_micros!(),
    " AS recorded_at, e.payload::text, e.metadata::text"
);

/// The events after a place, and whether each has its entry or need not have one yet.
const WRITTEN: &str = r"
    SELECT e.aggregate_type, e.aggregate_id, e.sequence, e.txid::text::bigint, e.position,
           ((e.txid, e.position) > (mark.last_txid, mark.last_position) AND e.position > mark.min_position)
           OR (SELECT true FROM event_log l
                WHERE l.aggregate_type = e.aggregate_type AND l.aggregate_id = e.aggregate_id
                  AND l.sequence = e.sequence) IS NOT NULL
      FROM (SELECT * FROM events WHERE (txid, position) > ($1::text::xid8, $2) ORDER BY txid, position LIMIT $3) AS e
     CROSS JOIN sequencer AS mark
     ORDER BY e.txid, e.position";

type Name = (String, String, i64);

#[async_trait]
impl LogRecords for PostgresStore {
    async fn leaf_checks(&self, range: Range<u64>) -> Result<Vec<LeafCheck>, StoreError> {
        let sql = format!(
            "{COLUMNS} FROM event_log l LEFT JOIN events e USING (aggregate_type, aggregate_id, sequence)
              WHERE l.log_index >= $1 AND l.log_index < $2 ORDER BY l.log_index"
        );
        let rows = self
            .connections
            .ask(|pool| {
                sqlx::query(&sql)
                    .bind(signed(range.start))
                    .bind(signed(range.end))
                    .fetch_all(pool)
            })
            .await?;
        rows.iter().map(leaf_check).collect()
    }

    async fn records(
        &self,
        after: u64,
        limit: u32,
        user: Option<UserId>,
    ) -> Result<Vec<Record>, StoreError> {
        // The events of one account are a range of an index, and are selected first. Otherwise the planner may read the
        // whole log, because it is in the right order already.
        let sql = match user {
            None => format!(
                "{COLUMNS} FROM event_log l JOIN events e USING (aggregate_type, aggregate_id, sequence)
                  WHERE l.log_index > $1 AND $3::uuid IS NULL ORDER BY l.log_index LIMIT $2"
            ),
            Some(_) => format!(
                "WITH e AS MATERIALIZED (SELECT * FROM events WHERE user_id = $3)
                 {COLUMNS} FROM e JOIN event_log l USING (aggregate_type, aggregate_id, sequence)
                  WHERE l.log_index > $1 ORDER BY l.log_index LIMIT $2"
            ),
        };
        let rows = self
            .connections
            .ask(|pool| {
                sqlx::query(&sql)
                    .bind(signed(after))
                    .bind(i64::from(limit))
                    .bind(user.map(UserId::as_uuid))
                    .fetch_all(pool)
            })
            .await?;
        rows.iter().map(record).collect()
    }

    async fn index_of(&self, event: &EventName) -> Result<Option<u64>, StoreError> {
        let index: Option<i64> = self
            .connections
            .ask(|pool| {
                sqlx::query_scalar(
                    r"
                    SELECT log_index FROM event_log
                     WHERE aggregate_type = $1 AND aggregate_id = $2 AND sequence = $3",
                )
                .bind(&event.aggregate_type)
                .bind(&event.aggregate_id)
                .bind(event.sequence)
                .fetch_optional(pool)
            })
            .await?;
        Ok(index.map(i64::unsigned_abs))
    }

    async fn name_at(&self, log_index: u64) -> Result<Option<EventName>, StoreError> {
        let found: Option<Name> = self
            .connections
            .ask(|pool| {
                sqlx::query_as(
                    "SELECT aggregate_type, aggregate_id, sequence FROM event_log WHERE log_index = $1",
                )
                .bind(signed(log_index))
                .fetch_optional(pool)
            })
            .await?;
        Ok(found.map(name))
    }

    async fn extent(&self) -> Result<Extent, StoreError> {
        let (last, given_out): (i64, i64) = self
            .connections
            .ask(|pool| {
                sqlx::query_as(
                    "SELECT coalesce((SELECT max(log_index) FROM event_log), 0), last_index FROM sequencer",
                )
                .fetch_one(pool)
            })
            .await?;
        Ok(Extent {
            last: last.unsigned_abs(),
            given_out: Some(given_out.unsigned_abs()),
        })
    }

    /// On a connection of its own: the limits of requests are too short for the whole log.
    async fn unlogged_event(&self) -> Result<Option<EventName>, StoreError> {
        const SELECT: &str = r"
            SELECT e.aggregate_type, e.aggregate_id, e.sequence
              FROM events e CROSS JOIN sequencer mark
             WHERE ((e.txid, e.position) <= (mark.last_txid, mark.last_position) OR e.position <= mark.min_position)
               AND NOT EXISTS (SELECT FROM event_log l
                                WHERE l.aggregate_type = e.aggregate_type AND l.aggregate_id = e.aggregate_id
                                  AND l.sequence = e.sequence)
             ORDER BY e.position LIMIT 1";
        let connecting = self.connections.hosts().connect(&SESSION_SETTINGS);
        let mut connection = connecting.await.map_err(store_error)?;
        let found: Option<Name> = sqlx::query_as(SELECT)
            .fetch_optional(&mut connection)
            .await
            .map_err(store_error)?;
        Ok(found.map(name))
    }

    async fn unlogged_after(
        &self,
        place: WrittenPlace,
        limit: u32,
    ) -> Result<WrittenPage, StoreError> {
        type Row = (String, String, i64, i64, i64, bool);
        let rows: Vec<Row> = self
            .connections
            .ask(|pool| {
                sqlx::query_as(WRITTEN)
                    .bind(place.transaction.to_string())
                    .bind(place.position)
                    .bind(i64::from(limit))
                    .fetch_all(pool)
            })
            .await?;
        let last = rows.last().map(|row| WrittenPlace {
            transaction: row.3.unsigned_abs(),
            position: row.4,
        });
        let mut rows = rows.into_iter();
        let unlogged = rows.find(|(.., is_logged)| !is_logged);
        Ok(WrittenPage {
            last,
            unlogged: unlogged.map(|(kind, id, sequence, ..)| name((kind, id, sequence))),
        })
    }
}

/// Hashes the texts in the buffer in which they were received, so that the whole log is not copied to be verified.
fn leaf_check(row: &PgRow) -> Result<LeafCheck, StoreError> {
    let read = || -> Result<LeafCheck, sqlx::Error> {
        let log_index: i64 = row.try_get(0)?;
        let recorded_at = row.try_get::<Option<i64>, _>(7)?;
        // A sequence is null where the join found no event, and nowhere else.
        let computed = match row.try_get::<Option<i64>, _>(4)?.zip(recorded_at) {
            None => None,
            Some((sequence, recorded_at_micros)) => Some(Hash(leaf_hash(&LeafInput {
                aggregate_type: row.try_get(2)?,
                aggregate_id: row.try_get(3)?,
                sequence,
                event_type: row.try_get(5)?,
                event_version: row.try_get(6)?,
                recorded_at_micros,
                payload: row.try_get(8)?,
                metadata: row.try_get(9)?,
            }))),
        };
        Ok(LeafCheck {
            log_index: log_index.unsigned_abs(),
            stored: hash(row.try_get(1)?).ok(),
            computed,
            has_instant: recorded_at.is_none_or(is_calendar_time),
        })
    };
    read().map_err(store_error)
}

fn record(row: &PgRow) -> Result<Record, StoreError> {
    let leaf: &[u8] = row.try_get(1).map_err(store_error)?;
    let leaf = hash(leaf)?;
    let read = || -> Result<Record, sqlx::Error> {
        let log_index: i64 = row.try_get(0)?;
        Ok(Record {
            log_index: log_index.unsigned_abs(),
            leaf,
            name: name((row.try_get(2)?, row.try_get(3)?, row.try_get(4)?)),
            event_type: row.try_get(5)?,
            event_version: row.try_get(6)?,
            recorded_at_micros: row.try_get(7)?,
            payload: row.try_get(8)?,
            metadata: row.try_get(9)?,
        })
    };
    read().map_err(store_error)
}

fn name((aggregate_type, aggregate_id, sequence): Name) -> EventName {
    EventName {
        aggregate_type,
        aggregate_id,
        sequence,
    }
}
