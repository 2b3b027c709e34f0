//! Appending an event of a session that brings nothing but the session's row, as most events do.

use std::collections::HashSet;
use std::sync::Arc;

use authlog_application::ports::{AppendError, SessionRecord, TooLate};
use authlog_domain::{AggregateKind, UserId};
use sqlx::{FromRow, PgConnection, PgExecutor, Row as _};
use time::OffsetDateTime;
use tokio::time::Instant;
use uuid::Uuid;

use super::append::is_recorded;
use super::connections::Connections;
use super::errors::{append_error, is_too_late, violated_key};
use super::pool::answered;
use super::rows::{SessionRow, update_session, upsert_session};
use super::server_clock::ServerClock;
use super::together::{Asked, Errand};
use crate::sealing::{SealedEvent, WithMac};
use crate::store::{AppendPlan, Predecessor, in_time};

/// Appends one, in the order of the statement that can append anything: the account, the event, the row. PostgreSQL takes
/// several times as long to begin that one as to carry this one out.
const APPEND: &str = concat!(
    "WITH session AS (",
    upsert_session!(),
    r" RETURNING 1), event AS (
        INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
        VALUES ('session', $1, $2, $3, $4, $5::text::json, $6::text::json)
        RETURNING 1
    )
    SELECT begin_append(ARRAY[$20::uuid], $21, $22, $23, $24) AS server_time,
           require_rows(ARRAY[(SELECT count(*) FROM event), (SELECT count(*) FROM session)], ARRAY[1, 1]::bigint[])",
);

/// Appends one to each of several sessions, but not to those of accounts that do not exist, nor without the event before, nor
/// after its time, nor where another command came first.
///
/// No event is inserted before the accounts are held: what is inserted depends on which of them exist. That is
/// known from the function, which sees every erasure that it had to wait for; the statement's own snapshot is older. Where
/// an event of the session is there, the registration is, too: a server that took over lacks the last transactions alone.
/// Rows are written last, since they depend on which events were.
const APPEND_SEVERAL: &str = concat!(
    r"
    WITH held AS MATERIALIZED (
        SELECT hold_accounts($8) AS erased, clock_timestamp() AS server_time
    ), planned AS MATERIALIZED (
        SELECT *
          FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $8::uuid[],
                      $9::timestamptz[], $7::sessions[])
            AS planned (aggregate_id, sequence, event_type, event_version, payload, metadata, account, not_after,
                        session_id, version, user_id, contract, epoch, rotation, generation,
                        started_at, last_used_at, expires_at, ended_at, rotated_at, mac)
    ), missing AS MATERIALIZED (
        SELECT erased || array(
                   SELECT account FROM planned
                    WHERE sequence = 1
                      AND (SELECT true FROM accounts WHERE accounts.user_id = planned.account) IS NOT TRUE) AS accounts
          FROM held
    ), event AS (
        INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
        SELECT 'session', aggregate_id, sequence, event_type, event_version, payload::json, metadata::json
          FROM planned
         WHERE account <> ALL ((SELECT accounts FROM missing)::uuid[])
           AND (not_after IS NULL OR not_after >= (SELECT server_time FROM held))
           AND (sequence = 1 OR (SELECT true FROM events AS before
                                  WHERE before.aggregate_type = 'session'
                                    AND before.aggregate_id = planned.aggregate_id
                                    AND before.sequence = planned.sequence - 1))
        ON CONFLICT (aggregate_type, aggregate_id, sequence) DO NOTHING
        RETURNING aggregate_id
    ), session AS (
        INSERT INTO sessions (session_id, version, user_id, contract, epoch, rotation, generation, started_at,
                              last_used_at, expires_at, ended_at, rotated_at, mac)
        SELECT session_id, version, user_id, contract, epoch, rotation, generation, started_at,
               last_used_at, expires_at, ended_at, rotated_at, mac
          FROM planned JOIN event USING (aggregate_id)",
    update_session!(),
    r"
        RETURNING 1
    )
    SELECT missing.accounts AS missing, server_time, array(SELECT aggregate_id FROM event) AS written,
           require_rows(ARRAY[(SELECT count(*) FROM session)], ARRAY[(SELECT count(*) FROM event)])
      FROM held, missing",
);

/// An event, the session's row after it, the account that has to exist, and until when it may be done.
pub(super) struct SessionAppend {
    event: SealedEvent,
    session: WithMac<SessionRecord>,
    user: UserId,
    not_after: Option<Instant>,
}

