//! The read models: what the events of an aggregate add up to, as pure folds.
//!
//! A row is a function of its aggregate's events up to the row's version, and carries that version. So it does not
//! matter who writes it, an append or a rebuild, nor in which order: a store writes a row unless it holds a later
//! version of it. One function serves live writes, rebuilds and the check for drift.
//!
//! An erased account has no rows: not its own, nor those of its sessions, whose events cannot tell. So whoever writes
//! or compares rows asks the store first which accounts were erased.

mod accounts;
mod claims;
mod erasure;
mod mail;
mod replay;
mod sessions;

use authlog_application::ports::RecordedEvent;
use authlog_application::ports::StagedStream;
use authlog_domain::AggregateKind;

pub use accounts::account;
pub use authlog_application::ports::{Account, SessionRecord};
pub use claims::{Claim, ClaimChanges, claim_changes, claims_of};
pub use erasure::erased;
pub use mail::{ToldByMail, told_by_mail};
pub use replay::Replay;
pub use sessions::session;

/// An event that is not what its type and version say.
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

/// A row of a read model, whole.
#[derive(Clone, Debug, PartialEq)]
pub enum Row {
    /// Of the accounts.
    Account(Box<Account>),
    /// Of the sessions.
    Session(Box<SessionRecord>),
}

/// The row that the events of one aggregate add up to, all of them from sequence 1; `None` for aggregates that no read
/// model shows, and for erased accounts.
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
        AggregateKind::RefusedLogins => None,
    })
}

/// The row of a stream once its staged events are appended.
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
        AggregateKind::RefusedLogins => None,
    })
}

/// The event as the domain knows it.
fn read<E: serde::de::DeserializeOwned>(event: &RecordedEvent) -> Result<E, Unreadable> {
    E::deserialize(&event.payload).map_err(|source| Unreadable::new(event, source))
}
