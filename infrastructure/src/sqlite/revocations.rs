//! Revocations of sessions, from every program on this database.
//!
//! The cursor is a position. Positions are assigned in the order of commits, so an event that commits after a read
//! has a greater position than all that the read saw.
//!
//! After a backup was restored while the service runs, positions are assigned again. So the cursor holds the last log
//! entry that it saw, and each read checks that this entry still exists and that the file is the one that was opened.

use std::collections::HashMap;
use std::sync::LazyLock;

use async_trait::async_trait;
use authlog_application::ports::{
    Revocation, RevocationReader, RevocationSink, RevocationSource, StoreError,
};
use authlog_domain::user::RaisedEpoch;
use authlog_domain::{SessionId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Params, Result, Row, params_from_iter};
use serde::Deserialize;
use uuid::Uuid;

use super::SqliteStore;
use super::errors::malformed;
use super::rows::id;
use crate::store::{self, revoking_types};

/// The SQL condition of an event that ends sessions. An event of an earlier version does not have it stored. The types are
/// compared one by one: of a list (`IN`) SQLite makes a table for every event that is added.
macro_rules! ends_sessions {
    ($($name:literal),+) => {
        concat!("ends_sessions", $(" OR event_type = '", $name, "'"),+)
    };
}

const ENDS_SESSIONS: &str = revoking_types!(ends_sessions);

/// The statement that selects revocations by `index`. The `condition` has to fit that index, and `order` gives the
/// order and the limit. The types are literals, as in the partial indexes: SQLite uses such an index only if it sees
/// the same words, and otherwise reports an error instead of reading the whole log.
fn statement(index: &str, condition: &str, order: &str) -> String {
    format!(
        "SELECT position, aggregate_type, event_type, aggregate_id, payload, recorded_at FROM events INDEXED BY {index}
         WHERE ({ENDS_SESSIONS}) AND {condition} ORDER BY {order}"
    )
}

/// Revocations that are read at once: ten milliseconds of a reader.
const PAGE: usize = 10_000;

/// The last entry of the log. Its place is the position of its event.
const END: &str = "SELECT log_index, leaf_hash FROM event_log ORDER BY log_index DESC LIMIT 1";

const IS_THERE: &str = "SELECT 1 FROM event_log WHERE log_index = ?1 AND leaf_hash = ?2";

/// The end of the log at some moment: none while it is empty.
#[derive(Clone, Default)]
struct End(Option<(i64, Vec<u8>)>);

impl End {
    fn read(connection: &Connection) -> Result<Self> {
        let end = connection
            .prepare_cached(END)?
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        Ok(Self(end))
    }

    fn is_still_in(&self, connection: &Connection) -> Result<bool> {
        match &self.0 {
            Some((position, leaf)) => connection
                .prepare_cached(IS_THERE)?
                .exists((position, leaf)),
            None => Ok(true),
        }
    }

    fn position(&self) -> i64 {
        self.0.as_ref().map_or(0, |(position, _)| *position)
    }
}

/// Why a reader cannot continue.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("the database was restored to an earlier state while the service runs")]
    Restored,
    #[error(
        "the file of the database was removed or replaced while the service runs: make sure that the right file is there, and restart the service"
    )]
    FileReplaced,
    #[error("more than {PAGE} revocations came at once")]
    TooMany,
}

impl From<Lost> for StoreError {
    fn from(lost: Lost) -> Self {
        Self::Unavailable(Box::new(lost))
    }
}

struct Reader<'a> {
    store: &'a SqliteStore,
    end: End,
}

impl Reader<'_> {
    /// Reads page by page from a time and a position on. `bounds` makes the parameters of the statement from these.
    async fn read_pages<const N: usize>(
        &self,
        sql: &str,
        mut reached: (i64, i64),
        bounds: impl Fn((i64, i64)) -> [i64; N] + Send + Sync,
        sink: RevocationSink<'_>,
    ) -> std::result::Result<(), StoreError> {
        loop {
            let (sql, bounds) = (sql.to_owned(), bounds(reached));
            let page = self
                .store
                .readers
                .read(move |connection| select(connection, &sql, params_from_iter(bounds)));
            let Page { revocations, last } = page.await?;
            let Some(last) = last else {
                return Ok(());
            };
            reached = last;
            self.store.vault.apply_revocations(&revocations);
            sink(revocations);
        }
    }
}

#[async_trait]
impl RevocationSource for SqliteStore {
    async fn follow_revocations(
        &self,
    ) -> std::result::Result<Box<dyn RevocationReader + '_>, StoreError> {
        self.is_in_its_file()?;
        let end = self.readers.read(End::read).await?;
        self.vault.forget_all();
        Ok(Box::new(Reader { store: self, end }))
    }
}

impl SqliteStore {
    fn is_in_its_file(&self) -> std::result::Result<(), Lost> {
        if self.files.has_its_database() {
            Ok(())
        } else {
            Err(Lost::FileReplaced)
        }
    }
}

