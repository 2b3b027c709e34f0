//! Reading the event log in its final order.

use async_trait::async_trait;
use authlog_application::ports::{
    ChangedAccounts, CommitPlace, EventId, EventLog, LeafHash, LogCoverage, LogCursor, LogFilter,
    LogGrowth, LogHead, LogPage, LoggedEvent, ReadOnError, StoreError,
};
use authlog_domain::UserId;
use serde_json::Value;
use sqlx::FromRow;

use super::instants::StoredInstant;
use super::{PostgresStore, hold_up};
use crate::store::{AtCursor, LogRow, leaf_hash, unreadable};

/// Adds the entries at the cursor (`$1`) and at the end of the range (`$3`) to a page. All of it is one statement, so
/// that the page and the cursor belong to the same history.
macro_rules! with_marks {
    ($page:expr) => {
        concat!(
            "SELECT * FROM (",
            $page,
            r") AS page
              UNION ALL
             SELECT log_index, leaf_hash, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
               FROM event_log
              WHERE log_index IN ($1, $3)
              ORDER BY log_index"
        )
    };
}

/// The entry at the cursor, without its event, and the entries after it. A subquery limits the entries before the join,
/// because without statistics the planner would otherwise join the whole log.
const READ: &str = r"
    SELECT l.log_index, l.leaf_hash, e.recorded_at, e.aggregate_type, e.aggregate_id, e.sequence, e.event_type, e.event_version,
           e.payload, e.metadata
      FROM (SELECT log_index, leaf_hash, aggregate_type, aggregate_id, sequence
              FROM event_log
             WHERE log_index >= $1 AND log_index <= $3
             ORDER BY log_index
             LIMIT $2) l
      LEFT JOIN events e
        ON (e.aggregate_type, e.aggregate_id, e.sequence) = (l.aggregate_type, l.aggregate_id, l.sequence)
       AND l.log_index > $1
     ORDER BY l.log_index";

/// The next events of some types.
const READ_OF_TYPES: &str = with_marks!(
    r"
    SELECT l.log_index, l.leaf_hash, e.recorded_at, e.aggregate_type, e.aggregate_id, e.sequence, e.event_type, e.event_version,
           e.payload, e.metadata
      FROM event_log l
      JOIN events e USING (aggregate_type, aggregate_id, sequence)
     WHERE l.log_index > $1 AND l.log_index <= $3
       AND e.event_type = ANY($4)
     ORDER BY l.log_index
     LIMIT $2"
);

/// The next events of one account: a range of an index, independent of the length of the log. If the types are null,
/// all types are read.
const READ_OF_USER: &str = with_marks!(
    r"
    SELECT l.log_index, l.leaf_hash, e.recorded_at, e.aggregate_type, e.aggregate_id, e.sequence, e.event_type, e.event_version,
           e.payload, e.metadata
      FROM events e
      JOIN event_log l USING (aggregate_type, aggregate_id, sequence)
     WHERE e.user_id = $5 AND l.log_index > $1 AND l.log_index <= $3
       AND ($4::text[] IS NULL OR e.event_type = ANY($4))
     ORDER BY l.log_index
     LIMIT $2"
);

/// The accounts that have events in a range of the log. This runs all the time, and mostly finds none.
const CHANGED: &str = r"
    SELECT here.reached, here.reached < here.last_index AS has_more,
           (SELECT leaf_hash FROM event_log WHERE log_index = $1) AS at_cursor,
           (SELECT leaf_hash FROM event_log WHERE log_index = here.reached) AS at_end,
           ARRAY(SELECT DISTINCT aggregate_id
                   FROM event_log
                  WHERE log_index > $1 AND log_index <= here.reached AND aggregate_type = 'user') AS accounts
      FROM (SELECT last_index, least(last_index, $1 + $2) AS reached FROM sequencer) AS here";

