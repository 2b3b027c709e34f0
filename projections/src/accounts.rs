//! The accounts: one row an account.

use authlog_application::ports::Account;
use authlog_domain::UserId;
use authlog_domain::user::{PendingReset, PendingVerification, UserEvent};
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
            email_verified: false,
            name: event.name.as_ref().and_then(|it| it.known().cloned()),
            phone: event.phone.as_ref().and_then(|it| it.known().cloned()),
            role: event.role,
            credential: event.credential,
            locked: false,
            session_epoch: 0,
            kept_session: None,
            pending_reset: None,
            pending_verification: None,
            created_at: at,
            updated_at: at,
        },
        (Some(row), _) => row,
        (None, _) => return Ok(None),
    };
    if let Some(raised) = event.raised_epoch() {
        row.session_epoch = raised.epoch;
        row.kept_session = raised.kept_session;
    }
    // To whoever looks at the account these change nothing.
    let is_seen = !matches!(
        event,
        UserEvent::PasswordResetRequested(_)
            | UserEvent::EmailVerificationRequested(_)
            | UserEvent::PasswordRehashed(_)
    );
    if is_seen {
        row.updated_at = at;
    }
    match event {
        UserEvent::UserRegistered(_) | UserEvent::UserErased(_) | UserEvent::SessionsRevoked(_) => {
        }
        UserEvent::PasswordResetRequested(event) => {
            row.pending_reset = Some(PendingReset {
                reset: event.reset,
                expires_at: event.expires_at,
            });
        }
        UserEvent::PasswordReset(event) => {
            row.credential = event.credential;
            row.pending_reset = None;
            row.pending_verification = None;
            // The link was mailed to the address.
            row.email_verified = row.email.is_some();
        }
        UserEvent::PasswordRehashed(event) => row.credential = event.credential,
        UserEvent::PasswordChanged(event) => {
            row.credential = event.credential;
            row.pending_reset = None;
            forget_new_address(&mut row);
        }
        UserEvent::RoleChanged(event) => row.role = event.role,
        UserEvent::UserLocked(_) => {
            row.locked = true;
            forget_new_address(&mut row);
        }
        UserEvent::UserUnlocked(_) => row.locked = false,
        UserEvent::EmailVerificationRequested(event) => {
            row.pending_verification = Some(PendingVerification {
                verification: event.verification,
                email: event.email.and_then(|email| email.known().cloned()),
                expires_at: event.expires_at,
            });
        }
        UserEvent::EmailVerified(_) => {
            row.email_verified = true;
            row.pending_verification = None;
        }
        UserEvent::EmailChanged(event) => {
            row.email = event.email.known().cloned();
            row.email_verified = true;
            row.pending_verification = None;
            row.pending_reset = None;
        }
    }
    row.version = recorded.sequence as u64;
    Ok(Some(row))
}

/// As the account itself does when it is taken back: see the domain's `Registered`.
fn forget_new_address(row: &mut Account) {
    row.pending_verification.take_if(|it| it.email.is_some());
}
