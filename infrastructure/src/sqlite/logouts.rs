//! The queue of logout tokens, as tables.

use async_trait::async_trait;
use authlog_application::ports::{
    DueLogout, LogoutQueue, LogoutReceiver, QueuedLogouts, Revocation, StoreError, WaitingLogouts,
};
use authlog_domain::{ClientId, SessionId, Timestamp, UserId};
use rusqlite::{Connection, Result, Row, params, params_from_iter};

use super::SqliteStore;
use super::errors::store_error;
use super::revocations::{EndOfSessions, next_end};
use super::rows::{id, timestamp};
use crate::store::LONGEST_POSTPONEMENT;

type Answer<T> = std::result::Result<T, StoreError>;

/// Whether a row of `clients` is one of a client that gets logout tokens: the condition of the index
/// `clients_with_backchannel_logout`.
macro_rules! gets_logouts {
    ($clients:literal) => {
        concat!(
            "instr(",
            $clients,
            "state, '\"backchannel_logout_uri\":\"') > 0"
        )
    };
}

const POSITION: &str = "SELECT position, after_session FROM logout_position";

const END: &str = "SELECT ifnull(max(log_index), 0) FROM event_log";

const IS_USED: &str = concat!(
    "SELECT EXISTS (SELECT 1 FROM clients WHERE ",
    gets_logouts!(""),
    ")"
);

const MOVE: &str = "UPDATE logout_position SET position = ?, after_session = ?";

/// The session of a client that has ended, as it started: its row may be gone.
const QUEUE_ITSELF: &str = concat!(
    "INSERT OR IGNORE INTO due_logouts (client_id, session_id, user_id, ended_at)
     SELECT c.client_id, start.aggregate_id, start.user_id, ?2
       FROM events AS start JOIN clients AS c
         ON c.client_id = CASE WHEN json_valid(start.payload) THEN start.payload ->> '$.LoggedIn.client' END
      WHERE start.aggregate_type = 'session' AND start.aggregate_id = ?1 AND start.sequence = 1
        AND start.user_id IS NOT NULL AND ",
    gets_logouts!("c.")
);

/// The live sessions that end with the session `?1`, after the session `?2`.
const CHILDREN: &str = "
    SELECT session_id FROM sessions INDEXED BY sessions_by_parent
     WHERE parent = ?1 AND session_id > ?2 AND ended_at IS NULL AND expires_at > ?3
     ORDER BY session_id LIMIT ?4";

/// The live sessions of applications of the account `?1`, after the session `?2`, that ended when the epoch `?5` began. Those of older
/// epochs were queued with theirs, and those that ended with their parent are queued with it, although their rows do not say so.
const OF_ACCOUNT: &str = "
    SELECT session_id FROM sessions
     WHERE user_id = ?1 AND session_id > ?2 AND ended_at IS NULL AND expires_at > ?3
       AND client_id IS NOT NULL AND epoch = ?5 - 1 AND session_id <> ?6
       AND (parent IS NULL
            OR EXISTS (SELECT 1 FROM sessions AS p WHERE p.session_id = sessions.parent AND p.ended_at IS NULL))
     ORDER BY session_id LIMIT ?4";

/// `?2` is when the session ended; without it, that is now.
const QUEUE: &str = concat!(
    "INSERT OR IGNORE INTO due_logouts (client_id, session_id, user_id, ended_at)
     SELECT s.client_id, s.session_id, s.user_id, ifnull(?2, CAST(round(unixepoch('subsec') * 1000) AS INTEGER))
       FROM sessions AS s JOIN clients AS c USING (client_id)
      WHERE s.session_id = ?1 AND ",
    gets_logouts!("c.")
);

const RECEIVER: &str = "
    INSERT OR IGNORE INTO logout_receivers (client_id) SELECT client_id FROM due_logouts WHERE session_id = ?";

/// The condition that a client is due: one that is due after `?2` was postponed under a clock that was ahead.
macro_rules! is_due {
    () => {
        "(due_at <= ?1 OR due_at > ?2)
         AND (EXISTS (SELECT 1 FROM due_logouts AS d WHERE d.client_id = logout_receivers.client_id AND d.due_at <= ?1)
              OR EXISTS (SELECT 1 FROM due_logouts AS d WHERE d.client_id = logout_receivers.client_id AND d.due_at > ?2))"
    };
}

