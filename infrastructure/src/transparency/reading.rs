//! Reading tree nodes from a store, and proofs made of them.

use std::ops::Range;

use authlog_application::ports::StoreError;

use super::store::LogTree;
use super::tree::{Claim, GrowingTree, Hash, NodeId, STRIDE, node_over};
use crate::store::unreadable;

/// Two ranges of one level are read together if the gap between them is at most this long: the number of nodes that one
/// stored node covers.
const CLOSE: u64 = 1 << STRIDE;

/// Why nodes cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nodes or leaves below them are missing in the store.
    #[error("the store lacks some of the log's nodes {} to {} of level {level}", range.start, range.end - 1)]
    Incomplete { level: u8, range: Range<u64> },
}

impl From<ReadError> for StoreError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Store(error) => error,
            incomplete @ ReadError::Incomplete { .. } => unreadable(incomplete),
        }
    }
}

/// The tree of the first `size` leaves of the log.
pub(super) async fn tree_of(store: &dyn LogTree, size: u64) -> Result<GrowingTree, ReadError> {
    let peaks = read_nodes(store, &GrowingTree::peaks_of(size)).await?;
    Ok(GrowingTree::from_peaks(size, &peaks))
}

/// Like [`tree_of`], but up to 256 of the last leaves are always read from the log, even if a stored node covers them. Only
/// the last leaves show whether the log was cut off.
pub(super) async fn tree_to_the_end(
    store: &dyn LogTree,
    size: u64,
) -> Result<GrowingTree, ReadError> {
    let below = size.saturating_sub(1) / CLOSE * CLOSE;
    let mut tree = tree_of(store, below).await?;
    grow(store, &mut tree, size).await?;
    Ok(tree)
}

/// Appends the next leaves of the log to a tree until it has `size` leaves.
pub(super) async fn grow(
    store: &dyn LogTree,
    tree: &mut GrowingTree,
    size: u64,
) -> Result<(), ReadError> {
    let range = tree.size()..size;
    if range.is_empty() {
        return Ok(());
    }
    let leaves = store.leaves(range.clone()).await?;
    if leaves.len() as u64 != range.end - range.start {
        return Err(ReadError::Incomplete { level: 0, range });
    }
    for leaf in leaves {
        tree.push(leaf, |_, _| {});
    }
    Ok(())
}

/// The proof of a claim about existing trees; `None` if the claim names a leaf or a tree that cannot exist.
pub(super) async fn prove(
    store: &dyn LogTree,
    claim: Claim,
) -> Result<Option<Vec<Hash>>, ReadError> {
    let Some(needs) = claim.needs() else {
        return Ok(None);
    };
    Ok(claim.prove(read_nodes(store, &needs).await?))
}

/// These nodes, each hashed from the stored nodes below it.
pub(super) async fn read_nodes(
    store: &dyn LogTree,
    ids: &[NodeId],
) -> Result<Vec<Hash>, ReadError> {
    let mut runs: Vec<Run> = vec![];
    let mut wanted: Vec<_> = ids.iter().copied().map(below).collect();
    wanted.sort_by_key(|(level, range)| (*level, range.start));
    for (level, range) in wanted {
        match runs.last_mut() {
            Some(run) if run.level == level && range.start <= run.range.end + CLOSE => {
                run.range.end = run.range.end.max(range.end);
            }
            _ => runs.push(Run {
                level,
                range,
                hashes: vec![],
            }),
        }
    }
    for run in &mut runs {
        run.fill(store).await?;
    }
    let node = |id: &NodeId| {
        let (level, range) = below(*id);
        let hashes = runs.iter().find_map(|run| run.slice(level, &range));
        hashes
            .and_then(|hashes| node_over(hashes.to_vec()))
            .ok_or(ReadError::Incomplete { level, range })
    };
    ids.iter().map(node).collect()
}

/// The nearest stored level at or below a node, and the range of its hashes that the node covers.
const fn below(id: NodeId) -> (u8, Range<u64>) {
    let up = id.level % STRIDE;
    (id.level - up, id.index << up..(id.index + 1) << up)
}

/// A range of hashes of one stored level that is read at once.
struct Run {
    level: u8,
    range: Range<u64>,
    hashes: Vec<Hash>,
}

impl Run {
    async fn fill(&mut self, store: &dyn LogTree) -> Result<(), ReadError> {
        self.hashes = if self.level == 0 {
            store.leaves(self.range.clone()).await?
        } else {
            store.nodes(self.level, self.range.clone()).await?
        };
        if self.hashes.len() as u64 == self.range.end - self.range.start {
            return Ok(());
        }
        Err(ReadError::Incomplete {
            level: self.level,
            range: self.range.clone(),
        })
    }

    fn slice(&self, level: u8, range: &Range<u64>) -> Option<&[Hash]> {
        if self.level != level {
            return None;
        }
        let at = |place: u64| usize::try_from(place.checked_sub(self.range.start)?).ok();
        self.hashes.get(at(range.start)?..at(range.end)?)
    }
}
