//! The log: all events in one order.

use std::time::Duration;

use async_trait::async_trait;
use authlog_domain::{Timestamp, UserId};
use tokio::sync::watch;

use super::{EventId, RecordedEvent, StoreError};

/// An entry of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct LoggedEvent {
    /// The log index: from 1 without gaps, the same on every node and forever.
    pub log_index: u64,
    /// When the store recorded the event.
    pub recorded_at: Timestamp,
    /// The account that the event concerns; `None` for an event of a client, and for an event that cannot be read.
    pub user: Option<UserId>,
    /// The event. Its personal fields read as erased, and its metadata has neither the client address nor the user agent.
    pub event: RecordedEvent,
    /// The hash of the whole entry as the store holds it: the leaf of the log's Merkle tree.
    pub leaf_hash: LeafHash,
}

/// The SHA-256 hash of an entry of the log. It covers the event's time and payload. So entries of two histories have
/// different hashes, even if events with the same id are at the same log index.
pub type LeafHash = [u8; 32];

/// How far a reader has read the log, and the hash of the last entry that it read.
///
/// A failover or a restore can replace the end of the log by other events. With the index alone, the reader would continue in
/// the new history without noticing it. The hash shows the difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogCursor {
    /// The last log index that was read; 0 before the first entry.
    pub log_index: u64,
    /// The hash of the entry at that index, if the reader has read it.
    pub leaf_hash: Option<LeafHash>,
}

impl LogCursor {
    /// The cursor of a reader that knows the index only, and not the entry there.
    pub fn unproven(log_index: u64) -> Self {
        Self {
            log_index,
            leaf_hash: None,
        }
    }
}

impl LoggedEvent {
    /// The cursor of a reader that has read up to this event.
    pub fn cursor(&self) -> LogCursor {
        LogCursor {
            log_index: self.log_index,
            leaf_hash: Some(self.leaf_hash),
        }
    }
}

/// A page of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogPage {
    /// The events that match the filter, in the order of the log.
    pub events: Vec<LoggedEvent>,
    /// The last entry that was examined, after which the next page begins.
    pub cursor: LogCursor,
}

/// Why a reader of the log cannot continue.
#[derive(Debug, thiserror::Error)]
pub enum ReadOnError {
    /// The log no longer has the entry that the reader has read at this index.
    #[error(
        "the log no longer has entry {0} as it was read: the database was restored, or failed over to a server that had not received it"
    )]
    HistoryChanged(u64),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Which events of the log to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogFilter {
    /// Events of this account only.
    pub user: Option<UserId>,
    /// Events of these stored types only; every type if empty.
    pub event_types: Vec<String>,
    /// Events up to this log index, inclusive; `None` for the end of the log.
    pub until: Option<u64>,
}

/// The end of the log, and the events that are not in it yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogHead {
    /// The last log index; 0 for an empty log.
    pub log_index: u64,
    /// When the store recorded the event with that index.
    pub recorded_at: Option<Timestamp>,
    /// The number of committed events without a log index yet.
    pub unsequenced: u64,
    /// When the store recorded the oldest of these events.
    pub unsequenced_since: Option<Timestamp>,
    /// The transaction that blocks the sequencer, if they have waited for long and the cause is known.
    pub held_up: Option<BlockingTransaction>,
}

impl LogHead {
    /// The index that the last committed event has or is about to get.
    pub const fn end_once_sequenced(&self) -> u64 {
        self.log_index + self.unsequenced
    }
}

/// A transaction anywhere in the database server that has written and does not end. Until it ends, later events get no log
/// index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockingTransaction {
    /// The id of the transaction.
    pub transaction: String,
    /// The name of its database.
    pub database: String,
    /// What holds it open.
    pub by: TransactionHolder,
    /// How long it has been open; `None` if PostgreSQL does not show that to our role.
    pub age: Option<Duration>,
}

/// What holds a transaction open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransactionHolder {
    /// A session of the database server.
    Session {
        /// The process id of the session, as for `pg_terminate_backend`.
        pid: i32,
        /// The name that its program gave.
        application_name: String,
        /// Its state, such as "idle in transaction"; `None` if PostgreSQL does not show that to our role.
        state: Option<String>,
    },
    /// No session: the transaction was prepared, and waits for `COMMIT PREPARED` or `ROLLBACK PREPARED`.
    PreparedTransaction {
        /// The global identifier of the prepared transaction.
        gid: String,
    },
}

