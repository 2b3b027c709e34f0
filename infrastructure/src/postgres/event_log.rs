//! Reading the log in its one order.

use async_trait::async_trait;
use authlog_application::ports::{
    ChangedAccounts, EventLog, LogFilter, LogHead, LoggedEvent, StoreError,
};
use authlog_domain::{Timestamp, UserId};
use serde_json::Value;
use sqlx::FromRow;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{PostgresStore, hold_up};
use crate::store::{LogRow, unreadable};

/// The next of the log. Which events they are is settled before they are joined: a log without statistics would otherwise
/// be joined whole.
const READ: &str = r"
    SELECT l.log_index, e.recorded_at, e.aggregate_type, e.aggregate_id, e.sequence, e.event_type, e.event_version,
           e.payload, e.metadata
      FROM (SELECT log_index, aggregate_type, aggregate_id, sequence
              FROM event_log
             WHERE log_index > $1 AND log_index <= $3
             ORDER BY log_index
             LIMIT $2) l
      JOIN events e USING (aggregate_type, aggregate_id, sequence)
     ORDER BY l.log_index";

/// The next of some types.
const READ_OF_TYPES: &str = r"
    SELECT l.log_index, e.recorded_at, e.aggregate_type, e.aggregate_id, e.sequence, e.event_type, e.event_version,
           e.payload, e.metadata
      FROM event_log l
      JOIN events e USING (aggregate_type, aggregate_id, sequence)
     WHERE l.log_index > $1 AND l.log_index <= $3
       AND e.event_type = ANY($4)
     ORDER BY l.log_index
     LIMIT $2";

/// One account's events are a range of an index, however long the log is. No types are all types.
const READ_OF_USER: &str = r"
    SELECT l.log_index, e.recorded_at, e.aggregate_type, e.aggregate_id, e.sequence, e.event_type, e.event_version,
           e.payload, e.metadata
      FROM events e
      JOIN event_log l USING (aggregate_type, aggregate_id, sequence)
     WHERE e.user_id = $5 AND l.log_index > $1 AND l.log_index <= $3
       AND ($4::text[] IS NULL OR e.event_type = ANY($4))
     ORDER BY l.log_index
     LIMIT $2";

/// Whose accounts a stretch of the log tells of. It is asked all the time, mostly to no effect.
const CHANGED: &str = r"
    SELECT here.reached, here.reached < here.last_index AS has_more,
           ARRAY(SELECT DISTINCT aggregate_id::uuid
                   FROM event_log
                  WHERE log_index > $1 AND log_index <= here.reached AND aggregate_type = 'user') AS accounts
      FROM (SELECT last_index, least(last_index, $1 + $2) AS reached FROM sequencer) AS here";

/// The end of the log, and what waits for its place. The bounds of the transaction follow from what comes after them: the
/// planner takes a range that is open on one side for a third of the table, which it would read whole.
const HEAD: &str = r"
    SELECT mark.last_index,
           (SELECT e.recorded_at
              FROM event_log l JOIN events e USING (aggregate_type, aggregate_id, sequence)
             WHERE l.log_index = mark.last_index) AS recorded_at,
           waiting.count, waiting.since, waiting.held_since < clock_timestamp() - interval '3 seconds' AS is_held_up
      FROM sequencer mark,
           LATERAL (SELECT count(*) AS count, min(e.recorded_at) AS since,
                           min(e.recorded_at) FILTER (WHERE e.txid >= pg_snapshot_xmin(pg_current_snapshot()))
                             AS held_since
                      FROM events e
                     WHERE e.txid >= mark.last_txid AND e.txid < pg_snapshot_xmax(pg_current_snapshot())
                       AND (e.txid, e.position) > (mark.last_txid, mark.last_position)
                       AND e.position > mark.min_position) AS waiting";

#[derive(FromRow)]
struct Row {
    log_index: i64,
    recorded_at: OffsetDateTime,
    aggregate_type: String,
    aggregate_id: String,
    sequence: i64,
    event_type: String,
    event_version: String,
    payload: Value,
    metadata: Value,
}

#[derive(FromRow)]
struct Changed {
    reached: i64,
    has_more: bool,
    accounts: Vec<Uuid>,
}

#[derive(FromRow)]
struct Head {
    last_index: i64,
    recorded_at: Option<OffsetDateTime>,
    count: i64,
    since: Option<OffsetDateTime>,
    is_held_up: Option<bool>,
}

#[async_trait]
impl EventLog for PostgresStore {
    async fn read_log(
        &self,
        after: u64,
        limit: u32,
        filter: &LogFilter,
    ) -> Result<Vec<LoggedEvent>, StoreError> {
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let until = filter
            .until
            .map_or(i64::MAX, |until| i64::try_from(until).unwrap_or(i64::MAX));
        let types = (!filter.event_types.is_empty()).then_some(&filter.event_types);
        let rows: Vec<Row> = self
            .connections
            .ask(|pool| {
                let read = |sql| {
                    sqlx::query_as(sql)
                        .bind(after)
                        .bind(i64::from(limit))
                        .bind(until)
                };
                match (filter.user, types) {
                    (Some(user), types) => read(READ_OF_USER)
                        .bind(types)
                        .bind(user.as_uuid())
                        .fetch_all(pool),
                    (None, Some(types)) => read(READ_OF_TYPES).bind(types).fetch_all(pool),
                    (None, None) => read(READ).fetch_all(pool),
                }
            })
            .await?;
        rows.into_iter()
            .map(|row| LogRow::from(row).logged())
            .collect()
    }

    async fn changed_accounts(
        &self,
        after: u64,
        limit: u32,
    ) -> Result<ChangedAccounts, StoreError> {
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let changed: Changed = self
            .connections
            .ask(|pool| {
                sqlx::query_as(CHANGED)
                    .bind(after)
                    .bind(i64::from(limit))
                    .fetch_one(pool)
            })
            .await?;
        Ok(ChangedAccounts {
            accounts: changed.accounts.into_iter().map(UserId::new).collect(),
            reached: u64::try_from(changed.reached).map_err(unreadable)?,
            has_more: changed.has_more,
        })
    }

    async fn log_head(&self) -> Result<LogHead, StoreError> {
        let head: Head = self
            .connections
            .ask(|pool| sqlx::query_as(HEAD).fetch_one(pool))
            .await?;
        let held_up = match head.is_held_up {
            // How far the log has come is worth knowing without the reason.
            Some(true) => self.connections.ask(hold_up::find).await.unwrap_or(None),
            _ => None,
        };
        Ok(LogHead {
            log_index: u64::try_from(head.last_index).map_err(unreadable)?,
            recorded_at: head.recorded_at.map(Timestamp::new),
            unsequenced: u64::try_from(head.count).map_err(unreadable)?,
            unsequenced_since: head.since.map(Timestamp::new),
            held_up,
        })
    }
}

impl From<Row> for LogRow {
    fn from(row: Row) -> Self {
        Self {
            log_index: row.log_index,
            recorded_at: Timestamp::new(row.recorded_at),
            aggregate_type: row.aggregate_type,
            aggregate_id: row.aggregate_id,
            sequence: row.sequence,
            event_type: row.event_type,
            event_version: row.event_version,
            payload: row.payload,
            metadata: row.metadata,
        }
    }
}
