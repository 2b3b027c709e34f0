//! Why keys or news cannot be read at the moment.

use std::fmt;

use crate::event::Unreadable;
use crate::news::NotApplied;

/// Why keys or news cannot be read at the moment. The verifier tries again by itself.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The server cannot be reached, or a connection broke.
    Connection(Box<dyn std::error::Error + Send + Sync>),
    /// It did not answer in time, or fell silent.
    Silent,
    /// It answered with this status. With a `Retry-After`, it said when to try again.
    Status {
        status: u16,
        retry_after: Option<u64>,
    },
    /// The answer is larger than permitted.
    TooLarge,
    /// The answer is not in the expected format.
    Format(&'static str),
    /// The key set has no key of an accepted algorithm.
    NoUsableKey,
    /// An event that may end sessions has a type in a version that is not known. It contains the type.
    Version(String),
    /// An access token for the feed cannot be obtained.
    Token(Box<dyn std::error::Error + Send + Sync>),
    /// The events are of another service.
    Source(String),
    /// The answer ended. Feeds end when the service stops, or the access token expires.
    Ended,
    /// Another access token was obtained, with which the feed has to be read from now on.
    Renewed,
    /// Heartbeats name events that the stream does not deliver.
    #[cfg(feature = "nats")]
    NotDelivered,
    /// The list has as many entries as it may have.
    Full,
    /// Events are missing, so all news has to be read again.
    Gap,
    /// The log lost events that were read, so all news has to be read again.
    HistoryChanged,
    /// The machine was suspended, or its wall clock was set, so the source has to be connected to again.
    ClockJumped,
    /// The background task has ended.
    Stopped,
    /// The news was first read while the clock was ahead, so it has to be read again.
    ClockWasAhead,
}

impl Trouble {
    pub(crate) fn connection(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Connection(error.into())
    }

    /// Whether the news has to be read from the beginning.
    pub(crate) fn needs_all_news(&self) -> bool {
        matches!(self, Self::Gap | Self::HistoryChanged | Self::ClockWasAhead)
    }
}

impl From<NotApplied> for Trouble {
    fn from(reason: NotApplied) -> Self {
        match reason {
            NotApplied::OtherHistory => Self::HistoryChanged,
            NotApplied::Gap => Self::Gap,
            NotApplied::Full => Self::Full,
            NotApplied::Version(kind) => Self::Version(kind),
        }
    }
}

impl From<Unreadable> for Trouble {
    fn from(_: Unreadable) -> Self {
        Self::Format("not an event of Authlog")
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(error) => write!(formatter, "the connection failed: {error}"),
            Self::Silent => formatter.write_str("the server is silent"),
            Self::Status { status, .. } => write!(formatter, "the server answered {status}"),
            Self::TooLarge => formatter.write_str("the answer is larger than permitted"),
            Self::Format(what) => write!(formatter, "the answer is {what}"),
            Self::NoUsableKey => formatter.write_str("it has no key of an accepted algorithm"),
            Self::Version(kind) => write!(
                formatter,
                "an event has the type {kind:?}, whose version is not known; update authlog-verifier"
            ),
            Self::Token(error) => write!(formatter, "no access token for the feed: {error}"),
            Self::Source(source) => write!(
                formatter,
                "the events are of the source {source:?} and not of the issuer"
            ),
            Self::Ended => formatter.write_str("the answer ended"),
            Self::Renewed => formatter.write_str("the access token for the feed was renewed"),
            #[cfg(feature = "nats")]
            Self::NotDelivered => formatter.write_str(
                "the stream does not deliver the events that heartbeats name; another consumer is created",
            ),
            Self::Full => formatter.write_str("the deny list is full; raise its largest size"),
            Self::Gap => formatter.write_str("events are missing; all are read again"),
            Self::HistoryChanged => {
                formatter.write_str("the log has another history; all events are read again")
            }
            Self::ClockJumped => formatter.write_str(
                "the machine was suspended, or its clock was set; the connection is opened again",
            ),
            Self::Stopped => formatter.write_str(
                "the background task has ended, by a panic or with its runtime; restart the service",
            ),
            Self::ClockWasAhead => formatter
                .write_str("the clock was ahead when the events were read; all are read again"),
        }
    }
}
