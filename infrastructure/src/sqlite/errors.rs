//! The mapping of SQLite's errors to the store's.

use std::sync::Arc;

use authlog_application::ports::StoreError;
use rusqlite::types::Type;
use rusqlite::{Error, ErrorCode, ffi};

use super::files::FileReplaced;
use crate::store::unreadable;

/// A thread of the store panicked while it executed the command, or has ended. The log has the reason.
#[derive(Debug, thiserror::Error)]
#[error("the command was given up")]
pub(super) struct GivenUp;

/// Separates damage from transient failures: a lock, a full disk, a failing disk.
pub(super) fn store_error(error: Error) -> StoreError {
    let damaged = match &error {
        Error::FromSqlConversionFailure(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::InvalidColumnType(..)
        | Error::Utf8Error(..) => true,
        Error::SqliteFailure(failure, _) => matches!(
            failure.code,
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase
        ),
        _ => false,
    };
    if damaged {
        unreadable(error)
    } else {
        StoreError::Unavailable(Box::new(error))
    }
}

/// Why a group of commands was not committed.
#[derive(Debug, thiserror::Error)]
pub(super) enum GroupError {
    #[error(transparent)]
    Sqlite(#[from] Error),
    #[error(transparent)]
    FileReplaced(#[from] FileReplaced),
    #[error("the thread that writes panicked")]
    Panicked,
    #[error("the database could not be opened again after a panic; it will be tried again")]
    NotOpen,
    #[error("a command could not be executed")]
    CommandFailed,
}

/// The same error for every command that shared a transaction.
pub(super) fn shared_error(error: &Arc<GroupError>) -> StoreError {
    StoreError::Unavailable(Box::new(Arc::clone(error)))
}

pub(super) fn given_up() -> StoreError {
    StoreError::Unavailable(Box::new(GivenUp))
}

/// Whether a statement failed because a row with its key exists. Other constraints do not count.
pub(super) fn is_duplicate(error: &Error) -> bool {
    matches!(
        error,
        Error::SqliteFailure(failure, _)
            if failure.extended_code == ffi::SQLITE_CONSTRAINT_UNIQUE
                || failure.extended_code == ffi::SQLITE_CONSTRAINT_PRIMARYKEY
    )
}

/// The error for a value in column `index` that this program does not write there.
pub(super) fn malformed(
    index: usize,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Error {
    Error::FromSqlConversionFailure(index, Type::Text, source.into())
}