/// The accounts that changed in a range of the log. Events of sessions do not count as changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangedAccounts {
    /// The accounts, each once, in no particular order.
    pub accounts: Vec<UserId>,
    /// The last entry that was examined.
    pub cursor: LogCursor,
    /// Whether the log has entries after it.
    pub has_more: bool,
}

/// A place in the order in which the log takes committed events: the log has an event if the place of its end is not before the
/// place of the event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct CommitPlace {
    /// The number of the transaction.
    pub transaction: u64,
    /// The position among the events of that transaction.
    pub position: i64,
}

/// The end of the log and the end of the committed events, in one snapshot of the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogCoverage {
    /// The last entry of the log; index 0 if it is empty.
    pub end: LogCursor,
    /// The place of its event.
    pub sequenced: CommitPlace,
    /// The last place of the events that are committed, whether the log has them or not.
    pub committed: CommitPlace,
}

/// Tells when this node itself has added entries to the log. It does not see those that other nodes add, so a reader also looks
/// for new entries at intervals.
#[derive(Clone, Debug, Default)]
pub struct LogGrowth(Option<watch::Receiver<()>>);

impl LogGrowth {
    /// The growth that is reported over this channel.
    pub fn reported_by(growth: watch::Receiver<()>) -> Self {
        Self(Some(growth))
    }

    /// Waits until this node has added entries since the last call. It never ends if the node adds none.
    pub async fn wait(&mut self) {
        let grown = match &mut self.0 {
            Some(growth) => growth.changed().await.is_ok(),
            None => false,
        };
        if !grown {
            std::future::pending::<()>().await;
        }
    }
}

/// Reads the log in order.
#[async_trait]
pub trait EventLog: Send + Sync {
    /// Up to `limit` events after the log index `after` that match `filter`, in order. A reader that sees an index sees every
    /// lower one as well.
    async fn read_log(
        &self,
        after: u64,
        limit: u32,
        filter: &LogFilter,
    ) -> Result<Vec<LoggedEvent>, StoreError>;

    /// As [`Self::read_log`], after the cursor `from`. The entry at `from` is compared in the same read as the page, so no page
    /// of another history is returned. With [`LogFilter::until`], the cursor of a page that is not full is at that index.
    async fn read_on(
        &self,
        from: LogCursor,
        limit: u32,
        filter: &LogFilter,
    ) -> Result<LogPage, ReadOnError>;

    /// The accounts that changed in up to `limit` entries after `from`. The events themselves are not read. The entry at
    /// `from` is compared as in [`Self::read_on`].
    async fn changed_accounts(
        &self,
        from: LogCursor,
        limit: u32,
    ) -> Result<ChangedAccounts, ReadOnError>;

    /// The end of the log.
    async fn log_head(&self) -> Result<LogHead, StoreError>;

    /// The end of the log and of the committed events. Every event whose append was answered before this was called is counted.
    async fn coverage(&self) -> Result<LogCoverage, StoreError>;

    /// The log indexes of these events, in the same order; `None` for an event that has none yet. The cost does not depend on
    /// the length of the log.
    async fn indexes_of(&self, events: &[EventId]) -> Result<Vec<Option<u64>>, StoreError>;

    /// The log index after which the log has everything that was committed after the newest mark
    /// ([`Housekeeping::mark_log`](super::Housekeeping::mark_log)) but `earlier`; after the oldest mark if there are fewer.
    async fn log_index_at_mark(&self, earlier: u32) -> Result<u64, StoreError>;

    /// Tells when this node adds to the log.
    fn growth(&self) -> LogGrowth {
        LogGrowth::default()
    }
}

impl LogFilter {
    /// Whether this event matches the filter.
    pub fn matches(&self, event: &LoggedEvent) -> bool {
        self.until.is_none_or(|until| event.log_index <= until)
            && self.user.is_none_or(|user| event.user == Some(user))
            && (self.event_types.is_empty() || self.event_types.contains(&event.event.event_type))
    }
}
