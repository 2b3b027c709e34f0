//! Verification of the whole log against all its checkpoints, in bounded memory. It names the first difference.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use authlog_application::ports::StoreError;
use futures_util::{StreamExt, stream};

use super::EventName;
use super::checkpoint::{Checkpoint, CheckpointError};
use super::note::VerifierKey;
use super::store::{LeafCheck, LogRecords, LogTree, StoredCheckpoint};
use super::tree::{GrowingTree, Hash, NodeId};

/// Entries in one read, a few megabytes.
const PAGE: u64 = 4096;

/// Pages that are read ahead while one is verified.
const AHEAD: usize = 3;

/// Checkpoints in one read.
const CHECKPOINTS: u32 = 1000;

/// A verification: the store, and what to compare it with.
pub struct Verification<'a, S: ?Sized> {
    /// The store.
    pub store: &'a S,
    /// The key with which checkpoints have to be signed.
    pub key: &'a VerifierKey,
    /// Checkpoints that an auditor has kept.
    pub kept: Vec<Checkpoint>,
    /// Whether differing stored nodes are replaced.
    pub repair: bool,
}

/// The result of a verification without differences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The number of events in the log.
    pub events: u64,
    /// The root of the tree over them.
    pub root: Hash,
    /// The number of stored checkpoints that were verified.
    pub checkpoints: u64,
    /// The largest size that a checkpoint covers.
    pub vouched: u64,
    /// The number of stored nodes that were replaced.
    pub repaired: u64,
}

/// Why a verification failed.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log differs from what it has to be.
    #[error(transparent)]
    Differs(#[from] Difference),
}

/// The first difference, in words for an auditor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Difference {
    /// An entry of the log is missing.
    #[error("event {0} is missing from the log, which goes on after it")]
    EntryMissing(u64),
    /// The log has an entry, but its event is missing.
    #[error(
        "event {log_index} ({name}) is missing: the log has an entry for it, and there is no such event"
    )]
    EventMissing {
        /// The log index.
        log_index: u64,
        /// The name of the event.
        name: EventName,
    },
    /// An event does not match its leaf.
    #[error(
        "event {log_index} ({name}) was changed: its type, version, time, payload or metadata is not what its leaf in the log stands for"
    )]
    EventChanged {
        /// The log index.
        log_index: u64,
        /// The name of the event.
        name: EventName,
    },
    /// The time of an event is out of the range of calendar dates.
    #[error(
        "event {log_index} ({name}) has a time that no calendar has: this program did not record it"
    )]
    NoInstant {
        /// The log index.
        log_index: u64,
        /// The name of the event.
        name: EventName,
    },
    /// An event has no entry in the log.
    #[error("the event {0} is not in the log, though later ones are")]
    Unlogged(EventName),
    /// The events up to a checkpoint do not have its root.
    #[error(
        "{}: the first {size} events do not have the root that {whose} of size {size} vouches for",
        among(*good + 1, *size)
    )]
    Root {
        /// The largest smaller size at which a checkpoint agrees with the log.
        good: u64,
        /// The size of the checkpoint that differs.
        size: u64,
        /// The origin of that checkpoint.
        whose: Whose,
    },
    /// A stored checkpoint is not signed with the key of this log, or has another size.
    #[error("the stored checkpoint of size {size} is forged: {reason}")]
    Forged {
        /// The size in its row.
        size: u64,
        /// Why it is not valid.
        reason: String,
    },
    /// The log is shorter than it was before.
    #[error("event {} is missing: the log ends at {last}, and {whose} vouches for {size} events", last + 1)]
    TooShort {
        /// The last log index.
        last: u64,
        /// The earlier last log index.
        size: u64,
        /// What proves the earlier end.
        whose: Whose,
    },
    /// A stored node is not the hash of its leaves. The events themselves are intact.
    #[error(
        "all events are as they were, but the stored node {} of level {} does not match them; `--repair` replaces it",
        .0.index, .0.level
    )]
    Node(NodeId),
}

/// The origin of a root or of a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// A checkpoint that an auditor has kept.
    Kept,
    /// A checkpoint in the store.
    Stored,
    /// The newest checkpoint that the running node knows.
    Signed,
    /// The last log index that the store has assigned.
    Count,
}

impl std::fmt::Display for Whose {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Kept => "the kept checkpoint",
            Self::Stored => "the stored checkpoint",
            Self::Signed => "the newest checkpoint",
            Self::Count => "the sequencer's mark",
        })
    }
}

