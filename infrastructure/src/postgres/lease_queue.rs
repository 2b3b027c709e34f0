//! Queues as tables: taking due entries for the length of a lease, and postponing them.

use authlog_application::ports::StoreError;
use authlog_domain::Timestamp;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::QueryAs;
use sqlx::{FromRow, Postgres};
use uuid::Uuid;

use super::connections::Connections;
use crate::store::LONGEST_POSTPONEMENT;

/// The statements of one queue.
pub(super) struct LeaseQueue {
    /// Made by [`take_due`].
    pub(super) take_due: &'static str,
    /// Made by [`postpone`].
    pub(super) postpone: &'static str,
}

/// Takes the first due entries of a table and returns them without an order. `SKIP LOCKED` lets nodes take different
/// entries at the same time. The entries are chosen before any is updated, so that no more than the limit are locked. From
/// `$5` on the parameters belong to `$condition`.
macro_rules! take_due {
    ($table:literal, $id:literal, $columns:literal, condition: $condition:literal, order: $order:literal) => {
        concat!(
            "WITH due AS MATERIALIZED (SELECT ",
            $id,
            " FROM ",
            $table,
            " WHERE (due_at <= $1 OR due_at > $4)",
            $condition,
            " ORDER BY ",
            $order,
            " LIMIT $3 FOR UPDATE SKIP LOCKED) UPDATE ",
            $table,
            " SET attempts = attempts + 1, due_at = $2 WHERE ",
            $id,
            " IN (SELECT ",
            $id,
            " FROM due) RETURNING ",
            $columns
        )
    };
}

/// Postpones the entry `$1`, unless it was taken again meanwhile.
macro_rules! postpone {
    ($table:literal, $id:literal) => {
        concat!(
            "UPDATE ",
            $table,
            " SET due_at = $2, unacknowledged = $4 WHERE ",
            $id,
            " = $1 AND attempts = $3"
        )
    };
}

pub(super) use {postpone, take_due};

impl LeaseQueue {
    /// Takes up to `limit` entries that are due at `now`. `bind` binds the parameters of the queue's own condition.
    ///
    /// The statement is sent once. Entries that it took are due again after the lease if its answer is lost.
    pub(super) async fn take_due<R>(
        &self,
        connections: &Connections,
        (now, leased_until): (Timestamp, Timestamp),
        limit: u32,
        bind: impl FnOnce(
            QueryAs<'static, Postgres, R, PgArguments>,
        ) -> QueryAs<'static, Postgres, R, PgArguments>,
    ) -> Result<Vec<R>, StoreError>
    where
        R: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let query = sqlx::query_as(self.take_due)
            .bind(now.date_time())
            .bind(leased_until.date_time())
            .bind(i64::from(limit))
            .bind(now.plus(LONGEST_POSTPONEMENT).date_time());
        connections
            .ask_once(bind(query).fetch_all(connections.pool()))
            .await
    }

    /// Postpones an entry until `at`, unless it was taken again after this attempt.
    pub(super) async fn postpone(
        &self,
        connections: &Connections,
        id: Uuid,
        (attempts, unacknowledged): (u32, u32),
        at: Timestamp,
    ) -> Result<(), StoreError> {
        connections
            .ask(|pool| {
                sqlx::query(self.postpone)
                    .bind(id)
                    .bind(at.date_time())
                    .bind(i64::from(attempts))
                    .bind(i64::from(unacknowledged))
                    .execute(pool)
            })
            .await?;
        Ok(())
    }
}
