//! The worker that signs checkpoints: on the node that leads, at most a second or a thousand events behind the log.

use std::sync::Arc;
use std::time::Duration;

use authlog_application::ports::StoreError;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::checkpoint::{Checkpoint, CheckpointError};
use super::note::NoteKey;
use super::reading::{ReadError, tree_of};
use super::store::{LogTree, StoredCheckpoint};

/// The most events that a checkpoint adds to the one before.
const BATCH: u64 = 1000;

/// How long an event may wait for others before a checkpoint is signed. With the time between two looks at the log it is
/// less than a second.
const GATHER: Duration = Duration::from_millis(800);

/// How often the log is looked at.
const EVERY: Duration = Duration::from_millis(100);

/// How often a quiet log is held against its last checkpoint.
const RECHECK: Duration = Duration::from_secs(5);

/// How long to wait after the store did not answer.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// How often what is wrong is said again.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// Why no checkpoint is signed, in words for an operator; shared with those who carry checkpoints away and see what the
/// signer cannot.
pub type Alarm = Arc<watch::Sender<Option<String>>>;

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
                "{error}, though a checkpoint vouches for them: the log was cut off, or the tree is damaged"
            )),
        }
    }
}

/// Signs checkpoints while this node leads.
pub struct Signer {
    store: Arc<dyn LogTree>,
    key: Arc<NoteKey>,
    leads: watch::Receiver<bool>,
    alarm: Alarm,
}

/// Signs for what the log has beyond its last checkpoint, a thousand events at the most, and returns the size of the
/// tree that now has a checkpoint; `None` if there was nothing new.
///
/// The tree is read anew from the store and held against the last checkpoint, and what is signed is that very tree with
/// leaves added: so a root that is not consistent with the last one is never signed. Whoever does this at the same time
/// signs the same.
///
/// # Errors
/// The store does not answer, or the log is not the one that was signed before.
pub async fn sign_next(store: &dyn LogTree, key: &NoteKey) -> Result<Option<u64>, SignError> {
    let signed = store.latest_checkpoint().await?;
    let size = signed.as_ref().map_or(0, |signed| signed.tree_size);
    let mut tree = tree_of(store, size).await?;
    if let Some(signed) = signed {
        let checkpoint = open(&signed, key)?;
        if checkpoint.root != tree.root() {
            return Err(SignError::Tampered(format!(
                "the first {size} events are not those that the checkpoint of size {size} vouches for"
            )));
        }
    }
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
    let tree_size = tree.size();
    let note = Checkpoint::sign(tree_size, tree.root(), key);
    let checkpoint = StoredCheckpoint { tree_size, note };
    store.keep_checkpoint(checkpoint).await?;
    Ok(Some(tree_size))
}

fn open(signed: &StoredCheckpoint, key: &NoteKey) -> Result<Checkpoint, SignError> {
    let size = signed.tree_size;
    let forged = |error: CheckpointError| {
        SignError::Tampered(format!("the checkpoint of size {size} is forged: {error}"))
    };
    let checkpoint = Checkpoint::open(&signed.note, key.verifier()).map_err(forged)?;
    if checkpoint.tree_size == size {
        return Ok(checkpoint);
    }
    Err(SignError::Tampered(format!(
        "the checkpoint of size {size} is forged: what is signed is that of size {}",
        checkpoint.tree_size
    )))
}

impl Signer {
    /// A signer that works while `leads` says so and `alarm` says nothing.
    pub fn new(
        store: Arc<dyn LogTree>,
        key: Arc<NoteKey>,
        leads: watch::Receiver<bool>,
        alarm: Alarm,
    ) -> Self {
        Self {
            store,
            key,
            leads,
            alarm,
        }
    }

    /// Signs until `stop`.
    pub async fn run(&mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            if *self.leads.borrow_and_update() {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.sign_while_leading() => {}
                }
            } else {
                tokio::select! {
                    () = stop.cancelled() => return,
                    changed = self.leads.changed() => if changed.is_err() { return },
                }
            }
        }
    }

    async fn sign_while_leading(&self) {
        let mut said: Option<(String, Instant)> = None;
        let mut state = State::default();
        while *self.leads.borrow() {
            let alarm = self.alarm.borrow().clone();
            let step = match alarm {
                Some(alarm) => Err(SignError::Tampered(alarm)),
                None => self.step(&mut state).await,
            };
            let pause = match step {
                Ok(pause) => pause,
                Err(SignError::Store(error)) => {
                    tracing::warn!(%error, "checkpoints wait until the log can be read again");
                    AFTER_FAILURE
                }
                Err(SignError::Tampered(words)) => {
                    let news = said
                        .as_ref()
                        .is_none_or(|(before, at)| *before != words || at.elapsed() >= SAY_AGAIN);
                    if news {
                        tracing::error!(reason = %words, "THE LOG WAS TAMPERED WITH; no checkpoint is signed. Run `authlog log verify`");
                        said = Some((words, Instant::now()));
                    }
                    state = State::default();
                    AFTER_FAILURE
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Looks at the log and signs if it is time to; how long to wait before the next look.
    async fn step(&self, state: &mut State) -> Result<Duration, SignError> {
        let waiting = match state.reached {
            // The tree is held against its checkpoint before anything else.
            None => BATCH,
            Some(reached) => self.store.leaves(reached..reached + BATCH).await?.len() as u64,
        };
        let since = match waiting {
            0 => None,
            _ => Some(*state.waiting_since.get_or_insert_with(Instant::now)),
        };
        let due = waiting == BATCH
            || since.is_some_and(|since| since.elapsed() >= GATHER)
            || state.checked_at.is_none_or(|at| at.elapsed() >= RECHECK);
        if !due {
            return Ok(EVERY);
        }
        let signed = sign_next(&*self.store, &self.key).await?;
        state.checked_at = Some(Instant::now());
        state.waiting_since = None;
        if let Some(size) = signed {
            tracing::debug!(size, "signed a checkpoint");
            state.reached = Some(size);
        } else if state.reached.is_none() {
            let latest = self.store.latest_checkpoint().await?;
            state.reached = Some(latest.map_or(0, |latest| latest.tree_size));
        }
        Ok(if waiting == BATCH {
            Duration::ZERO
        } else {
            EVERY
        })
    }
}

/// What the signer remembers between two looks.
#[derive(Default)]
struct State {
    /// The size of the last checkpoint.
    reached: Option<u64>,
    /// Since when events wait for a checkpoint.
    waiting_since: Option<Instant>,
    /// When the log was last held against its checkpoint.
    checked_at: Option<Instant>,
}
