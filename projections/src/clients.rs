//! The read model of clients: one row for each client.

use authlog_domain::ClientId;
use authlog_domain::client::{ClientEvent, Registered};

use crate::{ClientRecord, RecordedEvent, Unreadable, read};

/// The client after its `events`. `None` if it was never registered.
///
/// # Errors
/// An event cannot be read.
pub fn client<'a>(
    events: impl IntoIterator<Item = &'a RecordedEvent>,
) -> Result<Option<ClientRecord>, Unreadable> {
    client_after(None, events)
}

/// The client after `events`, which begin where `row` ends. `None` for a client without a row.
///
/// # Errors
/// An event cannot be read.
pub fn client_after<'a>(
    mut row: Option<ClientRecord>,
    events: impl IntoIterator<Item = &'a RecordedEvent>,
) -> Result<Option<ClientRecord>, Unreadable> {
    for event in events {
        row = apply(row, event)?;
    }
    Ok(row)
}

/// The client after one more event.
fn apply(
    row: Option<ClientRecord>,
    recorded: &RecordedEvent,
) -> Result<Option<ClientRecord>, Unreadable> {
    let state = match (row, read(recorded)?) {
        (_, ClientEvent::ClientRegistered(event)) => Some(Registered::new(event)),
        (None, _) => return Ok(None),
        (Some(_), ClientEvent::ClientRemoved(_)) => None,
        (Some(row), event) => row.state.map(|mut state| {
            state.apply(event);
            state
        }),
    };
    let id = ClientId::parse(&recorded.aggregate_id)
        .map_err(|_| Unreadable::new(recorded, "its aggregate id is no client's id"))?;
    Ok(Some(ClientRecord {
        id,
        version: recorded.sequence,
        state,
    }))
}
