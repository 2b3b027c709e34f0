//! What PostgreSQL's errors mean to the callers of a store.

use std::sync::Arc;

use authlog_application::ports::{AppendError, StoreError, TooLate};

/// Errors after which the same may work in a moment: the server is shutting down, starting, full, read-only, too slow,
/// or it broke up a tie between transactions. By SQLSTATE, or the class that its first two characters name
/// (PostgreSQL's documentation, appendix A).
const PASSING: [&str; 12] = [
    "08",    // connection exception
    "25006", // read-only: a standby, or a primary that was demoted
    "25P03", // idle in a transaction for too long
    "28",    // may not connect, as when a password is being changed
    "3D",    // the database is not there, as during a restore
    "40001", // serialization failure
    "40P01", // deadlock
    "53",    // no connections, memory or disk space left
    "55P03", // a lock was not to be had in time
    "57",    // operator intervention: shutdown, start-up, a cancelled statement
    "58",    // system error
    "XX000", // internal error
];

/// Errors after which the connection is of no use, or leads to the wrong server, though another one may do.
const BROKEN: [&str; 5] = ["08", "25006", "57P01", "57P02", "57P05"];

/// Whether the error has one of these codes or is of one of these classes.
fn is_any_of(error: &sqlx::Error, codes: &[&str]) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| codes.iter().any(|known| code.starts_with(known)))
}

/// Whether the error says that its connection is broken, and nothing about what was asked over it.
pub(super) fn is_broken(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => true,
        error => is_any_of(error, &BROKEN),
    }
}

/// Whether transactions got in each other's way and this one was rolled back for it.
pub(super) fn is_tie(error: &sqlx::Error) -> bool {
    is_any_of(error, &["40001", "40P01"])
}

/// Why a function of the schema refused to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SchemaRefusal {
    /// The account does not exist.
    NoAccount,
    /// Another master key seals what is new.
    OtherMasterKey,
    /// No other account would be left that can administer accounts.
    LastAdministrator,
    /// The event before is not there.
    NoPredecessor,
    /// The time for the command is up, by the server's clock.
    TooLate,
}

/// The refusal of a function of the schema, if that is what the error is.
pub(super) fn refused_by_schema(error: &sqlx::Error) -> Option<SchemaRefusal> {
    match error.as_database_error()?.code()?.as_ref() {
        "AE001" => Some(SchemaRefusal::NoAccount),
        "AE002" => Some(SchemaRefusal::OtherMasterKey),
        "AE003" => Some(SchemaRefusal::LastAdministrator),
        "AE004" => Some(SchemaRefusal::NoPredecessor),
        "AE005" => Some(SchemaRefusal::TooLate),
        _ => None,
    }
}

/// The unique constraint that would have been violated, if that is what happened.
pub(super) fn violated_key(error: &sqlx::Error) -> Option<&str> {
    let error = error.as_database_error()?;
    error
        .is_unique_violation()
        .then(|| error.constraint())
        .flatten()
}

/// The error as the ports have it.
pub(super) fn store_error(error: sqlx::Error) -> StoreError {
    match &error {
        sqlx::Error::Decode(_)
        | sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnIndexOutOfBounds { .. }
        | sqlx::Error::TypeNotFound { .. }
        | sqlx::Error::RowNotFound => StoreError::Unreadable(Box::new(error)),
        sqlx::Error::Database(_) if !is_any_of(&error, &PASSING) => {
            StoreError::Unreadable(Box::new(error))
        }
        _ => StoreError::Unavailable(Box::new(error)),
    }
}

/// The error for the caller of an append. An identifier that is taken is reported like a command that came first.
pub(super) fn append_error(error: sqlx::Error) -> AppendError {
    match refused_by_schema(&error) {
        Some(SchemaRefusal::NoAccount) => return AppendError::AccountErased,
        Some(SchemaRefusal::OtherMasterKey | SchemaRefusal::NoPredecessor) => {
            return AppendError::Conflict;
        }
        Some(SchemaRefusal::TooLate) => return TooLate.into(),
        Some(SchemaRefusal::LastAdministrator) => return AppendError::LastAdministrator,
        None => {}
    }
    // Any other key as well, such as that of a number which was drawn from a server whose last draws were lost: when the
    // command is decided again it is drawn again.
    if violated_key(&error).is_some() || is_tie(&error) {
        AppendError::Conflict
    } else {
        store_error(error).into()
    }
}

/// Whether the server's clock says that the time for a command is up.
pub(super) fn is_too_late(error: &sqlx::Error) -> bool {
    refused_by_schema(error) == Some(SchemaRefusal::TooLate)
}

/// The same error for everybody who waited for it to be otherwise.
pub(super) fn shared_error(error: &Arc<sqlx::Error>) -> StoreError {
    StoreError::Unavailable(Box::new(Arc::clone(error)))
}

/// A task of the store took a request and gave no answer: it panicked over it. The log says why.
#[derive(Debug, thiserror::Error)]
#[error("the request was given up")]
struct GivenUp;

pub(super) fn given_up() -> StoreError {
    StoreError::Unavailable(Box::new(GivenUp))
}
