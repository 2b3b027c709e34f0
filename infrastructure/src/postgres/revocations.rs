//! The revocation feed: sessions that have ended, read from the events.
//!
//! The cursor is the snapshot of the previous query: everything that it saw has been read. A transaction that commits
//! later either was in progress then, and is listed in the snapshot, or began since, and has an id from its xmax on. So
//! nothing is missed, however long a commit takes, nothing is read twice, and a transaction that stays open for hours
//! costs nothing.
//!
//! Transaction ids belong to one run of one server. After a failover, and after a crash of a server or of one of its
//! processes, earlier ids may be assigned again. Each of these closes all connections, so a cursor belongs to one
//! connection and ends with it.

use std::io;

use async_trait::async_trait;
use authlog_application::ports::{
    Revocation, RevocationReader, RevocationSink, RevocationSource, StoreError,
};
use authlog_domain::user::RaisedEpoch;
use authlog_domain::{SessionId, Timestamp};
use sqlx::{FromRow, PgConnection};
use time::OffsetDateTime;
use uuid::Uuid;

use super::PostgresStore;
use super::leadership::with_timeout;
use crate::store::{readable_revocation, revocation, revoking_types, unreadable};

/// The columns of an event that ends sessions. They are selected as text and parsed by this program, because a
/// malformed value must not fail the statement, and every other revocation with it.
macro_rules! revocation_columns {
    () => {
        r"e.position AS place, e.aggregate_type, e.event_type, e.aggregate_id,
          e.payload -> e.event_type ->> 'session_epoch' AS session_epoch,
          e.payload -> e.event_type ->> 'kept_session' AS kept_session"
    };
}

/// The SQL condition of an event that ends sessions, as in the partial indexes. A node of an earlier version stores that no
/// event does.
macro_rules! ends_sessions {
    ($first:literal $(, $name:literal)+) => {
        concat!("ends_sessions OR event_type IN ('", $first, "'" $(, ", '", $name, "'")+, ")")
    };
}

/// The snapshot of the statement that contains this, and the server process that took it.
macro_rules! snapshot_columns {
    () => {
        r"SELECT pg_backend_pid() AS backend, pg_snapshot_xmax(snapshot)::text::bigint AS xmax,
                 ARRAY(SELECT xid::text::bigint FROM pg_snapshot_xip(snapshot) xid) AS in_progress
            FROM pg_current_snapshot() AS snapshot"
    };
}

const SNAPSHOT: &str = snapshot_columns!();

/// The oldest mark in the log.
const OLDEST_MARK: &str = "SELECT txid::text::bigint FROM log_marks ORDER BY number LIMIT 1";

/// The next revocations since an instant that come before a mark.
const SINCE: &str = concat!(
    "SELECT least(e.recorded_at, '9999-12-31') AS recorded_at, e.position, ",
    revocation_columns!(),
    " FROM events e WHERE (",
    revoking_types!(ends_sessions),
    r") AND e.recorded_at >= $1 AND (e.recorded_at, e.position) > ($1, $2) AND e.txid < $4::text::xid8
       ORDER BY e.recorded_at, e.position
       LIMIT $3",
);

/// The next revocations after a mark, by position alone. A dump that was restored into another cluster contains marks
/// of its original cluster: until they are replaced, new revocations may be found only by their time.
const MARKED: &str = concat!(
    "SELECT e.txid::text::bigint AS txid, e.position, ",
    revocation_columns!(),
    " FROM events e WHERE (",
    revoking_types!(ends_sessions),
    r") AND e.txid >= $1::text::xid8 AND (e.txid, e.position) > ($1::text::xid8, $2)
       ORDER BY e.txid, e.position
       LIMIT $3",
);

