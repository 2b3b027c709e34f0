//! One event as it is stored: its name, and everything that its leaf in the Merkle tree covers.

use crate::leaf::{LeafInput, leaf_hash};
use crate::tree::Hash;

/// The name of an event: `<aggregate type>/<aggregate id>/<sequence>`.
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
    /// Parses a name. Aggregate ids may contain slashes. Returns `None` if the text has fewer than three parts, or if the
    /// sequence is not a number of at least 1.
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

/// An entry of the log with everything that its leaf covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The log index, from 1.
    pub log_index: u64,
    /// The stored leaf. Compare it with [`Self::computed_leaf`].
    pub leaf: Hash,
    /// The event's name.
    pub name: EventName,
    /// The event's type.
    pub event_type: String,
    /// The version of that type.
    pub event_version: String,
    /// When the store recorded the event: microseconds since 1970-01-01T00:00:00Z.
    pub recorded_at_micros: i64,
    /// The payload, byte for byte as stored.
    pub payload: String,
    /// The metadata, byte for byte as stored.
    pub metadata: String,
}

impl Record {
    /// The leaf hash of the event's present content.
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