/// The end of the log, and the events that wait for their place in it. The bounds of `txid` are redundant, but without
/// them the planner estimates a range that is open on one side as a third of the table, and reads the whole table.
///
/// The waiting events are those after the sequencer's mark. Those of the 20 newest events that have no entry although
/// the mark is past them are added: they would wait for ever.
const HEAD: &str = r"
    SELECT mark.last_index,
           (SELECT e.recorded_at
              FROM event_log l JOIN events e USING (aggregate_type, aggregate_id, sequence)
             WHERE l.log_index = mark.last_index) AS recorded_at,
           waiting.count + passed_over.count AS count, least(waiting.since, passed_over.since) AS since,
           waiting.held_since < clock_timestamp() - interval '3 seconds' AS is_held_up
      FROM sequencer mark,
           LATERAL (SELECT count(*) AS count, min(e.recorded_at) AS since,
                           min(e.recorded_at) FILTER (WHERE e.txid >= pg_snapshot_xmin(pg_current_snapshot()))
                             AS held_since
                      FROM events e
                     WHERE e.txid >= mark.last_txid AND e.txid < pg_snapshot_xmax(pg_current_snapshot())
                       AND (e.txid, e.position) > (mark.last_txid, mark.last_position)
                       AND e.position > mark.min_position) AS waiting,
           LATERAL (SELECT count(*) AS count, min(newest.recorded_at) AS since
                      FROM (SELECT * FROM events
                             WHERE txid < pg_snapshot_xmax(pg_current_snapshot())
                             ORDER BY txid DESC, position DESC
                             LIMIT 20) AS newest
                     WHERE ((newest.txid, newest.position) <= (mark.last_txid, mark.last_position)
                            OR newest.position <= mark.min_position)
                       AND (SELECT true FROM event_log l
                             WHERE l.aggregate_type = newest.aggregate_type AND l.aggregate_id = newest.aggregate_id
                               AND l.sequence = newest.sequence) IS NULL) AS passed_over";

/// The end of the log, and the last committed event after it, in one snapshot. The log takes events in the order of `(txid, position)`
/// (see `sequence_batch`). So it has every event of the snapshot once the mark has reached that event.
///
/// In a restored dump, numbers of transactions are those of another cluster until `take_over_sequencer` has replaced them. Numbers that
/// this cluster has not reached show that.
const COVERAGE: &str = r"
    SELECT mark.last_index, mark.last_txid::text::bigint AS last_txid, mark.last_position,
           (mark.last_txid >= pg_snapshot_xmax(pg_current_snapshot())
            OR EXISTS (SELECT FROM events e
                        WHERE e.txid >= pg_snapshot_xmax(pg_current_snapshot())
                          AND e.position > mark.min_position)) AS is_of_another_cluster,
           (SELECT leaf_hash FROM event_log WHERE log_index = mark.last_index) AS leaf_hash,
           newest.txid::text::bigint AS newest_txid, newest.position AS newest_position
      FROM sequencer mark
      LEFT JOIN LATERAL (SELECT e.txid, e.position
                           FROM events e
                          WHERE e.txid >= mark.last_txid AND e.txid < pg_snapshot_xmax(pg_current_snapshot())
                            AND (e.txid, e.position) > (mark.last_txid, mark.last_position)
                            AND e.position > mark.min_position
                          ORDER BY e.txid DESC, e.position DESC
                          LIMIT 1) AS newest ON true";

/// The entries of some events. The subquery makes the planner look up each of them in the index, however long the log is.
const INDEXES: &str = r"
    SELECT (SELECT l.log_index FROM event_log l
             WHERE l.aggregate_type = wanted.aggregate_type AND l.aggregate_id = wanted.aggregate_id
               AND l.sequence = wanted.sequence) AS log_index
      FROM unnest($1::text[], $2::text[], $3::bigint[])
           WITH ORDINALITY AS wanted (aggregate_type, aggregate_id, sequence, nth)
     ORDER BY wanted.nth";

