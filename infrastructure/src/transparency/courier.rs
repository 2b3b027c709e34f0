//! The worker that carries checkpoints to where the owner of the database cannot change them, and compares what is there
//! with the log.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use authlog_application::ports::StoreError;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::judge::Judge;
use super::note::VerifierKey;
use super::signer::elected_or_not;
use super::store::{LogTree, StoredCheckpoint};
use super::witness::{SinkNumber, TrustedCheckpoint, Witness};

/// Checkpoints that are carried in one go.
const BATCH: u32 = 500;

/// How often the leading node looks for new checkpoints to carry.
const EVERY: Duration = Duration::from_millis(100);

/// How often every node looks for notes that others added, and for a sink that was replaced.
const READ_EVERY: Duration = Duration::from_secs(1);

/// How long to wait after something did not answer, or a note contradicted the log.
const AFTER_FAILURE: Duration = Duration::from_secs(2);

/// A sink that contradicts the log is read again from its first note, to see whether an operator has replaced it. The
/// pause is so many times as long as the reading took, so that a large sink costs no more than a small one.
const PAUSES_PER_READING: u32 = 5;

/// How often the same trouble is said again.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// Where checkpoints are carried to, in order.
#[async_trait]
pub trait CheckpointSink: Send + Sync {
    /// What it is, in words for an operator.
    fn name(&self) -> String;

    /// The next notes that were not read yet, a bounded number of them, beginning with the first; none when all were read.
    /// Notes that were added by [`Self::add`] count as read.
    async fn read(&mut self) -> Result<Notes, SinkError>;

    /// Begins again with the first note.
    fn rewind(&mut self);

    /// Adds a checkpoint after the notes that were read. It fails if others were added since.
    async fn add(&mut self, checkpoint: &StoredCheckpoint) -> Result<(), SinkError>;
}

/// Notes out of a sink.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// Whether the sink is another than the one that was read before: it was removed, emptied or made anew. The notes are
    /// its first ones.
    pub replaced: bool,
    /// The notes.
    pub notes: Vec<String>,
}

/// Why a sink cannot be read or added to. It will be tried again.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SinkError(pub String);

/// Why there is no judgement of a sink.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The sink did not answer.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// One of its notes contradicts the log.
    #[error("{0}")]
    Contradicts(String),
}

/// Compares what a sink holds with the log, and returns the largest checkpoint in it.
///
/// # Errors
/// They contradict each other, or one of the two cannot be read.
pub async fn judge_sink(
    sink: &mut dyn CheckpointSink,
    store: &dyn LogTree,
    key: &VerifierKey,
) -> Result<Option<TrustedCheckpoint>, JudgeError> {
    let mut reading = Reading::default();
    reading.read_all(sink, store, key, || {}).await?;
    Ok(reading.judge.newest(key).cloned())
}

/// How far a sink was read, and what was found out.
#[derive(Default)]
struct Reading {
    judge: Judge,
    /// Notes that were read and not judged, because the store did not answer.
    pending: Vec<String>,
}

impl Reading {
    /// Reads and judges the notes that were not read yet; `replaced` is called when they are those of another sink.
    async fn read_all(
        &mut self,
        sink: &mut dyn CheckpointSink,
        store: &dyn LogTree,
        key: &VerifierKey,
        replaced: impl Fn(),
    ) -> Result<(), JudgeError> {
        loop {
            if self.pending.is_empty() {
                let read = sink.read().await?;
                if read.replaced {
                    self.judge = Judge::default();
                    replaced();
                }
                self.pending = read.notes;
            }
            if self.pending.is_empty() {
                break;
            }
            let mut judge = self.judge.clone();
            let notes = self.pending.iter().map(String::as_str);
            if let Some(reason) = judge.judge(notes, store, key).await? {
                return Err(JudgeError::Contradicts(format!("{} {reason}", sink.name())));
            }
            self.judge = judge;
            self.pending.clear();
        }
        let (strangers, log) = (self.judge.strangers(), key.name());
        if strangers == 0 || self.judge.reached() > 0 {
            return Ok(());
        }
        Err(JudgeError::Contradicts(format!(
            "{} holds {strangers} notes, and none is a checkpoint of this log, {log}: the key of the log was replaced, or the place belongs to another log",
            sink.name()
        )))
    }
}

/// Carries checkpoints while this node leads, and compares what is there with the log on every node.
pub struct Courier<S> {
    sink: S,
    number: SinkNumber,
    store: Arc<dyn LogTree>,
    key: VerifierKey,
    leads: watch::Receiver<bool>,
    witness: Arc<Witness>,
    reading: Reading,
    read_at: Option<Instant>,
    said: Option<(String, Instant)>,
    strangers: u64,
}

