//! The worker that signs checkpoints. It runs on every node; the leading node signs, at most a second or a thousand events
//! behind the log.

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

/// The maximum number of events between two checkpoints.
const BATCH: u64 = 1000;

/// How long an event waits for others before a checkpoint is signed. Together with [`EVERY`] this is less than a second.
const GATHER: Duration = Duration::from_millis(800);

/// The interval at which the log is read.
const EVERY: Duration = Duration::from_millis(100);

/// The interval at which every node compares the log with the checkpoint that it remembers. A log that was cut off is
/// noticed within a second.
const RECHECK: Duration = Duration::from_millis(500);

/// The pause after the store did not answer.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The interval at which an unchanged alarm is logged again.
const REPEAT_AFTER: Duration = Duration::from_secs(60);

/// Why a checkpoint was not signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log differs from what was signed before.
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

/// The log after it was compared with the known checkpoints.
pub struct CheckedLog {
    /// The largest known checkpoint; `None` if none was signed yet.
    pub trusted: Option<TrustedCheckpoint>,
    /// The tree that it covers.
    tree: GrowingTree,
    /// Whether the store lacks it, although it was signed.
    is_missing: bool,
}

/// Compares the log with `trusted`, the checkpoint that this node knows from outside the store, and with the newest stored
/// checkpoint. If the stored one is larger, it has to be an extension of the trusted one. The entries after it have to be
/// consistent ([`LogEnd::fault`](super::LogEnd::fault)).
///
/// # Errors
/// The store does not answer, or the log or the stored checkpoint differs from what was signed.
pub async fn check(
    store: &dyn LogTree,
    key: &NoteKey,
    trusted: Option<TrustedCheckpoint>,
) -> Result<CheckedLog, SignError> {
    // The checkpoint is read before the log, because the log only grows.
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

/// Proves that the log of `old` is a prefix of the log of `new` (RFC 6962 §2.1.2).
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

/// Signs a checkpoint for the next events of the log, at most a thousand; `None` if there are no new events.
///
/// The signed tree is the one that was compared with the trusted checkpoint, extended by leaves. Its subtrees and these
/// leaves prove that the old log is a prefix of the new one (RFC 6962 §2.1.2), so an inconsistent root is never signed. Two
/// nodes that sign at the same time sign the same checkpoint.
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

/// Signs checkpoints for the whole log, as an extension of `trusted`, and returns the last one.
///
/// # Errors
/// The same as those of [`check`].
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

/// Compares the log with the checkpoint that the node remembers, and signs checkpoints while the node leads.
pub struct Signer {
    store: Arc<dyn LogTree>,
    key: Arc<NoteKey>,
    leads: watch::Receiver<bool>,
    witness: Arc<Witness>,
}

/// The state of the signer between two steps.
#[derive(Default)]
struct Progress {
    leads: bool,
    /// Since when events have been waiting for a checkpoint.
    waiting_since: Option<Instant>,
    /// When the log was last compared with the trusted checkpoint.
    checked_at: Option<Instant>,
    /// The last alarm, and when it was logged.
    said: Option<(String, Instant)>,
}

impl Signer {
    /// A signer that signs while `leads` is true and nothing contradicts the log.
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

    /// Runs until `stop` is cancelled.
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
                pause = self.guarded_step(&mut progress) => pause,
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = leadership_change(&mut self.leads) => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Runs one step, reports its errors, and returns the pause before the next step.
    async fn guarded_step(&self, progress: &mut Progress) -> Duration {
        let pause = match self.step(progress).await {
            Ok(pause) => pause,
            Err(SignError::Store(error @ StoreError::Unavailable(_))) => {
                tracing::warn!(%error, "the log cannot be read; no checkpoint is signed until it can");
                RETRY_AFTER
            }
            // The stored data is damaged, for example a leaf of another length. A retry does not help.
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
        self.report(progress);
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

    /// Stores the trusted checkpoint again if it was deleted from the store. The log still agrees with it.
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

    fn report(&self, progress: &mut Progress) {
        match (self.witness.obstacle().tampered, &progress.said) {
            (Some(reason), Some((before, at)))
                if reason == *before && at.elapsed() < REPEAT_AFTER => {}
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

/// Waits for the next change of leadership. It waits for ever if there are no elections, as with a store of one node.
pub(super) async fn leadership_change(leads: &mut watch::Receiver<bool>) {
    if leads.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}
