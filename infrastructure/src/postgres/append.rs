//! The one statement that writes all of a command, or nothing.

use authlog_application::ports::{AppendError, IdentifierKind, StoreError};
use authlog_domain::UserId;
use authlog_projections::ClientRecord;
use serde_json::Value;
use sqlx::Row as _;
use sqlx::types::Json;
use tokio::time::Instant;

use super::PostgresStore;
use super::connections::Connections;
use super::errors::{append_error, is_factor_used, is_too_late, violated_key};
use super::rows::{AccountRow, ClientRow, SessionRow, upsert_accounts, upsert_sessions};
use crate::sealing::{SealedEvent, WithMac};
use crate::store::{AppendPlan, SealedFactorChange, in_time};

/// The general append: one statement, one transaction, one round trip. It uses no NOTIFY, which takes a lock that all
/// commits of the cluster wait for.
///
/// PostgreSQL evaluates the SELECT from left to right, and executes each insertion when its rows are counted. So a
/// command that has to wait for an erasure holds no row yet that the erasure waits for. Because events are counted
/// first, a command that has to wait for another one on its stream holds no row yet that the other waits for. If a
/// version of PostgreSQL evaluates in another order, the server ends such a deadlock, and its commands are decided
/// again.
///
/// The rows are counted because a trigger or rule could otherwise skip one while the command reports success.
const APPEND: &str = concat!(
    r"
    WITH claim AS (
        INSERT INTO identifier_claims (kind, digest, owner)
        SELECT * FROM unnest($1::text[], $2::bytea[], $3::uuid[])
        RETURNING 1
    ), released AS (
        DELETE FROM identifier_claims AS held
         USING unnest($4::text[], $5::bytea[], $6::uuid[]) AS released (kind, digest, owner)
         WHERE (held.kind, held.digest, held.owner) = (released.kind, released.digest, released.owner)
    ), mail AS (
        INSERT INTO mail_queue AS waiting (mail_id, user_id, kind, mailbox, address, happened, happened_at, due_at)
        SELECT *, happened_at
          FROM unnest($7::uuid[], $8::uuid[], $9::text[], $10::bytea[], $11::bytea[], $12::bigint[], $13::timestamptz[])
            AS entry (mail_id, user_id, kind, mailbox, address, happened, happened_at)
        ON CONFLICT (user_id, kind, mailbox) DO UPDATE
        SET happened = waiting.happened + excluded.happened, address = excluded.address,
            happened_at = greatest(waiting.happened_at, excluded.happened_at)
        RETURNING 1
    ), subject_key AS (
        INSERT INTO subject_keys (user_id, wrapped)
        SELECT * FROM unnest($14::uuid[], $15::bytea[])
        RETURNING 1
    ), credential AS (
        INSERT INTO credentials (user_id, credential_id, password_hash, sealed)
        SELECT $16, $17, $18, $19 WHERE $16 IS NOT NULL
        ON CONFLICT (user_id) DO UPDATE
        SET credential_id = excluded.credential_id, password_hash = excluded.password_hash,
            sealed = excluded.sealed
        RETURNING 1
    ), opaque_token AS (
        INSERT INTO opaque_tokens (digest, session_id, expires_at, mac)
        SELECT $20, $21, $22, $23 WHERE $20 IS NOT NULL
        RETURNING 1
    ), account AS (",
    upsert_accounts!("$24"),
    " RETURNING 1), session AS (",
    upsert_sessions!("$25"),
    r" RETURNING 1), event AS (
        INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata, ends_sessions)
        SELECT aggregate_type, aggregate_id, sequence, event_type, event_version, payload::json, metadata::json, ends_sessions
          FROM unnest($26::text[], $27::text[], $28::bigint[], $29::text[], $30::text[], $31::text[], $32::text[], $33::boolean[])
            AS event (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata, ends_sessions)
        RETURNING 1
    )
    SELECT erase_account($34, $35), require_sealing_key($36), begin_append($37, $38, $39, $40, $41) AS server_time,
           require_administrator_beside($42),
           require_rows(
               ARRAY[(SELECT count(*) FROM event), (SELECT count(*) FROM session), (SELECT count(*) FROM account),
                     (SELECT count(*) FROM opaque_token), (SELECT count(*) FROM credential),
                     (SELECT count(*) FROM subject_key), (SELECT count(*) FROM mail), (SELECT count(*) FROM claim)],
               ARRAY[cardinality($26), jsonb_array_length($25), jsonb_array_length($24), num_nonnulls($20),
                     num_nonnulls($16), cardinality($14), cardinality($7), cardinality($1)]::bigint[]),
           apply_factor_changes($43), write_clients($44)",
);

