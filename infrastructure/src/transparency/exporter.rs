//! The worker that exports checkpoints to places that the owner of the database cannot change, and compares what is there
//! with the log.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use authlog_application::ports::StoreError;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::note::VerifierKey;
use super::signer::leadership_change;
use super::sink_comparison::SinkComparison;
use super::store::{LogTree, StoredCheckpoint};
use super::witness::{SinkNumber, TrustedCheckpoint, Witness};

/// Checkpoints in one batch.
const BATCH: u32 = 500;

/// The interval at which the leading node looks for new checkpoints to export.
const EVERY: Duration = Duration::from_millis(100);

/// The interval at which every node looks for notes of other nodes, and for a replaced sink.
const READ_EVERY: Duration = Duration::from_secs(1);

/// The pause after the store or the sink did not answer, or a note contradicted the log.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// A sink that contradicts the log is read again from its first note, to detect that an operator has replaced it. The pause
/// is this many times the duration of the last reading, so a large sink costs no more than a small one.
const PAUSES_PER_READING: u32 = 5;

/// The interval at which an unchanged error is logged again.
const REPEAT_AFTER: Duration = Duration::from_secs(60);

/// A place to which checkpoints are exported, in order.
#[async_trait]
pub trait CheckpointSink: Send + Sync {
    /// The name of the sink, in words for an operator.
    fn name(&self) -> String;

    /// The next unread notes, a bounded number of them; none when all were read. Notes that [`Self::add`] has added count as
    /// read.
    async fn read(&mut self) -> Result<Notes, SinkError>;

    /// Continues with the first note.
    fn rewind(&mut self);

    /// Adds a checkpoint after the notes that were read. It fails if another program has added notes since.
    async fn add(&mut self, checkpoint: &StoredCheckpoint) -> Result<(), SinkError>;
}

/// Notes that were read from a sink.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// Whether the sink was removed, emptied or replaced since the last read. The notes are then the first ones of the new
    /// sink.
    pub replaced: bool,
    /// The notes.
    pub notes: Vec<String>,
}

/// Why a sink cannot be read or written. The operation is retried.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SinkError(pub String);

/// Why the comparison of a sink with the log failed.
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

/// Compares all notes of a sink with the log, and returns the largest checkpoint among them.
///
/// # Errors
/// A note contradicts the log, or the sink or the store cannot be read.
pub async fn compare_sink(
    sink: &mut dyn CheckpointSink,
    store: &dyn LogTree,
    key: &VerifierKey,
) -> Result<Option<TrustedCheckpoint>, JudgeError> {
    let mut reading = Reading::default();
    reading.read_all(sink, store, key, || {}).await?;
    Ok(reading.comparison.newest(key).cloned())
}

/// How far a sink was read, and the result so far.
#[derive(Default)]
struct Reading {
    comparison: SinkComparison,
    /// Notes that were read but not compared yet, because the store did not answer.
    pending: Vec<String>,
}

impl Reading {
    /// Reads and compares the unread notes. `replaced` is called when the sink was replaced.
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
                    self.comparison = SinkComparison::default();
                    replaced();
                }
                self.pending = read.notes;
            }
            if self.pending.is_empty() {
                break;
            }
            let mut comparison = self.comparison.clone();
            let notes = self.pending.iter().map(String::as_str);
            if let Some(reason) = comparison.compare(notes, store, key).await? {
                return Err(JudgeError::Contradicts(format!("{} {reason}", sink.name())));
            }
            self.comparison = comparison;
            self.pending.clear();
        }
        let (foreign_notes, log) = (self.comparison.foreign_notes(), key.name());
        if foreign_notes == 0 || self.comparison.reached() > 0 {
            return Ok(());
        }
        Err(JudgeError::Contradicts(format!(
            "{} holds {foreign_notes} notes, and none is a checkpoint of this log, {log}: the key of the log was replaced, or the place belongs to another log",
            sink.name()
        )))
    }
}

