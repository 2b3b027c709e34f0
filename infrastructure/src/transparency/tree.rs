//! The Merkle tree of the log (RFC 6962 §2.1): growing it, its root, and proofs in it.
//!
//! `tlog_tiles` knows which subtrees a proof is made of and checks proofs. Growing is done here, because a log of
//! millions of events is hashed here each time it is verified.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tlog_tiles::{
    Error, HashReader, check_record, check_tree, prove_record, prove_tree, split_stored_hash_index,
};

/// What goes before an inner node so that it cannot be taken for a leaf (RFC 6962 §2.1).
const NODE_PREFIX: u8 = 0x01;

/// Levels between those of which nodes are stored: a stored node stands for 256 below it, so that storing them adds
/// less than a half per cent to the log, and a missing one is hashed from 128 at the most.
pub const STRIDE: u8 = 8;

/// A hash of the tree.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// The node over two others.
    pub fn over(left: Self, right: Self) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(&[NODE_PREFIX]);
        context.update(&left.0);
        context.update(&right.0);
        Self::finished(context.finish().as_ref())
    }

    /// The root of a tree without leaves.
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

/// As checkpoints write it.
impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

/// Names a node that is complete: the one over the leaves from `index` · 2^`level` on, 2^`level` of them, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId {
    /// Its height over the leaves.
    pub level: u8,
    /// Its place among the nodes of that height, from 0.
    pub index: u64,
}

/// A tree that grows: the complete subtrees that make it up, a few dozen hashes however many leaves there are.
#[derive(Clone, Debug, Default)]
pub struct GrowingTree {
    size: u64,
    /// From the largest subtree, which is leftmost, to the smallest.
    peaks: Vec<(u8, Hash)>,
}

impl GrowingTree {
    /// The names of the subtrees that make up a tree of `size` leaves.
    pub fn peaks_of(size: u64) -> Vec<NodeId> {
        let levels = (0..64_u8).rev().filter(|level| size >> level & 1 == 1);
        levels
            .map(|level| NodeId {
                level,
                index: (size >> level) - 1,
            })
            .collect()
    }

    /// The tree of `size` leaves that these subtrees make up, named as [`Self::peaks_of`] names them.
    pub fn from_peaks(size: u64, hashes: &[Hash]) -> Self {
        let names = Self::peaks_of(size);
        debug_assert_eq!(names.len(), hashes.len());
        let levels = names.iter().map(|name| name.level);
        Self {
            size,
            peaks: levels.zip(hashes.iter().copied()).collect(),
        }
    }

    /// How many leaves there are.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf; `completed` is told of each node that is to be stored and is complete with it.
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

    /// The root.
    pub fn root(&self) -> Hash {
        let hashes = self.peaks.iter().rev().map(|(_, hash)| *hash);
        hashes
            .reduce(|right, left| Hash::over(left, right))
            .unwrap_or_else(Hash::of_nothing)
    }
}

/// The node over `hashes`, of which there is a power of two.
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

/// What is to be proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The leaf at `index`, from 0, is in the tree of `size` leaves.
    Inclusion {
        /// Which leaf.
        index: u64,
        /// In which tree.
        size: u64,
    },
    /// The tree of `from` leaves is the beginning of that of `to`.
    Consistency {
        /// The earlier tree, of one leaf at least.
        from: u64,
        /// The later tree.
        to: u64,
    },
}

impl Claim {
    /// The nodes that a proof is made of; `None` if the claim makes no sense.
    pub fn needs(self) -> Option<Vec<NodeId>> {
        let list = Listing::default();
        self.prove_with(&list).ok()?;
        Some(list.0.into_inner())
    }

    /// The proof, given the nodes that it needs; `None` if they are not those.
    pub fn prove(self, nodes: Vec<Hash>) -> Option<Vec<Hash>> {
        let proof = self.prove_with(&Given(nodes)).ok()?;
        Some(proof.into_iter().map(|hash| Hash(hash.0)).collect())
    }

    fn prove_with(self, reader: &impl HashReader) -> Result<Vec<tlog_tiles::Hash>, Error> {
        match self {
            Self::Inclusion { index, size } => prove_record(size, index, reader),
            Self::Consistency { from, to } => prove_tree(to, from, reader),
        }
    }
}

/// Whether `proof` shows that `leaf` is at `index`, from 0, in the tree of `size` leaves with this root.
pub fn includes(proof: &[Hash], size: u64, root: Hash, index: u64, leaf: Hash) -> bool {
    check_record(&foreign(proof), size, tlog(root), index, tlog(leaf)).is_ok()
}

/// Whether `proof` shows that the tree of `from` leaves with the root `old` is the beginning of that of `to` with `new`.
pub fn is_consistent(proof: &[Hash], from: u64, old: Hash, to: u64, new: Hash) -> bool {
    check_tree(&foreign(proof), to, tlog(new), from, tlog(old)).is_ok()
}

fn foreign(hashes: &[Hash]) -> Vec<tlog_tiles::Hash> {
    hashes.iter().copied().map(tlog).collect()
}

const fn tlog(hash: Hash) -> tlog_tiles::Hash {
    tlog_tiles::Hash(hash.0)
}

/// Writes down what is asked for.
#[derive(Default)]
struct Listing(std::cell::RefCell<Vec<NodeId>>);

impl HashReader for Listing {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, Error> {
        let named = indexes.iter().map(|stored| {
            let (level, index) = split_stored_hash_index(*stored);
            NodeId { level, index }
        });
        self.0.borrow_mut().extend(named);
        Ok(vec![tlog_tiles::Hash([0; 32]); indexes.len()])
    }
}

/// Answers with what was prepared.
struct Given(Vec<Hash>);

impl HashReader for Given {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, Error> {
        if indexes.len() != self.0.len() {
            return Err(Error::IndexesNotInTree);
        }
        Ok(foreign(&self.0))
    }
}

#[cfg(test)]
mod tests;
