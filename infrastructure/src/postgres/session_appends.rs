//! Appends of one session event and the session's row, which most events consist of.

use std::collections::HashSet;
use std::sync::Arc;

use authlog_application::ports::{AppendError, SessionRecord, TooLate};
use authlog_domain::{AggregateKind, UserId};
use sqlx::{FromRow, PgConnection, PgExecutor, Row as _};
use time::OffsetDateTime;
use tokio::time::Instant;
use uuid::Uuid;

use super::append::{factor_changes, is_recorded};
use super::batching::{BatchOperation, PendingRequest};
use super::connections::Connections;
use super::errors::{append_error, is_factor_used, is_too_late, violated_key};
use super::pool::answered;
use super::rows::{SessionRow, sessions, upsert_session};
use super::server_clock::ServerClock;
use crate::sealing::{SealedEvent, WithMac};
use crate::store::{
    AppendPlan, Predecessor, SealedFactorChange, SealedFactorChangeKind, column_list, in_time,
    update_on_conflict,
};

/// Appends one event, in the order of the general append: the account, the event, the row. PostgreSQL takes several
/// times as long to begin the general statement as to execute this one.
const APPEND: &str = concat!(
    "WITH session AS (",
    upsert_session!(),
    r" RETURNING 1), event AS (
        INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata, ends_sessions)
        VALUES ('session', $20, $21, $22, $23, $24::text::json, $25::text::json, $26)
        RETURNING 1
    )
    SELECT begin_append(ARRAY[$27::uuid], $28, $29, $30, $31) AS server_time,
           require_rows(ARRAY[(SELECT count(*) FROM event), (SELECT count(*) FROM session)], ARRAY[1, 1]::bigint[]),
           apply_factor_changes($32)",
);

/// The statement of [`APPEND_SEVERAL`], with further arrays, the columns that they become, further queries, and a condition for the
/// event.
macro_rules! append_several {
    ($arrays:literal, $columns:literal, $queries:literal, $condition:literal) => {
        concat!(
            r"
    WITH held AS MATERIALIZED (
        SELECT hold_accounts($9) AS erased, clock_timestamp() AS server_time
    ), planned AS MATERIALIZED (
        SELECT *
          FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[],
                      $7::boolean[], $9::uuid[], $10::timestamptz[], ",
            $arrays,
            r" $8::sessions[])
            AS planned (aggregate_id, sequence, event_type, event_version, payload, metadata, ends_sessions, account,
                        not_after, ",
            $columns,
            sessions!(column_list),
            r")
    ), missing AS MATERIALIZED (
        SELECT erased || array(
                   SELECT account FROM planned
                    WHERE sequence = 1
                      AND (SELECT true FROM accounts WHERE accounts.user_id = planned.account) IS NOT TRUE) AS accounts
          FROM held
    ), ",
            $queries,
            r"event AS (
        INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata, ends_sessions)
        SELECT 'session', aggregate_id, sequence, event_type, event_version, payload::json, metadata::json, ends_sessions
          FROM planned
         WHERE account <> ALL ((SELECT accounts FROM missing)::uuid[])
           AND (not_after IS NULL OR not_after >= (SELECT server_time FROM held))
           AND (sequence = 1 OR (SELECT true FROM events AS before
                                  WHERE before.aggregate_type = 'session'
                                    AND before.aggregate_id = planned.aggregate_id
                                    AND before.sequence = planned.sequence - 1))
           ",
            $condition,
            r"
        ON CONFLICT (aggregate_type, aggregate_id, sequence) DO NOTHING
        RETURNING aggregate_id
    ), session AS (
        INSERT INTO sessions (",
            sessions!(column_list),
            r") SELECT ",
            sessions!(column_list),
            r"
          FROM planned JOIN event USING (aggregate_id)",
            sessions!(update_on_conflict),
            r"
        RETURNING 1
    )
    SELECT missing.accounts AS missing, server_time, array(SELECT aggregate_id FROM event) AS written,
           require_rows(ARRAY[(SELECT count(*) FROM session)], ARRAY[(SELECT count(*) FROM event)])
      FROM held, missing",
        )
    };
}