/// The revocations that an earlier snapshot did not see, joined to the snapshot of this query, which is returned even
/// without a revocation. The upper bound is redundant, but without it the planner estimates the range as a third of the
/// table.
const AFTER: &str = concat!(
    "SELECT here.*, news.* FROM (",
    snapshot_columns!(),
    ") AS here LEFT JOIN (SELECT ",
    revocation_columns!(),
    " FROM events e WHERE e.txid >= $1::text::xid8 AND e.txid < pg_snapshot_xmax(pg_current_snapshot()) AND (",
    revoking_types!(ends_sessions),
    ") UNION ALL SELECT ",
    revocation_columns!(),
    " FROM events e WHERE e.txid = ANY($2::text[]::xid8[]) AND (",
    revoking_types!(ends_sessions),
    ") LIMIT $3) AS news ON true",
);

/// Revocations that are read at once: a statement takes some ten milliseconds.
const PAGE: usize = 10_000;

/// A snapshot. A transaction that commits later is listed in `in_progress`, or has an id from `xmax` on.
#[derive(FromRow)]
struct Snapshot {
    backend: i32,
    xmax: i64,
    in_progress: Vec<i64>,
}

#[derive(FromRow)]
struct Past {
    recorded_at: OffsetDateTime,
    position: i64,
    #[sqlx(flatten)]
    row: Row,
}

#[derive(FromRow)]
struct Marked {
    txid: i64,
    position: i64,
    #[sqlx(flatten)]
    row: Row,
}

#[derive(FromRow)]
struct NewRow {
    #[sqlx(flatten)]
    snapshot: Snapshot,
    #[sqlx(flatten)]
    row: Row,
}

#[derive(FromRow)]
struct Row {
    place: Option<i64>,
    aggregate_type: Option<String>,
    event_type: Option<String>,
    aggregate_id: Option<String>,
    session_epoch: Option<String>,
    kept_session: Option<String>,
}

impl Row {
    fn revocation(&self) -> Result<Option<Revocation>, StoreError> {
        let (Some(aggregate_type), Some(event_type), Some(id)) =
            (&self.aggregate_type, &self.event_type, &self.aggregate_id)
        else {
            return Ok(None);
        };
        let id = Uuid::parse_str(id).map_err(unreadable)?;
        revocation(aggregate_type, event_type, id, || self.raised())
    }

    fn raised(&self) -> Result<Option<RaisedEpoch>, StoreError> {
        let Some(epoch) = &self.session_epoch else {
            return Ok(None);
        };
        let kept = self.kept_session.as_deref().map(Uuid::parse_str);
        Ok(Some(RaisedEpoch {
            epoch: epoch.parse().map_err(unreadable)?,
            kept_session: kept.transpose().map_err(unreadable)?.map(SessionId::new),
        }))
    }
}

/// The connection is no longer to the server process to which the cursor belongs.
#[derive(Debug, thiserror::Error)]
#[error("the connection that reads revocations leads to another server process than before")]
struct OtherServer;

/// More was revoked than is read at once.
#[derive(Debug, thiserror::Error)]
#[error("more than {PAGE} revocations came at once")]
struct TooMany;

fn lost(reason: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Unavailable(Box::new(reason))
}

/// A cursor, and the connection to which it belongs.
struct Reader<'a> {
    store: &'a PostgresStore,
    connection: PgConnection,
    seen: Snapshot,
}

impl Reader<'_> {
    fn read<'a>(&self, rows: impl Iterator<Item = &'a Row>) -> Vec<Revocation> {
        let revocations: Vec<_> = rows
            .filter_map(|row| readable_revocation(row.place.unwrap_or_default(), row.revocation()))
            .collect();
        self.store.vault.apply_revocations(&revocations);
        revocations
    }

    /// Reads what comes after a mark.
    async fn read_marked(&mut self, mark: i64, sink: RevocationSink<'_>) -> Result<(), StoreError> {
        let mut reached = (mark, i64::MIN);
        loop {
            let page = sqlx::query_as(MARKED)
                .bind(reached.0.to_string())
                .bind(reached.1)
                .bind(PAGE as i64)
                .fetch_all(&mut self.connection);
            let rows: Vec<Marked> = self.store.connections.ask_once(with_timeout(page)).await?;
            let Some(last) = rows.last() else {
                return Ok(());
            };
            reached = (last.txid, last.position);
            sink(self.read(rows.iter().map(|marked| &marked.row)));
        }
    }
}