impl<S: CheckpointSink> Courier<S> {
    /// A courier from `store` to `sink`, which adds to it while `leads` says so and nothing contradicts the log.
    pub fn new(
        sink: S,
        store: Arc<dyn LogTree>,
        key: VerifierKey,
        leads: watch::Receiver<bool>,
        witness: Arc<Witness>,
    ) -> Self {
        Self {
            number: witness.add_sink(sink.name()),
            sink,
            store,
            key,
            leads,
            witness,
            reading: Reading::default(),
            read_at: None,
            said: None,
            strangers: 0,
        }
    }

    /// Works until `stop`.
    pub async fn run(&mut self, stop: CancellationToken) {
        loop {
            let leads = *self.leads.borrow_and_update();
            let pause = tokio::select! {
                () = stop.cancelled() => return,
                pause = self.look(leads) => pause,
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = elected_or_not(&mut self.leads) => self.read_at = None,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Reads what is new in the sink, and adds what is new in the store if this node leads; how long to wait before the
    /// next look.
    async fn look(&mut self, leads: bool) -> Duration {
        let began = Instant::now();
        let outcome = match self.read().await {
            Ok(()) if leads => self.carry().await,
            other => other,
        };
        match outcome {
            Ok(()) if leads => EVERY,
            Ok(()) => READ_EVERY,
            Err(JudgeError::Contradicts(reason)) => {
                // The signer says so, and goes on saying so.
                self.witness.sink_contradicts(self.number, reason);
                self.sink.rewind();
                self.reading = Reading::default();
                self.read_at = None;
                AFTER_FAILURE.max(began.elapsed() * PAUSES_PER_READING)
            }
            Err(error) => {
                self.read_at = None;
                self.say(&error.to_string());
                AFTER_FAILURE
            }
        }
    }

    async fn read(&mut self) -> Result<(), JudgeError> {
        let due = self.read_at.is_none_or(|at| at.elapsed() >= READ_EVERY);
        if !due && !self.witness.awaits(self.number) {
            return Ok(());
        }
        let (number, witness) = (self.number, &self.witness);
        let replaced = || witness.sink_replaced(number);
        let (sink, store) = (&mut self.sink, &*self.store);
        let read = self.reading.read_all(sink, store, &self.key, replaced);
        read.await?;
        self.read_at = Some(Instant::now());
        let count = self.reading.judge.strangers();
        if count > self.strangers {
            let to = self.sink.name();
            tracing::warn!(count, %to, "some checkpoints there are not signed with the key of this log and were skipped");
        }
        self.strangers = count;
        self.agree();
        Ok(())
    }

    fn agree(&self) {
        let newest = self.reading.judge.newest(&self.key).cloned();
        self.witness.sink_agrees(self.number, newest);
    }

    /// Adds the stored checkpoints that the sink does not hold yet, each after it was compared with the log as the sink's
    /// notes are.
    async fn carry(&mut self) -> Result<(), JudgeError> {
        if self.witness.obstacle().tampered.is_some() {
            return Ok(());
        }
        let reached = self.reading.judge.reached();
        let found = self.store.checkpoints_after(reached, BATCH).await?;
        for checkpoint in &found {
            let mut judge = self.reading.judge.clone();
            let note = [checkpoint.note.as_str()];
            let contradicts = judge.judge(note, &*self.store, &self.key).await?;
            let is_good = contradicts.is_none()
                && judge.reached() == checkpoint.tree_size
                && judge.newest(&self.key).is_some();
            if !is_good {
                // Where it is the newest, the signer raises the alarm; `log verify` finds the others.
                self.say(&format!(
                    "the stored checkpoint of size {} is passed over: it contradicts the log, or it is forged",
                    checkpoint.tree_size
                ));
                continue;
            }
            self.sink.add(checkpoint).await?;
            self.reading.judge = judge;
        }
        if self.reading.judge.reached() > reached {
            self.agree();
        }
        Ok(())
    }

    fn say(&mut self, reason: &str) {
        let again = self
            .said
            .as_ref()
            .is_none_or(|(before, at)| before != reason || at.elapsed() >= SAY_AGAIN);
        if again {
            let to = self.sink.name();
            tracing::warn!(%reason, %to, "checkpoints cannot be compared with those there or exported; will retry");
            self.said = Some((reason.to_owned(), Instant::now()));
        }
    }
}
