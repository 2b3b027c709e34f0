//! Evidence: one event with its proof and a checkpoint, in a file that can be checked without a store.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::note::VerifierKey;
use crate::record::{EventName, Record};
use crate::tree::{Hash, includes};

/// The value of the member `format`.
const FORMAT: &str = "authlog-evidence/v1";

/// The content of an evidence file: pretty-printed JSON with its members in this order. A reader accepts only the bytes
/// that [`write_evidence`] writes, so every changed byte is noticed.
#[derive(Serialize, Deserialize)]
struct Evidence {
    format: String,
    #[serde(flatten)]
    event: ProvenEvent,
    checkpoint: String,
}

/// A stored event, its leaf, and its audit path (RFC 6962 §2.1.1). In an export of the whole log, events have no path: the
/// root is computed from all of them.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct ProvenEvent {
    pub(crate) log_index: u64,
    event: EventContent,
    leaf_hash: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    inclusion: Option<Vec<String>>,
}

/// The fields that the leaf hash covers, in their order.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventContent {
    aggregate_type: String,
    aggregate_id: String,
    sequence: i64,
    event_type: String,
    event_version: String,
    recorded_at_micros: i64,
    payload: String,
    metadata: String,
}

/// Why evidence or an export proves nothing. The error texts are for the person who checks it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEvidence {
    /// It has another format, or was not written by this program byte for byte.
    #[error("{0}")]
    Malformed(String),
    /// The checkpoint is not a valid checkpoint of this log.
    #[error("the checkpoint is not valid: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The event at this log index does not have the leaf hash that is given for it.
    #[error("event {0} is not what its leaf stands for: it was changed")]
    Leaf(u64),
    /// The audit path of the event at this log index does not lead from its leaf to the root.
    #[error("the proof does not lead from event {0} to the root of the checkpoint")]
    Path(u64),
    /// Events of an export are missing, or it has events that do not belong to it.
    #[error("{0}")]
    Incomplete(String),
}

/// An event that is proved to be in the log.
#[derive(Clone, Debug)]
pub struct Proven {
    /// The event.
    pub record: Record,
    /// The checkpoint that covers it.
    pub checkpoint: Checkpoint,
}

/// The text of an evidence file: a record, its audit path, and the note of the checkpoint that covers it.
pub fn write_evidence(record: Record, path: &[Hash], checkpoint: String) -> String {
    let evidence = Evidence {
        format: FORMAT.to_owned(),
        event: ProvenEvent::new(record, Some(path)),
        checkpoint,
    };
    evidence.write()
}

/// Checks the text of an evidence file. The person who checks it has to trust nothing but the key.
///
/// # Errors
/// The text is not evidence, the checkpoint is not signed with `key`, or the event is not in the log that it covers.
pub fn check_evidence(text: &str, key: &VerifierKey) -> Result<Proven, InvalidEvidence> {
    let evidence: Evidence = serde_json::from_str(text)
        .map_err(|error| InvalidEvidence::Malformed(format!("this is not evidence: {error}")))?;
    if evidence.format != FORMAT {
        return Err(InvalidEvidence::Malformed(format!(
            "this is {:?}, and only {FORMAT:?} can be checked",
            evidence.format
        )));
    }
    if evidence.write() != text {
        return Err(InvalidEvidence::Malformed(
            "the file is not as it was written: every byte has to be the same".to_owned(),
        ));
    }
    let checkpoint = Checkpoint::open(&evidence.checkpoint, key)?;
    let record = evidence.event.check(&checkpoint)?;
    Ok(Proven { record, checkpoint })
}

impl Evidence {
    fn write(&self) -> String {
        // Values of strings and numbers can always be serialized.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

impl ProvenEvent {
    pub(crate) fn new(record: Record, path: Option<&[Hash]>) -> Self {
        let base64 = |hash: &Hash| hash.to_string();
        Self {
            log_index: record.log_index,
            event: EventContent {
                aggregate_type: record.name.aggregate_type,
                aggregate_id: record.name.aggregate_id,
                sequence: record.name.sequence,
                event_type: record.event_type,
                event_version: record.event_version,
                recorded_at_micros: record.recorded_at_micros,
                payload: record.payload,
                metadata: record.metadata,
            },
            leaf_hash: base64(&record.leaf),
            inclusion: path.map(|path| path.iter().map(base64).collect()),
        }
    }

    /// The event, if its content has the leaf hash that is given with it.
    ///
    /// # Errors
    /// [`InvalidEvidence::Leaf`], or [`InvalidEvidence::Malformed`].
    pub(crate) fn record(&self) -> Result<Record, InvalidEvidence> {
        let leaf = parse_hash(&self.leaf_hash)?;
        let event = self.event.clone();
        let record = Record {
            log_index: self.log_index,
            leaf,
            name: EventName {
                aggregate_type: event.aggregate_type,
                aggregate_id: event.aggregate_id,
                sequence: event.sequence,
            },
            event_type: event.event_type,
            event_version: event.event_version,
            recorded_at_micros: event.recorded_at_micros,
            payload: event.payload,
            metadata: event.metadata,
        };
        if record.computed_leaf() == leaf {
            Ok(record)
        } else {
            Err(InvalidEvidence::Leaf(self.log_index))
        }
    }

    /// The event, if its audit path leads to the root of the checkpoint.
    ///
    /// # Errors
    /// As for [`Self::record`], and [`InvalidEvidence::Path`].
    pub(crate) fn check(&self, checkpoint: &Checkpoint) -> Result<Record, InvalidEvidence> {
        let record = self.record()?;
        let path = self.inclusion.iter().flatten();
        let path: Vec<Hash> = path
            .map(|text| parse_hash(text))
            .collect::<Result<_, _>>()?;
        let (size, root) = (checkpoint.tree_size, checkpoint.root);
        let is_included = record
            .log_index
            .checked_sub(1)
            .is_some_and(|index| includes(&path, size, root, index, record.leaf));
        if is_included {
            Ok(record)
        } else {
            Err(InvalidEvidence::Path(self.log_index))
        }
    }
}

fn parse_hash(text: &str) -> Result<Hash, InvalidEvidence> {
    let bytes = STANDARD.decode(text).ok();
    let hash = bytes.and_then(|bytes| bytes.try_into().ok()).map(Hash);
    hash.ok_or_else(|| InvalidEvidence::Malformed(format!("{text:?} is not a hash in base64")))
}
