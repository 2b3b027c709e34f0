//! The whole log against everything that vouches for it, in bounded memory; the first thing that differs is named.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use authlog_application::ports::StoreError;
use futures_util::{StreamExt, stream};

use super::checkpoint::{Checkpoint, CheckpointError};
use super::note::VerifierKey;
use super::store::{EventName, LeafCheck, LogRecords, LogTree, StoredCheckpoint};
use super::tree::{GrowingTree, Hash, NodeId};

/// Entries that are read at a time: a few megabytes.
const PAGE: u64 = 4096;

/// Pages that are read ahead while one is looked at.
const AHEAD: usize = 3;

/// Checkpoints that are read at a time.
const CHECKPOINTS: u32 = 1000;

/// What is verified, and against what.
pub struct Verification<'a, S: ?Sized> {
    /// The store.
    pub store: &'a S,
    /// The key that checkpoints have to be signed with.
    pub key: &'a VerifierKey,
    /// Checkpoints that an auditor kept.
    pub kept: Vec<Checkpoint>,
    /// Whether stored nodes that differ are written anew.
    pub repair: bool,
}

/// What was verified, and found to be whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// How many events there are.
    pub events: u64,
    /// The root over them.
    pub root: Hash,
    /// How many stored checkpoints vouch for them.
    pub checkpoints: u64,
    /// The size of the largest tree that a checkpoint vouches for.
    pub vouched: u64,
    /// How many stored nodes were written anew.
    pub repaired: u64,
}

/// Why the log was not found to be whole.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Something differs.
    #[error(transparent)]
    Differs(#[from] Difference),
}

/// The first thing that differs, in words for an auditor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Difference {
    /// An entry of the log is missing.
    #[error("event {0} is missing from the log, which goes on after it")]
    EntryMissing(u64),
    /// An event is missing.
    #[error(
        "event {log_index} ({name}) is missing: the log has an entry for it, and there is no such event"
    )]
    EventMissing {
        /// Its place.
        log_index: u64,
        /// Its name.
        name: EventName,
    },
    /// An event is not what was recorded.
    #[error(
        "event {log_index} ({name}) was changed: its type, version, time, payload or metadata is not what its leaf in the log stands for"
    )]
    EventChanged {
        /// Its place.
        log_index: u64,
        /// Its name.
        name: EventName,
    },
    /// An event has a time that cannot be.
    #[error(
        "event {log_index} ({name}) has a time that no calendar has: this program did not record it"
    )]
    NoInstant {
        /// Its place.
        log_index: u64,
        /// Its name.
        name: EventName,
    },
    /// An event is not in the log.
    #[error("the event {0} is not in the log, though later ones are")]
    Unlogged(EventName),
    /// The events up to a checkpoint are not those that it vouches for.
    #[error(
        "{}: the first {size} events do not have the root that {whose} of size {size} vouches for",
        among(*good + 1, *size)
    )]
    Root {
        /// The size of the largest tree before that was vouched for and is right.
        good: u64,
        /// The size of this one.
        size: u64,
        /// Which checkpoint.
        whose: Whose,
    },
    /// A checkpoint is not one of ours.
    #[error("the stored checkpoint of size {size} is forged: {reason}")]
    Forged {
        /// The size under which it is stored.
        size: u64,
        /// Why.
        reason: String,
    },
    /// The log is shorter than it was.
    #[error("event {} is missing: the log ends at {last}, and {whose} vouches for {size} events", last + 1)]
    TooShort {
        /// Where it ends.
        last: u64,
        /// Where it ended once.
        size: u64,
        /// Who says so.
        whose: Whose,
    },
    /// A stored node is not what its leaves make.
    #[error(
        "all events are as they were, but the stored node {} of level {} is not what they make; `--repair` writes it anew",
        .0.index, .0.level
    )]
    Node(NodeId),
}

/// Who vouches for a root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// A checkpoint that an auditor kept.
    Kept,
    /// A checkpoint in the store.
    Stored,
    /// The newest checkpoint that a running node knows.
    Signed,
    /// The store's own count of the places that it gave out.
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
    /// Goes through the whole log; `progress` is told how many events were verified, and of how many.
    ///
    /// # Errors
    /// The first difference, or that the store did not answer.
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
        walk.beyond_the_end().await?;
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

/// The leaf at this place, if its event is the one that was recorded. `check` is what was found at the place.
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

/// Going through the log.
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
                // Two signed roots of one size: whatever the log is now, it was another once.
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
            self.hold_against_checkpoints().await?;
        }
        self.hold_against_nodes().await
    }

    /// Compares roots where a checkpoint vouches for just as much of the log as was seen.
    async fn hold_against_checkpoints(&mut self) -> Result<(), VerifyError> {
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

    /// Compares the nodes that became complete. Those that no checkpoint covers yet need not be stored.
    async fn hold_against_nodes(&mut self) -> Result<(), VerifyError> {
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

    /// Nothing may vouch for more than there is.
    async fn beyond_the_end(&mut self) -> Result<(), VerifyError> {
        let last = self.last;
        if let Some((size, _)) = self.kept.range(last + 1..).next() {
            let (size, whose) = (*size, Whose::Kept);
            return Err(Difference::TooShort { last, size, whose }.into());
        }
        // Checkpoints of events that came while the log was gone through are not of concern.
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
