//! Rows of the read models: how they are written and read.

use authlog_application::ports::{OpaqueTokenRecord, TokenDigest};
use authlog_domain::user::{PendingReset, PendingVerification};
use authlog_domain::{
    AccountNumber, CredentialId, Email, PersonName, Phone, ResetId, Role, SessionId, Timestamp,
    UserId, Username, VerificationId,
};
use authlog_projections::{Account, SessionRecord};
use rusqlite::{Connection, Result, Row, named_params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::errors::malformed;
use crate::recent_requests::{from_stored, to_stored};
use crate::sealing::{Stored, WithMac};

/// The columns of an account `a`, in the order in which [`account`] reads them, and whether it is behind its events, or
/// behind the log's entries, should an event have been deleted.
pub(super) const ACCOUNT: &str = "a.user_id, a.version, a.number, a.username, a.email, a.name, a.phone, a.role, \
    a.credential_id, a.session_epoch, a.reset_id, a.reset_expires_at, a.created_at, a.updated_at, \
    a.email_verified, a.locked, a.kept_session, a.verification_id, a.verification_email, a.verification_expires_at, \
    a.recent_requests, a.mac, \
    (EXISTS (SELECT 1 FROM events AS later WHERE later.aggregate_type = 'user' AND later.aggregate_id = a.user_id \
        AND later.sequence > a.version) \
     OR EXISTS (SELECT 1 FROM event_log AS later WHERE later.aggregate_type = 'user' AND later.aggregate_id = a.user_id \
        AND later.sequence > a.version))";

/// The same of a session `s`, as [`session`] reads it.
pub(super) const SESSION: &str = "s.session_id, s.version, s.user_id, s.contract, s.epoch, s.rotation, s.generation, \
    s.started_at, s.last_used_at, s.expires_at, s.ended_at, s.rotated_at, s.mac, \
    (EXISTS (SELECT 1 FROM events AS later WHERE later.aggregate_type = 'session' AND later.aggregate_id = s.session_id \
        AND later.sequence > s.version) \
     OR EXISTS (SELECT 1 FROM event_log AS later WHERE later.aggregate_type = 'session' AND later.aggregate_id = s.session_id \
        AND later.sequence > s.version))";

/// How many there are.
pub(super) const SESSION_COLUMNS: usize = 14;

/// Writes the row unless there is a later version of it, and says how many were written. An equal one is written again: that
/// is how a rebuild repairs.
pub(super) fn write_account(
    connection: &Connection,
    WithMac { row, mac }: &WithMac<Account>,
) -> Result<usize> {
    const UPSERT: &str = "
        INSERT INTO accounts (user_id, version, number, username, email, name, phone, role, credential_id, session_epoch,
            reset_id, reset_expires_at, created_at, updated_at, email_verified, locked, kept_session, verification_id,
            verification_email, verification_expires_at, recent_requests, mac)
        VALUES (:user_id, :version, :number, :username, :email, :name, :phone, :role, :credential_id, :session_epoch,
            :reset_id, :reset_expires_at, :created_at, :updated_at, :email_verified, :locked, :kept_session,
            :verification_id, :verification_email, :verification_expires_at, :recent_requests, :mac)
        ON CONFLICT (user_id) DO UPDATE SET version = excluded.version, number = excluded.number,
            username = excluded.username, email = excluded.email, name = excluded.name, phone = excluded.phone,
            role = excluded.role, credential_id = excluded.credential_id, session_epoch = excluded.session_epoch,
            reset_id = excluded.reset_id, reset_expires_at = excluded.reset_expires_at,
            created_at = excluded.created_at, updated_at = excluded.updated_at,
            email_verified = excluded.email_verified, locked = excluded.locked, kept_session = excluded.kept_session,
            verification_id = excluded.verification_id, verification_email = excluded.verification_email,
            verification_expires_at = excluded.verification_expires_at, recent_requests = excluded.recent_requests,
            mac = excluded.mac
        WHERE accounts.version <= excluded.version";
    let verification = row.pending_verification.as_ref();
    connection.prepare_cached(UPSERT)?.execute(named_params! {
        ":user_id": row.id.to_string(),
        ":version": row.version as i64,
        ":number": row.number.get(),
        ":username": row.username.as_ref().map(Username::as_str),
        ":email": row.email.as_ref().map(Email::as_str),
        ":name": row.name.as_ref().map(PersonName::as_str),
        ":phone": row.phone.as_ref().map(Phone::as_str),
        ":role": row.role.as_str(),
        ":credential_id": row.credential.to_string(),
        ":session_epoch": row.session_epoch,
        ":reset_id": row.pending_reset.map(|pending| pending.reset.to_string()),
        ":reset_expires_at": row.pending_reset.map(|pending| pending.expires_at.unix_millis()),
        ":created_at": row.created_at.unix_millis(),
        ":updated_at": row.updated_at.unix_millis(),
        ":email_verified": row.email_verified,
        ":locked": row.locked,
        ":kept_session": row.kept_session.map(|session| session.to_string()),
        ":verification_id": verification.map(|pending| pending.verification.to_string()),
        ":verification_email": verification.and_then(|pending| pending.email.as_ref()).map(Email::as_str),
        ":verification_expires_at": verification.map(|pending| pending.expires_at.unix_millis()),
        ":recent_requests": to_stored(row),
        ":mac": mac,
    })
}

/// The same for a session.
pub(super) fn write_session(
    connection: &Connection,
    WithMac { row, mac }: &WithMac<SessionRecord>,
) -> Result<usize> {
    const UPSERT: &str = "
        INSERT INTO sessions (session_id, version, user_id, contract, epoch, rotation, generation, started_at, last_used_at,
            expires_at, ended_at, rotated_at, mac)
        VALUES (:session_id, :version, :user_id, :contract, :epoch, :rotation, :generation, :started_at, :last_used_at,
            :expires_at, :ended_at, :rotated_at, :mac)
        ON CONFLICT (session_id) DO UPDATE SET version = excluded.version, user_id = excluded.user_id,
            contract = excluded.contract, epoch = excluded.epoch, rotation = excluded.rotation,
            generation = excluded.generation, started_at = excluded.started_at,
            last_used_at = excluded.last_used_at, expires_at = excluded.expires_at, ended_at = excluded.ended_at,
            rotated_at = excluded.rotated_at, mac = excluded.mac
        WHERE sessions.version <= excluded.version";
    connection.prepare_cached(UPSERT)?.execute(named_params! {
        ":session_id": row.id.to_string(),
        ":version": row.version as i64,
        ":user_id": row.user.to_string(),
        ":contract": row.contract.map(|contract| contract.as_str()),
        ":epoch": row.epoch,
        ":rotation": row.rotation.as_ref().map(name_of).transpose()?,
        ":generation": row.generation,
        ":started_at": row.started_at.unix_millis(),
        ":last_used_at": row.last_used_at.unix_millis(),
        ":expires_at": row.expires_at.unix_millis(),
        ":ended_at": row.ended_at.map(Timestamp::unix_millis),
        ":rotated_at": row.rotated_at.unix_millis(),
        ":mac": mac,
    })
}

/// The account whose [`ACCOUNT`] columns begin at `first`.
pub(super) fn account(row: &Row<'_>, first: usize) -> Result<Stored<Account>> {
    let text = |index: usize| row.get::<_, Option<String>>(first + index);
    let reset = optional(row, first + 10, ResetId::parse)?;
    let reset_expires_at: Option<i64> = row.get(first + 11)?;
    let verification = optional(row, first + 17, VerificationId::parse)?;
    let new_email = text(18)?.map(Email::from_stored);
    let verification_expires_at: Option<i64> = row.get(first + 19)?;
    let version = version(row, first + 1)?;
    let recent_requests = row.get_ref(first + 20)?.as_str_or_null()?;
    let account = Account {
        id: id(row, first, UserId::parse)?,
        version,
        number: AccountNumber::new(row.get(first + 2)?),
        username: text(3)?.map(Username::from_stored),
        email: text(4)?.map(Email::from_stored),
        name: text(5)?.map(PersonName::from_stored),
        phone: text(6)?.map(Phone::from_stored),
        role: id(row, first + 7, Role::parse)?,
        credential: id(row, first + 8, CredentialId::parse)?,
        session_epoch: row.get(first + 9)?,
        pending_reset: reset
            .zip(reset_expires_at)
            .map(|(reset, expires_at)| PendingReset {
                reset,
                expires_at: Timestamp::from_unix_millis(expires_at),
            }),
        created_at: timestamp(row, first + 12)?,
        updated_at: timestamp(row, first + 13)?,
        email_verified: row.get(first + 14)?,
        locked: row.get(first + 15)?,
        kept_session: optional(row, first + 16, SessionId::parse)?,
        pending_verification: verification.zip(verification_expires_at).map(
            |(verification, expires_at)| PendingVerification {
                verification,
                email: new_email,
                expires_at: Timestamp::from_unix_millis(expires_at),
            },
        ),
        recent_requests: from_stored(recent_requests, version)
            .map_err(|error| malformed(first + 20, error))?,
    };
    Ok(Stored {
        row: account,
        mac: row.get(first + 21)?,
        is_behind: row.get(first + 22)?,
    })
}

/// The session whose [`SESSION`] columns begin at `first`.
pub(super) fn session(row: &Row<'_>, first: usize) -> Result<Stored<SessionRecord>> {
    let ended_at: Option<i64> = row.get(first + 10)?;
    let session = SessionRecord {
        id: id(row, first, SessionId::parse)?,
        version: version(row, first + 1)?,
        user: id(row, first + 2, UserId::parse)?,
        contract: optional(row, first + 3, by_name)?,
        epoch: row.get(first + 4)?,
        rotation: optional(row, first + 5, by_name)?,
        generation: row.get(first + 6)?,
        started_at: timestamp(row, first + 7)?,
        last_used_at: timestamp(row, first + 8)?,
        expires_at: timestamp(row, first + 9)?,
        ended_at: ended_at.map(Timestamp::from_unix_millis),
        rotated_at: timestamp(row, first + 11)?,
    };
    Ok(Stored {
        row: session,
        mac: row.get(first + 12)?,
        is_behind: row.get(first + 13)?,
    })
}

/// The opaque token of this digest, whose session, end and MAC begin at `first`.
pub(super) fn opaque_token(
    digest: TokenDigest,
    row: &Row<'_>,
    first: usize,
) -> Result<Stored<OpaqueTokenRecord>> {
    let token = OpaqueTokenRecord {
        digest,
        session: id(row, first, SessionId::parse)?,
        expires_at: timestamp(row, first + 1)?,
    };
    Ok(Stored {
        row: token,
        mac: row.get(first + 2)?,
        is_behind: false,
    })
}

/// The value that the text in a column spells.
pub(super) fn id<T>(row: &Row<'_>, index: usize, parse: fn(&str) -> Option<T>) -> Result<T> {
    optional(row, index, parse)?.ok_or_else(|| malformed(index, "it is absent"))
}

fn optional<T>(row: &Row<'_>, index: usize, parse: fn(&str) -> Option<T>) -> Result<Option<T>> {
    let Some(text) = row.get_ref(index)?.as_str_or_null()? else {
        return Ok(None);
    };
    match parse(text) {
        Some(value) => Ok(Some(value)),
        None => Err(malformed(index, format!("it reads {text:?}"))),
    }
}

fn version(row: &Row<'_>, index: usize) -> Result<u64> {
    let version: i64 = row.get(index)?;
    u64::try_from(version).map_err(|error| malformed(index, error))
}

/// The instant in a column.
pub(super) fn timestamp(row: &Row<'_>, index: usize) -> Result<Timestamp> {
    Ok(Timestamp::from_unix_millis(row.get(index)?))
}

/// The name under which events, too, store a value that has one.
fn name_of(value: &impl Serialize) -> Result<String> {
    serde_json::to_value(value)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .ok_or_else(|| rusqlite::Error::ToSqlConversionFailure("it has no name".into()))
}

fn by_name<T: DeserializeOwned>(name: &str) -> Option<T> {
    serde_json::from_value(name.into()).ok()
}
