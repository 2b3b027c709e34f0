//! Reading the event log in its final order.

use async_trait::async_trait;
use authlog_application::ports::{
    ChangedAccounts, CommitPlace, EventId, EventLog, LogCoverage, LogCursor, LogFilter, LogGrowth,
    LogHead, LogPage, LoggedEvent, ReadOnError, StoreError,
};
use authlog_domain::{Timestamp, UserId};
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter, types::Value};

use super::SqliteStore;
use super::errors::malformed;
use super::event_store::json;
use super::rows::id;
use crate::store::{AtCursor, LogRow, leaf_hash};

const COLUMNS: &str = "l.log_index, e.recorded_at, e.aggregate_type, e.aggregate_id, e.sequence, e.event_type, \
    e.event_version, e.payload, e.metadata, l.leaf_hash";

const LEAF: &str = "SELECT leaf_hash FROM event_log WHERE log_index = ?1";

/// The log joined to its events. For one account, the join begins with its events, which are a range of an index.
const WHOLE: &str = "event_log l JOIN events e USING (aggregate_type, aggregate_id, sequence)";
const OF_USER: &str = "events e INDEXED BY events_by_user \
    CROSS JOIN event_log l USING (aggregate_type, aggregate_id, sequence)";

/// The accounts that have events in a range of the log. The `+` keeps SQLite from using the index that begins with the
/// type, by which it would read the entries of all accounts.
const CHANGED: &str = "SELECT DISTINCT aggregate_id FROM event_log
    WHERE log_index > ?1 AND log_index <= ?2 AND +aggregate_type = 'user'";

/// What a mark names is the position of an event, and events are in the log in the order of their positions.
const AT_MARK: &str = "
    WITH mark AS (SELECT min(position) AS position
                    FROM (SELECT position FROM log_marks ORDER BY number DESC LIMIT ?1 + 1))
    SELECT ifnull(
        (SELECT l.log_index - 1
           FROM events e JOIN event_log l USING (aggregate_type, aggregate_id, sequence)
          WHERE e.position > (SELECT position FROM mark) ORDER BY e.position LIMIT 1),
        (SELECT ifnull(max(log_index), 0) FROM event_log))";

#[async_trait]
impl EventLog for SqliteStore {
    async fn read_log(
        &self,
        after: u64,
        limit: u32,
        filter: &LogFilter,
    ) -> Result<Vec<LoggedEvent>, StoreError> {
        let (sql, values) = select(after, limit, filter);
        let rows = self
            .readers
            .read(move |connection| rows(connection, &sql, values))
            .await?;
        rows.into_iter().map(LogRow::logged).collect()
    }

    async fn read_on(
        &self,
        from: LogCursor,
        limit: u32,
        filter: &LogFilter,
    ) -> Result<LogPage, ReadOnError> {
        let (sql, values) = select(from.log_index, limit, filter);
        let until = filter.until;
        let read = self.readers.read(move |connection| {
            let snapshot = connection.unchecked_transaction()?;
            let at_cursor = leaf(&snapshot, from.log_index)?;
            if AtCursor::of(&from, at_cursor.as_deref()) != AtCursor::Same {
                return Ok(Err(from.log_index));
            }
            let rows = rows(&snapshot, &sql, values)?;
            let last = rows.last().map(|row| row.log_index.unsigned_abs());
            let end = match (last, until) {
                (Some(last), _) if rows.len() == limit as usize => last,
                (last, until) => until.or(last).unwrap_or(from.log_index),
            };
            let at_end = leaf(&snapshot, end)?;
            if at_end.is_none() && end > 0 {
                return Ok(Err(end));
            }
            Ok(Ok((rows, end, at_end)))
        });
        let (rows, end, at_end) = read.await?.map_err(ReadOnError::HistoryChanged)?;
        let events = rows.into_iter().map(LogRow::logged);
        Ok(LogPage {
            events: events.collect::<Result<_, _>>()?,
            cursor: cursor(end, at_end)?,
        })
    }

