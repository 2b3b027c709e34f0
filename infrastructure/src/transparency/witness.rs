//! What a node remembers of the signed log, outside the store (`docs/adr/0012`).
//!
//! An attacker who can write to the store can cut off the log and let it grow again, together with the stored checkpoints. So
//! the last checkpoint is also kept in memory and in the sinks, which are the checkpoint file and the stream on NATS. A log
//! that contradicts any of them is not signed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use authlog_application::ports::{AuditProgress, LogIntegrity};
use tokio::sync::watch;

use super::checkpoint::Checkpoint;
use super::store::StoredCheckpoint;

/// A checkpoint that this node has compared with the log, and that agreed with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedCheckpoint {
    /// The size and the root.
    pub checkpoint: Checkpoint,
    /// The signed note.
    pub note: String,
}

impl TrustedCheckpoint {
    /// The checkpoint in the form in which a store keeps it.
    pub fn stored(&self) -> StoredCheckpoint {
        StoredCheckpoint {
            tree_size: self.checkpoint.tree_size,
            note: self.note.clone(),
        }
    }
}

/// The state that signer, exporters, auditor and schema watch of a node share.
pub struct Witness {
    state: Mutex<State>,
    integrity: watch::Sender<LogIntegrity>,
}

/// The number of a sink in its witness.
#[derive(Clone, Copy, Debug)]
pub struct SinkNumber(usize);

#[derive(Default)]
struct State {
    trusted: Option<TrustedCheckpoint>,
    /// How the log contradicts the trusted checkpoint.
    contradicts_memory: Option<String>,
    sinks: Vec<Sink>,
    /// The faults of the store's schema.
    schema_fault: Option<String>,
    /// How the stored events differ from the log.
    audit_fault: Option<String>,
    audit: AuditProgress,
    /// How often the trusted checkpoint was discarded.
    given_up: u64,
}

struct Sink {
    name: String,
    /// Whether all notes of the sink were compared with the log.
    judged: bool,
    /// How one of its notes contradicts the log.
    contradiction: Option<String>,
    /// Whether the sink has held a note since this node started.
    has_held_notes: bool,
    /// Whether an operator has replaced the sink by an empty one that was not used since.
    replaced: bool,
}

impl Default for Witness {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            integrity: watch::Sender::new(LogIntegrity::default()),
        }
    }
}

impl Witness {
    /// Publishes whether the log still is the signed one.
    pub fn integrity(&self) -> watch::Receiver<LogIntegrity> {
        self.integrity.subscribe()
    }

    /// Registers a sink. No checkpoint is signed before all its notes were compared with the log.
    pub fn add_sink(self: &Arc<Self>, name: String) -> SinkNumber {
        let mut state = self.lock();
        state.sinks.push(Sink {
            name,
            judged: false,
            contradiction: None,
            has_held_notes: false,
            replaced: false,
        });
        let number = SinkNumber(state.sinks.len() - 1);
        self.publish(&state);
        number
    }

    /// The largest checkpoint that agreed with the log.
    pub fn trusted(&self) -> Option<TrustedCheckpoint> {
        self.lock().trusted.clone()
    }

    /// How often the trusted checkpoint was discarded. Results for an earlier checkpoint belong to another history.
    pub fn given_up(&self) -> u64 {
        self.lock().given_up
    }

    /// Why no checkpoint is signed: a contradiction, or a sink that has to be read first.
    pub fn obstacle(&self) -> LogIntegrity {
        self.lock().log_integrity()
    }

    /// Records the faults of the store's schema; none if it is intact. Checkpoints are signed nevertheless, because they are
    /// evidence.
    pub fn schema_is(&self, faults: &[String]) {
        let mut state = self.lock();
        state.schema_fault = (!faults.is_empty()).then(|| faults.join("; "));
        self.publish(&state);
    }

    /// Records how the stored events differ from the log, if they do. Checkpoints are signed nevertheless: they are the
    /// evidence of what was stored before.
    pub fn audit_found(&self, fault: Option<String>) {
        let mut state = self.lock();
        state.audit_fault = fault;
        self.publish(&state);
    }

    /// Records how far the stored events were compared with the log.
    pub fn audit_is_at(&self, audit: AuditProgress) {
        let mut state = self.lock();
        state.audit = audit;
        self.publish(&state);
    }

    /// Whether the sink has to be read before a checkpoint is signed.
    pub fn awaits(&self, number: SinkNumber) -> bool {
        let state = self.lock();
        state.sinks.get(number.0).is_some_and(|sink| !sink.judged)
    }

