//! One event with everything that proves it, in a file that is checked without a store.

use authlog_application::ports::{InclusionProof, ProofError, StoreError, TransparencyLog};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::checkpoint::{Checkpoint, CheckpointError};
use super::log::ProvenLog;
use super::note::VerifierKey;
use super::store::{EventName, LogRecords, Record};
use super::tree::{Hash, includes};

/// What a file of evidence says it is.
const FORMAT: &str = "authlog-evidence/v1";

/// One event and its proof. Written as pretty JSON, members in this order, and nothing else is accepted: so there is no
/// byte in it that could be changed without notice.
#[derive(Serialize, Deserialize)]
struct Evidence {
    format: String,
    #[serde(flatten)]
    event: ProvenEvent,
    checkpoint: String,
}

/// An event as it is stored, its leaf, and its audit path (RFC 6962 §2.1.1) where it has one of its own.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct ProvenEvent {
    pub(super) log_index: u64,
    event: StoredEvent,
    leaf_hash: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    inclusion: Option<Vec<String>>,
}

/// What the leaf is the hash of, in its order.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredEvent {
    aggregate_type: String,
    aggregate_id: String,
    sequence: i64,
    event_type: String,
    event_version: String,
    recorded_at_micros: i64,
    payload: String,
    metadata: String,
}

/// Why evidence cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// There is no such event.
    #[error("the log has no such event")]
    NoSuchEvent,
    /// Its proof cannot be had.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// The event is not the one that the log has a leaf of.
    #[error("event {0} was changed; run `authlog log verify`")]
    Changed(u64),
}

impl From<StoreError> for EvidenceError {
    fn from(error: StoreError) -> Self {
        Self::Proof(error.into())
    }
}

/// Why evidence proves nothing. The words are for whoever was given it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    /// It is not evidence, or was written anew by another program.
    #[error("{0}")]
    Malformed(String),
    /// Its checkpoint is not the log's.
    #[error("the checkpoint does not hold: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The event is not what the leaf stands for.
    #[error("event {0} is not what its leaf stands for: it was changed")]
    Leaf(u64),
    /// The proof does not lead from the leaf to the checkpoint.
    #[error("the proof does not lead from event {0} to the root of the checkpoint")]
    Path(u64),
    /// Some events of an export are missing, or there are others.
    #[error("{0}")]
    Incomplete(String),
}

/// An event that was proved to be in a log.
#[derive(Clone, Debug)]
pub struct Proven {
    /// The event.
    pub record: Record,
    /// The checkpoint that vouches for it.
    pub checkpoint: Checkpoint,
}

/// Writes the evidence of the event at a log index.
///
/// # Errors
/// There is no such event, no checkpoint covers it yet, or the store does not answer.
pub async fn evidence_of(
    log_index: u64,
    records: &(impl LogRecords + ?Sized),
    log: &ProvenLog,
) -> Result<String, EvidenceError> {
    let before = log_index.checked_sub(1).ok_or(EvidenceError::NoSuchEvent)?;
    let record = records.records(before, 1, None).await?;
    let record = record.into_iter().find(|it| it.log_index == log_index);
    let record = record.ok_or(EvidenceError::NoSuchEvent)?;
    let proof = log.prove_inclusion(log_index, None).await?;
    if record.computed_leaf().0 != proof.leaf_hash {
        return Err(EvidenceError::Changed(log_index));
    }
    let checkpoint = proof.checkpoint.clone();
    let evidence = Evidence {
        format: FORMAT.to_owned(),
        event: ProvenEvent::new(&record, Some(&proof)),
        checkpoint: checkpoint.ok_or(ProofError::Beyond { reached: 0 })?,
    };
    Ok(evidence.write())
}

/// Checks evidence, without any store: whoever holds the key needs to trust nobody else.
///
/// # Errors
/// Why it proves nothing.
pub fn check_evidence(text: &str, key: &VerifierKey) -> Result<Proven, Unproven> {
    let evidence: Evidence = serde_json::from_str(text)
        .map_err(|error| Unproven::Malformed(format!("this is not evidence: {error}")))?;
    if evidence.format != FORMAT {
        return Err(Unproven::Malformed(format!(
            "this is {:?}, and only {FORMAT:?} can be checked",
            evidence.format
        )));
    }
    if evidence.write() != text {
        return Err(Unproven::Malformed(
            "the file is not as it was written: every byte has to be the same".to_owned(),
        ));
    }
    let checkpoint = Checkpoint::open(&evidence.checkpoint, key)?;
    let record = evidence.event.check(&checkpoint)?;
    Ok(Proven { record, checkpoint })
}

impl Evidence {
    fn write(&self) -> String {
        // Texts and numbers cannot fail to become JSON.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

impl ProvenEvent {
    pub(super) fn new(record: &Record, proof: Option<&InclusionProof>) -> Self {
        let base64 = |hash: &[u8; 32]| STANDARD.encode(hash);
        let Record {
            log_index,
            leaf,
            name,
            event_type,
            event_version,
            recorded_at_micros,
            payload,
            metadata,
        } = record.clone();
        Self {
            log_index,
            event: StoredEvent {
                aggregate_type: name.aggregate_type,
                aggregate_id: name.aggregate_id,
                sequence: name.sequence,
                event_type,
                event_version,
                recorded_at_micros,
                payload,
                metadata,
            },
            leaf_hash: base64(&leaf.0),
            inclusion: proof.map(|proof| proof.hashes.iter().map(base64).collect()),
        }
    }

    /// The event, if its leaf is its own.
    pub(super) fn record(&self) -> Result<Record, Unproven> {
        let leaf = hash(&self.leaf_hash)?;
        let StoredEvent {
            aggregate_type,
            aggregate_id,
            sequence,
            event_type,
            event_version,
            recorded_at_micros,
            payload,
            metadata,
        } = self.event.clone();
        let record = Record {
            log_index: self.log_index,
            leaf,
            name: EventName {
                aggregate_type,
                aggregate_id,
                sequence,
            },
            event_type,
            event_version,
            recorded_at_micros,
            payload,
            metadata,
        };
        if record.computed_leaf() == leaf {
            Ok(record)
        } else {
            Err(Unproven::Leaf(self.log_index))
        }
    }

    /// The event, if it is in the log of the checkpoint.
    pub(super) fn check(&self, checkpoint: &Checkpoint) -> Result<Record, Unproven> {
        let record = self.record()?;
        let path = self.inclusion.iter().flatten();
        let path: Vec<Hash> = path.map(|text| hash(text)).collect::<Result<_, _>>()?;
        let Checkpoint {
            tree_size, root, ..
        } = checkpoint;
        let included = record
            .log_index
            .checked_sub(1)
            .is_some_and(|index| includes(&path, *tree_size, *root, index, record.leaf));
        if included {
            Ok(record)
        } else {
            Err(Unproven::Path(self.log_index))
        }
    }
}

fn hash(text: &str) -> Result<Hash, Unproven> {
    let bytes = STANDARD.decode(text).ok();
    let hash = bytes.and_then(|bytes| bytes.try_into().ok()).map(Hash);
    hash.ok_or_else(|| Unproven::Malformed(format!("{text:?} is not a hash in base64")))
}
