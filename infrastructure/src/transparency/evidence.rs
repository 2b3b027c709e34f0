//! Writing evidence from a store: one event with its proof.

use authlog_application::ports::{ProofError, StoreError, TransparencyLog};

use super::log::ProvenLog;
use super::store::LogRecords;
use super::tree::Hash;
use authlog_log_proof::evidence::write_evidence;
pub use authlog_log_proof::evidence::{InvalidEvidence, Proven, check_evidence};

/// Why evidence cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// The log has no event at this index.
    #[error("the log has no such event")]
    NoSuchEvent,
    /// The event cannot be proved, or the store does not answer.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// The stored event does not have the leaf that the log holds for it.
    #[error("event {0} was changed; run `authlog log verify`")]
    Changed(u64),
}

impl From<StoreError> for EvidenceError {
    fn from(error: StoreError) -> Self {
        Self::Proof(error.into())
    }
}

/// The text of an evidence file for the event at a log index, against the newest checkpoint.
///
/// # Errors
/// There is no such event, it was changed, no checkpoint covers it yet, or the store does not answer.
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
    let checkpoint = proof.checkpoint;
    let checkpoint = checkpoint.ok_or(ProofError::Beyond { reached: 0 })?;
    let path: Vec<Hash> = proof.hashes.into_iter().map(Hash).collect();
    Ok(write_evidence(record, &path, checkpoint))
}