    /// Records that the log agrees with the trusted checkpoint, and with this larger one if it is given.
    pub fn agrees(&self, trusted: Option<TrustedCheckpoint>) {
        let mut state = self.lock();
        state.contradicts_memory = None;
        if let Some(trusted) = trusted {
            state.trust(trusted);
        }
        self.publish(&state);
    }

    /// Records that the log contradicts the trusted checkpoint.
    pub fn contradicts(&self, reason: String) {
        let mut state = self.lock();
        state.contradicts_memory = Some(reason);
        state.discard_replaced_checkpoint();
        self.publish(&state);
    }

    /// Requires that every sink is read again before a checkpoint is signed, because another node has signed so far.
    pub fn ask_sinks_again(&self) {
        let mut state = self.lock();
        for sink in &mut state.sinks {
            sink.judged = false;
        }
        self.publish(&state);
    }

    /// Records that the log agrees with every note in the sink. `newest` is the largest one that this log's key signed.
    pub fn sink_agrees(&self, number: SinkNumber, newest: Option<TrustedCheckpoint>) {
        let mut state = self.lock();
        let holds_notes = newest.is_some();
        if let Some(sink) = state.sinks.get_mut(number.0) {
            sink.judged = true;
            sink.contradiction = None;
            sink.has_held_notes |= holds_notes;
        }
        state.discard_replaced_checkpoint();
        // While the log contradicts the trusted checkpoint, a checkpoint in a sink does not replace it.
        if state.contradicts_memory.is_none()
            && let Some(newest) = newest
        {
            state.trust(newest);
            if let Some(sink) = state.sinks.get_mut(number.0) {
                sink.replaced = false;
            }
        }
        self.publish(&state);
    }

    /// Records that a note in the sink contradicts the log.
    pub fn sink_contradicts(&self, number: SinkNumber, reason: String) {
        let mut state = self.lock();
        if let Some(sink) = state.sinks.get_mut(number.0) {
            sink.judged = true;
            sink.has_held_notes = true;
            sink.contradiction = Some(reason);
        }
        self.publish(&state);
    }

    /// Records that an operator has replaced the sink.
    pub fn sink_replaced(&self, number: SinkNumber) {
        let mut state = self.lock();
        if let Some(sink) = state.sinks.get_mut(number.0) {
            sink.judged = false;
            sink.contradiction = None;
            sink.replaced = true;
        }
        self.publish(&state);
    }

    fn publish(&self, state: &State) {
        let integrity = state.integrity();
        self.integrity.send_if_modified(|published| {
            let changed = *published != integrity;
            *published = integrity;
            changed
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn trust(&mut self, checkpoint: TrustedCheckpoint) {
        let reached = self
            .trusted
            .as_ref()
            .map_or(0, |it| it.checkpoint.tree_size);
        if checkpoint.checkpoint.tree_size > reached {
            self.trusted = Some(checkpoint);
        }
    }

    /// Discards the trusted checkpoint that the log contradicts, once an operator has replaced every sink that could have
    /// held it, and the log agrees with what the sinks hold now. Agreement of the sinks alone is not enough: the newest
    /// checkpoint may not have reached them before the log was cut off.
    fn discard_replaced_checkpoint(&mut self) {
        let mut in_use = self
            .sinks
            .iter()
            .filter(|sink| sink.has_held_notes)
            .peekable();
        if self.contradicts_memory.is_none() || in_use.peek().is_none() {
            return;
        }
        if in_use.all(|sink| sink.replaced && sink.judged && sink.contradiction.is_none()) {
            self.trusted = None;
            self.given_up += 1;
            self.contradicts_memory = None;
            for sink in &mut self.sinks {
                sink.replaced = false;
            }
        }
    }

    fn integrity(&self) -> LogIntegrity {
        let log = self.log_integrity();
        LogIntegrity {
            tampered: log
                .tampered
                .or_else(|| self.audit_fault.clone())
                .or_else(|| self.schema_fault.clone()),
            ..log
        }
    }

    fn log_integrity(&self) -> LogIntegrity {
        let in_sinks = self
            .sinks
            .iter()
            .find_map(|sink| sink.contradiction.clone());
        let unread = self.sinks.iter().find(|sink| !sink.judged);
        LogIntegrity {
            tampered: self.contradicts_memory.clone().or(in_sinks),
            waiting_for: unread.map(|sink| format!("{} has to be read", sink.name)),
            audit: self.audit,
        }
    }
}

#[cfg(test)]
mod tests;
