//! Erasures: which account an append erases.

use authlog_domain::user::UserEvent;
use authlog_domain::{AggregateKind, UserId};

use crate::{StagedStream, Unreadable, read};

/// The account that the staged events of a stream erase; `None` if they erase none.
///
/// # Errors
/// An event cannot be read.
pub fn erased(staged: &StagedStream) -> Result<Option<UserId>, Unreadable> {
    if staged.stream.kind != AggregateKind::User {
        return Ok(None);
    }
    for recorded in &staged.new {
        if let UserEvent::UserErased(_) = read(recorded)? {
            return UserId::parse(&recorded.aggregate_id)
                .map(Some)
                .ok_or_else(|| Unreadable::new(recorded, "its aggregate id is no account's id"));
        }
    }
    Ok(None)
}
