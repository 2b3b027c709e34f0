//! The worker that signs checkpoints: on the node that leads, at most a second or a thousand events behind the log.

use std::sync::Arc;
use std::time::Duration;

use authlog_application::ports::StoreError;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::checkpoint::{Checkpoint, CheckpointError};
use super::note::NoteKey;
use super::reading::{ReadError, prove, tree_to_the_end};
use super::store::{LogTree, StoredCheckpoint};
use super::tree::{Claim, GrowingTree, Hash, is_consistent};
use super::witness::{TrustedCheckpoint, Witness};

/// The most events that a checkpoint adds to the one before.
const BATCH: u64 = 1000;

/// How long an event may wait for others before a checkpoint is signed. With the time between two looks at the log it is
/// less than a second.
const GATHER: Duration = Duration::from_millis(800);

/// How often the log is looked at.
const EVERY: Duration = Duration::from_millis(100);

/// How often every node compares the log with the checkpoint that it remembers. A log that was cut is noticed within a
/// second.
const RECHECK: Duration = Duration::from_millis(500);

/// How long to wait after the store did not answer.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// How often what is wrong is said again.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// Why a checkpoint was not signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log is not the one that was signed before.
    #[error("{0}")]
    Tampered(String),
}

impl From<ReadError> for SignError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Store(error) => Self::Store(error),
            ReadError::Incomplete { .. } => Self::Tampered(format!(
                "{error}, though a checkpoint was signed for them: the log was cut off, a backup was restored, or the tree is damaged"
            )),
        }
    }
}

/// The log as it was just compared with the checkpoints that are known.
pub struct CheckedLog {
    /// The largest of them; `None` if nothing was signed yet.
    pub trusted: Option<TrustedCheckpoint>,
    /// The tree that it vouches for.
    tree: GrowingTree,
    /// Whether the store lacks it.
    is_missing: bool,
}

/// Compares the log with the checkpoint that is known from elsewhere than the store, and with the newest in the store.
/// Should that be larger, it is proved to be an extension. What follows it has to be a log that can be signed.
///
/// # Errors
/// The store does not answer, or the log or the stored checkpoint is not what was signed.
pub async fn check(
    store: &dyn LogTree,
    key: &NoteKey,
    trusted: Option<TrustedCheckpoint>,
) -> Result<CheckedLog, SignError> {
    // Read before the log, which only grows.
    let stored = store.latest_checkpoint().await?;
    let stored = stored.map(|stored| open(stored, key)).transpose()?;
    let size_of =
        |it: &Option<TrustedCheckpoint>| it.as_ref().map_or(0, |it| it.checkpoint.tree_size);
    let newest = if size_of(&stored) > size_of(&trusted) {
        stored.clone()
    } else {
        trusted.clone()
    };
    let size = size_of(&newest);
    let tree = tree_to_the_end(store, size).await?;
    if let Some(newest) = &newest {
        require_root(size, tree.root(), newest.checkpoint.root)?;
    }
    match (&stored, &trusted) {
        (Some(stored), Some(trusted)) if stored.checkpoint.tree_size >= size => {
            prove_extension(store, &trusted.checkpoint, &stored.checkpoint).await?;
        }
        _ => {}
    }
    if let Some(fault) = store.end(size).await?.fault(size) {
        return Err(SignError::Tampered(fault));
    }
    Ok(CheckedLog {
        is_missing: size_of(&stored) < size,
        trusted: newest,
        tree,
    })
}

/// Proves that the log of one checkpoint is the beginning of that of another (RFC 6962 §2.1.2).
async fn prove_extension(
    store: &dyn LogTree,
    old: &Checkpoint,
    new: &Checkpoint,
) -> Result<(), SignError> {
    let (from, to) = (old.tree_size, new.tree_size);
    if from == to {
        return require_root(from, new.root, old.root);
    }
    let proof = prove(store, Claim::Consistency { from, to }).await?;
    if proof.is_some_and(|proof| is_consistent(&proof, from, old.root, to, new.root)) {
        return Ok(());
    }
    Err(SignError::Tampered(format!(
        "the stored checkpoint of size {to} does not extend the checkpoint of size {from} that was signed before it: the log was cut off and has grown again, or it was rewritten"
    )))
}

