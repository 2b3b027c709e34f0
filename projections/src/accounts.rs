//! The accounts: one row an account.

use authlog_application::ports::Account;
use authlog_domain::UserId;
use authlog_domain::user::{PendingReset, UserEvent};
use cqrs_es::persist::SerializedEvent;

use crate::{Unreadable, read};

/// The account that the events of one `User` add up to; `None` for one that never was and for one that was erased.
///
/// # Errors
/// An event cannot be read.
pub fn account<'a>(
    events: impl IntoIterator<Item = &'a SerializedEvent>,
) -> Result<Option<Account>, Unreadable> {
    let mut row = None;
    for event in events {
        row = apply(row, event)?;
    }
    Ok(row)
}

pub(crate) fn apply(
    row: Option<Account>,
    recorded: &SerializedEvent,
) -> Result<Option<Account>, Unreadable> {
    let event: UserEvent = read(recorded)?;
    let at = event.at();
    let mut row = match (row, &event) {
        (_, UserEvent::UserErased(_)) => return Ok(None),
        (_, UserEvent::UserRegistered(event)) => Account {
            id: UserId::parse(&recorded.aggregate_id)
                .ok_or_else(|| Unreadable::new(recorded, "its aggregate id is no account's id"))?,
            version: 0,
            number: event.number,
            username: event.username.as_ref().and_then(|it| it.known().cloned()),
            email: event.email.as_ref().and_then(|it| it.known().cloned()),
            name: event.name.as_ref().and_then(|it| it.known().cloned()),
            phone: event.phone.as_ref().and_then(|it| it.known().cloned()),
            role: event.role,
            credential: event.credential,
            session_epoch: 0,
            pending_reset: None,
            created_at: at,
            updated_at: at,
        },
        (Some(row), _) => row,
        (None, _) => return Ok(None),
    };
    match event {
        UserEvent::UserRegistered(_) | UserEvent::UserErased(_) => {}
        UserEvent::PasswordResetRequested(event) => {
            row.pending_reset = Some(PendingReset {
                reset: event.reset,
                expires_at: event.expires_at,
            });
        }
        UserEvent::PasswordReset(event) => {
            row.credential = event.credential;
            row.session_epoch = event.session_epoch;
            row.pending_reset = None;
            row.updated_at = at;
        }
        // To whoever looks at the account nothing changed.
        UserEvent::PasswordRehashed(event) => row.credential = event.credential,
        UserEvent::RoleChanged(event) => {
            row.role = event.role;
            row.session_epoch = event.session_epoch.unwrap_or(row.session_epoch);
            row.updated_at = at;
        }
    }
    row.version = recorded.sequence as u64;
    Ok(Some(row))
}