impl SessionAppend {
    /// Takes it out of a plan that has nothing else in it.
    pub(super) fn take_from(plan: &mut AppendPlan) -> Option<Self> {
        let AppendPlan {
            events,
            subject_keys,
            wrapped_under: None,
            held,
            // Of one event it says nothing that the event does not say.
            built_on: _,
            not_after,
            erasure: None,
            claims,
            released,
            mail,
            leaves_an_administrator_beside: None,
            accounts,
            sessions,
            credential: None,
            opaque_token: None,
        } = plan
        else {
            return None;
        };
        let nothing_else = subject_keys.is_empty()
            && claims.is_empty()
            && released.is_empty()
            && mail.is_empty()
            && accounts.is_empty();
        match (events.as_slice(), sessions.as_slice(), held.as_slice()) {
            ([event], [_], [user]) if nothing_else && event.kind == AggregateKind::Session => {
                Some(Self {
                    user: *user,
                    not_after: *not_after,
                    event: events.pop()?,
                    session: sessions.pop()?,
                })
            }
            _ => None,
        }
    }
}

/// Carries them out.
pub(super) struct SessionAppends {
    connections: Arc<Connections>,
}

impl Errand for SessionAppends {
    type Request = SessionAppend;
    type Answer = ();
    type Refusal = AppendError;

    async fn carry_out(&self, mut group: Vec<Asked<Self>>, connection: &mut PgConnection) {
        group = answer_late(group);
        // Whoever writes several rows writes them in the same order as everybody else, and so nobody waits for someone
        // who waits for them.
        group.sort_by_key(|asked| asked.request.session.row.id.as_uuid());
        let mut sessions = HashSet::new();
        let (group, late): (Vec<_>, Vec<_>) = group
            .into_iter()
            .partition(|asked| sessions.insert(asked.request.session.row.id));
        match <[_; 1]>::try_from(group) {
            Ok([asked]) => {
                let clock = self.connections.server_clock();
                match answered(append(&asked.request, clock, &mut *connection)).await {
                    Err(error) if self.connections.condemns(&error) => {
                        self.send_by_itself(asked, true);
                    }
                    Err(error) if is_too_late(&error) => self.send_by_itself(asked, false),
                    sent => asked.answer(sent.map_err(append_error)),
                }
            }
            Err(group) if group.is_empty() => {}
            Err(group) => self.send_together(group, connection).await,
        }
        // Another command on their session came first.
        for asked in late {
            self.send_by_itself(asked, false);
        }
    }
}

impl SessionAppends {
    pub(super) fn new(connections: &Arc<Connections>) -> Self {
        Self {
            connections: Arc::clone(connections),
        }
    }

    async fn send_together(&self, group: Vec<Asked<Self>>, connection: &mut PgConnection) {
        let clock = self.connections.server_clock();
        match answered(append_several(&group, clock, connection)).await {
            Ok(outcomes) => {
                for (asked, outcome) in group.into_iter().zip(outcomes) {
                    match outcome {
                        Some(outcome) => asked.answer(outcome),
                        None => self.send_by_itself(asked, false),
                    }
                }
            }
            Err(error) => {
                tracing::warn!(%error, commands = group.len(), "batched append failed; retrying commands individually");
                let broken = self.connections.condemns(&error);
                for asked in group {
                    self.send_by_itself(asked, broken);
                }
            }
        }
    }

    /// Sends it without anybody waiting for it but whoever asked.
    fn send_by_itself(&self, asked: Asked<Self>, in_doubt: bool) {
        let connections = Arc::clone(&self.connections);
        tokio::spawn(async move {
            let outcome = append_surely(&asked.request, &connections, in_doubt).await;
            asked.answer(outcome);
        });
    }
}

/// Answers those whose time is up, and returns the others.
fn answer_late(group: Vec<Asked<SessionAppends>>) -> Vec<Asked<SessionAppends>> {
    let (in_time, late): (Vec<_>, Vec<_>) = group
        .into_iter()
        .partition(|asked| in_time(asked.request.not_after).is_ok());
    for asked in late {
        asked.answer(Err(TooLate.into()));
    }
    in_time
}

