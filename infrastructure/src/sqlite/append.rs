//! What an append writes, in one savepoint.

use authlog_application::ports::{AppendError, Appended, OpaqueTokenRecord, StoreError};
use authlog_domain::UserId;
use rusqlite::{Connection, params};

use super::erasure::{erase, is_erased};
use super::errors::{is_duplicate, store_error};
use super::factors::change_factors;
use super::mail_queue::write_mail;
use super::rotation::sealing_key;
use super::rows::{update_session, write_account, write_client, write_session};
use crate::leaf::{LeafInput, leaf_hash};
use crate::sealing::{SealedCredential, SealedEvent, WithMac};
use crate::store::{AppendPlan, ClaimDigest, Predecessor, in_time, unreadable};

/// A trigger on a table of the store has suppressed or changed rows of an append.
#[derive(Debug, thiserror::Error)]
#[error(
    "of {planned} rows {written} were written and {changed} changed: a trigger interferes. Run `authlog doctor`"
)]
struct RowsNotKept {
    planned: u64,
    written: u64,
    changed: u64,
}

/// Rows that an append writes.
#[derive(Default)]
struct Rows {
    /// The rows that had to be written, one per statement.
    planned: u64,
    /// Those of them that were written.
    written: u64,
    /// Other rows that were changed: deleted ones, and those that the schema's own triggers change.
    others: u64,
}

impl Rows {
    /// Counts a statement that had to write one row.
    fn one(&mut self, written: usize) {
        self.planned += 1;
        self.written += written as u64;
    }

    /// Makes sure that the planned rows were written, and that nothing else changed any row of the database.
    fn require_kept(&self, changed: u64) -> Result<(), StoreError> {
        if self.written == self.planned && changed == self.written + self.others {
            return Ok(());
        }
        Err(unreadable(RowsNotKept {
            planned: self.planned,
            written: self.written,
            changed,
        }))
    }
}

/// Writes all of `plan`. If this fails, the caller rolls back what was written.
///
/// Claims come first: a registration of a taken name is reported as that, even if it also conflicts otherwise.
pub(super) fn write(connection: &Connection, plan: &AppendPlan) -> Result<Appended, AppendError> {
    may_be_written(connection, plan)?;
    let before = connection.total_changes();
    let mut rows = Rows::default();
    for claim in &plan.released {
        rows.others += release(connection, claim).map_err(store_error)? as u64;
    }
    for claim in &plan.claims {
        rows.one(write_claim(connection, claim)?);
    }
    let mut appended = Appended::default();
    for event in &plan.events {
        let position = write_event(connection, event, &mut rows)?;
        appended.log_index = u64::try_from(position).ok();
    }
    write_attachments(connection, plan, &mut rows).map_err(store_error)?;
    for change in &plan.factors {
        rows.others += change_factors(connection, change)? as u64;
    }
    // What triggers change counts as well.
    rows.require_kept(connection.total_changes() - before)?;
    Ok(appended)
}

/// Refuses a plan after its deadline, for an erased account, without a preceding event, without a required other
/// administrator, or sealed under a master key that was replaced.
fn may_be_written(connection: &Connection, plan: &AppendPlan) -> Result<(), AppendError> {
    in_time(plan.not_after)?;
    for user in &plan.held {
        if is_erased(connection, *user).map_err(store_error)?
            || !is_registered(connection, *user).map_err(store_error)?
        {
            return Err(AppendError::AccountErased);
        }
    }
    for before in &plan.built_on {
        if !event_exists(connection, before).map_err(store_error)? {
            return Err(AppendError::Conflict);
        }
    }
    if let Some(account) = plan.requires_other_admin_than
        && !has_other_administrator(connection, account).map_err(store_error)?
    {
        return Err(AppendError::LastAdministrator);
    }
    if plan.wrapped_under.is_some()
        && sealing_key(connection).map_err(store_error)? != plan.wrapped_under
    {
        return Err(AppendError::Conflict);
    }
    Ok(())
}

fn is_registered(connection: &Connection, user: UserId) -> rusqlite::Result<bool> {
    const SELECT: &str = "SELECT 1 FROM accounts WHERE user_id = ?";
    connection
        .prepare_cached(SELECT)?
        .exists([user.to_string()])
}

