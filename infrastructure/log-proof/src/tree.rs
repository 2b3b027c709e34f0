//! The Merkle tree of the log (RFC 6962 §2.1): its growth, its root and its proofs.
//!
//! `tlog_tiles` selects the subtrees of a proof and checks proofs. Growing the tree is implemented here for speed: to verify
//! an export is to hash the whole log, which may have millions of events.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tlog_tiles::{
    Error, HashReader, check_record, check_tree, prove_record, prove_tree, split_stored_hash_index,
};

/// The prefix that distinguishes an inner node from a leaf (RFC 6962 §2.1).
const NODE_PREFIX: u8 = 0x01;

/// Only the nodes of every eighth level are stored. A stored node covers 256 nodes of the stored level below, so storage
/// grows by less than half a per cent of the log, and any other node is hashed from at most 128 stored ones.
pub const STRIDE: u8 = 8;

/// A hash in the tree.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// The parent of two nodes.
    pub fn over(left: Self, right: Self) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(&[NODE_PREFIX]);
        context.update(&left.0);
        context.update(&right.0);
        Self::finished(context.finish().as_ref())
    }

    /// The root of an empty tree.
    pub fn of_nothing() -> Self {
        Self::finished(digest(&SHA256, b"").as_ref())
    }

    fn finished(digest: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest);
        Self(hash)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// Base64, as in checkpoints.
impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

/// The name of a complete node. It is the node over 2^`level` leaves, the first of which is leaf number
/// `index` · 2^`level`, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId {
    /// Height above the leaves.
    pub level: u8,
    /// Position among the nodes of this level, from 0.
    pub index: u64,
}

/// A tree to which leaves are appended. It holds only the roots of its complete subtrees (the peaks), at most 64 hashes.
#[derive(Clone, Debug, Default)]
pub struct GrowingTree {
    size: u64,
    /// Levels and roots of the subtrees, from the largest, which is leftmost, to the smallest.
    peaks: Vec<(u8, Hash)>,
}

impl GrowingTree {
    /// The names of the peaks of a tree with `size` leaves.
    pub fn peaks_of(size: u64) -> Vec<NodeId> {
        let levels = (0..64_u8).rev().filter(|level| size >> level & 1 == 1);
        levels
            .map(|level| NodeId {
                level,
                index: (size >> level) - 1,
            })
            .collect()
    }

    /// The tree with `size` leaves and these peaks, in the order of [`Self::peaks_of`].
    pub fn from_peaks(size: u64, hashes: &[Hash]) -> Self {
        let names = Self::peaks_of(size);
        debug_assert_eq!(names.len(), hashes.len());
        let levels = names.iter().map(|name| name.level);
        Self {
            size,
            peaks: levels.zip(hashes.iter().copied()).collect(),
        }
    }

    /// The number of leaves.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf. `completed` is called with each node of a stored level that this leaf completes.
    pub fn push(&mut self, leaf: Hash, mut completed: impl FnMut(NodeId, Hash)) {
        let (mut level, mut hash) = (0, leaf);
        self.size += 1;
        while let Some((_, left)) = self.peaks.pop_if(|(peak, _)| *peak == level) {
            hash = Hash::over(left, hash);
            level += 1;
            if level % STRIDE == 0 {
                let index = (self.size >> level) - 1;
                completed(NodeId { level, index }, hash);
            }
        }
        self.peaks.push((level, hash));
    }

    /// The root of the tree.
    pub fn root(&self) -> Hash {
        let hashes = self.peaks.iter().rev().map(|(_, hash)| *hash);
        hashes
            .reduce(|right, left| Hash::over(left, right))
            .unwrap_or_else(Hash::of_nothing)
    }
}

/// The node over `hashes`; `None` if their number is not a power of two.
pub fn node_over(mut hashes: Vec<Hash>) -> Option<Hash> {
    if !hashes.len().is_power_of_two() {
        return None;
    }
    while hashes.len() > 1 {
        let pairs = hashes.chunks_exact(2);
        hashes = pairs.map(|pair| Hash::over(pair[0], pair[1])).collect();
    }
    hashes.pop()
}

/// A statement about the log that can be proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The leaf at `index`, from 0, is in the tree of `size` leaves.
    Inclusion {
        /// The leaf, from 0.
        index: u64,
        /// The number of leaves in the tree.
        size: u64,
    },
    /// The tree with `from` leaves is a prefix of the tree with `to` leaves.
    Consistency {
        /// The size of the earlier tree, at least 1.
        from: u64,
        /// The size of the later tree.
        to: u64,
    },
}

impl Claim {
    /// The nodes that are needed for the proof; `None` if there are no such trees or leaves.
    pub fn needs(self) -> Option<Vec<NodeId>> {
        let recorder = NodeRecorder::default();
        self.prove_with(&recorder).ok()?;
        Some(recorder.0.into_inner())
    }

    /// The proof, made from the nodes that [`Self::needs`] names, in their order; `None` if their number is wrong.
    pub fn prove(self, nodes: Vec<Hash>) -> Option<Vec<Hash>> {
        let proof = self.prove_with(&GivenNodes(nodes)).ok()?;
        Some(proof.into_iter().map(|hash| Hash(hash.0)).collect())
    }

    fn prove_with(self, reader: &impl HashReader) -> Result<Vec<tlog_tiles::Hash>, Error> {
        match self {
            Self::Inclusion { index, size } => prove_record(size, index, reader),
            Self::Consistency { from, to } => prove_tree(to, from, reader),
        }
    }
}

/// Whether `proof` proves that `leaf` is at `index`, counted from 0, in the tree with `size` leaves and this root.
pub fn includes(proof: &[Hash], size: u64, root: Hash, index: u64, leaf: Hash) -> bool {
    check_record(
        &to_tlog(proof),
        size,
        to_tlog_hash(root),
        index,
        to_tlog_hash(leaf),
    )
    .is_ok()
}

/// Whether `proof` proves that the tree with `from` leaves and the root `old` is a prefix of the tree with `to` leaves and
/// the root `new`.
pub fn is_consistent(proof: &[Hash], from: u64, old: Hash, to: u64, new: Hash) -> bool {
    check_tree(
        &to_tlog(proof),
        to,
        to_tlog_hash(new),
        from,
        to_tlog_hash(old),
    )
    .is_ok()
}

fn to_tlog(hashes: &[Hash]) -> Vec<tlog_tiles::Hash> {
    hashes.iter().copied().map(to_tlog_hash).collect()
}

const fn to_tlog_hash(hash: Hash) -> tlog_tiles::Hash {
    tlog_tiles::Hash(hash.0)
}

/// A reader that records which nodes are requested, and answers with zeros.
#[derive(Default)]
struct NodeRecorder(std::cell::RefCell<Vec<NodeId>>);

impl HashReader for NodeRecorder {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, Error> {
        let named = indexes.iter().map(|stored| {
            let (level, index) = split_stored_hash_index(*stored);
            NodeId { level, index }
        });
        self.0.borrow_mut().extend(named);
        Ok(vec![tlog_tiles::Hash([0; 32]); indexes.len()])
    }
}

/// A reader that answers with these nodes.
struct GivenNodes(Vec<Hash>);

impl HashReader for GivenNodes {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, Error> {
        if indexes.len() != self.0.len() {
            return Err(Error::IndexesNotInTree);
        }
        Ok(to_tlog(&self.0))
    }
}

#[cfg(test)]
mod tests;