/// Appends one, which may have been appended before if that is `in_doubt`, as it is after a connection broke. Then a key
/// says that something like it was, and if that is this very event, all is well. It is not begun after its time.
async fn append_surely(
    planned: &SessionAppend,
    connections: &Connections,
    mut in_doubt: bool,
) -> Result<(), AppendError> {
    let clock = connections.server_clock();
    let mut clock_was_set = false;
    loop {
        let (error, may_be_recorded) = match in_time(planned.not_after) {
            Err(late) => (late.into(), true),
            Ok(()) => match append(planned, clock, connections.pool()).await {
                Ok(()) => return Ok(()),
                Err(error) if connections.condemns(&error) && !in_doubt => {
                    in_doubt = true;
                    continue;
                }
                // There is time left here.
                Err(error) if is_too_late(&error) && !clock_was_set => {
                    clock_was_set = true;
                    clock.forget();
                    continue;
                }
                Err(error) => {
                    let by_key = violated_key(&error).is_some() || is_too_late(&error);
                    (append_error(error), by_key)
                }
            },
        };
        let recorded =
            in_doubt && may_be_recorded && is_recorded(&planned.event, connections).await?;
        return if recorded { Ok(()) } else { Err(error) };
    }
}

async fn append(
    SessionAppend {
        event,
        session,
        user,
        not_after,
    }: &SessionAppend,
    clock: &ServerClock,
    executor: impl PgExecutor<'_>,
) -> Result<(), sqlx::Error> {
    let before = Predecessor::of(event);
    let before = before.as_slice();
    let kinds: Vec<_> = before.iter().map(|event| event.kind.as_str()).collect();
    let ids: Vec<_> = before.iter().map(|it| it.aggregate_id.as_str()).collect();
    let sequences: Vec<_> = before.iter().map(|event| event.sequence).collect();
    let sent = Instant::now();
    let query = sqlx::query(APPEND)
        .bind(event.aggregate_id.as_str())
        .bind(event.sequence)
        .bind(event.event_type.as_str())
        .bind(event.event_version.as_str())
        .bind(event.payload.as_str())
        .bind(event.metadata.as_str());
    let row = SessionRow::from(session)
        .bound_to(query)
        .bind(user.as_uuid())
        .bind(kinds)
        .bind(ids)
        .bind(sequences)
        .bind(not_after.and_then(|at| clock.time_at(at)))
        .fetch_one(executor)
        .await?;
    clock.learn(sent, row.try_get("server_time")?);
    Ok(())
}

/// What became of several.
#[derive(FromRow)]
struct Appended {
    /// The accounts that do not exist.
    missing: Vec<Uuid>,
    /// When the appends were begun, by the server's clock.
    server_time: OffsetDateTime,
    /// The sessions that have the event now.
    written: Vec<String>,
}

impl Appended {
    /// What became of one of them, which had to be begun by `not_after`; `None` if it was refused for that, and the server's
    /// clock may have been set.
    fn outcome_of(
        &self,
        planned: &SessionAppend,
        not_after: Option<OffsetDateTime>,
    ) -> Option<Result<(), AppendError>> {
        if self.written.contains(&planned.event.aggregate_id) {
            Some(Ok(()))
        } else if self.missing.contains(&planned.user.as_uuid()) {
            Some(Err(AppendError::AccountErased))
        } else if not_after.is_some_and(|at| at < self.server_time) {
            None
        } else {
            Some(Err(AppendError::Conflict))
        }
    }
}

/// Appends them, and returns what became of each.
async fn append_several(
    group: &[Asked<SessionAppends>],
    clock: &ServerClock,
    connection: &mut PgConnection,
) -> Result<Vec<Option<Result<(), AppendError>>>, sqlx::Error> {
    fn all<'a, T>(
        group: &'a [Asked<SessionAppends>],
        member: impl Fn(&'a SealedEvent) -> T,
    ) -> Vec<T> {
        group.iter().map(|it| member(&it.request.event)).collect()
    }
    let users: Vec<_> = group.iter().map(|it| it.request.user.as_uuid()).collect();
    let rows: Vec<_> = group
        .iter()
        .map(|asked| SessionRow::from(&asked.request.session))
        .collect();
    let not_after: Vec<Option<OffsetDateTime>> = group
        .iter()
        .map(|it| it.request.not_after.and_then(|at| clock.time_at(at)))
        .collect();
    let sent = Instant::now();
    let appended: Appended = sqlx::query_as(APPEND_SEVERAL)
        .bind(all(group, |event| event.aggregate_id.as_str()))
        .bind(all(group, |event| event.sequence))
        .bind(all(group, |event| event.event_type.as_str()))
        .bind(all(group, |event| event.event_version.as_str()))
        .bind(all(group, |event| event.payload.as_str()))
        .bind(all(group, |event| event.metadata.as_str()))
        .bind(rows)
        .bind(users)
        .bind(&not_after)
        .fetch_one(connection)
        .await?;
    clock.learn(sent, appended.server_time);
    let outcomes = group.iter().zip(not_after);
    Ok(outcomes
        .map(|(asked, not_after)| appended.outcome_of(&asked.request, not_after))
        .collect())
}