fn event_exists(connection: &Connection, event: &Predecessor) -> rusqlite::Result<bool> {
    const SELECT: &str =
        "SELECT 1 FROM events WHERE aggregate_type = ? AND aggregate_id = ? AND sequence = ?";
    connection.prepare_cached(SELECT)?.exists(params![
        event.kind.as_str(),
        event.aggregate_id,
        event.sequence
    ])
}

/// Whether another account than this one is an administrator who can sign in.
fn has_other_administrator(connection: &Connection, account: UserId) -> rusqlite::Result<bool> {
    const SELECT: &str =
        "SELECT 1 FROM accounts WHERE role = 'admin' AND locked = 0 AND user_id <> ? LIMIT 1";
    connection
        .prepare_cached(SELECT)?
        .exists([account.to_string()])
}

fn release(connection: &Connection, claim: &ClaimDigest) -> rusqlite::Result<usize> {
    const DELETE: &str =
        "DELETE FROM identifier_claims WHERE kind = ? AND digest = ? AND owner = ?";
    connection.prepare_cached(DELETE)?.execute(params![
        claim.kind.as_str(),
        claim.digest,
        claim.owner.to_string()
    ])
}

fn write_claim(connection: &Connection, claim: &ClaimDigest) -> Result<usize, AppendError> {
    const INSERT: &str = "INSERT INTO identifier_claims (kind, digest, owner) VALUES (?, ?, ?)";
    let inserted = connection.prepare_cached(INSERT).and_then(|mut insert| {
        insert.execute(params![
            claim.kind.as_str(),
            claim.digest,
            claim.owner.to_string()
        ])
    });
    match inserted {
        Ok(written) => Ok(written),
        Err(error) if is_duplicate(&error) => Err(AppendError::IdentifierTaken(claim.kind)),
        Err(error) => Err(store_error(error).into()),
    }
}

/// Writes an event with its entry in the log, and returns the index of the entry.
fn write_event(
    connection: &Connection,
    event: &SealedEvent,
    rows: &mut Rows,
) -> Result<i64, AppendError> {
    let (position, recorded_at) = match insert_event(connection, event) {
        Ok(inserted) => inserted,
        Err(error) if is_duplicate(&error) => return Err(AppendError::Conflict),
        Err(error) => return Err(store_error(error).into()),
    };
    rows.one(1);
    let entry = write_log_entry(connection, event, position, recorded_at);
    rows.one(entry.map_err(store_error)?);
    Ok(position)
}

/// Inserts the event at the first free position after the last entry of the log, and returns its position and the time
/// at which it was recorded. SQLite itself would use the position after the last event, which already has an entry if
/// an event was deleted, or a random one if an event has the highest possible position.
///
/// These are three statements because one that reads the table it inserts into, or returns what it inserted, keeps its rows in
/// temporary tables: five of them cost a third of an append.
fn insert_event(connection: &Connection, event: &SealedEvent) -> rusqlite::Result<(i64, i64)> {
    const INSERT: &str = "
        INSERT INTO events (position, aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata, ends_sessions)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
    const RECORDED_AT: &str = "SELECT recorded_at FROM events WHERE position = ?";
    let position = next_position(connection)?;
    connection.prepare_cached(INSERT)?.execute(params![
        position,
        event.kind.as_str(),
        event.aggregate_id,
        event.sequence,
        event.event_type,
        event.event_version,
        event.payload,
        event.metadata,
        event.ends_sessions
    ])?;
    let recorded_at = connection
        .prepare_cached(RECORDED_AT)?
        .query_row([position], |row| row.get(0))?;
    Ok((position, recorded_at))
}

