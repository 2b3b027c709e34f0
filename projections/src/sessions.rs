//! The sessions: one row a session.

use authlog_application::ports::SessionRecord;
use authlog_domain::session::SessionEvent;
use authlog_domain::{ContractName, SessionId};
use cqrs_es::persist::SerializedEvent;

use crate::{Unreadable, read};

/// The session that the events of one `Session` add up to.
///
/// # Errors
/// An event cannot be read.
pub fn session<'a>(
    events: impl IntoIterator<Item = &'a SerializedEvent>,
) -> Result<Option<SessionRecord>, Unreadable> {
    session_after(None, events)
}

/// The same from a row on, with the events after its version.
pub(crate) fn session_after<'a>(
    mut row: Option<SessionRecord>,
    events: impl IntoIterator<Item = &'a SerializedEvent>,
) -> Result<Option<SessionRecord>, Unreadable> {
    for event in events {
        row = apply(row, event)?;
    }
    Ok(row)
}

pub(crate) fn apply(
    row: Option<SessionRecord>,
    recorded: &SerializedEvent,
) -> Result<Option<SessionRecord>, Unreadable> {
    let event: SessionEvent = read(recorded)?;
    let at = event.at();
    let mut row = match (row, &event) {
        (_, SessionEvent::LoggedIn(event)) => SessionRecord {
            id: SessionId::parse(&recorded.aggregate_id)
                .ok_or_else(|| Unreadable::new(recorded, "its aggregate id is no session's id"))?,
            version: 0,
            user: event.user,
            contract: contract(recorded),
            epoch: event.epoch,
            rotation: event.rotation,
            generation: 0,
            started_at: at,
            last_used_at: at,
            rotated_at: at,
            expires_at: event.expires_at,
            ended_at: None,
        },
        (Some(row), _) => row,
        (None, _) => return Ok(None),
    };
    match event {
        SessionEvent::LoggedIn(_) => {}
        SessionEvent::TokenRefreshed(event) => {
            if event.generation > row.generation {
                row.generation = event.generation;
                row.rotated_at = at;
            }
            row.last_used_at = at;
            row.expires_at = event.expires_at;
        }
        SessionEvent::RefreshTokenReused(_)
        | SessionEvent::LoggedOut(_)
        | SessionEvent::SessionRevoked(_) => {
            row.ended_at = Some(at);
        }
    }
    row.version = recorded.sequence as u64;
    Ok(Some(row))
}

/// The contract through which the event came; `None` for one that this program does not know.
fn contract(recorded: &SerializedEvent) -> Option<ContractName> {
    let name = recorded.metadata.get("contract")?;
    serde_json::from_value(name.clone()).ok()
}