/// An entry of the log; the fields of its event are `None` if only the entry was read.
#[derive(FromRow)]
struct Row {
    log_index: i64,
    leaf_hash: Vec<u8>,
    recorded_at: Option<StoredInstant>,
    aggregate_type: Option<String>,
    aggregate_id: Option<String>,
    sequence: Option<i64>,
    event_type: Option<String>,
    event_version: Option<String>,
    payload: Option<Value>,
    metadata: Option<Value>,
}

/// The log takes events in the order of their transactions, so the first event after the mark is the first of these in the log. An
/// event that is committed and not in the log yet comes after its end.
const AT_MARK: &str = r"
    SELECT coalesce(
        (SELECT l.log_index - 1
           FROM (SELECT aggregate_type, aggregate_id, sequence FROM events
                  WHERE txid >= (SELECT txid FROM (SELECT txid, number FROM log_marks ORDER BY number DESC LIMIT $1 + 1) AS newest
                                  ORDER BY number LIMIT 1)
                  ORDER BY txid, position LIMIT 1) AS first
           JOIN event_log l USING (aggregate_type, aggregate_id, sequence)),
        (SELECT last_index FROM sequencer))";

#[derive(FromRow)]
struct Changed {
    reached: i64,
    has_more: bool,
    at_cursor: Option<Vec<u8>>,
    at_end: Option<Vec<u8>>,
    accounts: Vec<String>,
}

#[derive(FromRow)]
struct Head {
    last_index: i64,
    recorded_at: Option<StoredInstant>,
    count: i64,
    since: Option<StoredInstant>,
    is_held_up: Option<bool>,
}

#[derive(FromRow)]
struct Coverage {
    last_index: i64,
    last_txid: i64,
    last_position: i64,
    is_of_another_cluster: bool,
    leaf_hash: Option<Vec<u8>>,
    /// `None` if the log has every event.
    newest_txid: Option<i64>,
    newest_position: Option<i64>,
}

/// The log ends before a reader's cursor, and events wait for their places in it.
#[derive(Debug, thiserror::Error)]
#[error("the log is not in order up to {0} yet")]
struct NotInOrderYet(u64);

/// The database was restored from another cluster, and no sequencer has taken it over yet.
#[derive(Debug, thiserror::Error)]
#[error(
    "the order of the log is that of another database cluster until the sequencer has taken it over"
)]
struct RestoredElsewhere;

/// The entries that were read: those with their events, and marks without.
struct Entries {
    events: Vec<LoggedEvent>,
    marks: Vec<(u64, LeafHash)>,
}

impl Entries {
    /// The leaf hash of the entry at the cursor or at the end of the range.
    fn leaf(&self, log_index: u64) -> Option<LeafHash> {
        let last = self.events.last().map(|it| (it.log_index, it.leaf_hash));
        let mut entries = self.marks.iter().copied().chain(last);
        let found = entries.find(|(index, _)| *index == log_index);
        found.map(|(_, leaf)| leaf)
    }
}

impl PostgresStore {
    async fn entries(
        &self,
        after: i64,
        until: i64,
        limit: u32,
        filter: &LogFilter,
    ) -> Result<Entries, StoreError> {
        let types = (!filter.event_types.is_empty()).then_some(&filter.event_types);
        let most = i64::from(limit);
        let rows: Vec<Row> = self
            .connections
            .ask(|pool| {
                let read = |sql, most| sqlx::query_as(sql).bind(after).bind(most).bind(until);
                match (filter.user, types) {
                    (Some(user), types) => read(READ_OF_USER, most)
                        .bind(types)
                        .bind(user.as_uuid())
                        .fetch_all(pool),
                    (None, Some(types)) => read(READ_OF_TYPES, most).bind(types).fetch_all(pool),
                    // At the beginning of the log there is no entry.
                    (None, None) => read(READ, most + after.min(1)).fetch_all(pool),
                }
            })
            .await?;
        let (mut events, mut marks) = (Vec::new(), Vec::new());
        for row in rows {
            match row.event() {
                Ok(event) => events.push(event.logged()?),
                Err((log_index, leaf)) => {
                    let log_index = u64::try_from(log_index).map_err(unreadable)?;
                    marks.push((log_index, leaf_hash(leaf)?));
                }
            }
        }
        Ok(Entries { events, marks })
    }

