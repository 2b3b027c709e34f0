//! What PostgreSQL's errors mean to the callers of a store.

use std::sync::Arc;

use authlog_application::ports::{AppendError, StoreError, TooLate};

/// Transient errors, after which a retry may succeed: the server is shutting down, starting, full, read-only or too
/// slow, or it has rolled back one of several conflicting transactions. They are given by SQLSTATE, or by its first two
/// characters, which name a class (PostgreSQL's documentation, appendix A).
const TRANSIENT: [&str; 12] = [
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

/// Errors after which the connection is unusable or leads to the wrong server, but another connection may work.
const BROKEN: [&str; 5] = ["08", "25006", "57P01", "57P02", "57P05"];

/// Whether the error has one of these codes or is of one of these classes.
fn is_any_of(error: &sqlx::Error, codes: &[&str]) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| codes.iter().any(|known| code.starts_with(known)))
}

/// Whether the error means that the connection is broken. The outcome of the statement is then unknown.
pub(super) fn is_broken(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => true,
        error => is_any_of(error, &BROKEN),
    }
}

/// Whether this transaction was rolled back because it conflicted with another one.
pub(super) fn is_transaction_conflict(error: &sqlx::Error) -> bool {
    is_any_of(error, &["40001", "40P01"])
}

/// Why a function of the schema refused to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SchemaRefusal {
    /// The account does not exist.
    NoAccount,
    /// Another master key seals new secrets.
    OtherMasterKey,
    /// No other account would be left that can administer accounts.
    LastAdministrator,
    /// The preceding event does not exist.
    NoPredecessor,
    /// The deadline of the command has expired by the server's clock.
    TooLate,
    /// The code of a second factor was used.
    CodeUsed,
    /// The credential id belongs to a passkey.
    PasskeyTaken,
}

/// The refusal of a function of the schema, if that is what the error is.
pub(super) fn refused_by_schema(error: &sqlx::Error) -> Option<SchemaRefusal> {
    match error.as_database_error()?.code()?.as_ref() {
        "AE001" => Some(SchemaRefusal::NoAccount),
        "AE002" => Some(SchemaRefusal::OtherMasterKey),
        "AE003" => Some(SchemaRefusal::LastAdministrator),
        "AE004" => Some(SchemaRefusal::NoPredecessor),
        "AE005" => Some(SchemaRefusal::TooLate),
        "AE007" => Some(SchemaRefusal::CodeUsed),
        "AE008" => Some(SchemaRefusal::PasskeyTaken),
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

/// The error of the ports.
pub(super) fn store_error(error: sqlx::Error) -> StoreError {
    match &error {
        sqlx::Error::Decode(_)
        | sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::ColumnIndexOutOfBounds { .. }
        | sqlx::Error::TypeNotFound { .. }
        | sqlx::Error::RowNotFound => StoreError::Unreadable(Box::new(error)),
        sqlx::Error::Database(_) if !is_any_of(&error, &TRANSIENT) => {
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
        Some(SchemaRefusal::CodeUsed) => return AppendError::CodeUsed,
        Some(SchemaRefusal::PasskeyTaken) => return AppendError::PasskeyTaken,
        None => {}
    }
    // This includes other keys, such as an account number that is drawn again after a failover has lost the last draws.
    // When the command is decided again, another number is drawn.
    if violated_key(&error).is_some() || is_transaction_conflict(&error) {
        AppendError::Conflict
    } else {
        store_error(error).into()
    }
}

/// Whether the deadline of a command has expired by the server's clock.
pub(super) fn is_too_late(error: &sqlx::Error) -> bool {
    refused_by_schema(error) == Some(SchemaRefusal::TooLate)
}

/// Whether the code of a second factor was used, or a new passkey is enrolled already.
pub(super) fn is_factor_used(error: &sqlx::Error) -> bool {
    matches!(
        refused_by_schema(error),
        Some(SchemaRefusal::CodeUsed | SchemaRefusal::PasskeyTaken)
    )
}

/// One error as the answer to several requests.
pub(super) fn shared_error(error: &Arc<sqlx::Error>) -> StoreError {
    StoreError::Unavailable(Box::new(Arc::clone(error)))
}

/// A task of the store panicked while it executed the request. The log has the reason.
#[derive(Debug, thiserror::Error)]
#[error("the request was given up")]
struct GivenUp;

pub(super) fn given_up() -> StoreError {
    StoreError::Unavailable(Box::new(GivenUp))
}
