//! Appending an event of a session that brings nothing but the session's row, as most events do.

use std::collections::HashSet;
use std::sync::Arc;

use authlog_application::ports::{AppendError, SessionRecord};
use authlog_domain::{AggregateKind, UserId};
use sqlx::{FromRow, PgConnection, PgExecutor};
use uuid::Uuid;

use super::append::is_recorded;
use super::connections::Connections;
use super::errors::{append_error, violated_key};
use super::rows::{SessionRow, update_session, upsert_session};
use super::together::{Asked, Errand};
use crate::sealing::{SealedEvent, WithMac};
use crate::store::AppendPlan;

/// Appends one, in the order of the statement that can append anything: the account, the event, the row. PostgreSQL takes
/// several times as long to begin that one as to carry this one out.
const APPEND: &str = concat!(
    "WITH session AS (",
    upsert_session!(),
    r"), event AS (
        INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
        VALUES ('session', $1, $2, $3, $4, $5::text::json, $6::text::json)
    )
    SELECT refuse_erased(ARRAY[$20::uuid])",
);

/// Appends one to each of several sessions, but not to those of erased accounts, nor where another command came first.
///
/// No event is inserted before the accounts are held: what is inserted depends on which of them were erased. That is
/// known from the function, which sees every erasure that it had to wait for; the statement's own snapshot is older.
/// Rows are written last, since they depend on which events were.
const APPEND_SEVERAL: &str = concat!(
    r"
    WITH held AS MATERIALIZED (
        SELECT hold_accounts($8) AS erased
    ), planned AS MATERIALIZED (
        SELECT *
          FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $8::uuid[],
                      $7::sessions[])
            AS planned (aggregate_id, sequence, event_type, event_version, payload, metadata, account,
                        session_id, version, user_id, contract, epoch, rotation, generation,
                        started_at, last_used_at, expires_at, ended_at, rotated_at, mac)
    ), event AS (
        INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
        SELECT 'session', aggregate_id, sequence, event_type, event_version, payload::json, metadata::json
          FROM planned
         WHERE account <> ALL ((SELECT erased FROM held)::uuid[])
        ON CONFLICT (aggregate_type, aggregate_id, sequence) DO NOTHING
        RETURNING aggregate_id
    ), session AS (
        INSERT INTO sessions (session_id, version, user_id, contract, epoch, rotation, generation, started_at,
                              last_used_at, expires_at, ended_at, rotated_at, mac)
        SELECT session_id, version, user_id, contract, epoch, rotation, generation, started_at,
               last_used_at, expires_at, ended_at, rotated_at, mac
          FROM planned JOIN event USING (aggregate_id)",
    update_session!(),
    r")
    SELECT erased, array(SELECT aggregate_id FROM event) AS written FROM held",
);

/// An event, the session's row after it, and the account that must not have been erased.
pub(super) struct SessionAppend {
    event: SealedEvent,
    session: WithMac<SessionRecord>,
    user: UserId,
}

impl SessionAppend {
    /// Takes it out of a plan that has nothing else in it.
    pub(super) fn take_from(plan: &mut AppendPlan) -> Option<Self> {
        let AppendPlan {
            events,
            subject_keys,
            wrapped_under: None,
            held,
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
        // Whoever writes several rows writes them in the same order as everybody else, and so nobody waits for someone
        // who waits for them.
        group.sort_by_key(|asked| asked.request.session.row.id.as_uuid());
        let mut sessions = HashSet::new();
        let (group, late): (Vec<_>, Vec<_>) = group
            .into_iter()
            .partition(|asked| sessions.insert(asked.request.session.row.id));
        match <[_; 1]>::try_from(group) {
            Ok([asked]) => match append(&asked.request, &mut *connection).await {
                Err(error) if self.connections.condemns(&error) => self.send_by_itself(asked, true),
                sent => asked.answer(sent.map_err(append_error)),
            },
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
        match append_several(&group, connection).await {
            Ok(appended) => {
                for asked in group {
                    let outcome = appended.outcome_of(&asked.request);
                    asked.answer(outcome);
                }
            }
            Err(error) => {
                tracing::warn!(%error, commands = group.len(), "commands that went together go each by itself");
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

/// Appends one, which may have been appended before if that is `in_doubt`, as it is after a connection broke. Then a key
/// says that something like it was, and if that is this very event, all is well.
async fn append_surely(
    planned: &SessionAppend,
    connections: &Connections,
    mut in_doubt: bool,
) -> Result<(), AppendError> {
    loop {
        let error = match append(planned, connections.pool()).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if connections.condemns(&error) && !in_doubt {
            in_doubt = true;
            continue;
        }
        let recorded = in_doubt
            && violated_key(&error).is_some()
            && is_recorded(&planned.event, connections).await?;
        return if recorded {
            Ok(())
        } else {
            Err(append_error(error))
        };
    }
}

async fn append(
    SessionAppend {
        event,
        session,
        user,
    }: &SessionAppend,
    executor: impl PgExecutor<'_>,
) -> Result<(), sqlx::Error> {
    let query = sqlx::query(APPEND)
        .bind(event.aggregate_id.as_str())
        .bind(event.sequence)
        .bind(event.event_type.as_str())
        .bind(event.event_version.as_str())
        .bind(event.payload.as_str())
        .bind(event.metadata.as_str());
    SessionRow::from(session)
        .bound_to(query)
        .bind(user.as_uuid())
        .execute(executor)
        .await?;
    Ok(())
}

/// What became of several.
#[derive(FromRow)]
struct Appended {
    /// The accounts that were erased before.
    erased: Vec<Uuid>,
    /// The sessions that have the event now.
    written: Vec<String>,
}

impl Appended {
    fn outcome_of(&self, planned: &SessionAppend) -> Result<(), AppendError> {
        if self.written.contains(&planned.event.aggregate_id) {
            Ok(())
        } else if self.erased.contains(&planned.user.as_uuid()) {
            Err(AppendError::AccountErased)
        } else {
            Err(AppendError::Conflict)
        }
    }
}

async fn append_several(
    group: &[Asked<SessionAppends>],
    connection: &mut PgConnection,
) -> Result<Appended, sqlx::Error> {
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
    sqlx::query_as(APPEND_SEVERAL)
        .bind(all(group, |event| event.aggregate_id.as_str()))
        .bind(all(group, |event| event.sequence))
        .bind(all(group, |event| event.event_type.as_str()))
        .bind(all(group, |event| event.event_version.as_str()))
        .bind(all(group, |event| event.payload.as_str()))
        .bind(all(group, |event| event.metadata.as_str()))
        .bind(rows)
        .bind(users)
        .fetch_one(connection)
        .await
}