impl PostgresStore {
    /// Executes the plan.
    ///
    /// After a broken connection it is unknown whether the statement was committed. So it is sent once more. Either
    /// it is committed now, or a violated key shows that an event with its number exists; if that is this very event,
    /// the append succeeded.
    pub(super) async fn write(&self, plan: &AppendPlan) -> Result<(), AppendError> {
        let Some(first) = plan.events.first() else {
            return Ok(());
        };
        in_time(plan.not_after)?;
        let error = match self.send(plan).await {
            Ok(()) => return Ok(()),
            Err(error) if self.is_refused_too_early(&error, plan) => match self.send(plan).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            },
            Err(error) => error,
        };
        if !self.connections.condemns(&error) {
            return Err(self.reason(plan, error).await);
        }
        // It is not sent again after its deadline, but it may have been committed before.
        let error = match in_time(plan.not_after) {
            Err(late) => late.into(),
            Ok(()) => match self.send(plan).await {
                Ok(()) => return Ok(()),
                Err(error)
                    if violated_key(&error).is_some()
                        || is_too_late(&error)
                        || is_factor_used(&error) =>
                {
                    self.reason(plan, error).await
                }
                Err(error) => {
                    self.connections.condemns(&error);
                    return Err(self.reason(plan, error).await);
                }
            },
        };
        if is_recorded(first, &self.connections).await? {
            Ok(())
        } else {
            Err(error)
        }
    }

    /// Whether the server refused the append as too late while there is time left by this node's clock: the server's
    /// clock was set. Then the clock difference is forgotten, and the append may be sent again.
    fn is_refused_too_early(&self, error: &sqlx::Error, plan: &AppendPlan) -> bool {
        let early = is_too_late(error) && in_time(plan.not_after).is_ok();
        if early {
            self.connections.server_clock().forget();
        }
        early
    }

    async fn send(&self, plan: &AppendPlan) -> Result<(), sqlx::Error> {
        fn all<'a, T, U>(items: &'a [T], member: impl Fn(&'a T) -> U) -> Vec<U> {
            items.iter().map(member).collect()
        }
        // Every append claims its identifiers in the same order, so that appends do not deadlock.
        let mut claims = all(&plan.claims, |claim| claim);
        claims.sort_by_key(|claim| (claim.kind, claim.digest));
        let (events, keys) = (&plan.events, &plan.subject_keys);
        let credential = plan.credential.as_ref();
        let token = plan.opaque_token.as_ref();
        let erasure = plan.erasure.as_ref();
        let (clock, sent) = (self.connections.server_clock(), Instant::now());
        let not_after = plan.not_after.and_then(|at| clock.time_at(at));
        let row = sqlx::query(APPEND)
            .bind(all(&claims, |claim| claim.kind.as_str()))
            .bind(all(&claims, |claim| claim.digest.as_slice()))
            .bind(all(&claims, |claim| claim.owner.as_uuid()))
            .bind(all(&plan.released, |claim| claim.kind.as_str()))
            .bind(all(&plan.released, |claim| claim.digest.as_slice()))
            .bind(all(&plan.released, |claim| claim.owner.as_uuid()))
            .bind(all(&plan.mail, |mail| mail.id))
            .bind(all(&plan.mail, |mail| mail.user.as_uuid()))
            .bind(all(&plan.mail, |mail| mail.kind.as_str()))
            .bind(all(&plan.mail, |mail| mail.mailbox.as_slice()))
            .bind(all(&plan.mail, |mail| mail.address.as_deref()))
            .bind(all(&plan.mail, |mail| mail.happened))
            .bind(all(&plan.mail, |mail| mail.happened_at.date_time()))
            .bind(all(keys, |(user, _)| user.as_uuid()))
            .bind(all(keys, |(_, wrapped)| wrapped.as_slice()))
            .bind(credential.map(|it| it.user.as_uuid()))
            .bind(credential.map(|it| it.credential.as_uuid()))
            .bind(credential.map(|it| it.plain.as_str()))
            .bind(credential.map(|it| it.sealed.as_slice()))
            .bind(token.map(|it| it.row.digest.0.as_slice()))
            .bind(token.map(|it| it.row.session.as_uuid()))
            .bind(token.map(|it| it.row.expires_at.date_time()))
            .bind(token.map(|it| it.mac.as_slice()))
            .bind(Json(all(&plan.accounts, AccountRow::from)))
            .bind(Json(all(&plan.sessions, SessionRow::from)))
            .bind(all(events, |event| event.kind.as_str()))
            .bind(all(events, |event| event.aggregate_id.as_str()))
            .bind(all(events, |event| event.sequence))
            .bind(all(events, |event| event.event_type.as_str()))
            .bind(all(events, |event| event.event_version.as_str()))
            .bind(all(events, |event| event.payload.as_str()))
            .bind(all(events, |event| event.metadata.as_str()))
            .bind(all(events, |event| event.ends_sessions))
            .bind(erasure.map(|it| it.user.as_uuid()))
            .bind(erasure.map(|it| all(&it.resets, |reset| reset.as_uuid())))
            .bind(plan.wrapped_under.as_ref().map(|it| it.as_slice()))
            .bind(all(&plan.held, |user| user.as_uuid()))
            .bind(all(&plan.built_on, |event| event.kind.as_str()))
            .bind(all(&plan.built_on, |event| event.aggregate_id.as_str()))
            .bind(all(&plan.built_on, |event| event.sequence))
            .bind(not_after)
            .bind(plan.requires_other_admin_than.map(UserId::as_uuid))
            .bind(factor_changes(&plan.factors))
            .bind(client_rows(&plan.clients))
            .fetch_one(self.connections.pool())
            .await?;
        clock.learn(sent, row.try_get("server_time")?);
        Ok(())
    }

    /// The reason why an append failed.
    ///
    /// If a statement violates several keys, the server names any one of them, so its name is not used. An identifier
    /// that is taken is reported, even if another conflict exists as well. If no identifier of the plan is taken,
    /// another command came first. Two registrations of one name have different ids, so that only the name can
    /// conflict.
    async fn reason(&self, plan: &AppendPlan, error: sqlx::Error) -> AppendError {
        let is_duplicate = violated_key(&error).is_some();
        match append_error(error) {
            AppendError::Conflict if is_duplicate => match self.taken_claim(plan).await {
                Ok(Some(kind)) => AppendError::IdentifierTaken(kind),
                Ok(None) => AppendError::Conflict,
                Err(error) => error.into(),
            },
            reason => reason,
        }
    }

    /// The kind of the identifier that is taken, if one is. The error of the server names it only in text for people.
    async fn taken_claim(&self, plan: &AppendPlan) -> Result<Option<IdentifierKind>, StoreError> {
        if plan.claims.is_empty() {
            return Ok(None);
        }
        let claims = plan.claims.iter();
        let wanted = claims.map(|it| (it.kind.as_str(), it.digest.to_vec()));
        let taken = self.taken_digests(wanted.unzip()).await?;
        let first = plan
            .claims
            .iter()
            .find(|it| taken.contains(&it.digest.to_vec()));
        Ok(first.map(|claim| claim.kind))
    }
}