fn among(first: u64, last: u64) -> String {
    if first >= last {
        format!("event {last} is not the one that was signed for")
    } else {
        format!("the first event that differs is one of {first} to {last}")
    }
}

impl<S: LogTree + LogRecords + ?Sized> Verification<'_, S> {
    /// Verifies the whole log. `progress` is called with the number of verified events and their total.
    ///
    /// # Errors
    /// The first difference, or the store did not answer.
    pub async fn run(&self, mut progress: impl FnMut(u64, u64)) -> Result<Verified, VerifyError> {
        let extent = self.store.extent().await?;
        let last = extent.last;
        let mut walk = Walk::new(self, last).await?;
        let pages = (0..last.div_ceil(PAGE))
            .map(|page| 1 + page * PAGE..(1 + (page + 1) * PAGE).min(last + 1));
        let mut pages = stream::iter(pages)
            .map(|range| async { (range.clone(), self.store.leaf_checks(range).await) })
            .buffered(AHEAD);
        while let Some((range, checks)) = pages.next().await {
            walk.page(range, checks?).await?;
            progress(walk.tree.size(), last);
        }
        walk.check_end().await?;
        if let Some(size) = extent.given_out.filter(|given_out| *given_out > last) {
            let whose = Whose::Count;
            return Err(Difference::TooShort { last, size, whose }.into());
        }
        if let Some(name) = self.store.unlogged_event().await? {
            return Err(Difference::Unlogged(name).into());
        }
        walk.end()
    }
}

/// The leaf at this log index, if the event matches it. `check` is what the store has at this index.
pub(super) async fn intact_leaf<S: LogRecords + ?Sized>(
    store: &S,
    log_index: u64,
    check: Option<LeafCheck>,
) -> Result<Hash, VerifyError> {
    let check = check.filter(|check| check.log_index == log_index);
    let check = check.ok_or(Difference::EntryMissing(log_index))?;
    if let Some(leaf) = check.computed.filter(|leaf| Some(*leaf) == check.stored)
        && check.has_instant
    {
        return Ok(leaf);
    }
    let Some(name) = store.name_at(log_index).await? else {
        return Err(Difference::EntryMissing(log_index).into());
    };
    Err(match check {
        LeafCheck { computed: None, .. } => Difference::EventMissing { log_index, name }.into(),
        LeafCheck {
            has_instant: false, ..
        } => Difference::NoInstant { log_index, name }.into(),
        _ => Difference::EventChanged { log_index, name }.into(),
    })
}

/// The state of a verification.
struct Walk<'a, S: ?Sized> {
    plan: &'a Verification<'a, S>,
    last: u64,
    tree: GrowingTree,
    kept: BTreeMap<u64, Hash>,
    stored: VecDeque<StoredCheckpoint>,
    read_to: u64,
    vouched: u64,
    checkpoints: u64,
    latest: u64,
    completed: Vec<(NodeId, Hash)>,
    damaged: Option<NodeId>,
    repaired: u64,
}

impl<'a, S: LogTree + LogRecords + ?Sized> Walk<'a, S> {
    async fn new(plan: &'a Verification<'a, S>, last: u64) -> Result<Self, VerifyError> {
        let latest = plan.store.latest_checkpoint().await?;
        let mut walk = Self {
            plan,
            last,
            tree: GrowingTree::default(),
            kept: BTreeMap::new(),
            stored: VecDeque::new(),
            read_to: 0,
            vouched: 0,
            checkpoints: 0,
            latest: latest.map_or(0, |latest| latest.tree_size),
            completed: vec![],
            damaged: None,
            repaired: 0,
        };
        for kept in &plan.kept {
            let before = walk.kept.insert(kept.tree_size, kept.root);
            if before.is_some_and(|before| before != kept.root) {
                // Two different signed roots of one size prove that the log was rewritten.
                return Err(walk.differs(kept.tree_size, Whose::Kept));
            }
        }
        walk.read_checkpoints().await?;
        Ok(walk)
    }

    async fn read_checkpoints(&mut self) -> Result<(), StoreError> {
        if self.stored.is_empty() {
            let store = self.plan.store;
            let found = store.checkpoints_after(self.read_to, CHECKPOINTS).await?;
            self.stored.extend(found);
            self.read_to = self.stored.back().map_or(u64::MAX, |it| it.tree_size);
        }
        Ok(())
    }