    async fn changed_accounts(
        &self,
        from: LogCursor,
        limit: u32,
    ) -> Result<ChangedAccounts, ReadOnError> {
        let after = place(from.log_index);
        let read = self.readers.read(move |connection| {
            let snapshot = connection.unchecked_transaction()?;
            let at_cursor = leaf(&snapshot, from.log_index)?;
            if AtCursor::of(&from, at_cursor.as_deref()) != AtCursor::Same {
                return Ok(Err(from.log_index));
            }
            let last: i64 = snapshot
                .prepare_cached("SELECT coalesce(max(log_index), 0) FROM event_log")?
                .query_row([], |row| row.get(0))?;
            let reached = last.min(after.saturating_add(limit.into()));
            let accounts = if reached > after {
                snapshot
                    .prepare_cached(CHANGED)?
                    .query_map((after, reached), |row| Ok(id(row, 0, UserId::parse).ok()))?
                    .filter_map(Result::transpose)
                    .collect::<rusqlite::Result<_>>()?
            } else {
                Vec::new()
            };
            let reached = reached.unsigned_abs();
            let at_end = leaf(&snapshot, reached)?;
            Ok(Ok((
                accounts,
                reached,
                at_end,
                reached < last.unsigned_abs(),
            )))
        });
        let (accounts, reached, at_end, has_more) =
            read.await?.map_err(ReadOnError::HistoryChanged)?;
        Ok(ChangedAccounts {
            accounts,
            cursor: cursor(reached, at_end)?,
            has_more,
        })
    }

    /// Events get their log index in the transaction that appends them, so no event ever waits for one.
    async fn log_head(&self) -> Result<LogHead, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM {WHOLE} ORDER BY l.log_index DESC LIMIT 1");
        let last = self
            .readers
            .read(move |connection| {
                connection
                    .prepare_cached(&sql)?
                    .query_row([], |row| Ok((row.get::<_, i64>(0)?, recorded_at(row)?)))
                    .optional()
            })
            .await?;
        Ok(
            last.map_or_else(LogHead::default, |(log_index, recorded_at)| LogHead {
                log_index: log_index.unsigned_abs(),
                recorded_at: Some(recorded_at),
                ..LogHead::default()
            }),
        )
    }

    /// A transaction commits events together with their entries.
    async fn coverage(&self) -> Result<LogCoverage, StoreError> {
        const LAST: &str =
            "SELECT log_index, leaf_hash FROM event_log ORDER BY log_index DESC LIMIT 1";
        let last: Option<(i64, Vec<u8>)> = self
            .readers
            .read(|connection| {
                connection
                    .prepare_cached(LAST)?
                    .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
                    .optional()
            })
            .await?;
        let end = match last {
            Some((log_index, leaf)) => cursor(log_index.unsigned_abs(), Some(leaf))?,
            None => LogCursor::default(),
        };
        let everything = CommitPlace::default();
        Ok(LogCoverage {
            end,
            sequenced: everything,
            committed: everything,
        })
    }

    async fn indexes_of(&self, events: &[EventId]) -> Result<Vec<Option<u64>>, StoreError> {
        const INDEX: &str = "SELECT log_index FROM event_log
            WHERE aggregate_type = ? AND aggregate_id = ? AND sequence = ?";
        let events = events.to_vec();
        let read = self.readers.read(move |connection| {
            let mut find = connection.prepare_cached(INDEX)?;
            let mut index = |it: &EventId| {
                let (kind, sequence) = (it.stream.kind.as_str(), place(it.sequence));
                let found = find.query_row((kind, &it.stream.id, sequence), |row| row.get(0));
                found.optional().map(|it| it.map(i64::unsigned_abs))
            };
            events.iter().map(&mut index).collect()
        });
        read.await
    }

    async fn log_index_at_mark(&self, earlier: u32) -> Result<u64, StoreError> {
        let read = self.readers.read(move |connection| {
            connection
                .prepare_cached(AT_MARK)?
                .query_row([earlier], |row| row.get(0))
        });
        read.await.map(i64::unsigned_abs)
    }

    fn growth(&self) -> LogGrowth {
        LogGrowth::reported_by(self.grown.subscribe())
    }
}

