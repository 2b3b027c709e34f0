//! What the log's proof needs of a store.

use std::ops::Range;

use async_trait::async_trait;
use authlog_application::ports::StoreError;
use authlog_domain::UserId;

use super::tree::{Hash, NodeId};
use crate::leaf::{LeafInput, leaf_hash};

/// The log as a tree: its leaves, the nodes that are stored over them, and its signed heads.
#[async_trait]
pub trait LogTree: Send + Sync {
    /// The leaves in this range of places, from 0, up to the first place without an entry.
    async fn leaves(&self, range: Range<u64>) -> Result<Vec<Hash>, StoreError>;

    /// How the log ends, for a reader to whom its first `signed` entries are known.
    async fn end(&self, signed: u64) -> Result<LogEnd, StoreError>;

    /// The stored nodes of this level in this range; fewer where some are missing.
    async fn nodes(&self, level: u8, range: Range<u64>) -> Result<Vec<Hash>, StoreError>;

    /// Stores nodes, in place of others of the same name.
    async fn keep_nodes(&self, nodes: Vec<(NodeId, Hash)>) -> Result<(), StoreError>;

    /// Stores a checkpoint. When it returns, the checkpoint and everything that it vouches for survive a crash.
    async fn keep_checkpoint(&self, checkpoint: StoredCheckpoint) -> Result<(), StoreError>;

    /// The checkpoint of the largest tree.
    async fn latest_checkpoint(&self) -> Result<Option<StoredCheckpoint>, StoreError>;

    /// Up to `limit` checkpoints of trees larger than `size`, from small to large.
    async fn checkpoints_after(
        &self,
        size: u64,
        limit: u32,
    ) -> Result<Vec<StoredCheckpoint>, StoreError>;
}

/// How the log ends, as of one snapshot. This program writes no log of which [`Self::fault`] finds a fault.
#[derive(Clone, Debug)]
pub struct LogEnd {
    /// The lowest index; 1 in an empty log.
    pub first_index: i64,
    /// The highest index; 0 in an empty log.
    pub last_index: i64,
    /// Whether there is an entry after the known ones.
    pub has_next: bool,
    /// Whether the last entry has its event; true in an empty log.
    pub has_last_event: bool,
    /// In what the events end elsewhere than the log.
    pub disagreement: Option<String>,
}

impl LogEnd {
    /// What cannot be, if anything, after `signed` known entries.
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

/// The leaves that follow the index `after` without a gap, of leaves with their indexes in order.
pub(crate) fn up_to_a_gap<Leaf>(after: i64, leaves: Vec<(Leaf, i64)>) -> Vec<Leaf> {
    let places = leaves.into_iter().zip(after.saturating_add(1)..);
    places
        .take_while(|((_, index), place)| index == place)
        .map(|((leaf, _), _)| leaf)
        .collect()
}

/// A checkpoint as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCheckpoint {
    /// The size of the tree, as the store has it beside the note.
    pub tree_size: u64,
    /// The signed note.
    pub note: String,
}

/// The log's entries with the events exactly as they are stored.
#[async_trait]
pub trait LogRecords: Send + Sync {
    /// The entries in this range of log indexes, each with the leaf that its event has now.
    async fn leaf_checks(&self, range: Range<u64>) -> Result<Vec<LeafCheck>, StoreError>;

    /// Up to `limit` entries after the log index `after`, of one account or of all, in order. An entry without its event
    /// is left out.
    async fn records(
        &self,
        after: u64,
        limit: u32,
        user: Option<UserId>,
    ) -> Result<Vec<Record>, StoreError>;

    /// The log index of an event.
    async fn index_of(&self, event: &EventName) -> Result<Option<u64>, StoreError>;

    /// What the entry at this log index is called, whether there is such an event or not.
    async fn name_at(&self, log_index: u64) -> Result<Option<EventName>, StoreError>;

    /// Where the log ends and where it has to end, as far as the store knows.
    async fn extent(&self) -> Result<Extent, StoreError>;

