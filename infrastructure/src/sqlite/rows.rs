//! Rows of the read models: how they are written and read.

use authlog_application::ports::{OpaqueTokenRecord, TokenDigest};
use authlog_domain::user::{PendingReset, PendingVerification};
use authlog_domain::{
    AccountNumber, ClientId, CredentialId, Email, PersonName, Phone, ResetId, Role, SessionId,
    Timestamp, UserId, Username, VerificationId,
};
use authlog_projections::{Account, ClientRecord, SessionRecord};
use rusqlite::{Connection, Result, Row, ToSql, named_params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::errors::malformed;
use crate::client_state::{client_state_from, client_state_text};
use crate::consents::{consents_from, consents_text};
use crate::recent_requests::{from_stored, to_stored};
use crate::sealing::{Stored, WithMac};
use crate::second_factors::{second_factors_from, second_factors_text};
use crate::session_authentication::{authentication_from, authentication_text};
use crate::session_grant::{GrantColumns, audience_text, key_text};
use crate::store::{aliased_columns, column_list, update_on_conflict};

/// Declares a table of read-model rows by the list of its columns, each with the value that is written to it.
///
/// `$columns` are the columns of the aliased table, and whether the row is behind its events, or behind the log's entries in
/// case an event was deleted. `$write` writes a row unless there is a later version of it, and
/// returns how many rows were written. An equal version is written again, so that a rebuild repairs it.
macro_rules! table {
    (
        $table:ident $alias:ident of $aggregate:literal: $columns:ident, $write:ident;
        $row:ident: $type:ty, $mac:ident;
        { $key:ident: $key_value:expr, $($column:ident: $value:expr,)+ }
    ) => {
        pub(super) const $columns: &str = concat!(
            aliased_columns!($table $alias: $key $(, $column)+),
            ", (EXISTS (SELECT 1 FROM events AS later WHERE later.aggregate_type = '", $aggregate,
            "' AND later.aggregate_id = ", stringify!($alias), ".", stringify!($key),
            " AND later.sequence > ", stringify!($alias), ".version)",
            " OR EXISTS (SELECT 1 FROM event_log AS later WHERE later.aggregate_type = '", $aggregate,
            "' AND later.aggregate_id = ", stringify!($alias), ".", stringify!($key),
            " AND later.sequence > ", stringify!($alias), ".version))"
        );

        pub(super) fn $write(
            connection: &Connection,
            WithMac { row: $row, mac: $mac }: &WithMac<$type>,
        ) -> Result<usize> {
            const UPSERT: &str = concat!(
                "INSERT INTO ", stringify!($table), " (",
                column_list!($table $alias: $key $(, $column)+),
                ") VALUES (:", stringify!($key) $(, ", :", stringify!($column))+, ")",
                update_on_conflict!($table $alias: $key $(, $column)+)
            );
            let values: &[(&str, &dyn ToSql)] = &[
                (concat!(":", stringify!($key)), &$key_value),
                $((concat!(":", stringify!($column)), &$value),)+
            ];
            connection.prepare_cached(UPSERT)?.execute(values)
        }
    };
}

table! {
    accounts a of "user": ACCOUNT, write_account;
    row: Account, mac;
    {
        user_id: row.id.to_string(),
        version: row.version as i64,
        number: row.number.get(),
        username: row.username.as_ref().map(Username::as_str),
        email: row.email.as_ref().map(Email::as_str),
        name: row.name.as_ref().map(PersonName::as_str),
        phone: row.phone.as_ref().map(Phone::as_str),
        role: row.role.as_str(),
        credential_id: row.credential.to_string(),
        session_epoch: row.session_epoch,
        reset_id: row.pending_reset.map(|pending| pending.reset.to_string()),
        reset_expires_at: row.pending_reset.map(|pending| pending.expires_at.unix_millis()),
        created_at: row.created_at.unix_millis(),
        updated_at: row.updated_at.unix_millis(),
        email_verified: row.email_verified,
        locked: row.locked,
        kept_session: row.kept_session.map(|session| session.to_string()),
        verification_id: row.pending_verification.as_ref().map(|pending| pending.verification.to_string()),
        verification_email: row.pending_verification.as_ref().and_then(|pending| pending.email.as_ref()).map(Email::as_str),
        verification_expires_at: row.pending_verification.as_ref().map(|pending| pending.expires_at.unix_millis()),
        recent_requests: to_stored(row),
        mac: mac,
        second_factors: second_factors_text(row),
        consents: consents_text(row),
    }
}

table! {
    sessions s of "session": SESSION, write_session;
    row: SessionRecord, mac;
    {
        session_id: row.id.to_string(),
        version: row.version as i64,
        user_id: row.user.to_string(),
        contract: row.contract.map(|contract| contract.as_str()),
        epoch: row.epoch,
        rotation: row.rotation.as_ref().map(name_of).transpose()?,
        generation: row.generation,
        started_at: row.started_at.unix_millis(),
        last_used_at: row.last_used_at.unix_millis(),
        expires_at: row.expires_at.unix_millis(),
        ended_at: row.ended_at.map(Timestamp::unix_millis),
        rotated_at: row.rotated_at.unix_millis(),
        mac: mac,
        authentication: authentication_text(row),
        client_id: row.grant.as_ref().map(|grant| grant.client.as_str()),
        scopes: row.grant.as_ref().map(|grant| grant.scopes.to_string()),
        audience: audience_text(row),
        parent: row.parent().map(|parent| parent.to_string()),
        dpop_jkt: key_text(row),
    }
}

/// Writes the row of a session that has one. The other columns never change after the session has started. They are left out because
/// SQLite renews the entries of each index that has a column of the statement, whether its value changes or not.
///
/// Returns 0 if there is no row, or a later version of it.
pub(super) fn update_session(
    connection: &Connection,
    WithMac { row, mac }: &WithMac<SessionRecord>,
) -> Result<usize> {
    const UPDATE: &str = "
        UPDATE sessions
           SET version = :version, generation = :generation, last_used_at = :last_used_at, expires_at = :expires_at,
               ended_at = :ended_at, rotated_at = :rotated_at, mac = :mac, authentication = :authentication
         WHERE session_id = :session_id AND version <= :version";
    connection.prepare_cached(UPDATE)?.execute(named_params! {
        ":session_id": row.id.to_string(),
        ":version": row.version as i64,
        ":generation": row.generation,
        ":last_used_at": row.last_used_at.unix_millis(),
        ":expires_at": row.expires_at.unix_millis(),
        ":ended_at": row.ended_at.map(Timestamp::unix_millis),
        ":rotated_at": row.rotated_at.unix_millis(),
        ":mac": mac,
        ":authentication": authentication_text(row),
    })
}

table! {
    clients c of "client": CLIENT, write_client;
    row: ClientRecord, mac;
    {
        client_id: row.id.as_str(),
        version: row.version as i64,
        state: client_state_text(row),
        mac: mac,
    }
}

/// The number of columns of [`SESSION`].
pub(super) const SESSION_COLUMNS: usize = 20;

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
    let second_factors = row.get_ref(first + 22)?.as_str_or_null()?;
    let consents = row.get_ref(first + 23)?.as_str_or_null()?;
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
        second_factors: second_factors_from(second_factors)
            .map_err(|error| malformed(first + 22, error))?,
        consents: consents_from(consents).map_err(|error| malformed(first + 23, error))?,
    };
    Ok(Stored {
        row: account,
        mac: row.get(first + 21)?,
        is_behind: row.get(first + 24)?,
    })
}

