//! Reading the log in its one order.

use async_trait::async_trait;
use authlog_application::ports::{
    ChangedAccounts, EventLog, LogFilter, LogHead, LoggedEvent, StoreError,
};
use authlog_domain::{Timestamp, UserId};
use rusqlite::{OptionalExtension, Row, params_from_iter, types::Value};

use super::SqliteStore;
use super::errors::malformed;
use super::event_store::json;
use super::rows::id;
use crate::store::LogRow;

const COLUMNS: &str = "l.log_index, e.recorded_at, e.aggregate_type, e.aggregate_id, e.sequence, e.event_type, \
    e.event_version, e.payload, e.metadata";

/// The log joined to its events, from whichever end finds fewer rows: one account's history is a range of an index.
const WHOLE: &str = "event_log l JOIN events e USING (aggregate_type, aggregate_id, sequence)";
const OF_USER: &str = "events e INDEXED BY events_by_user \
    CROSS JOIN event_log l USING (aggregate_type, aggregate_id, sequence)";

/// Whose accounts a stretch of the log tells of. The `+` keeps SQLite from looking through all accounts there are, by the
/// index that begins with the type.
const CHANGED: &str = "SELECT DISTINCT aggregate_id FROM event_log
    WHERE log_index > ?1 AND log_index <= ?2 AND +aggregate_type = 'user'";

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
            .read(move |connection| {
                connection
                    .prepare_cached(&sql)?
                    .query_map(params_from_iter(values), log_row)?
                    .collect::<rusqlite::Result<Vec<LogRow>>>()
            })
            .await?;
        rows.into_iter().map(LogRow::logged).collect()
    }

    async fn changed_accounts(
        &self,
        after: u64,
        limit: u32,
    ) -> Result<ChangedAccounts, StoreError> {
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        self.readers
            .read(move |connection| {
                let last: i64 = connection
                    .prepare_cached("SELECT coalesce(max(log_index), 0) FROM event_log")?
                    .query_row([], |row| row.get(0))?;
                let reached = last.min(after.saturating_add(limit.into()));
                let accounts = if reached > after {
                    connection
                        .prepare_cached(CHANGED)?
                        .query_map((after, reached), |row| id(row, 0, UserId::parse))?
                        .collect::<rusqlite::Result<_>>()?
                } else {
                    Vec::new()
                };
                Ok(ChangedAccounts {
                    accounts,
                    reached: reached.unsigned_abs(),
                    has_more: reached < last,
                })
            })
            .await
    }

    /// Events get their place in the transaction that appends them, so none is ever without.
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
}

fn select(after: u64, limit: u32, filter: &LogFilter) -> (String, Vec<Value>) {
    let mut values = vec![Value::Integer(i64::try_from(after).unwrap_or(i64::MAX))];
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
        values.push(Value::Integer(i64::try_from(until).unwrap_or(i64::MAX)));
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
        payload: json(row, 7)?,
        metadata: json(row, 8)?,
    })
}

fn recorded_at(row: &Row<'_>) -> rusqlite::Result<Timestamp> {
    let micros: i64 = row.get(1)?;
    if micros < 0 {
        return Err(malformed(1, "an event is older than time"));
    }
    Ok(Timestamp::from_unix_millis(micros / 1000))
}

#[cfg(test)]
mod tests {
    use super::super::connection::open_writer;
    use super::*;

    /// A node asks fifty times a second, however many accounts there are.
    #[test]
    fn whose_accounts_changed_is_looked_up_in_that_stretch_of_the_log_alone() {
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
