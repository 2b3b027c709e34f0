//! Proofs that the log was not tampered with.

use async_trait::async_trait;
use authlog_domain::Timestamp;

use super::StoreError;

/// A proof that an event is in the log (RFC 6962 §2.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InclusionProof {
    /// The event's log index, from 1. RFC 6962 counts from 0.
    pub log_index: u64,
    /// The number of events in the log for which the proof holds.
    pub tree_size: u64,
    /// The leaf hash of the event.
    pub leaf_hash: [u8; 32],
    /// The audit path, from the leaf to the root.
    pub hashes: Vec<[u8; 32]>,
    /// The checkpoint of a log of that size, if there is one.
    pub checkpoint: Option<String>,
}

/// A proof that the log of one size is the beginning of the log of a later size (RFC 6962 §2.1.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsistencyProof {
    /// The earlier size.
    pub from: u64,
    /// The later size.
    pub to: u64,
    /// The proof.
    pub hashes: Vec<[u8; 32]>,
}

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// The index or the size is beyond the newest checkpoint, or the index is beyond the requested size.
    #[error("the log is proved up to {reached}")]
    Beyond {
        /// The last log index for which there is a proof.
        reached: u64,
    },
    /// The sizes or the index cannot occur in any log.
    #[error("there is nothing to prove")]
    InvalidRange,
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The transparency log.
#[async_trait]
pub trait TransparencyLog: Send + Sync {
    /// The key that verifies checkpoints, as a C2SP "vkey".
    fn key(&self) -> String;

    /// The newest checkpoint: a signed note (C2SP `tlog-checkpoint`); `None` while the log is empty.
    async fn latest_checkpoint(&self) -> Result<Option<String>, StoreError>;

    /// Proves that the event at `log_index` is in the log of `tree_size` events; by default, of the size of the newest
    /// checkpoint.
    async fn prove_inclusion(
        &self,
        log_index: u64,
        tree_size: Option<u64>,
    ) -> Result<InclusionProof, ProofError>;

    /// Proves that the log of `from` events is the beginning of the log of `to` events.
    async fn prove_consistency(&self, from: u64, to: u64) -> Result<ConsistencyProof, ProofError>;
}

/// Whether the log still matches its signed checkpoints, as far as this node knows from data outside the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogIntegrity {
    /// Why it does not match, in words for an operator.
    pub tampered: Option<String>,
    /// What has to be read before checkpoints are signed, in words for an operator.
    pub waiting_for: Option<String>,
    /// How far the stored events were compared with the log.
    pub audit: AuditProgress,
}

/// How far this node has compared the stored events with the log. The node that signs checkpoints does this in passes, each of
/// which starts at the first event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuditProgress {
    /// How many entries of the log the current pass has compared.
    pub checked: u64,
    /// How many entries the current pass will compare.
    pub of: u64,
    /// How many passes found no difference, since this node started.
    pub passes: u64,
    /// When the last pass without a difference ended.
    pub completed_at: Option<Timestamp>,
}
