//! Queues as tables: taking due entries for the length of a lease, and postponing them.

use authlog_application::ports::StoreError;
use authlog_domain::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, Error, Result, Row, params_from_iter};

use super::SqliteStore;
use super::errors::store_error;
use crate::store::LONGEST_POSTPONEMENT;

/// One queue: its statements, and how its rows are read.
pub(super) struct LeaseQueue<T: 'static> {
    /// Made by [`any_due`].
    pub(super) any_due: &'static str,
    /// Made by [`take_due`].
    pub(super) take_due: &'static str,
    /// Made by [`postpone`].
    pub(super) postpone: &'static str,
    /// Reads an entry, whose first column is its id.
    pub(super) read: fn(&Row<'_>) -> Result<T>,
    /// What to do in the same transaction with an entry that cannot be read, by its id.
    pub(super) unreadable: fn(&Connection, &str, Error) -> Result<()>,
}

/// The condition that an entry is due: an entry that is due after `?2` was postponed under a clock that was ahead.
/// Parameter `?3` belongs to `$condition`.
macro_rules! is_due {
    ($condition:literal) => {
        concat!("(due_at <= ?1 OR due_at > ?2)", $condition)
    };
}

/// Finds out whether an entry is due.
macro_rules! any_due {
    ($table:literal, condition: $condition:literal) => {
        concat!(
            "SELECT 1 FROM ",
            $table,
            " WHERE ",
            is_due!($condition),
            " LIMIT 1"
        )
    };
}

/// Takes the first due entries of a table and returns them without an order.
macro_rules! take_due {
    ($table:literal, $id:literal, $columns:literal, condition: $condition:literal, order: $order:literal) => {
        concat!(
            "UPDATE ",
            $table,
            " SET attempts = attempts + 1, due_at = ?4 WHERE ",
            $id,
            " IN (SELECT ",
            $id,
            " FROM ",
            $table,
            " WHERE ",
            is_due!($condition),
            " ORDER BY ",
            $order,
            " LIMIT ?5) RETURNING ",
            $columns
        )
    };
}

/// Postpones the entry `?1`, unless it was taken again meanwhile.
macro_rules! postpone {
    ($table:literal, $id:literal) => {
        concat!(
            "UPDATE ",
            $table,
            " SET due_at = ?2, unacknowledged = ?4 WHERE ",
            $id,
            " = ?1 AND attempts = ?3"
        )
    };
}

pub(super) use {any_due, is_due, postpone, take_due};

impl<T: Send + 'static> LeaseQueue<T> {
    /// Takes up to `limit` entries that are due at `now`. `parameter` is that of the queue's own condition.
    pub(super) async fn take_due(
        &'static self,
        store: &SqliteStore,
        (now, leased_until): (Timestamp, Timestamp),
        limit: u32,
        parameter: Option<Value>,
    ) -> std::result::Result<Vec<T>, StoreError> {
        let latest = now.plus(LONGEST_POSTPONEMENT).unix_millis();
        let due = [now.unix_millis().into(), latest.into()];
        let looked_for = due.clone().into_iter().chain(parameter.clone());
        // Almost every check finds nothing, and then nothing is written.
        let any_due = move |connection: &Connection| {
            let mut select = connection.prepare_cached(self.any_due)?;
            select.exists(params_from_iter(looked_for))
        };
        if !store.readers.read(any_due).await? {
            return Ok(vec![]);
        }
        let rest = [
            parameter.unwrap_or(Value::Null),
            leased_until.unix_millis().into(),
            limit.into(),
        ];
        store
            .writer
            .write(move |connection| {
                self.take(connection, due.into_iter().chain(rest))
                    .map_err(store_error)
            })
            .await
    }

    fn take(
        &self,
        connection: &Connection,
        parameters: impl IntoIterator<Item = Value>,
    ) -> Result<Vec<T>> {
        let (mut taken, mut unreadable) = (Vec::new(), Vec::<(String, Error)>::new());
        let mut statement = connection.prepare_cached(self.take_due)?;
        let mut rows = statement.query(params_from_iter(parameters))?;
        while let Some(row) = rows.next()? {
            match (self.read)(row) {
                Ok(entry) => taken.push(entry),
                Err(error) => unreadable.push((row.get(0)?, error)),
            }
        }
        drop(rows);
        for (id, error) in unreadable {
            (self.unreadable)(connection, &id, error)?;
        }
        Ok(taken)
    }

    /// Postpones an entry until `at`, unless it was taken again after this attempt.
    pub(super) async fn postpone(
        &self,
        store: &SqliteStore,
        id: String,
        (attempts, unacknowledged): (u32, u32),
        at: Timestamp,
    ) -> std::result::Result<(), StoreError> {
        let entry = (id, at.unix_millis(), attempts, unacknowledged);
        store.execute(self.postpone, entry).await
    }
}