#[async_trait]
impl RevocationReader for Reader<'_> {
    async fn read_since(
        &mut self,
        since: Timestamp,
        sink: RevocationSink<'_>,
    ) -> std::result::Result<(), StoreError> {
        let mark = self.store.readers.read(|connection| {
            let oldest = "SELECT position FROM log_marks ORDER BY number LIMIT 1";
            connection.query_row(oldest, [], |row| row.get::<_, i64>(0))
        });
        let mark = mark.await?;
        // Revocations after the mark are found by position alone, and those before it by time.
        let order = format!("position LIMIT {PAGE}");
        let marked = statement(
            "events_ending_sessions_by_position",
            "position > ?1",
            &order,
        );
        let bounds = |(_, position)| [position];
        self.read_pages(&marked, (0, mark), bounds, sink).await?;
        let condition =
            "recorded_at >= ?1 AND (recorded_at, position) > (?1, ?2) AND position <= ?3";
        let order = format!("recorded_at, position LIMIT {PAGE}");
        let recent = statement("events_ending_sessions_by_time", condition, &order);
        let since = since.unix_millis().saturating_mul(1000);
        let bounds = |(time, position)| [time, position, mark];
        self.read_pages(&recent, (since, i64::MIN), bounds, sink)
            .await
    }

    async fn read_new(&mut self) -> std::result::Result<Vec<Revocation>, StoreError> {
        self.store.is_in_its_file()?;
        let order = format!("position LIMIT {}", PAGE + 1);
        // This program did not write an event beyond the end of the log; the signer raises the alarm.
        let condition = "position > ?1 AND position <= ?2";
        let sql = statement("events_ending_sessions_by_position", condition, &order);
        let end = self.end.clone();
        let read = self.store.readers.read(move |connection| {
            let snapshot = connection.unchecked_transaction()?;
            if !end.is_still_in(&snapshot)? {
                return Ok(None);
            }
            let new_end = End::read(&snapshot)?;
            let page = select(&snapshot, &sql, [end.position(), new_end.position()])?;
            Ok(Some((page.revocations, new_end)))
        });
        let (revocations, end) = read.await?.ok_or(Lost::Restored)?;
        if revocations.len() > PAGE {
            return Err(Lost::TooMany.into());
        }
        self.store.vault.apply_revocations(&revocations);
        self.end = end;
        Ok(revocations)
    }
}

/// An event that ends sessions.
pub(super) struct EndOfSessions {
    /// The position of the event, which is its log index.
    pub(super) position: i64,
    /// When it was recorded.
    pub(super) at: Timestamp,
    /// What it ends; `None` if it ends nothing or cannot be read.
    pub(super) revocation: Option<Revocation>,
}

/// The first event that ends sessions after the position `after`, up to `until`.
pub(super) fn next_end(
    connection: &Connection,
    after: i64,
    until: i64,
) -> Result<Option<EndOfSessions>> {
    static NEXT: LazyLock<String> = LazyLock::new(|| {
        let condition = "position > ?1 AND position <= ?2";
        let index = "events_ending_sessions_by_position";
        statement(index, condition, "position LIMIT 1")
    });
    connection
        .prepare_cached(&NEXT)?
        .query_row([after, until], |row| {
            let micros: i64 = row.get(5)?;
            Ok(EndOfSessions {
                position: row.get(0)?,
                at: Timestamp::from_unix_millis(micros / 1000),
                revocation: revocation(row).ok().flatten(),
            })
        })
        .optional()
}

/// Revocations, and the time and position of the last event that was read.
struct Page {
    revocations: Vec<Revocation>,
    last: Option<(i64, i64)>,
}

fn select(connection: &Connection, sql: &str, bounds: impl Params) -> Result<Page> {
    let (mut revocations, mut last) = (Vec::new(), None);
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query(bounds)?;
    while let Some(row) = rows.next()? {
        last = Some((row.get(5)?, row.get(0)?));
        revocations.extend(store::readable_revocation(row.get(0)?, revocation(row)));
    }
    Ok(Page { revocations, last })
}

/// What an event that ends an account's sessions says of them.
#[derive(Deserialize)]
struct Raised {
    session_epoch: Option<u32>,
    kept_session: Option<SessionId>,
}

fn revocation(row: &Row<'_>) -> Result<Option<Revocation>> {
    let (aggregate_type, event_type) = (row.get_ref(1)?.as_str()?, row.get_ref(2)?.as_str()?);
    let aggregate = id(row, 3, |text| Uuid::try_parse(text).ok())?;
    let payload = row.get_ref(4)?.as_str()?;
    let raised = || {
        let mut payload: HashMap<String, Raised> =
            serde_json::from_str(payload).map_err(store::unreadable)?;
        let raised = payload.remove(event_type);
        Ok(raised.and_then(|it| {
            it.session_epoch.map(|epoch| RaisedEpoch {
                epoch,
                kept_session: it.kept_session,
            })
        }))
    };
    store::revocation(aggregate_type, event_type, aggregate, raised)
        .map_err(|error| malformed(4, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_indexes_and_the_queries_have_the_same_condition() {
        let migration = include_str!("../../../migrations/sqlite/0027_stored_ends_of_sessions.sql");
        assert_eq!(migration.matches(ENDS_SESSIONS).count(), 2);
    }
}