fn require_root(size: u64, found: Hash, signed: Hash) -> Result<(), SignError> {
    if found == signed {
        return Ok(());
    }
    Err(SignError::Tampered(format!(
        "the first {size} events are not those that the checkpoint of size {size} vouches for: the log was cut off and has grown again, or it was rewritten"
    )))
}

fn open(signed: StoredCheckpoint, key: &NoteKey) -> Result<TrustedCheckpoint, SignError> {
    let StoredCheckpoint {
        tree_size: size,
        note,
    } = signed;
    let forged = |error: CheckpointError| {
        SignError::Tampered(format!("the checkpoint of size {size} is forged: {error}"))
    };
    let checkpoint = Checkpoint::open(&note, key.verifier()).map_err(forged)?;
    if checkpoint.tree_size == size {
        return Ok(TrustedCheckpoint { checkpoint, note });
    }
    Err(SignError::Tampered(format!(
        "the checkpoint of size {size} is forged: what is signed is that of size {}",
        checkpoint.tree_size
    )))
}

/// Signs for what the log has beyond its last checkpoint, a thousand events at the most, and returns the checkpoint;
/// `None` if there was nothing new.
///
/// What is signed is the very tree that was compared with the trusted checkpoint, with leaves added. Its subtrees and
/// those leaves are a proof that the one log is the beginning of the other (RFC 6962 §2.1.2), so a root that is not
/// consistent with the last one is never signed. Two nodes that do this at the same time sign the same.
///
/// # Errors
/// The store does not answer.
pub async fn sign_next(
    store: &dyn LogTree,
    key: &NoteKey,
    checked: CheckedLog,
) -> Result<Option<TrustedCheckpoint>, StoreError> {
    let mut tree = checked.tree;
    let size = tree.size();
    let leaves = store.leaves(size..size + BATCH).await?;
    if leaves.is_empty() {
        return Ok(None);
    }
    let mut completed = vec![];
    for leaf in leaves {
        tree.push(leaf, |id, hash| completed.push((id, hash)));
    }
    if !completed.is_empty() {
        store.keep_nodes(completed).await?;
    }
    let checkpoint = Checkpoint {
        origin: key.verifier().name().to_owned(),
        tree_size: tree.size(),
        root: tree.root(),
    };
    let note = Checkpoint::sign(checkpoint.tree_size, checkpoint.root, key);
    let signed = TrustedCheckpoint { checkpoint, note };
    store.keep_checkpoint(signed.stored()).await?;
    Ok(Some(signed))
}

/// Signs for all that the log has, as an extension of `trusted`.
///
/// # Errors
/// As for [`check`].
pub async fn sign_all(
    store: &dyn LogTree,
    key: &NoteKey,
    mut trusted: Option<TrustedCheckpoint>,
) -> Result<Option<TrustedCheckpoint>, SignError> {
    loop {
        let checked = check(store, key, trusted).await?;
        trusted = checked.trusted.clone();
        match sign_next(store, key, checked).await? {
            Some(signed) => trusted = Some(signed),
            None => return Ok(trusted),
        }
    }
}

/// Compares the log with what the node remembers of it, and signs checkpoints while the node leads.
pub struct Signer {
    store: Arc<dyn LogTree>,
    key: Arc<NoteKey>,
    leads: watch::Receiver<bool>,
    witness: Arc<Witness>,
}

/// What the signer remembers between two looks at the log.
#[derive(Default)]
struct Progress {
    leads: bool,
    /// Since when events wait for a checkpoint.
    waiting_since: Option<Instant>,
    /// When the log was last compared with its checkpoint.
    checked_at: Option<Instant>,
    /// The last alarm, and when the log of the program got it.
    said: Option<(String, Instant)>,
}

impl Signer {
    /// A signer that works while `leads` says so and nothing contradicts the log.
    pub fn new(
        store: Arc<dyn LogTree>,
        key: Arc<NoteKey>,
        leads: watch::Receiver<bool>,
        witness: Arc<Witness>,
    ) -> Self {
        Self {
            store,
            key,
            leads,
            witness,
        }
    }

