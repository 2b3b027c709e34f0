//! The read model of sessions: one row for each session.

use authlog_domain::session::{SessionEvent, Started};
use authlog_domain::{ContractName, SessionId};

use crate::{RecordedEvent, SessionRecord, Unreadable, read};

/// The session after its `events`. `None` if it never started.
///
/// # Errors
/// An event cannot be read.
pub fn session<'a>(
    events: impl IntoIterator<Item = &'a RecordedEvent>,
) -> Result<Option<SessionRecord>, Unreadable> {
    session_after(None, events)
}

/// The session after `events`, which begin where `row` ends. `None` for a session without a row.
pub(crate) fn session_after<'a>(
    mut row: Option<SessionRecord>,
    events: impl IntoIterator<Item = &'a RecordedEvent>,
) -> Result<Option<SessionRecord>, Unreadable> {
    for event in events {
        row = apply(row, event)?;
    }
    Ok(row)
}

/// The session after one more event.
pub(crate) fn apply(
    row: Option<SessionRecord>,
    recorded: &RecordedEvent,
) -> Result<Option<SessionRecord>, Unreadable> {
    let event: SessionEvent = read(recorded)?;
    let (id, contract, mut state) = match (row, &event) {
        (_, SessionEvent::LoggedIn(event)) => {
            let id = SessionId::parse(&recorded.aggregate_id)
                .ok_or_else(|| Unreadable::new(recorded, "its aggregate id is no session's id"))?;
            (id, contract(recorded), Started::new(event))
        }
        (Some(row), _) => (row.id, row.contract, row.state()),
        (None, _) => return Ok(None),
    };
    state.apply(&event);
    Ok(Some(SessionRecord::new(
        id,
        recorded.sequence,
        contract,
        state,
    )))
}

/// The contract of the request that caused the event. `None` if this program does not know it.
fn contract(recorded: &RecordedEvent) -> Option<ContractName> {
    let name = recorded.metadata.get("contract")?;
    serde_json::from_value(name.clone()).ok()
}
