//! The one order of all events.

use std::time::Duration;

use async_trait::async_trait;
use authlog_domain::{Timestamp, UserId};

use super::{RecordedEvent, StoreError};

/// An event at its place in the log.
#[derive(Clone, Debug, PartialEq)]
pub struct LoggedEvent {
    /// Its place: dense from 1, the same on every node for ever.
    pub log_index: u64,
    /// When the store recorded it.
    pub recorded_at: Timestamp,
    /// The account to which it happened.
    pub user: UserId,
    /// The event. Its personal fields are erased, and its metadata names neither address nor user agent.
    pub event: RecordedEvent,
    /// The hash of the whole entry as the store holds it: the leaf of the log's Merkle tree.
    pub leaf_hash: LeafHash,
}

/// SHA-256 over an entry of the log. It covers the event's time and payload, so entries of two histories differ in it
/// even where an event of the same name stands at the same place.
pub type LeafHash = [u8; 32];

/// How far a reader has come in the log, and the entry that it found there.
///
/// A failover or a restore can replace the end of the log by other events. A number alone would lead the reader from
/// one history into the other; the hash tells them apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogCursor {
    /// The last place that was read; 0 before the first.
    pub log_index: u64,
    /// The entry at that place, if the reader has seen it.
    pub leaf_hash: Option<LeafHash>,
}

impl LogCursor {
    /// The cursor of a reader who knows the number of a place and not the entry there.
    pub fn unproven(log_index: u64) -> Self {
        Self {
            log_index,
            leaf_hash: None,
        }
    }
}

impl LoggedEvent {
    /// The cursor of a reader whose last event this is.
    pub fn cursor(&self) -> LogCursor {
        LogCursor {
            log_index: self.log_index,
            leaf_hash: Some(self.leaf_hash),
        }
    }
}

/// Events of the log, and how far they reach.
#[derive(Clone, Debug, PartialEq)]
pub struct LogPage {
    /// Those that match, in order.
    pub events: Vec<LoggedEvent>,
    /// Where to read on.
    pub cursor: LogCursor,
}

/// Why a reader of the log cannot read on.
#[derive(Debug, thiserror::Error)]
pub enum ReadOnError {
    /// The log does not have the entry that the reader found at this place.
    #[error(
        "the log no longer has entry {0} as it was read: the database was restored, or failed over to a server that had not received it"
    )]
    HistoryChanged(u64),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Which events a reader wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogFilter {
    /// Those of one account.
    pub user: Option<UserId>,
    /// Those of these stored types; all if empty.
    pub event_types: Vec<String>,
    /// Those up to this place, itself included; to the end of the log if `None`.
    pub until: Option<u64>,
}

/// How far the log and what follows from it have come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogHead {
    /// The last index that was given out; 0 for an empty log.
    pub log_index: u64,
    /// When the store recorded the event there.
    pub recorded_at: Option<Timestamp>,
    /// Events that are committed and have no place in the log yet.
    pub unsequenced: u64,
    /// When the store recorded the oldest of those.
    pub unsequenced_since: Option<Timestamp>,
    /// What keeps them from getting one, if they wait for long and it is known.
    pub held_up: Option<HoldUp>,
}

impl LogHead {
    /// The index that the last committed event has or is about to get.
    pub const fn end_once_sequenced(&self) -> u64 {
        self.log_index + self.unsequenced
    }
}

/// A transaction of the database's cluster that has written something and does not end. Nothing after it gets a place in
/// the log until it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldUp {
    /// Its id.
    pub transaction: String,
    /// The name of its database.
    pub database: String,
    /// Who holds it open.
    pub by: HoldUpBy,
    /// For how long; `None` where this is not shown to our role.
    pub age: Option<Duration>,
}

/// Who holds a transaction open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HoldUpBy {
    /// A session of the database server.
    Session {
        /// The process id of the server's process, which `pg_terminate_backend` takes.
        pid: i32,
        /// What its program calls itself.
        application_name: String,
        /// Its state, such as "idle in transaction"; `None` where this is not shown to our role.
        state: Option<String>,
    },
    /// No session: it was prepared, and waits for `COMMIT PREPARED` or `ROLLBACK PREPARED`.
    PreparedTransaction {
        /// Its name.
        gid: String,
    },
}

/// What a stretch of the log says about accounts themselves, their sessions aside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangedAccounts {
    /// Those to which something happened, each once, in no order.
    pub accounts: Vec<UserId>,
    /// The last place that was looked at.
    pub cursor: LogCursor,
    /// Whether the log goes on after it.
    pub has_more: bool,
}

/// Reads the log in order.
#[async_trait]
pub trait EventLog: Send + Sync {
    /// Up to `limit` events that match `filter`, those after the place `after`, in order. An index that was given out is
    /// never missing from a later answer.
    async fn read_log(
        &self,
        after: u64,
        limit: u32,
        filter: &LogFilter,
    ) -> Result<Vec<LoggedEvent>, StoreError>;

    /// The same after `from`, and where that page ends. The entry at `from` is compared in the read of the page itself, so
    /// no page of another history is returned. With [`LogFilter::until`] a page that is not full reaches until there.
    async fn read_on(
        &self,
        from: LogCursor,
        limit: u32,
        filter: &LogFilter,
    ) -> Result<LogPage, ReadOnError>;

    /// The accounts to which something happened after `from`, in up to `limit` places. None of the events is read; the
    /// entry at `from` is compared as in [`Self::read_on`].
    async fn changed_accounts(
        &self,
        from: LogCursor,
        limit: u32,
    ) -> Result<ChangedAccounts, ReadOnError>;

    /// How far the log has come.
    async fn log_head(&self) -> Result<LogHead, StoreError>;
}

impl LogFilter {
    /// Whether a reader wants this event.
    pub fn matches(&self, event: &LoggedEvent) -> bool {
        self.until.is_none_or(|until| event.log_index <= until)
            && self.user.is_none_or(|user| user == event.user)
            && (self.event_types.is_empty() || self.event_types.contains(&event.event.event_type))
    }
}