/// Appends one event to each of several sessions. Skipped are events of accounts that do not exist, events without
/// their predecessor, events after their deadline, and events whose number is taken.
///
/// No event is inserted before the accounts are locked, because the insert depends on which of them exist. That is
/// known from the function, which sees every erasure that it had to wait for; the statement's own snapshot is older.
/// A session with an event has a registered account: a server that took over lacks only the last transactions. Rows
/// are written last, because they depend on which events were inserted.
const APPEND_SEVERAL: &str = append_several!("", "", "", "");

/// The same for logins that use a passkey, and only if it can be used. A passkey that another transaction uses at this moment
/// counts as one that cannot: so a batch neither waits for it nor deadlocks.
const APPEND_SEVERAL_WITH_PASSKEYS: &str = append_several!(
    "$11::uuid[], $12::bigint[], $13::bigint[], $14::bigint[], $15::boolean[],",
    "passkey, challenge, latest, sign_count, backed_up,",
    r"usable AS MATERIALIZED (
        SELECT planned.aggregate_id, planned.passkey, planned.challenge, planned.sign_count, planned.backed_up
          FROM planned JOIN passkeys ON passkeys.factor_id = planned.passkey
         WHERE passkeys.user_id = planned.account
           AND (passkeys.last_challenge < planned.challenge OR passkeys.last_challenge > planned.latest)
           AND planned.account <> ALL ((SELECT accounts FROM missing)::uuid[])
           AND (planned.not_after IS NULL OR planned.not_after >= (SELECT server_time FROM held))
           FOR UPDATE OF passkeys SKIP LOCKED
    ), used AS (
        UPDATE passkeys
           SET last_challenge = usable.challenge, sign_count = usable.sign_count, backed_up = usable.backed_up
          FROM usable
         WHERE passkeys.factor_id = usable.passkey
        RETURNING usable.aggregate_id
    ), ",
    "AND aggregate_id IN (SELECT aggregate_id FROM used)"
);

/// An event, the session's row after it, the use of a second factor, the account that must exist, and the deadline.
pub(super) struct SessionAppend {
    event: SealedEvent,
    session: WithMac<SessionRecord>,
    factors: Vec<SealedFactorChange>,
    user: UserId,
    not_after: Option<Instant>,
}

/// The use of a passkey by a login.
struct PasskeyLogin {
    factor: Uuid,
    challenge: i64,
    latest: i64,
    sign_count: i64,
    backed_up: bool,
}

impl SessionAppend {
    /// The passkey, if this is a login that uses one. A login has no event before, so that only its passkey can refuse it.
    fn passkey_login(&self) -> Option<PasskeyLogin> {
        let [SealedFactorChange { user, what }] = self.factors.as_slice() else {
            return None;
        };
        match *what {
            SealedFactorChangeKind::UsePasskey {
                factor,
                challenge,
                latest,
                sign_count,
                backed_up,
            } if *user == self.user && self.event.sequence == 1 => Some(PasskeyLogin {
                factor: factor.as_uuid(),
                challenge,
                latest,
                sign_count: sign_count.into(),
                backed_up,
            }),
            _ => None,
        }
    }

    /// Whether it can be in a batch: it uses no second factor, or a passkey for a login.
    fn can_be_in_a_batch(&self) -> bool {
        self.factors.is_empty() || self.passkey_login().is_some()
    }

    /// Takes the event and its row out of a plan that contains nothing else.
    pub(super) fn take_from(plan: &mut AppendPlan) -> Option<Self> {
        let AppendPlan {
            events,
            subject_keys,
            wrapped_under: None,
            held,
            // For a single event it holds nothing that the event does not.
            built_on: _,
            not_after,
            erasure: None,
            claims,
            released,
            mail,
            requires_other_admin_than: None,
            accounts,
            sessions,
            clients,
            credential: None,
            factors,
            opaque_token: None,
        } = plan
        else {
            return None;
        };
        let nothing_else = subject_keys.is_empty()
            && claims.is_empty()
            && released.is_empty()
            && mail.is_empty()
            && accounts.is_empty()
            && clients.is_empty();
        match (events.as_slice(), sessions.as_slice(), held.as_slice()) {
            ([event], [_], [user]) if nothing_else && event.kind == AggregateKind::Session => {
                Some(Self {
                    user: *user,
                    not_after: *not_after,
                    event: events.pop()?,
                    session: sessions.pop()?,
                    factors: std::mem::take(factors),
                })
            }
            _ => None,
        }
    }
}

/// Executes batches of [`SessionAppend`].
pub(super) struct SessionAppends {
    connections: Arc<Connections>,
}