    async fn page(&mut self, range: Range<u64>, checks: Vec<LeafCheck>) -> Result<(), VerifyError> {
        let mut checks = checks.into_iter();
        for log_index in range {
            let leaf = intact_leaf(self.plan.store, log_index, checks.next()).await?;
            let completed = &mut self.completed;
            self.tree.push(leaf, |id, hash| completed.push((id, hash)));
            self.compare_checkpoints().await?;
        }
        self.compare_nodes().await
    }

    /// Compares the root with each checkpoint of exactly the size that was read so far.
    async fn compare_checkpoints(&mut self) -> Result<(), VerifyError> {
        let size = self.tree.size();
        if self
            .kept
            .get(&size)
            .is_some_and(|root| *root != self.tree.root())
        {
            return Err(self.differs(size, Whose::Kept));
        }
        if self.kept.contains_key(&size) {
            self.vouched = size;
        }
        while let Some(stored) = self.stored.pop_front_if(|stored| stored.tree_size <= size) {
            let checkpoint = self.open(&stored)?;
            if checkpoint.root != self.tree.root() {
                return Err(self.differs(size, Whose::Stored));
            }
            self.vouched = size;
            self.checkpoints += 1;
            self.read_checkpoints().await?;
        }
        Ok(())
    }

    fn differs(&self, size: u64, whose: Whose) -> VerifyError {
        let good = self.vouched;
        Difference::Root { good, size, whose }.into()
    }

    fn open(&self, stored: &StoredCheckpoint) -> Result<Checkpoint, Difference> {
        let size = stored.tree_size;
        let forged = |reason: String| Difference::Forged { size, reason };
        let checkpoint = Checkpoint::open(&stored.note, self.plan.key)
            .map_err(|error: CheckpointError| forged(error.to_string()))?;
        if checkpoint.tree_size == size {
            return Ok(checkpoint);
        }
        Err(forged(format!(
            "what is signed is that of size {}",
            checkpoint.tree_size
        )))
    }

    /// Compares the nodes that were completed with the stored ones. Nodes that no checkpoint covers need not be stored.
    async fn compare_nodes(&mut self) -> Result<(), VerifyError> {
        let mut levels: BTreeMap<u8, Vec<(NodeId, Hash)>> = BTreeMap::new();
        for (id, hash) in self.completed.drain(..) {
            if (id.index + 1) << id.level <= self.latest {
                levels.entry(id.level).or_default().push((id, hash));
            }
        }
        for (level, computed) in levels {
            let (Some((first, _)), Some((last, _))) = (computed.first(), computed.last()) else {
                continue;
            };
            let range = first.index..last.index + 1;
            let stored = self.plan.store.nodes(level, range).await?;
            let hashes = computed.iter().map(|(_, hash)| *hash);
            if hashes.clone().eq(stored.iter().copied()) {
                continue;
            }
            if self.plan.repair {
                self.repaired += computed.len() as u64;
                self.plan.store.keep_nodes(computed).await?;
            } else if self.damaged.is_none() {
                let differs = hashes
                    .zip(&stored)
                    .position(|(ours, theirs)| ours != *theirs);
                self.damaged = computed
                    .get(differs.unwrap_or(stored.len()))
                    .map(|(id, _)| *id);
            }
        }
        Ok(())
    }

    /// No checkpoint may cover more events than there are.
    async fn check_end(&mut self) -> Result<(), VerifyError> {
        let last = self.last;
        if let Some((size, _)) = self.kept.range(last + 1..).next() {
            let (size, whose) = (*size, Whose::Kept);
            return Err(Difference::TooShort { last, size, whose }.into());
        }
        // Checkpoints for events that were appended during the verification are ignored.
        if let Some(stored) = self.stored.front()
            && stored.tree_size <= self.latest
        {
            let size = self.open(stored)?.tree_size;
            let whose = Whose::Stored;
            if self.plan.store.extent().await?.last < size {
                return Err(Difference::TooShort { last, size, whose }.into());
            }
        }
        Ok(())
    }

    fn end(self) -> Result<Verified, VerifyError> {
        if let Some(node) = self.damaged {
            return Err(Difference::Node(node).into());
        }
        Ok(Verified {
            events: self.tree.size(),
            root: self.tree.root(),
            checkpoints: self.checkpoints,
            vouched: self.vouched,
            repaired: self.repaired,
        })
    }
}