/// Exports checkpoints while this node leads. On every node it compares the exported checkpoints with the log.
pub struct CheckpointExporter<S> {
    sink: S,
    number: SinkNumber,
    store: Arc<dyn LogTree>,
    key: VerifierKey,
    leads: watch::Receiver<bool>,
    witness: Arc<Witness>,
    reading: Reading,
    read_at: Option<Instant>,
    said: Option<(String, Instant)>,
    foreign_notes: u64,
}

impl<S: CheckpointSink> CheckpointExporter<S> {
    /// An exporter from `store` to `sink`. It adds checkpoints while `leads` is true and nothing contradicts the log.
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
            foreign_notes: 0,
        }
    }

    /// Runs until `stop` is cancelled.
    pub async fn run(&mut self, stop: CancellationToken) {
        loop {
            let leads = *self.leads.borrow_and_update();
            let pause = tokio::select! {
                () = stop.cancelled() => return,
                pause = self.step(leads) => pause,
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = leadership_change(&mut self.leads) => self.read_at = None,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Reads new notes from the sink and, if this node leads, adds new checkpoints from the store. Returns the pause before
    /// the next step.
    async fn step(&mut self, leads: bool) -> Duration {
        let began = Instant::now();
        let outcome = match self.read().await {
            Ok(()) if leads => self.export().await,
            other => other,
        };
        match outcome {
            Ok(()) if leads => EVERY,
            Ok(()) => READ_EVERY,
            Err(JudgeError::Contradicts(reason)) => {
                // The signer logs it, and repeats it.
                self.witness.sink_contradicts(self.number, reason);
                self.sink.rewind();
                self.reading = Reading::default();
                self.read_at = None;
                RETRY_AFTER.max(began.elapsed() * PAUSES_PER_READING)
            }
            Err(error) => {
                self.read_at = None;
                self.report(&error.to_string());
                RETRY_AFTER
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
        let count = self.reading.comparison.foreign_notes();
        if count > self.foreign_notes {
            let to = self.sink.name();
            tracing::warn!(count, %to, "some checkpoints there are not signed with the key of this log and were skipped");
        }
        self.foreign_notes = count;
        self.agree();
        Ok(())
    }

    fn agree(&self) {
        let newest = self.reading.comparison.newest(&self.key).cloned();
        self.witness.sink_agrees(self.number, newest);
    }

    /// Adds the stored checkpoints that the sink lacks. Each one is first compared with the log, like the notes of the sink.
    async fn export(&mut self) -> Result<(), JudgeError> {
        if self.witness.obstacle().tampered.is_some() {
            return Ok(());
        }
        let reached = self.reading.comparison.reached();
        let found = self.store.checkpoints_after(reached, BATCH).await?;
        for checkpoint in &found {
            let mut comparison = self.reading.comparison.clone();
            let note = [checkpoint.note.as_str()];
            let contradicts = comparison.compare(note, &*self.store, &self.key).await?;
            let is_good = contradicts.is_none()
                && comparison.reached() == checkpoint.tree_size
                && comparison.newest(&self.key).is_some();
            if !is_good {
                // Where it is the newest, the signer raises the alarm; `log verify` finds the others.
                self.report(&format!(
                    "the stored checkpoint of size {} is passed over: it contradicts the log, or it is forged",
                    checkpoint.tree_size
                ));
                continue;
            }
            self.sink.add(checkpoint).await?;
            self.reading.comparison = comparison;
        }
        if self.reading.comparison.reached() > reached {
            self.agree();
        }
        Ok(())
    }

    fn report(&mut self, reason: &str) {
        let again = self
            .said
            .as_ref()
            .is_none_or(|(before, at)| before != reason || at.elapsed() >= REPEAT_AFTER);
        if again {
            let to = self.sink.name();
            tracing::warn!(%reason, %to, "checkpoints cannot be compared with those there or exported; will retry");
            self.said = Some((reason.to_owned(), Instant::now()));
        }
    }
}
