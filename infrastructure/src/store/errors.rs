//! Errors of rows and events that cannot be read.

use authlog_application::ports::{RecordedEvent, StoreError};
use authlog_domain::UserId;

pub(crate) fn unreadable(source: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Unreadable(Box::new(source))
}

/// The content of a row of a read model; `None` if the row cannot be read. Such a row grants nothing: the error is
/// logged, and clients get the answer for a row that does not exist.
///
/// # Errors
/// The store did not answer.
pub(crate) fn readable_row<T>(read: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match read {
        Ok(row) => Ok(Some(row)),
        Err(StoreError::Unreadable(error)) => {
            tracing::error!(%error, "a row of a read model cannot be read and grants nothing; run `authlog doctor`");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The account to which an event belongs, according to its metadata.
pub(super) fn owner(event: &RecordedEvent) -> Result<UserId, StoreError> {
    event
        .metadata
        .get("user_id")
        .and_then(serde_json::Value::as_str)
        .and_then(UserId::parse)
        .ok_or_else(|| unreadable(NoOwner))
}

/// The metadata of every event names its account.
#[derive(Debug, thiserror::Error)]
#[error("the event's metadata names no account")]
struct NoOwner;
