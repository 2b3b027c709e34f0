//! The application's port for checkpoints and proofs, over any store.

use std::sync::Arc;

use async_trait::async_trait;
use authlog_application::ports::{
    ConsistencyProof, InclusionProof, ProofError, StoreError, TransparencyLog,
};

use super::checkpoint::Checkpoint;
use super::note::{NoteKey, VerifierKey};
use super::reading::prove;
use super::store::{LogTree, StoredCheckpoint};
use super::tree::Claim;
use crate::store::unreadable;

/// The log of a store, with its signing key.
#[derive(Clone)]
pub struct ProvenLog {
    store: Arc<dyn LogTree>,
    key: Arc<NoteKey>,
}

impl ProvenLog {
    /// The log in `store`, with its signing key.
    pub fn new(store: Arc<dyn LogTree>, key: Arc<NoteKey>) -> Self {
        Self { store, key }
    }

    /// The public key for the verification of checkpoints.
    pub fn verifier(&self) -> &VerifierKey {
        self.key.verifier()
    }

    async fn checkpoint_of(&self, size: u64) -> Result<Option<StoredCheckpoint>, StoreError> {
        let found = self
            .store
            .checkpoints_after(size.saturating_sub(1), 1)
            .await?;
        Ok(found.into_iter().find(|found| found.tree_size == size))
    }

    /// `size`, or the size of the newest checkpoint if it is `None`. It is an error if no checkpoint covers that size.
    async fn covered(&self, size: Option<u64>) -> Result<u64, ProofError> {
        let reached = self.store.latest_checkpoint().await?;
        let reached = reached.map_or(0, |checkpoint| checkpoint.tree_size);
        let size = size.unwrap_or(reached);
        if size > reached {
            return Err(ProofError::Beyond { reached });
        }
        Ok(size)
    }

    async fn hashes(&self, claim: Claim) -> Result<Vec<[u8; 32]>, ProofError> {
        let proof = prove(&*self.store, claim).await.map_err(StoreError::from)?;
        let proof = proof.ok_or(ProofError::InvalidRange)?;
        Ok(proof.into_iter().map(|hash| hash.0).collect())
    }
}

#[async_trait]
impl TransparencyLog for ProvenLog {
    fn key(&self) -> String {
        self.key.verifier().to_string()
    }

    async fn latest_checkpoint(&self) -> Result<Option<String>, StoreError> {
        let Some(latest) = self.store.latest_checkpoint().await? else {
            return Ok(None);
        };
        // A checkpoint that this log's key did not sign is never handed out.
        Checkpoint::open(&latest.note, self.verifier()).map_err(unreadable)?;
        Ok(Some(latest.note))
    }

    async fn prove_inclusion(
        &self,
        log_index: u64,
        tree_size: Option<u64>,
    ) -> Result<InclusionProof, ProofError> {
        let tree_size = self.covered(tree_size).await?;
        if log_index > tree_size {
            return Err(ProofError::Beyond { reached: tree_size });
        }
        let index = log_index.checked_sub(1).ok_or(ProofError::InvalidRange)?;
        let claim = Claim::Inclusion {
            index,
            size: tree_size,
        };
        let hashes = self.hashes(claim).await?;
        let leaf = self.store.leaves(index..log_index).await?;
        let leaf = leaf.first().ok_or(ProofError::Beyond { reached: index })?;
        let checkpoint = self.checkpoint_of(tree_size).await?;
        Ok(InclusionProof {
            log_index,
            tree_size,
            leaf_hash: leaf.0,
            hashes,
            checkpoint: checkpoint.map(|checkpoint| checkpoint.note),
        })
    }

    async fn prove_consistency(&self, from: u64, to: u64) -> Result<ConsistencyProof, ProofError> {
        let claim = Claim::Consistency { from, to };
        if from == 0 || from > to {
            return Err(ProofError::InvalidRange);
        }
        self.covered(Some(to)).await?;
        let hashes = self.hashes(claim).await?;
        Ok(ConsistencyProof { from, to, hashes })
    }
}