/// The session whose [`SESSION`] columns begin at `first`.
pub(super) fn session(row: &Row<'_>, first: usize) -> Result<Stored<SessionRecord>> {
    let ended_at: Option<i64> = row.get(first + 10)?;
    let started_at = timestamp(row, first + 7)?;
    let authentication = row.get_ref(first + 13)?.as_str_or_null()?;
    let grant = GrantColumns {
        client: row.get_ref(first + 14)?.as_str_or_null()?,
        scopes: row.get_ref(first + 15)?.as_str_or_null()?,
        audience: row.get_ref(first + 16)?.as_str_or_null()?,
        parent: optional(row, first + 17, SessionId::parse)?,
        dpop_jkt: row.get_ref(first + 18)?.as_str_or_null()?,
    };
    let session = SessionRecord {
        id: id(row, first, SessionId::parse)?,
        version: version(row, first + 1)?,
        user: id(row, first + 2, UserId::parse)?,
        contract: optional(row, first + 3, by_name)?,
        epoch: row.get(first + 4)?,
        rotation: optional(row, first + 5, by_name)?,
        generation: row.get(first + 6)?,
        started_at,
        last_used_at: timestamp(row, first + 8)?,
        expires_at: timestamp(row, first + 9)?,
        ended_at: ended_at.map(Timestamp::from_unix_millis),
        rotated_at: timestamp(row, first + 11)?,
        authentication: authentication_from(authentication, started_at)
            .map_err(|error| malformed(first + 13, error))?,
        grant: grant
            .grant()
            .map_err(|error| malformed(first + 14, error))?,
    };
    Ok(Stored {
        row: session,
        mac: row.get(first + 12)?,
        is_behind: row.get(first + 19)?,
    })
}

/// The client of a row of [`CLIENT`] columns.
pub(super) fn client(row: &Row<'_>) -> Result<Stored<ClientRecord>> {
    let state = client_state_from(row.get_ref(2)?.as_str_or_null()?);
    let client = ClientRecord {
        id: id(row, 0, |text| ClientId::parse(text).ok())?,
        version: version(row, 1)?,
        state: state.map_err(|error| malformed(2, error))?,
    };
    Ok(Stored {
        row: client,
        mac: row.get(3)?,
        is_behind: row.get(4)?,
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

/// The value that `parse` makes of the text in a column. It is an error if the column is null.
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

/// The name of a value, as events store it as well.
fn name_of(value: &impl Serialize) -> Result<String> {
    serde_json::to_value(value)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .ok_or_else(|| rusqlite::Error::ToSqlConversionFailure("it has no name".into()))
}

fn by_name<T: DeserializeOwned>(name: &str) -> Option<T> {
    serde_json::from_value(name.into()).ok()
}