fn place(log_index: u64) -> i64 {
    i64::try_from(log_index).unwrap_or(i64::MAX)
}

fn cursor(log_index: u64, leaf: Option<Vec<u8>>) -> Result<LogCursor, StoreError> {
    Ok(LogCursor {
        log_index,
        leaf_hash: leaf.map(leaf_hash).transpose()?,
    })
}

fn leaf(connection: &Connection, log_index: u64) -> rusqlite::Result<Option<Vec<u8>>> {
    connection
        .prepare_cached(LEAF)?
        .query_row([place(log_index)], |row| row.get(0))
        .optional()
}

fn rows(connection: &Connection, sql: &str, values: Vec<Value>) -> rusqlite::Result<Vec<LogRow>> {
    connection
        .prepare_cached(sql)?
        .query_map(params_from_iter(values), log_row)?
        .collect()
}

fn select(after: u64, limit: u32, filter: &LogFilter) -> (String, Vec<Value>) {
    let mut values = vec![Value::Integer(place(after))];
    let mut sql = format!(
        "SELECT {COLUMNS} FROM {} WHERE l.log_index > ?",
        filter.user.map_or(WHOLE, |_| OF_USER)
    );
    if let Some(user) = filter.user {
        sql.push_str(" AND e.user_id = ?");
        values.push(Value::Text(user.to_string()));
    }
    if !filter.event_types.is_empty() {
        let places = vec!["?"; filter.event_types.len()].join(", ");
        sql.push_str(&format!(" AND e.event_type IN ({places})"));
        values.extend(filter.event_types.iter().cloned().map(Value::Text));
    }
    if let Some(until) = filter.until {
        sql.push_str(" AND l.log_index <= ?");
        values.push(Value::Integer(place(until)));
    }
    sql.push_str(" ORDER BY l.log_index LIMIT ?");
    values.push(Value::Integer(limit.into()));
    (sql, values)
}

fn log_row(row: &Row<'_>) -> rusqlite::Result<LogRow> {
    Ok(LogRow {
        log_index: row.get(0)?,
        recorded_at: recorded_at(row)?,
        aggregate_type: row.get(2)?,
        aggregate_id: row.get(3)?,
        sequence: row.get(4)?,
        event_type: row.get(5)?,
        event_version: row.get(6)?,
        // An event that is not JSON cannot be read, but the rest of the log can.
        payload: json(row, 7).unwrap_or_default(),
        metadata: json(row, 8).unwrap_or_default(),
        leaf_hash: row.get(9)?,
    })
}

fn recorded_at(row: &Row<'_>) -> rusqlite::Result<Timestamp> {
    let micros: i64 = row.get(1)?;
    if micros < 0 {
        return Err(malformed(1, "an event was recorded before 1970"));
    }
    Ok(Timestamp::from_unix_millis(micros / 1000))
}

#[cfg(test)]
mod tests {
    use super::super::connection::open_writer;
    use super::*;

    /// A node asks fifty times a second, however many accounts there are.
    #[test]
    fn changed_accounts_are_looked_up_only_in_that_range_of_the_log() {
        let directory = tempfile::tempdir().unwrap();
        let connection = open_writer(&directory.path().join("authlog.db")).unwrap();
        let mut explain = connection
            .prepare(&format!("EXPLAIN QUERY PLAN {CHANGED}"))
            .unwrap();
        let steps = explain.query_map((1, 2), |row| row.get(3)).unwrap();
        let steps: Vec<String> = steps.collect::<rusqlite::Result<_>>().unwrap();
        assert_eq!(
            steps[0],
            "SEARCH event_log USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"
        );
    }
}