    /// Why a reader cannot continue from a cursor that the log does not confirm.
    ///
    /// The sequencer commits asynchronously, so a crash of the server can lose the end of `event_log`, but nothing of
    /// `events`. The log then grows again, with the same entries.
    async fn cursor_error(&self, from: &LogCursor, found: AtCursor) -> ReadOnError {
        let log_index = from.log_index;
        if found == AtCursor::Other {
            return ReadOnError::HistoryChanged(log_index);
        }
        match self.log_head().await {
            Ok(head) if head.end_once_sequenced() < log_index => {
                ReadOnError::HistoryChanged(log_index)
            }
            Ok(_) => StoreError::Unavailable(Box::new(NotInOrderYet(log_index))).into(),
            Err(error) => error.into(),
        }
    }
}

fn place(log_index: u64) -> i64 {
    i64::try_from(log_index).unwrap_or(i64::MAX)
}

#[async_trait]
impl EventLog for PostgresStore {
    async fn read_log(
        &self,
        after: u64,
        limit: u32,
        filter: &LogFilter,
    ) -> Result<Vec<LoggedEvent>, StoreError> {
        let until = filter.until.map_or(i64::MAX, place);
        let entries = self.entries(place(after), until, limit, filter).await?;
        Ok(entries.events)
    }

    async fn read_on(
        &self,
        from: LogCursor,
        limit: u32,
        filter: &LogFilter,
    ) -> Result<LogPage, ReadOnError> {
        let (after, until) = (place(from.log_index), filter.until.map_or(i64::MAX, place));
        let entries = self.entries(after, until, limit, filter).await?;
        let at_cursor = entries.leaf(from.log_index);
        let found = AtCursor::of(&from, at_cursor.as_ref().map(LeafHash::as_slice));
        if found != AtCursor::Same {
            return Err(self.cursor_error(&from, found).await);
        }
        let last = entries.events.last().map(LoggedEvent::cursor);
        let cursor = match (last, filter.until) {
            (Some(last), _) if entries.events.len() == limit as usize => last,
            (_, Some(log_index)) => {
                let Some(leaf) = entries.leaf(log_index) else {
                    let end = LogCursor::unproven(log_index);
                    return Err(self.cursor_error(&end, AtCursor::Nothing).await);
                };
                LogCursor {
                    log_index,
                    leaf_hash: Some(leaf),
                }
            }
            (Some(last), None) => last,
            (None, None) => LogCursor {
                leaf_hash: at_cursor,
                ..from
            },
        };
        Ok(LogPage {
            events: entries.events,
            cursor,
        })
    }

    async fn changed_accounts(
        &self,
        from: LogCursor,
        limit: u32,
    ) -> Result<ChangedAccounts, ReadOnError> {
        let after = place(from.log_index);
        let changed: Changed = self
            .connections
            .ask(|pool| {
                sqlx::query_as(CHANGED)
                    .bind(after)
                    .bind(i64::from(limit))
                    .fetch_one(pool)
            })
            .await?;
        let found = AtCursor::of(&from, changed.at_cursor.as_deref());
        if found != AtCursor::Same {
            return Err(self.cursor_error(&from, found).await);
        }
        Ok(ChangedAccounts {
            accounts: changed
                .accounts
                .iter()
                .filter_map(|id| UserId::parse(id))
                .collect(),
            cursor: LogCursor {
                log_index: u64::try_from(changed.reached).map_err(unreadable)?,
                leaf_hash: changed.at_end.map(leaf_hash).transpose()?,
            },
            has_more: changed.has_more,
        })
    }