    /// Works until `stop`.
    pub async fn run(&mut self, stop: CancellationToken) {
        let mut progress = Progress::default();
        loop {
            let leads = *self.leads.borrow_and_update();
            if leads && !progress.leads {
                self.witness.ask_sinks_again();
            }
            progress.leads = leads;
            let pause = tokio::select! {
                () = stop.cancelled() => return,
                pause = self.look(&mut progress) => pause,
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = elected_or_not(&mut self.leads) => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Looks at the log, and signs if it is time to; how long to wait before the next look.
    async fn look(&self, progress: &mut Progress) -> Duration {
        let pause = match self.step(progress).await {
            Ok(pause) => pause,
            Err(SignError::Store(error @ StoreError::Unavailable(_))) => {
                tracing::warn!(%error, "the log cannot be read; no checkpoint is signed until it can");
                AFTER_FAILURE
            }
            // A leaf of another length, for example: nothing that passes.
            Err(SignError::Store(StoreError::Unreadable(error))) => {
                progress.checked_at = None;
                self.witness.contradicts(format!(
                    "the log, its tree or its checkpoints hold what this program does not write: {error}"
                ));
                RECHECK
            }
            Err(SignError::Tampered(reason)) => {
                progress.checked_at = None;
                self.witness.contradicts(reason);
                RECHECK
            }
        };
        self.say(progress);
        pause
    }

    async fn step(&self, progress: &mut Progress) -> Result<Duration, SignError> {
        let reached = self
            .witness
            .trusted()
            .map_or(0, |it| it.checkpoint.tree_size);
        let waiting = if progress.leads {
            let leaves = self.store.leaves(reached..reached + BATCH).await?;
            leaves.len() as u64
        } else {
            0
        };
        let since = match waiting {
            0 => None,
            _ => Some(*progress.waiting_since.get_or_insert_with(Instant::now)),
        };
        let to_sign = waiting == BATCH || since.is_some_and(|since| since.elapsed() >= GATHER);
        let to_check = progress.checked_at.is_none_or(|at| at.elapsed() >= RECHECK);
        if !to_sign && !to_check {
            return Ok(EVERY);
        }
        let checked = check(&*self.store, &self.key, self.witness.trusted()).await?;
        self.witness.agrees(checked.trusted.clone());
        progress.checked_at = Some(Instant::now());
        if !progress.leads {
            return Ok(RECHECK);
        }
        let obstacle = self.witness.obstacle();
        if obstacle.tampered.is_some() || obstacle.waiting_for.is_some() {
            return Ok(EVERY);
        }
        self.put_back(&checked).await?;
        if !to_sign {
            return Ok(EVERY);
        }
        progress.waiting_since = None;
        if let Some(signed) = sign_next(&*self.store, &self.key, checked).await? {
            let size = signed.checkpoint.tree_size;
            tracing::debug!(size, "signed a checkpoint");
            self.witness.agrees(Some(signed));
        }
        Ok(if waiting == BATCH {
            Duration::ZERO
        } else {
            EVERY
        })
    }

    /// Stores the trusted checkpoint again if somebody has deleted it. The log still is what it vouches for.
    async fn put_back(&self, checked: &CheckedLog) -> Result<(), StoreError> {
        let Some(trusted) = checked.trusted.as_ref().filter(|_| checked.is_missing) else {
            return Ok(());
        };
        let size = trusted.checkpoint.tree_size;
        tracing::error!(
            size,
            "the newest checkpoint was deleted from the store and was restored; the log is unchanged"
        );
        self.store.keep_checkpoint(trusted.stored()).await
    }

    fn say(&self, progress: &mut Progress) {
        match (self.witness.obstacle().tampered, &progress.said) {
            (Some(reason), Some((before, at))) if reason == *before && at.elapsed() < SAY_AGAIN => {
            }
            (Some(reason), _) => {
                tracing::error!(%reason, "THE LOG WAS TAMPERED WITH; no checkpoint is signed. Run `authlog log verify`");
                progress.said = Some((reason, Instant::now()));
            }
            (None, Some(_)) => {
                tracing::warn!(
                    "the log agrees with its checkpoints again, or the contradicting ones were removed"
                );
                progress.said = None;
            }
            (None, None) => {}
        }
    }
}

/// Waits for the next election; for ever where there is none, as with a store of one node.
pub(super) async fn elected_or_not(leads: &mut watch::Receiver<bool>) {
    if leads.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}
