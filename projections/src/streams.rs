//! Streams of events, and what a command adds to one.

use authlog_domain::AggregateKind;

use crate::{Account, ClientRecord, RecordedEvent, SessionRecord};

/// The id of a stream: the events of one aggregate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StreamId {
    /// The kind of the aggregate.
    pub kind: AggregateKind,
    /// The id of the aggregate.
    pub id: String,
}

/// The state of a stream when the command read it.
#[derive(Clone, Debug, PartialEq)]
pub enum Base {
    /// The stream has no events.
    Nothing,
    /// The row of an account.
    Account(Box<Account>),
    /// The row of a session.
    Session(Box<SessionRecord>),
    /// The row of a client.
    Client(Box<ClientRecord>),
    /// The number of events, for an aggregate without a read model.
    Events(u64),
}

impl Base {
    /// The sequence of the last event in this state; 0 without events.
    pub fn version(&self) -> u64 {
        match self {
            Self::Nothing => 0,
            Self::Account(row) => row.version,
            Self::Session(row) => row.version,
            Self::Client(row) => row.version,
            Self::Events(count) => *count,
        }
    }

    /// The row, if it is that of an account.
    pub fn account(&self) -> Option<&Account> {
        match self {
            Self::Account(row) => Some(row),
            Self::Nothing | Self::Session(_) | Self::Client(_) | Self::Events(_) => None,
        }
    }

    /// The row, if it is that of a session.
    pub fn session(&self) -> Option<&SessionRecord> {
        match self {
            Self::Session(row) => Some(row),
            Self::Nothing | Self::Account(_) | Self::Client(_) | Self::Events(_) => None,
        }
    }

    /// The row, if it is that of a client.
    pub fn client(&self) -> Option<&ClientRecord> {
        match self {
            Self::Client(row) => Some(row),
            Self::Nothing | Self::Account(_) | Self::Session(_) | Self::Events(_) => None,
        }
    }
}

/// A stream as the command read it, and the events that the command appends.
#[derive(Clone, Debug)]
pub struct StagedStream {
    /// The stream.
    pub stream: StreamId,
    /// The state on which the command was decided. If the stream has grown since, the append is a conflict.
    pub base: Base,
    /// The events to append; the first has the sequence after the version of `base`. Personal fields are in clear text.
    pub new: Vec<RecordedEvent>,
}