    async fn log_head(&self) -> Result<LogHead, StoreError> {
        let head: Head = self
            .connections
            .ask(|pool| sqlx::query_as(HEAD).fetch_one(pool))
            .await?;
        let held_up = match head.is_held_up {
            // The end of the log is useful without the reason, so an error here is ignored.
            Some(true) => self.connections.ask(hold_up::find).await.unwrap_or(None),
            _ => None,
        };
        Ok(LogHead {
            log_index: u64::try_from(head.last_index).map_err(unreadable)?,
            recorded_at: head.recorded_at.and_then(StoredInstant::get),
            unsequenced: u64::try_from(head.count).map_err(unreadable)?,
            unsequenced_since: head.since.and_then(StoredInstant::get),
            held_up,
        })
    }

    async fn coverage(&self) -> Result<LogCoverage, StoreError> {
        let found: Coverage = self
            .connections
            .ask(|pool| sqlx::query_as(COVERAGE).fetch_one(pool))
            .await?;
        if found.is_of_another_cluster {
            return Err(unreadable(RestoredElsewhere));
        }
        let place = |transaction: i64, position| CommitPlace {
            transaction: transaction.unsigned_abs(),
            position,
        };
        let sequenced = place(found.last_txid, found.last_position);
        let committed = match (found.newest_txid, found.newest_position) {
            (Some(transaction), Some(position)) => place(transaction, position),
            _ => sequenced,
        };
        Ok(LogCoverage {
            end: LogCursor {
                log_index: u64::try_from(found.last_index).map_err(unreadable)?,
                leaf_hash: found.leaf_hash.map(leaf_hash).transpose()?,
            },
            sequenced,
            committed,
        })
    }

    async fn indexes_of(&self, events: &[EventId]) -> Result<Vec<Option<u64>>, StoreError> {
        let kinds: Vec<_> = events.iter().map(|it| it.stream.kind.as_str()).collect();
        let ids: Vec<_> = events.iter().map(|it| it.stream.id.as_str()).collect();
        let sequences: Vec<_> = events.iter().map(|it| place(it.sequence)).collect();
        let indexes: Vec<Option<i64>> = self
            .connections
            .ask(|pool| {
                sqlx::query_scalar(INDEXES)
                    .bind(&kinds)
                    .bind(&ids)
                    .bind(&sequences)
                    .fetch_all(pool)
            })
            .await?;
        let index = |it: Option<i64>| it.map(u64::try_from).transpose().map_err(unreadable);
        indexes.into_iter().map(index).collect()
    }

    async fn log_index_at_mark(&self, earlier: u32) -> Result<u64, StoreError> {
        let index: i64 = self
            .connections
            .ask(|pool| {
                sqlx::query_scalar(AT_MARK)
                    .bind(i64::from(earlier))
                    .fetch_one(pool)
            })
            .await?;
        u64::try_from(index).map_err(unreadable)
    }

    fn growth(&self) -> LogGrowth {
        self.signals.growth()
    }
}

impl Row {
    /// The event, or else the index and the leaf hash of the entry. An event whose time is out of range counts as
    /// missing.
    fn event(self) -> Result<LogRow, (i64, Vec<u8>)> {
        let (
            Some(recorded_at),
            Some(aggregate_type),
            Some(aggregate_id),
            Some(sequence),
            Some(event_type),
            Some(event_version),
            Some(payload),
            Some(metadata),
        ) = (
            self.recorded_at.and_then(StoredInstant::get),
            self.aggregate_type,
            self.aggregate_id,
            self.sequence,
            self.event_type,
            self.event_version,
            self.payload,
            self.metadata,
        )
        else {
            return Err((self.log_index, self.leaf_hash));
        };
        Ok(LogRow {
            log_index: self.log_index,
            leaf_hash: self.leaf_hash,
            recorded_at,
            aggregate_type,
            aggregate_id,
            sequence,
            event_type,
            event_version,
            payload,
            metadata,
        })
    }
}