#[async_trait]
impl RevocationSource for PostgresStore {
    async fn follow_revocations(&self) -> Result<Box<dyn RevocationReader + '_>, StoreError> {
        let connect = async {
            let mut connection = with_timeout(self.connections.dedicated()).await?;
            let seen = sqlx::query_as(SNAPSHOT).fetch_one(&mut connection);
            let seen: Snapshot = with_timeout(seen).await?;
            Ok((connection, seen))
        };
        let (connection, seen) = self.connections.ask_once(connect).await?;
        // The other connections may lead to a server that was replaced.
        self.connections.condemn_all();
        self.vault.forget_all();
        Ok(Box::new(Reader {
            store: self,
            connection,
            seen,
        }))
    }
}

#[async_trait]
impl RevocationReader for Reader<'_> {
    async fn read_since(
        &mut self,
        since: Timestamp,
        sink: RevocationSink<'_>,
    ) -> Result<(), StoreError> {
        let mark = sqlx::query_scalar(OLDEST_MARK).fetch_one(&mut self.connection);
        let mark: i64 = self.store.connections.ask_once(with_timeout(mark)).await?;
        self.read_marked(mark, sink).await?;
        let mut reached = (since.date_time(), i64::MIN);
        loop {
            let page = sqlx::query_as(SINCE)
                .bind(reached.0)
                .bind(reached.1)
                .bind(PAGE as i64)
                .bind(mark.to_string())
                .fetch_all(&mut self.connection);
            let rows: Vec<Past> = self.store.connections.ask_once(with_timeout(page)).await?;
            let Some(last) = rows.last() else {
                return Ok(());
            };
            reached = (last.recorded_at, last.position);
            sink(self.read(rows.iter().map(|past| &past.row)));
            // Later events were not recorded by this service, and reading cannot continue after them.
            if reached.0.year() == 9999 {
                return Ok(());
            }
        }
    }

    async fn read_new(&mut self) -> Result<Vec<Revocation>, StoreError> {
        let texts = |numbers: &[i64]| numbers.iter().map(i64::to_string).collect::<Vec<_>>();
        let rows = sqlx::query_as(AFTER)
            .bind(self.seen.xmax.to_string())
            .bind(texts(&self.seen.in_progress))
            .bind(PAGE as i64 + 1)
            .fetch_all(&mut self.connection);
        let rows: Vec<NewRow> = self.store.connections.ask_once(with_timeout(rows)).await?;
        if rows.len() > PAGE {
            return Err(lost(TooMany));
        }
        let revocations = self.read(rows.iter().map(|news| &news.row));
        let first = rows.into_iter().next();
        let next = first.ok_or_else(|| lost(io::Error::from(io::ErrorKind::UnexpectedEof)))?;
        let next = next.snapshot;
        if next.backend != self.seen.backend || next.xmax < self.seen.xmax {
            return Err(lost(OtherServer));
        }
        self.seen = next;
        Ok(revocations)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_indexes_and_the_queries_have_the_same_condition() {
        let condition = revoking_types!(ends_sessions);
        let schema =
            include_str!("../../../migrations/postgres/0028_indexes_of_ended_sessions.sql");
        assert_eq!(schema.matches(condition).count(), 2);
        let in_brackets = format!("({condition})");
        assert_eq!(SINCE.matches(&in_brackets).count(), 1);
        assert_eq!(MARKED.matches(&in_brackets).count(), 1);
        assert_eq!(AFTER.matches(&in_brackets).count(), 2);
    }
}