    /// An event that has no entry in the log, though it is as old as others that have. It may take long.
    async fn unlogged_event(&self) -> Result<Option<EventName>, StoreError>;

    /// The same, of up to `limit` events after this place.
    async fn unlogged_after(
        &self,
        place: WrittenPlace,
        limit: u32,
    ) -> Result<WrittenPage, StoreError>;
}

/// The place of an event among all events, in the order in which the log takes them up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrittenPlace {
    /// The transaction that wrote it; zero on a store that numbers none.
    pub transaction: u64,
    /// Its position.
    pub position: i64,
}

impl WrittenPlace {
    /// Before the first one.
    pub const FIRST: Self = Self {
        transaction: 0,
        position: i64::MIN,
    };
}

/// Some events in the order in which the log takes them up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenPage {
    /// The last one; `None` if there was none.
    pub last: Option<WrittenPlace>,
    /// The first of them that has no entry in the log, though it is as old as others that have.
    pub unlogged: Option<EventName>,
}

/// An entry of the log, and whether it still is what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafCheck {
    /// Its place, from 1.
    pub log_index: u64,
    /// The stored leaf; `None` if what is stored is no hash.
    pub stored: Option<Hash>,
    /// The leaf of the event as it is stored now; `None` if there is no such event.
    pub computed: Option<Hash>,
    /// Whether the event has an instant that a calendar has. This program records no other.
    pub has_instant: bool,
}

/// Where the log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The last log index.
    pub last: u64,
    /// The last log index that was ever given out, where the store remembers it.
    pub given_out: Option<u64>,
}

/// Names an event: `<aggregate type>/<aggregate id>/<sequence>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventName {
    /// The stored name of the aggregate's kind.
    pub aggregate_type: String,
    /// The aggregate's id.
    pub aggregate_id: String,
    /// The event's number in its stream, from 1.
    pub sequence: i64,
}

impl EventName {
    /// Reads a name. Ids may contain slashes.
    pub fn parse(text: &str) -> Option<Self> {
        let (aggregate_type, rest) = text.split_once('/')?;
        let (aggregate_id, sequence) = rest.rsplit_once('/')?;
        let sequence = sequence.parse().ok().filter(|sequence| *sequence > 0)?;
        Some(Self {
            aggregate_type: aggregate_type.to_owned(),
            aggregate_id: aggregate_id.to_owned(),
            sequence,
        })
    }
}

impl std::fmt::Display for EventName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (kind, id, sequence) = (&self.aggregate_type, &self.aggregate_id, self.sequence);
        write!(f, "{kind}/{id}/{sequence}")
    }
}

/// An entry of the log with everything that its leaf vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place, from 1.
    pub log_index: u64,
    /// The leaf as it is stored.
    pub leaf: Hash,
    /// The event's name.
    pub name: EventName,
    /// The event's type.
    pub event_type: String,
    /// The version of that type.
    pub event_version: String,
    /// When it was recorded: microseconds since 1970-01-01T00:00:00Z.
    pub recorded_at_micros: i64,
    /// The payload, byte for byte as stored.
    pub payload: String,
    /// The metadata, byte for byte as stored.
    pub metadata: String,
}

impl Record {
    /// The leaf of what is recorded.
    pub fn computed_leaf(&self) -> Hash {
        Hash(leaf_hash(&LeafInput {
            aggregate_type: &self.name.aggregate_type,
            aggregate_id: &self.name.aggregate_id,
            sequence: self.name.sequence,
            event_type: &self.event_type,
            event_version: &self.event_version,
            recorded_at_micros: self.recorded_at_micros,
            payload: &self.payload,
            metadata: &self.metadata,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_are_taken_up_to_the_first_gap() {
        let leaves = vec![("four", 4), ("five", 5), ("seven", 7), ("eight", 8)];
        assert_eq!(up_to_a_gap(3, leaves.clone()), ["four", "five"]);
        assert!(up_to_a_gap(2, leaves.clone()).is_empty());
        assert_eq!(up_to_a_gap(6, leaves[2..].to_vec()), ["seven", "eight"]);
    }
}
