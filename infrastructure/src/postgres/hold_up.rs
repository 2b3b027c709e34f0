//! What holds up the log: a transaction that has written something and does not end.
//!
//! Events get their log index below the oldest transaction in progress, anywhere in the cluster. The owner of that
//! transaction holds up the log, the feed and the stream, so it is named.

use std::time::{Duration, Instant};

use authlog_application::ports::{BlockingTransaction, TransactionHolder};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgExecutor, Row as _};

use super::leadership::with_timeout;

/// The oldest transaction that has an id, in a session or prepared. Age and state are visible only to members of the
/// same role or of `pg_monitor`. The transaction is a 32-bit id without its epoch.
const OLDEST: &str = r"
    WITH oldest AS (SELECT pg_snapshot_xmin(pg_current_snapshot())::xid AS id)
    SELECT id::text AS transaction, datname::text AS database, pid, application_name AS name, state,
           extract(epoch FROM clock_timestamp() - xact_start)::float8 AS seconds
      FROM oldest JOIN pg_stat_activity ON backend_xid = id
     WHERE pid <> pg_backend_pid()
    UNION ALL
    SELECT id::text, database::text, NULL, gid, 'prepared',
           extract(epoch FROM clock_timestamp() - prepared)::float8
      FROM oldest JOIN pg_prepared_xacts ON transaction = id
     LIMIT 1";

/// The transaction that holds up the log now, if there is one.
pub(super) async fn find(
    executor: impl PgExecutor<'_>,
) -> Result<Option<BlockingTransaction>, sqlx::Error> {
    let found = sqlx::query(OLDEST).fetch_optional(executor).await?;
    found.as_ref().map(hold_up).transpose()
}

fn hold_up(row: &PgRow) -> Result<BlockingTransaction, sqlx::Error> {
    let name: Option<String> = row.try_get("name")?;
    let name = name.unwrap_or_default();
    let seconds: Option<f64> = row.try_get("seconds")?;
    let by = match row.try_get("pid")? {
        Some(pid) => TransactionHolder::Session {
            pid,
            application_name: name,
            state: row.try_get("state")?,
        },
        None => TransactionHolder::PreparedTransaction { gid: name },
    };
    Ok(BlockingTransaction {
        transaction: row.try_get("transaction")?,
        database: row.try_get::<Option<_>, _>("database")?.unwrap_or_default(),
        by,
        age: seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
    })
}

/// Whether events have waited for more than three seconds for a transaction to end. The range has both bounds, because
/// the planner overestimates a range that is open on one side.
const IS_HELD_UP: &str = r"
    SELECT EXISTS (
        SELECT FROM events
         WHERE txid >= pg_snapshot_xmin(pg_current_snapshot()) AND txid < pg_snapshot_xmax(pg_current_snapshot())
           AND recorded_at < clock_timestamp() - interval '3 seconds')";

/// How long the log may stand still before the leader looks for the reason, and how often it looks.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// How often the same transaction is logged again.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// Looks for hold-ups on behalf of the sequencer, and logs them.
#[derive(Default)]
pub(super) struct HoldUpWatch {
    idle_since: Option<Instant>,
    looked_at: Option<Instant>,
    said: Option<(BlockingTransaction, Instant)>,
}

impl HoldUpWatch {
    /// Notes that events got their places.
    pub(super) fn moved(&mut self) {
        self.idle_since = None;
        if self.said.take().is_some() {
            tracing::info!("the log is no longer blocked");
        }
    }

    /// Notes that no event got its place, and looks for the reason if that lasts.
    pub(super) async fn is_idle(&mut self, connection: &mut PgConnection) {
        let since = *self.idle_since.get_or_insert_with(Instant::now);
        let last = self.looked_at.map_or(since, |at| at.max(since));
        if last.elapsed() < LOOK_EVERY {
            return;
        }
        self.looked_at = Some(Instant::now());
        match look(connection).await {
            Ok(Some(hold_up)) => self.say(hold_up),
            Ok(None) => {}
            // Sequencing goes on. A connection that broke is noticed by the next batch.
            Err(error) => tracing::debug!(%error, "could not find out what blocks the log"),
        }
    }

    fn say(&mut self, hold_up: BlockingTransaction) {
        let is_known = self.said.as_ref().is_some_and(|(said, at)| {
            said.transaction == hold_up.transaction
                && std::mem::discriminant(&said.by) == std::mem::discriminant(&hold_up.by)
                && at.elapsed() < SAY_AGAIN
        });
        if is_known {
            return;
        }
        let BlockingTransaction {
            transaction,
            database,
            by,
            age,
        } = &hold_up;
        match by {
            TransactionHolder::Session {
                pid,
                application_name,
                state,
            } => tracing::warn!(
                transaction,
                database,
                pid,
                application_name,
                state,
                ?age,
                "the log waits for a transaction that does not end; new events are neither published nor proved meanwhile"
            ),
            TransactionHolder::PreparedTransaction { gid } => tracing::warn!(
                transaction,
                database,
                gid,
                ?age,
                "the log waits for a prepared transaction; commit it or roll it back by its name"
            ),
        }
        self.said = Some((hold_up, Instant::now()));
    }
}

async fn look(connection: &mut PgConnection) -> Result<Option<BlockingTransaction>, sqlx::Error> {
    let is_held_up = sqlx::query_scalar(IS_HELD_UP).fetch_one(&mut *connection);
    if with_timeout(is_held_up).await? {
        with_timeout(find(connection)).await
    } else {
        Ok(None)
    }
}
