//! Comparing every note of a sink with the log, in order and in bounded memory.

use std::collections::VecDeque;

use authlog_application::ports::StoreError;

use super::checkpoint::Checkpoint;
use super::note::VerifierKey;
use super::reading::{ReadError, tree_of};
use super::store::LogTree;
use super::tree::{GrowingTree, Hash};
use super::witness::TrustedCheckpoint;

/// Leaves that are read at a time. A note that is farther from the one before is compared with a tree that is made of
/// stored nodes.
const STEP: u64 = 4096;

/// What was found out about the notes of one sink so far.
#[derive(Clone, Default)]
pub struct Judge {
    /// The tree of the log up to the largest note so far.
    tree: GrowingTree,
    newest: Option<TrustedCheckpoint>,
    strangers: u64,
}

/// What a note turned out to be.
enum Verdict {
    Agrees(TrustedCheckpoint),
    Stranger,
    Contradicts(String),
}

impl Judge {
    /// The size of the largest checkpoint that the log agrees with.
    pub fn reached(&self) -> u64 {
        let newest = self.newest.as_ref();
        newest.map_or(0, |newest| newest.checkpoint.tree_size)
    }

    /// The same, if `key` signed it.
    pub fn newest(&self, key: &VerifierKey) -> Option<&TrustedCheckpoint> {
        let newest = self.newest.as_ref();
        newest.filter(|newest| Checkpoint::open(&newest.note, key).is_ok())
    }

    /// How many notes are not this log's: no checkpoints, or signed by others.
    pub const fn strangers(&self) -> u64 {
        self.strangers
    }

    /// Compares the next notes with the log. `Some` is why one of them contradicts it.
    ///
    /// Signatures are looked at where the log does not agree, and by [`Self::newest`]: a note that the log agrees with
    /// can do no harm.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn judge<'n>(
        &mut self,
        notes: impl IntoIterator<Item = &'n str>,
        store: &dyn LogTree,
        key: &VerifierKey,
    ) -> Result<Option<String>, StoreError> {
        let notes: Vec<&str> = notes.into_iter().collect();
        let read = notes.iter().map(|note| Checkpoint::unverified(note));
        let read: Vec<Option<Checkpoint>> = read.collect();
        let sizes = read.iter().flatten().map(|it| it.tree_size);
        // Read ahead for these notes alone: events that nothing was signed for may be others the next time.
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
                Verdict::Stranger => self.strangers += 1,
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
            return Ok(Verdict::Stranger);
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
        // What was read ahead goes with a tree that is not kept.
        leaves.read.clear();
        if Checkpoint::open(note, key).is_err() {
            return Ok(Verdict::Stranger);
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

    /// The tree of the log's first `size` events. It grows with the notes, so that each is proved to extend the one before:
    /// the subtrees of the one and the leaves after it are a consistency proof (RFC 6962 §2.1.2).
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

/// The leaves after a tree, read many at a time.
struct LeavesAhead<'a> {
    store: &'a dyn LogTree,
    up_to: u64,
    read: VecDeque<Hash>,
}

impl LeavesAhead<'_> {
    /// The tree with the next leaves added, up to `size` of them in all.
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
