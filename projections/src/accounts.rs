//! The read model of accounts: one row for each account.

use authlog_domain::UserId;
use authlog_domain::user::{RecentRequests, Registered, UserEvent, UserRegistered};

use crate::{Account, RecordedEvent, Unreadable, read};

/// The account after its `events`. `None` if it was never registered, or was erased.
///
/// # Errors
/// An event cannot be read.
pub fn account<'a>(
    events: impl IntoIterator<Item = &'a RecordedEvent>,
) -> Result<Option<Account>, Unreadable> {
    account_after(None, events)
}

/// The account after `events`, which begin where `row` ends. `None` for an account without a row.
pub(crate) fn account_after<'a>(
    mut row: Option<Account>,
    events: impl IntoIterator<Item = &'a RecordedEvent>,
) -> Result<Option<Account>, Unreadable> {
    for event in events {
        row = apply(row, event)?;
    }
    Ok(row)
}

/// The recent requests of an account after these of its `events`.
///
/// # Errors
/// An event cannot be read.
pub fn recent_requests<'a>(
    events: impl IntoIterator<Item = &'a RecordedEvent>,
) -> Result<RecentRequests, Unreadable> {
    let mut requests = RecentRequests::default();
    for event in events {
        requests.apply(&read(event)?);
    }
    Ok(requests)
}

/// The account after one more event. The domain folds the state on which decisions depend; the profile and the times are
/// folded here.
pub(crate) fn apply(
    row: Option<Account>,
    recorded: &RecordedEvent,
) -> Result<Option<Account>, Unreadable> {
    let event: UserEvent = read(recorded)?;
    let mut row = match (row, &event) {
        (_, UserEvent::UserErased(_)) => return Ok(None),
        (_, UserEvent::UserRegistered(event)) => registered(recorded, event)?,
        (Some(row), _) => row,
        (None, _) => return Ok(None),
    };
    // The others change nothing that a reader of the account sees.
    let is_visible = !matches!(
        event,
        UserEvent::PasswordResetRequested(_)
            | UserEvent::EmailVerificationRequested(_)
            | UserEvent::PasswordRehashed(_)
    );
    if is_visible {
        row.updated_at = event.at();
    }
    let mut state = row.state();
    state.apply(event);
    row.set_state(state);
    row.version = recorded.sequence;
    Ok(Some(row))
}

fn registered(recorded: &RecordedEvent, event: &UserRegistered) -> Result<Account, Unreadable> {
    let state = Registered::new(event);
    Ok(Account {
        id: UserId::parse(&recorded.aggregate_id)
            .ok_or_else(|| Unreadable::new(recorded, "its aggregate id is no account's id"))?,
        version: 0,
        number: event.number,
        username: event.username.as_ref().and_then(|it| it.known().cloned()),
        email: state.email,
        name: event.name.as_ref().and_then(|it| it.known().cloned()),
        phone: event.phone.as_ref().and_then(|it| it.known().cloned()),
        role: state.role,
        credential: state.credential,
        session_epoch: state.session_epoch,
        kept_session: state.kept_session,
        locked: state.locked,
        email_verified: state.email_verified,
        pending_reset: state.pending_reset,
        pending_verification: state.pending_verification,
        recent_requests: Some(state.recent_requests),
        second_factors: state.second_factors,
        consents: state.consents,
        created_at: event.at,
        updated_at: event.at,
    })
}
