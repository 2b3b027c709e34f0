//! The read models: pure folds of an aggregate's events.
//!
//! A row is a function of its aggregate's events up to the row's version, and carries that version. So it does not
//! matter whether an append or a rebuild writes it, nor in which order: a store writes a row unless it has a later
//! version of it. The same function serves live writes, rebuilds and the comparison of both.
//!
//! An erased account has no rows, and neither have its sessions. The events of a session do not show that, so before a
//! caller writes or compares rows it asks the store which accounts were erased.

#![cfg_attr(
    not(test),
    warn(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::large_stack_arrays,
        clippy::unchecked_time_subtraction
    )
)]

mod accounts;
mod claims;
mod clients;
mod erasure;
mod mail;
mod recorded_event;
mod replay;
mod revocations;
mod rows;
mod sessions;
mod streams;

use authlog_domain::AggregateKind;

pub use accounts::{account, recent_requests};
pub use claims::{Claim, ClaimChanges, claim_changes, claims_of};
pub use clients::{client, client_after};
pub use erasure::erased;
pub use mail::{NotifiableEvent, events_to_mail};
pub use recorded_event::RecordedEvent;
pub use replay::Replay;
pub use revocations::Revocation;
pub use rows::{Account, ClientRecord, SESSION_ROW_RETENTION, SessionRecord};
pub use sessions::session;
pub use streams::{Base, StagedStream, StreamId};

/// An event does not have the content that its type and version require.
#[derive(Debug, thiserror::Error)]
#[error("event {sequence} of {aggregate_type} {aggregate_id} cannot be read")]
pub struct Unreadable {
    aggregate_type: String,
    aggregate_id: String,
    sequence: u64,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl Unreadable {
    fn new(
        event: &RecordedEvent,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            aggregate_type: event.aggregate_type.clone(),
            aggregate_id: event.aggregate_id.clone(),
            sequence: event.sequence,
            source: source.into(),
        }
    }
}

/// A complete row of a read model.
#[derive(Clone, Debug, PartialEq)]
pub enum Row {
    /// A row of the accounts.
    Account(Box<Account>),
    /// A row of the sessions.
    Session(Box<SessionRecord>),
    /// A row of the clients.
    Client(Box<ClientRecord>),
}

/// The row after all `events` of one aggregate, from sequence 1. `None` for an aggregate without a read model or without
/// events, and for an erased account.
///
/// # Errors
/// An event cannot be read.
pub fn row<'a>(
    kind: AggregateKind,
    events: impl IntoIterator<Item = &'a RecordedEvent>,
) -> Result<Option<Row>, Unreadable> {
    Ok(match kind {
        AggregateKind::User => account(events)?.map(|row| Row::Account(Box::new(row))),
        AggregateKind::Session => session(events)?.map(|row| Row::Session(Box::new(row))),
        AggregateKind::Client => client(events)?.map(|row| Row::Client(Box::new(row))),
        AggregateKind::RefusedLogins => None,
    })
}

/// The row of a stream after its staged events are appended. `None` as for [`row`].
///
/// # Errors
/// An event cannot be read.
pub fn row_after(staged: &StagedStream) -> Result<Option<Row>, Unreadable> {
    let StagedStream { stream, base, new } = staged;
    Ok(match stream.kind {
        AggregateKind::User => accounts::account_after(base.account().cloned(), new)?
            .map(|row| Row::Account(Box::new(row))),
        AggregateKind::Session => sessions::session_after(base.session().cloned(), new)?
            .map(|row| Row::Session(Box::new(row))),
        AggregateKind::Client => clients::client_after(base.client().cloned(), new)?
            .map(|row| Row::Client(Box::new(row))),
        AggregateKind::RefusedLogins => None,
    })
}

/// Parses the payload of the event.
fn read<E: serde::de::DeserializeOwned>(event: &RecordedEvent) -> Result<E, Unreadable> {
    E::deserialize(&event.payload).map_err(|source| Unreadable::new(event, source))
}