const ANY_DUE: &str = concat!("SELECT 1 FROM logout_receivers WHERE ", is_due!());

const LEASE: &str = concat!(
    "UPDATE logout_receivers SET leases = leases + 1, due_at = ?3
      WHERE client_id IN (SELECT client_id FROM logout_receivers WHERE ",
    is_due!(),
    " ORDER BY due_at LIMIT ?4) RETURNING client_id, leases, failures, failing_since"
);

const RETURN: &str = "
    UPDATE logout_receivers SET failures = ?3, failing_since = ?4, due_at = ?5 WHERE client_id = ?1 AND leases = ?2";

const DUE: &str = "
    SELECT session_id, user_id, ended_at, refusals FROM due_logouts
     WHERE client_id = ?1 AND (due_at <= ?2 OR due_at > ?3)
     ORDER BY due_at, place LIMIT ?4";

const COMPLETE: &str = "DELETE FROM due_logouts WHERE session_id = ?";

const POSTPONE: &str =
    "UPDATE due_logouts SET refusals = refusals + 1, due_at = ?2 WHERE session_id = ?1";

const FORGET: &str = "
    DELETE FROM due_logouts WHERE place IN (SELECT place FROM due_logouts WHERE client_id = ? LIMIT ?)";

const WAITING: &str = "
    SELECT count(*), min(ended_at), (SELECT failing_since FROM logout_receivers WHERE client_id = ?1)
      FROM due_logouts WHERE client_id = ?1";

#[async_trait]
impl LogoutQueue for SqliteStore {
    async fn queue_logouts(&self, at_most: u32) -> Answer<QueuedLogouts> {
        // Most events end no session, and then nothing is written: the place stays behind.
        if let Some(nothing) = self.readers.read(finds_nothing).await? {
            return Ok(nothing);
        }
        self.writer
            .write(move |connection| queue(connection, at_most).map_err(store_error))
            .await
    }

    async fn lease_receivers(
        &self,
        now: Timestamp,
        leased_until: Timestamp,
        limit: u32,
    ) -> Answer<Vec<LogoutReceiver>> {
        let due = [now, now.plus(LONGEST_POSTPONEMENT)].map(Timestamp::unix_millis);
        let any_due =
            move |connection: &Connection| connection.prepare_cached(ANY_DUE)?.exists(due);
        if !self.readers.read(any_due).await? {
            return Ok(vec![]);
        }
        let [now, latest] = due;
        let parameters = [now, latest, leased_until.unix_millis(), limit.into()];
        self.writer
            .write(move |connection| lease(connection, parameters).map_err(store_error))
            .await
    }

    async fn return_receiver(&self, receiver: &LogoutReceiver, due_at: Timestamp) -> Answer<()> {
        let row = (
            receiver.client.to_string(),
            receiver.leases.cast_signed(),
            receiver.failures,
            receiver.failing_since.map(Timestamp::unix_millis),
            due_at.unix_millis(),
        );
        self.execute(RETURN, row).await
    }

    async fn due_logouts(
        &self,
        client: &ClientId,
        now: Timestamp,
        limit: u32,
    ) -> Answer<Vec<DueLogout>> {
        let (client, now, latest) = (
            client.to_string(),
            now.unix_millis(),
            now.plus(LONGEST_POSTPONEMENT).unix_millis(),
        );
        self.readers
            .read(move |connection| {
                let mut select = connection.prepare_cached(DUE)?;
                let rows = select.query_map(params![client, now, latest, limit], |row| {
                    Ok(due_logout(row).ok())
                })?;
                // An entry that this program did not write delays no other.
                rows.filter_map(Result::transpose).collect()
            })
            .await
    }

    async fn complete_logout(&self, session: SessionId) -> Answer<()> {
        self.execute(COMPLETE, [session.to_string()]).await
    }

    async fn postpone_logout(&self, session: SessionId, due_at: Timestamp) -> Answer<()> {
        let row = (session.to_string(), due_at.unix_millis());
        self.execute(POSTPONE, row).await
    }

    async fn forget_logouts(&self, client: &ClientId, limit: u32) -> Answer<u64> {
        let client = client.to_string();
        self.writer
            .write(move |connection| {
                let removed = connection
                    .prepare_cached(FORGET)
                    .and_then(|mut delete| delete.execute(params![client, limit]));
                removed.map(|it| it as u64).map_err(store_error)
            })
            .await
    }

    async fn waiting_logouts(&self, client: &ClientId) -> Answer<Option<WaitingLogouts>> {
        let client = client.to_string();
        self.readers
            .read(move |connection| {
                connection
                    .prepare_cached(WAITING)?
                    .query_row([client], waiting)
            })
            .await
    }

    async fn retry_logouts(&self, client: &ClientId) -> Answer<()> {
        const RETRY: &str =
            "UPDATE logout_receivers SET due_at = 0 WHERE client_id = ? AND failures > 0";
        self.execute(RETRY, [client.to_string()]).await
    }

    async fn failing_receivers(&self) -> Answer<u64> {
        const COUNT: &str = "
            SELECT count(*) FROM logout_receivers AS r
             WHERE failures > 0 AND EXISTS (SELECT 1 FROM due_logouts AS d WHERE d.client_id = r.client_id)";
        self.readers
            .read(|connection| {
                let mut count = connection.prepare_cached(COUNT)?;
                count.query_row([], |row| Ok(row.get::<_, i64>(0)?.unsigned_abs()))
            })
            .await
    }
}

/// The place of the last event that was read to its end, and the last session that was queued of the next one.
fn position(connection: &Connection) -> Result<(i64, String)> {
    connection
        .prepare_cached(POSITION)?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
}

fn end(connection: &Connection) -> Result<i64> {
    connection
        .prepare_cached(END)?
        .query_row([], |row| row.get(0))
}

/// The outcome, if the log has no end of a session that was not read.
fn finds_nothing(connection: &Connection) -> Result<Option<QueuedLogouts>> {
    let ((reached, _), end) = (position(connection)?, end(connection)?);
    Ok(if reached >= end {
        Some(QueuedLogouts::Idle)
    } else if next_end(connection, reached, end)?.is_none() {
        Some(QueuedLogouts::Nothing)
    } else {
        None
    })
}

/// As the function `queue_logouts` of the other store.
fn queue(connection: &Connection, at_most: u32) -> Result<QueuedLogouts> {
    let (mut reached, mut after) = position(connection)?;
    let end = end(connection)?;
    if reached >= end {
        return Ok(QueuedLogouts::Idle);
    }
    let is_used: bool = connection
        .prepare_cached(IS_USED)?
        .query_row([], |row| row.get(0))?;
    if !is_used {
        move_to(connection, end, "")?;
        return Ok(QueuedLogouts::Unused);
    }
    let mut queued = 0;
    while let Some(ended) = next_end(connection, reached, end)? {
        let batch = ended_by(connection, &ended, &after, at_most)?;
        let sessions: Vec<&str> = batch.iter().map(String::as_str).collect();
        queue_logouts_of(connection, &sessions, Some(ended.at))?;
        queued += batch.len() + 1;
        match batch.last().filter(|_| batch.len() >= at_most as usize) {
            Some(last) => after.clone_from(last),
            None => {
                reached = ended.position;
                after.clear();
            }
        }
        if queued >= at_most as usize {
            move_to(connection, reached, &after)?;
            return Ok(QueuedLogouts::More);
        }
    }
    move_to(connection, end, "")?;
    Ok(QueuedLogouts::Done)
}

fn move_to(connection: &Connection, position: i64, after: &str) -> Result<()> {
    let moved = connection
        .prepare_cached(MOVE)?
        .execute(params![position, after]);
    moved.map(drop)
}

/// Queues the session that ended, and returns those that ended with it, after the session `after`.
fn ended_by(
    connection: &Connection,
    ended: &EndOfSessions,
    after: &str,
    at_most: u32,
) -> Result<Vec<String>> {
    let at = ended.at.unix_millis();
    match ended.revocation {
        // What cannot be read ends nothing here; the deny list reports it.
        None => Ok(vec![]),
        Some(Revocation::Session(session)) => {
            let session = session.to_string();
            connection
                .prepare_cached(QUEUE_ITSELF)?
                .execute(params![session, at])?;
            connection.prepare_cached(RECEIVER)?.execute([&session])?;
            let mut select = connection.prepare_cached(CHILDREN)?;
            let found = select.query_map(params![session, after, at, at_most], |row| row.get(0))?;
            found.collect()
        }
        Some(Revocation::Epoch { user, epoch, .. } | Revocation::Erased { user, epoch }) => {
            let kept = match ended.revocation {
                Some(Revocation::Epoch { kept, .. }) => kept,
                _ => None,
            };
            let kept = kept.map(|session| session.to_string()).unwrap_or_default();
            let mut select = connection.prepare_cached(OF_ACCOUNT)?;
            let found = select.query_map(
                params![user.to_string(), after, at, at_most, epoch, kept],
                |row| row.get(0),
            )?;
            found.collect()
        }
    }
}

/// Queues the logouts of those of these sessions that belong to clients which get logout tokens. They ended at `at`, or now.
/// Returns how many rows were written.
pub(super) fn queue_logouts_of(
    connection: &Connection,
    sessions: &[&str],
    at: Option<Timestamp>,
) -> Result<usize> {
    let at = at.map(Timestamp::unix_millis);
    let mut rows = 0;
    for session in sessions {
        let queued = connection
            .prepare_cached(QUEUE)?
            .execute(params![session, at])?;
        if queued > 0 {
            rows += queued + connection.prepare_cached(RECEIVER)?.execute([session])?;
        }
    }
    Ok(rows)
}

fn lease(connection: &Connection, parameters: [i64; 4]) -> Result<Vec<LogoutReceiver>> {
    let mut statement = connection.prepare_cached(LEASE)?;
    let leased = statement.query_map(params_from_iter(parameters), receiver)?;
    leased.collect()
}

fn receiver(row: &Row<'_>) -> Result<LogoutReceiver> {
    let failures: i64 = row.get(2)?;
    Ok(LogoutReceiver {
        client: ClientId::from_stored(row.get::<_, String>(0)?),
        leases: row.get::<_, i64>(1)?.cast_unsigned(),
        failures: u32::try_from(failures).unwrap_or(u32::MAX),
        failing_since: row
            .get::<_, Option<i64>>(3)?
            .map(Timestamp::from_unix_millis),
    })
}

fn due_logout(row: &Row<'_>) -> Result<DueLogout> {
    let refusals: i64 = row.get(3)?;
    Ok(DueLogout {
        session: id(row, 0, SessionId::parse)?,
        user: id(row, 1, UserId::parse)?,
        ended_at: timestamp(row, 2)?,
        refusals: u32::try_from(refusals).unwrap_or(u32::MAX),
    })
}

fn waiting(row: &Row<'_>) -> Result<Option<WaitingLogouts>> {
    let Some(oldest) = row.get::<_, Option<i64>>(1)? else {
        return Ok(None);
    };
    Ok(Some(WaitingLogouts {
        count: row.get::<_, i64>(0)?.unsigned_abs(),
        oldest: Timestamp::from_unix_millis(oldest),
        failing_since: row
            .get::<_, Option<i64>>(2)?
            .map(Timestamp::from_unix_millis),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::connection::plan;

    #[test]
    fn the_ends_of_sessions_are_queued_without_reading_whole_tables() {
        for sql in [
            IS_USED,
            QUEUE_ITSELF,
            CHILDREN,
            OF_ACCOUNT,
            QUEUE,
            RECEIVER,
            DUE,
        ] {
            let plan = plan(sql);
            let is_whole = |step: &String| {
                step.starts_with("SCAN")
                    && !step.contains("clients_with_backchannel_logout")
                    && !step.contains("CONSTANT ROW")
            };
            assert!(!plan.iter().any(is_whole), "{sql}: {plan:#?}");
        }
    }
}
