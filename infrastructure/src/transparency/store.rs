//! What the proof of the log needs of a store.
//!
//! These traits stay here and are no ports of `authlog-application`. No use case calls them: the application asks for
//! proofs through its port `TransparencyLog`, and [`super::ProvenLog`] and the workers in this folder implement it over any
//! store. Their types are tree nodes and leaf hashes of `authlog-log-proof`, which would bring a cryptographic library into
//! the application.

use std::ops::Range;

use async_trait::async_trait;
use authlog_application::ports::StoreError;
use authlog_domain::UserId;
use authlog_log_proof::record::{EventName, Record};

use super::tree::{Hash, NodeId};

/// The log as a Merkle tree: its leaves, the stored nodes above them, and the stored checkpoints.
#[async_trait]
pub trait LogTree: Send + Sync {
    /// The leaves in this range, counted from 0, up to the first missing entry.
    async fn leaves(&self, range: Range<u64>) -> Result<Vec<Hash>, StoreError>;

    /// The end of the log, for a reader that has verified the first `signed` entries.
    async fn end(&self, signed: u64) -> Result<LogEnd, StoreError>;

    /// The stored nodes of this level in this range. There are fewer if some are missing.
    async fn nodes(&self, level: u8, range: Range<u64>) -> Result<Vec<Hash>, StoreError>;

    /// Stores nodes, and replaces stored nodes of the same name.
    async fn keep_nodes(&self, nodes: Vec<(NodeId, Hash)>) -> Result<(), StoreError>;

    /// Stores a checkpoint. After it returns, the checkpoint and everything that it covers survive a crash.
    async fn keep_checkpoint(&self, checkpoint: StoredCheckpoint) -> Result<(), StoreError>;

    /// The checkpoint with the largest size.
    async fn latest_checkpoint(&self) -> Result<Option<StoredCheckpoint>, StoreError>;

    /// Up to `limit` checkpoints with a size above `size`, in ascending order.
    async fn checkpoints_after(
        &self,
        size: u64,
        limit: u32,
    ) -> Result<Vec<StoredCheckpoint>, StoreError>;
}

/// The end of the log in one snapshot. [`Self::fault`] finds no fault in a log that only this program has written.
#[derive(Clone, Debug)]
pub struct LogEnd {
    /// The lowest index; 1 in an empty log.
    pub first_index: i64,
    /// The highest index; 0 in an empty log.
    pub last_index: i64,
    /// Whether the entry after the verified ones exists.
    pub has_next: bool,
    /// Whether the event of the last entry exists; true in an empty log.
    pub has_last_event: bool,
    /// How the end of the events differs from the end of the log, if it does.
    pub disagreement: Option<String>,
}

impl LogEnd {
    /// The first inconsistency after `signed` verified entries, in words for an operator.
    pub fn fault(&self, signed: u64) -> Option<String> {
        let (first, last) = (self.first_index, self.last_index);
        if first < 1 {
            return Some(format!(
                "the log has an entry or an event at {first}, before its first place"
            ));
        }
        if last.unsigned_abs() > signed && !self.has_next {
            return Some(format!(
                "entry {} is missing, and the log goes on up to {last}: an entry was deleted, or others were added",
                signed + 1
            ));
        }
        if !self.has_last_event {
            return Some(format!("the event of the last entry, {last}, was deleted"));
        }
        self.disagreement.clone()
    }
}

/// The leaves that follow the log index `after` without a gap. The input is in order of log index.
pub(crate) fn until_first_gap<Leaf>(after: i64, leaves: Vec<(Leaf, i64)>) -> Vec<Leaf> {
    let places = leaves.into_iter().zip(after.saturating_add(1)..);
    places
        .take_while(|((_, index), place)| index == place)
        .map(|((leaf, _), _)| leaf)
        .collect()
}

/// A checkpoint as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCheckpoint {
    /// The size of the tree, from the column next to the note.
    pub tree_size: u64,
    /// The signed note.
    pub note: String,
}

/// The entries of the log with their events exactly as they are stored.
#[async_trait]
pub trait LogRecords: Send + Sync {
    /// The entries in this range of log indexes, each with the leaf of the event's present content.
    async fn leaf_checks(&self, range: Range<u64>) -> Result<Vec<LeafCheck>, StoreError>;

    /// Up to `limit` entries after the log index `after`, of one account or of all, in order. Entries whose event is missing
    /// are left out.
    async fn records(
        &self,
        after: u64,
        limit: u32,
        user: Option<UserId>,
    ) -> Result<Vec<Record>, StoreError>;

    /// The log index of an event.
    async fn index_of(&self, event: &EventName) -> Result<Option<u64>, StoreError>;

    /// The name in the entry at this log index, whether or not the event exists.
    async fn name_at(&self, log_index: u64) -> Result<Option<EventName>, StoreError>;

    /// Where the log ends, and where it has to end if the store knows it.
    async fn extent(&self) -> Result<Extent, StoreError>;

    /// An event without an entry in the log, although later events have entries. This reads all events.
    async fn unlogged_event(&self) -> Result<Option<EventName>, StoreError>;

    /// Like [`Self::unlogged_event`], for up to `limit` events after this place.
    async fn unlogged_after(
        &self,
        place: WrittenPlace,
        limit: u32,
    ) -> Result<WrittenPage, StoreError>;
}

/// The place of an event among all events, in the order in which they enter the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrittenPlace {
    /// The transaction that wrote the event; zero if the store does not number transactions.
    pub transaction: u64,
    /// The position of the event, which orders the events of one transaction.
    pub position: i64,
}

impl WrittenPlace {
    /// The place before the first event.
    pub const FIRST: Self = Self {
        transaction: 0,
        position: i64::MIN,
    };
}

/// The result of comparing a page of events with the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenPage {
    /// The place of the last event of the page; `None` if the page is empty.
    pub last: Option<WrittenPlace>,
    /// The first event of the page without an entry in the log, although later events have entries.
    pub unlogged: Option<EventName>,
}

/// The comparison of a log entry with its event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafCheck {
    /// The log index, from 1.
    pub log_index: u64,
    /// The stored leaf; `None` if the stored bytes are not a hash.
    pub stored: Option<Hash>,
    /// The leaf of the event's present content; `None` if the event is missing.
    pub computed: Option<Hash>,
    /// Whether the time of the event is in the range of calendar dates. This program records no other times.
    pub has_instant: bool,
}

/// Where the log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The last log index.
    pub last: u64,
    /// The last log index that was ever assigned, if the store keeps it.
    pub given_out: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_are_taken_up_to_the_first_gap() {
        let leaves = vec![("four", 4), ("five", 5), ("seven", 7), ("eight", 8)];
        assert_eq!(until_first_gap(3, leaves.clone()), ["four", "five"]);
        assert!(until_first_gap(2, leaves.clone()).is_empty());
        assert_eq!(until_first_gap(6, leaves[2..].to_vec()), ["seven", "eight"]);
    }
}
