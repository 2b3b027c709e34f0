//! Streams of events, and what a command adds to one.

use authlog_domain::AggregateKind;

use crate::{Account, RecordedEvent, SessionRecord};

/// Names one aggregate's stream of events.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StreamId {
    /// What it is.
    pub kind: AggregateKind,
    /// Which one.
    pub id: String,
}

/// What the events of a stream so far add up to, as a command found it.
#[derive(Clone, Debug, PartialEq)]
pub enum Base {
    /// There is no event yet.
    Nothing,
    /// The row of an account.
    Account(Box<Account>),
    /// The row of a session.
    Session(Box<SessionRecord>),
    /// So many events of an aggregate that no read model shows.
    Events(u64),
}

impl Base {
    /// The sequence of the last event that is in it; 0 if none is.
    pub fn version(&self) -> u64 {
        match self {
            Self::Nothing => 0,
            Self::Account(row) => row.version,
            Self::Session(row) => row.version,
            Self::Events(count) => *count,
        }
    }

    /// The account, if it is one.
    pub fn account(&self) -> Option<&Account> {
        match self {
            Self::Account(row) => Some(row),
            Self::Nothing | Self::Session(_) | Self::Events(_) => None,
        }
    }

    /// The session, if it is one.
    pub fn session(&self) -> Option<&SessionRecord> {
        match self {
            Self::Session(row) => Some(row),
            Self::Nothing | Self::Account(_) | Self::Events(_) => None,
        }
    }
}

/// A stream as a command found it, and the events that the command adds.
#[derive(Clone, Debug)]
pub struct StagedStream {
    /// Which stream.
    pub stream: StreamId,
    /// What the command built on. Should the stream have grown since, the append is a conflict.
    pub base: Base,
    /// The events to append; the first has the sequence after the base's version. Personal fields are plain.
    pub new: Vec<RecordedEvent>,
}