/// The parameter of `apply_factor_changes`; `None` if there is no change.
pub(super) fn factor_changes(changes: &[SealedFactorChange]) -> Option<Json<Vec<Value>>> {
    let all = changes.iter().map(SealedFactorChange::to_json);
    (!changes.is_empty()).then(|| Json(all.collect()))
}

/// The parameter of `write_clients`; `None` if there is no row.
pub(super) fn client_rows(clients: &[WithMac<ClientRecord>]) -> Option<Json<Vec<ClientRow>>> {
    let all = clients.iter().map(ClientRow::from);
    (!clients.is_empty()).then(|| Json(all.collect()))
}

/// Whether exactly this event is stored. Its metadata contains the id of the request, so no other event is equal to it.
pub(super) async fn is_recorded(
    event: &SealedEvent,
    connections: &Connections,
) -> Result<bool, StoreError> {
    let same: Option<bool> = connections
        .ask(|pool| {
            sqlx::query_scalar(
                r"
                SELECT payload::text = $4 AND metadata::text = $5 FROM events
                 WHERE aggregate_type = $1 AND aggregate_id = $2 AND sequence = $3",
            )
            .bind(event.kind.as_str())
            .bind(event.aggregate_id.as_str())
            .bind(event.sequence)
            .bind(event.payload.as_str())
            .bind(event.metadata.as_str())
            .fetch_optional(pool)
        })
        .await?;
    Ok(same.unwrap_or(false))
}
