//! Comparison of every note of a sink with the log, in order and in bounded memory.

use std::collections::VecDeque;

use authlog_application::ports::StoreError;

use super::checkpoint::Checkpoint;
use super::note::VerifierKey;
use super::reading::{ReadError, tree_of};
use super::store::LogTree;
use super::tree::{GrowingTree, Hash};
use super::witness::TrustedCheckpoint;

/// Leaves in one read. A note whose size is further above the previous one is compared with a tree made of stored nodes.
const STEP: u64 = 4096;

/// The result of comparing the notes of one sink so far.
#[derive(Clone, Default)]
pub struct SinkComparison {
    /// The tree of the log up to the size of the largest note so far.
    tree: GrowingTree,
    newest: Option<TrustedCheckpoint>,
    foreign_notes: u64,
}

/// The result for one note.
enum Verdict {
    Agrees(TrustedCheckpoint),
    /// Not a checkpoint of this log.
    Foreign,
    Contradicts(String),
}

impl SinkComparison {
    /// The size of the largest checkpoint that agrees with the log; 0 if there is none.
    pub fn reached(&self) -> u64 {
        let newest = self.newest.as_ref();
        newest.map_or(0, |newest| newest.checkpoint.tree_size)
    }

    /// The largest checkpoint that agrees with the log, if it is signed with `key`.
    pub fn newest(&self, key: &VerifierKey) -> Option<&TrustedCheckpoint> {
        let newest = self.newest.as_ref();
        newest.filter(|newest| Checkpoint::open(&newest.note, key).is_ok())
    }

    /// The number of notes that are not checkpoints of this log, or not signed with its key.
    pub const fn foreign_notes(&self) -> u64 {
        self.foreign_notes
    }

    /// Compares the next notes with the log. Returns the reason if one of them contradicts it.
    ///
    /// Signatures are verified only for notes that disagree with the log, and by [`Self::newest`]: a note that agrees with
    /// the log does no harm.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn compare<'n>(
        &mut self,
        notes: impl IntoIterator<Item = &'n str>,
        store: &dyn LogTree,
        key: &VerifierKey,
    ) -> Result<Option<String>, StoreError> {
        let notes: Vec<&str> = notes.into_iter().collect();
        let read = notes.iter().map(|note| Checkpoint::unverified(note));
        let read: Vec<Option<Checkpoint>> = read.collect();
        let sizes = read.iter().flatten().map(|it| it.tree_size);
        // Leaves are read ahead only for these notes, because events without a checkpoint may change.
        let mut leaves = LeavesAhead {
            store,
            up_to: sizes.max().unwrap_or_default(),
            read: VecDeque::new(),
        };
        for (note, checkpoint) in notes.into_iter().zip(read) {
            match self.verdict(note, checkpoint, &mut leaves, key).await? {
                Verdict::Agrees(trusted) if trusted.checkpoint.tree_size > self.reached() => {
                    self.newest = Some(trusted);
                }
                Verdict::Agrees(_) => {}
                Verdict::Foreign => self.foreign_notes += 1,
                Verdict::Contradicts(reason) => return Ok(Some(reason)),
            }
        }
        Ok(None)
    }

    async fn verdict(
        &mut self,
        note: &str,
        checkpoint: Option<Checkpoint>,
        leaves: &mut LeavesAhead<'_>,
        key: &VerifierKey,
    ) -> Result<Verdict, StoreError> {
        let Some(checkpoint) = checkpoint else {
            return Ok(Verdict::Foreign);
        };
        let size = checkpoint.tree_size;
        let tree = match self.tree_of(size, leaves).await {
            Ok(tree) => Some(tree),
            Err(ReadError::Incomplete { .. }) => None,
            Err(ReadError::Store(error)) => return Err(error),
        };
        let root = tree.as_ref().map(GrowingTree::root);
        if let Some(tree) = tree
            && tree.root() == checkpoint.root
            && checkpoint.origin == key.name()
        {
            if size > self.tree.size() {
                self.tree = tree;
            }
            let note = note.to_owned();
            return Ok(Verdict::Agrees(TrustedCheckpoint { checkpoint, note }));
        }
        // The leaves that were read ahead belong to a tree that is discarded.
        leaves.read.clear();
        if Checkpoint::open(note, key).is_err() {
            return Ok(Verdict::Foreign);
        }
        Ok(Verdict::Contradicts(match root {
            Some(root) => format!(
                "has a checkpoint of size {size} with the root {}, and here the root is {root}: the log was rewritten",
                checkpoint.root
            ),
            None => format!(
                "has a checkpoint of size {size}, and here the log does not reach that far: it was rolled back, as by restoring a backup"
            ),
        }))
    }

    /// The tree of the first `size` events. The tree grows from note to note, so each note is proved to extend the previous
    /// one: the subtrees of one and the leaves after it are a consistency proof (RFC 6962 §2.1.2).
    async fn tree_of(
        &self,
        size: u64,
        leaves: &mut LeavesAhead<'_>,
    ) -> Result<GrowingTree, ReadError> {
        let reached = self.tree.size();
        if size < reached {
            return tree_of(leaves.store, size).await;
        }
        if size - reached > STEP {
            leaves.read.clear();
            return tree_of(leaves.store, size).await;
        }
        leaves.grown(self.tree.clone(), size).await
    }
}

/// The leaves after a tree, read in batches.
struct LeavesAhead<'a> {
    store: &'a dyn LogTree,
    up_to: u64,
    read: VecDeque<Hash>,
}

impl LeavesAhead<'_> {
    /// The tree, extended to `size` leaves.
    async fn grown(&mut self, mut tree: GrowingTree, size: u64) -> Result<GrowingTree, ReadError> {
        while tree.size() < size {
            let Some(leaf) = self.read.pop_front() else {
                let range = tree.size()..self.up_to.min(tree.size() + STEP);
                self.read = self.store.leaves(range.clone()).await?.into();
                if self.read.is_empty() {
                    return Err(ReadError::Incomplete { level: 0, range });
                }
                continue;
            };
            tree.push(leaf, |_, _| {});
        }
        Ok(tree)
    }
}