impl BatchOperation for SessionAppends {
    type Request = SessionAppend;
    type Answer = ();
    type Refusal = AppendError;

    async fn execute_batch(
        &self,
        mut batch: Vec<PendingRequest<Self>>,
        connection: &mut PgConnection,
    ) {
        batch = answer_late(batch);
        let alone = batch.extract_if(.., |pending| !pending.request.can_be_in_a_batch());
        for pending in alone.collect::<Vec<_>>() {
            self.send_alone(pending, false);
        }
        // Every batch writes its rows in the same order, so that batches do not deadlock.
        batch.sort_by_key(|pending| pending.request.session.row.id.as_uuid());
        let (mut sessions, mut passkeys) = (HashSet::new(), HashSet::new());
        let (mut batch, late): (Vec<_>, Vec<_>) = batch.into_iter().partition(|pending| {
            let passkey = pending.request.passkey_login();
            sessions.insert(pending.request.session.row.id)
                && passkey.is_none_or(|passkey| passkeys.insert(passkey.factor))
        });
        let with_passkeys = batch.extract_if(.., |pending| !pending.request.factors.is_empty());
        let with_passkeys = with_passkeys.collect();
        self.send(batch, connection).await;
        self.send(with_passkeys, connection).await;
        // Another command of the batch is on the same session, or uses the same passkey.
        for pending in late {
            self.send_alone(pending, false);
        }
    }
}

impl SessionAppends {
    pub(super) fn new(connections: &Arc<Connections>) -> Self {
        Self {
            connections: Arc::clone(connections),
        }
    }

    /// Sends appends that all use a passkey, or none.
    async fn send(&self, batch: Vec<PendingRequest<Self>>, connection: &mut PgConnection) {
        match <[_; 1]>::try_from(batch) {
            Ok([pending]) => {
                let clock = self.connections.server_clock();
                match answered(append(&pending.request, clock, &mut *connection)).await {
                    Err(error) if self.connections.condemns(&error) => {
                        self.send_alone(pending, true);
                    }
                    Err(error) if is_too_late(&error) => self.send_alone(pending, false),
                    sent => pending.answer(sent.map_err(append_error)),
                }
            }
            Err(batch) if batch.is_empty() => {}
            Err(batch) => self.send_batch(batch, connection).await,
        }
    }

    async fn send_batch(&self, batch: Vec<PendingRequest<Self>>, connection: &mut PgConnection) {
        let clock = self.connections.server_clock();
        match answered(append_several(&batch, clock, connection)).await {
            Ok(outcomes) => {
                for (pending, outcome) in batch.into_iter().zip(outcomes) {
                    match outcome {
                        Some(outcome) => pending.answer(outcome),
                        None => self.send_alone(pending, false),
                    }
                }
            }
            Err(error) => {
                tracing::warn!(%error, commands = batch.len(), "batched append failed; retrying commands individually");
                let broken = self.connections.condemns(&error);
                for pending in batch {
                    self.send_alone(pending, broken);
                }
            }
        }
    }

    /// Sends one append in a task of its own.
    fn send_alone(&self, pending: PendingRequest<Self>, in_doubt: bool) {
        let connections = Arc::clone(&self.connections);
        tokio::spawn(async move {
            let outcome = append_surely(&pending.request, &connections, in_doubt).await;
            pending.answer(outcome);
        });
    }
}

/// Fails the appends whose deadline has expired, and returns the others.
fn answer_late(batch: Vec<PendingRequest<SessionAppends>>) -> Vec<PendingRequest<SessionAppends>> {
    let (in_time, late): (Vec<_>, Vec<_>) = batch
        .into_iter()
        .partition(|pending| in_time(pending.request.not_after).is_ok());
    for pending in late {
        pending.answer(Err(TooLate.into()));
    }
    in_time
}