/// The first free position after the last entry of the log: the next one, unless the log lacks the entries of some
/// events.
fn next_position(connection: &Connection) -> rusqlite::Result<i64> {
    const NEXT: &str = "SELECT coalesce(max(log_index), 0) + 1 FROM event_log";
    const IS_TAKEN: &str = "SELECT 1 FROM events WHERE position = ?";
    const FREE_AFTER: &str = "
        SELECT position + 1 FROM events AS event WHERE position >= ?
           AND NOT EXISTS (SELECT 1 FROM events AS other WHERE other.position = event.position + 1)
         ORDER BY position LIMIT 1";
    let next: i64 = connection
        .prepare_cached(NEXT)?
        .query_row([], |row| row.get(0))?;
    if !connection.prepare_cached(IS_TAKEN)?.exists([next])? {
        return Ok(next);
    }
    connection
        .prepare_cached(FREE_AFTER)?
        .query_row([next], |row| row.get(0))
}

/// With one writer, positions are in the order of commits and have no gaps, so a position is also the log index.
fn write_log_entry(
    connection: &Connection,
    event: &SealedEvent,
    position: i64,
    recorded_at: i64,
) -> rusqlite::Result<usize> {
    const INSERT: &str = "
        INSERT INTO event_log (log_index, aggregate_type, aggregate_id, sequence, leaf_hash)
        VALUES (?, ?, ?, ?, ?)";
    let leaf = leaf_hash(&LeafInput {
        aggregate_type: event.kind.as_str(),
        aggregate_id: &event.aggregate_id,
        sequence: event.sequence,
        event_type: &event.event_type,
        event_version: &event.event_version,
        recorded_at_micros: recorded_at,
        payload: &event.payload,
        metadata: &event.metadata,
    });
    connection.prepare_cached(INSERT)?.execute(params![
        position,
        event.kind.as_str(),
        event.aggregate_id,
        event.sequence,
        leaf
    ])
}

fn write_attachments(
    connection: &Connection,
    plan: &AppendPlan,
    rows: &mut Rows,
) -> rusqlite::Result<()> {
    const INSERT_KEY: &str = "INSERT INTO subject_keys (user_id, wrapped) VALUES (?, ?)";
    for (user, wrapped) in &plan.subject_keys {
        let mut insert = connection.prepare_cached(INSERT_KEY)?;
        rows.one(insert.execute(params![user.to_string(), wrapped])?);
    }
    if let Some(credential) = &plan.credential {
        rows.one(write_credential(connection, credential)?);
    }
    if let Some(token) = &plan.opaque_token {
        rows.one(write_opaque_token(connection, token)?);
    }
    for mail in &plan.mail {
        rows.one(write_mail(connection, mail)?);
    }
    for row in &plan.accounts {
        // A trigger adds a new account to the account list.
        rows.others += u64::from(!is_registered(connection, row.row.id)?);
        rows.one(write_account(connection, row)?);
    }
    for row in &plan.sessions {
        let is_updated = row.row.version > 1 && update_session(connection, row)? > 0;
        rows.one(if is_updated {
            1
        } else {
            write_session(connection, row)?
        });
    }
    for row in &plan.clients {
        rows.one(write_client(connection, row)?);
    }
    if let Some(erasure) = &plan.erasure {
        rows.others += erase(connection, erasure)? as u64;
    }
    Ok(())
}

fn write_credential(
    connection: &Connection,
    credential: &SealedCredential,
) -> rusqlite::Result<usize> {
    const UPSERT: &str = "
        INSERT INTO credentials (user_id, credential_id, password_hash, sealed) VALUES (?, ?, ?, ?)
        ON CONFLICT (user_id) DO UPDATE SET credential_id = excluded.credential_id,
            password_hash = excluded.password_hash, sealed = excluded.sealed";
    connection.prepare_cached(UPSERT)?.execute(params![
        credential.user.to_string(),
        credential.credential.to_string(),
        credential.plain,
        credential.sealed
    ])
}

fn write_opaque_token(
    connection: &Connection,
    WithMac { row, mac }: &WithMac<OpaqueTokenRecord>,
) -> rusqlite::Result<usize> {
    const INSERT: &str =
        "INSERT INTO opaque_tokens (digest, session_id, expires_at, mac) VALUES (?, ?, ?, ?)";
    connection.prepare_cached(INSERT)?.execute(params![
        row.digest.0,
        row.session.to_string(),
        row.expires_at.unix_millis(),
        mac
    ])
}