/// Appends one event. If it is `in_doubt`, as after a broken connection, it may have been appended before. A violated
/// key then shows that an event with its number exists, and if that is this very event, the append succeeded. It is
/// not begun after its deadline.
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
                // By this node's clock there is time left.
                Err(error) if is_too_late(&error) && !clock_was_set => {
                    clock_was_set = true;
                    clock.forget();
                    continue;
                }
                Err(error) => {
                    let by_key = violated_key(&error).is_some()
                        || is_too_late(&error)
                        || is_factor_used(&error);
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
        factors,
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
    let row = SessionRow::from(session)
        .bound_to(sqlx::query(APPEND))
        .bind(event.aggregate_id.as_str())
        .bind(event.sequence)
        .bind(event.event_type.as_str())
        .bind(event.event_version.as_str())
        .bind(event.payload.as_str())
        .bind(event.metadata.as_str())
        .bind(event.ends_sessions)
        .bind(user.as_uuid())
        .bind(kinds)
        .bind(ids)
        .bind(sequences)
        .bind(not_after.and_then(|at| clock.time_at(at)))
        .bind(factor_changes(factors))
        .fetch_one(executor)
        .await?;
    clock.learn(sent, row.try_get("server_time")?);
    Ok(())
}

/// The result of appending a batch.
#[derive(FromRow)]
struct Appended {
    /// The accounts that do not exist.
    missing: Vec<Uuid>,
    /// The time at which the appends began, by the server's clock.
    server_time: OffsetDateTime,
    /// The sessions whose event was appended.
    written: Vec<String>,
}

impl Appended {
    /// The outcome for one append with the deadline `not_after`; `None` if it has to be sent alone: it was refused for its
    /// deadline, and the server's clock may have been set, or its passkey could not be used.
    fn outcome_of(
        &self,
        planned: &SessionAppend,
        not_after: Option<OffsetDateTime>,
    ) -> Option<Result<(), AppendError>> {
        if self.written.contains(&planned.event.aggregate_id) {
            Some(Ok(()))
        } else if self.missing.contains(&planned.user.as_uuid()) {
            Some(Err(AppendError::AccountErased))
        } else if not_after.is_some_and(|at| at < self.server_time) || !planned.factors.is_empty() {
            None
        } else {
            Some(Err(AppendError::Conflict))
        }
    }
}

/// Appends a batch, and returns the outcome of each append.
async fn append_several(
    batch: &[PendingRequest<SessionAppends>],
    clock: &ServerClock,
    connection: &mut PgConnection,
) -> Result<Vec<Option<Result<(), AppendError>>>, sqlx::Error> {
    fn all<'a, T>(
        batch: &'a [PendingRequest<SessionAppends>],
        member: impl Fn(&'a SealedEvent) -> T,
    ) -> Vec<T> {
        batch.iter().map(|it| member(&it.request.event)).collect()
    }
    let users: Vec<_> = batch.iter().map(|it| it.request.user.as_uuid()).collect();
    let rows: Vec<_> = batch
        .iter()
        .map(|pending| SessionRow::from(&pending.request.session))
        .collect();
    let not_after: Vec<Option<OffsetDateTime>> = batch
        .iter()
        .map(|it| it.request.not_after.and_then(|at| clock.time_at(at)))
        .collect();
    let sent = Instant::now();
    let passkeys: Vec<_> = batch
        .iter()
        .filter_map(|it| it.request.passkey_login())
        .collect();
    let statement = if passkeys.is_empty() {
        APPEND_SEVERAL
    } else {
        APPEND_SEVERAL_WITH_PASSKEYS
    };
    let mut query = sqlx::query_as(statement)
        .bind(all(batch, |event| event.aggregate_id.as_str()))
        .bind(all(batch, |event| event.sequence))
        .bind(all(batch, |event| event.event_type.as_str()))
        .bind(all(batch, |event| event.event_version.as_str()))
        .bind(all(batch, |event| event.payload.as_str()))
        .bind(all(batch, |event| event.metadata.as_str()))
        .bind(all(batch, |event| event.ends_sessions))
        .bind(rows)
        .bind(users)
        .bind(&not_after);
    if !passkeys.is_empty() {
        let of = |member: fn(&PasskeyLogin) -> i64| passkeys.iter().map(member).collect::<Vec<_>>();
        let factors: Vec<_> = passkeys.iter().map(|it| it.factor).collect();
        let backed_up: Vec<_> = passkeys.iter().map(|it| it.backed_up).collect();
        query = query
            .bind(factors)
            .bind(of(|it| it.challenge))
            .bind(of(|it| it.latest))
            .bind(of(|it| it.sign_count))
            .bind(backed_up);
    }
    let appended: Appended = query.fetch_one(connection).await?;
    clock.learn(sent, appended.server_time);
    let outcomes = batch.iter().zip(not_after);
    Ok(outcomes
        .map(|(pending, not_after)| appended.outcome_of(&pending.request, not_after))
        .collect())
}
