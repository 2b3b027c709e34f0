//! The memory that a node has of the signed log, outside the store.
//!
//! Who can write to the store can cut the log and let it grow again, together with the checkpoints that are stored with
//! it. So the last checkpoint is kept in memory as well, and in sinks: the checkpoint file, the stream on NATS. A log that
//! contradicts any of them is not signed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use authlog_application::ports::{AuditProgress, LogIntegrity};
use tokio::sync::watch;

use super::checkpoint::Checkpoint;
use super::store::StoredCheckpoint;

/// A checkpoint of which this node has seen that the log agreed with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedCheckpoint {
    /// What it says.
    pub checkpoint: Checkpoint,
    /// The signed note that says it.
    pub note: String,
}

impl TrustedCheckpoint {
    /// As a store keeps it.
    pub fn stored(&self) -> StoredCheckpoint {
        StoredCheckpoint {
            tree_size: self.checkpoint.tree_size,
            note: self.note.clone(),
        }
    }
}

/// What signer and couriers of a node remember together.
pub struct Witness {
    state: Mutex<State>,
    integrity: watch::Sender<LogIntegrity>,
}

/// Names a sink to its witness.
#[derive(Clone, Copy, Debug)]
pub struct SinkNumber(usize);

#[derive(Default)]
struct State {
    trusted: Option<TrustedCheckpoint>,
    /// Why the log contradicts it.
    contradicts_memory: Option<String>,
    sinks: Vec<Sink>,
    /// What is wrong with the objects of the store's schema.
    schema_fault: Option<String>,
    /// In what the stored events differ from the log.
    audit_fault: Option<String>,
    audit: AuditProgress,
    /// How often a remembered checkpoint was given up.
    given_up: u64,
}

struct Sink {
    name: String,
    /// Whether all of its notes were compared with the log.
    judged: bool,
    /// Why one of them contradicts the log.
    contradiction: Option<String>,
    /// Whether it has held a note since this node started.
    has_held_notes: bool,
    /// Whether an operator has put an empty one in its place, and it was not used since.
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
    /// Where to watch whether the log still is the one that was signed.
    pub fn integrity(&self) -> watch::Receiver<LogIntegrity> {
        self.integrity.subscribe()
    }

    /// Adds a sink. Nothing is signed before all of its notes were compared with the log.
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

    /// The largest checkpoint that the log agreed with.
    pub fn trusted(&self) -> Option<TrustedCheckpoint> {
        self.lock().trusted.clone()
    }

    /// How often the trusted checkpoint was given up: what was found by an earlier one is of another history.
    pub fn given_up(&self) -> u64 {
        self.lock().given_up
    }

    /// Why nothing is signed, if something contradicts the log or has to be read first.
    pub fn obstacle(&self) -> LogIntegrity {
        self.lock().log_integrity()
    }

    /// What is wrong with the objects of the store's schema, if anything is. The log is signed all the same: what is
    /// signed is evidence.
    pub fn schema_is(&self, faults: &[String]) {
        let mut state = self.lock();
        state.schema_fault = (!faults.is_empty()).then(|| faults.join("; "));
        self.publish(&state);
    }

    /// In what the stored events differ from the log, if they do. The log is signed all the same: the checkpoints that vouch
    /// for what was there are the evidence.
    pub fn audit_found(&self, fault: Option<String>) {
        let mut state = self.lock();
        state.audit_fault = fault;
        self.publish(&state);
    }

    /// How far the stored events were compared with the log.
    pub fn audit_is_at(&self, audit: AuditProgress) {
        let mut state = self.lock();
        state.audit = audit;
        self.publish(&state);
    }

    /// Whether the sink has to be read before anything is signed.
    pub fn awaits(&self, number: SinkNumber) -> bool {
        let state = self.lock();
        state.sinks.get(number.0).is_some_and(|sink| !sink.judged)
    }

    /// The log agrees with the trusted checkpoint, and with this larger one if there is one.
    pub fn agrees(&self, trusted: Option<TrustedCheckpoint>) {
        let mut state = self.lock();
        state.contradicts_memory = None;
        if let Some(trusted) = trusted {
            state.trust(trusted);
        }
        self.publish(&state);
    }

    /// The log does not agree with the trusted checkpoint.
    pub fn contradicts(&self, reason: String) {
        let mut state = self.lock();
        state.contradicts_memory = Some(reason);
        state.forget_what_was_given_up();
        self.publish(&state);
    }

    /// Every sink has to be read again before anything is signed: another node signed so far.
    pub fn ask_sinks_again(&self) {
        let mut state = self.lock();
        for sink in &mut state.sinks {
            sink.judged = false;
        }
        self.publish(&state);
    }

    /// The log agrees with every note in the sink; `newest` is the largest of those that this log's key signed.
    pub fn sink_agrees(&self, number: SinkNumber, newest: Option<TrustedCheckpoint>) {
        let mut state = self.lock();
        let holds_notes = newest.is_some();
        if let Some(sink) = state.sinks.get_mut(number.0) {
            sink.judged = true;
            sink.contradiction = None;
            sink.has_held_notes |= holds_notes;
        }
        state.forget_what_was_given_up();
        // While the memory is contradicted, a checkpoint in a sink says nothing about the one that is remembered.
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

    /// A note in the sink contradicts the log.
    pub fn sink_contradicts(&self, number: SinkNumber, reason: String) {
        let mut state = self.lock();
        if let Some(sink) = state.sinks.get_mut(number.0) {
            sink.judged = true;
            sink.has_held_notes = true;
            sink.contradiction = Some(reason);
        }
        self.publish(&state);
    }

    /// An operator has put another sink in the place of this one: what it held was given up.
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

    /// Gives up the remembered checkpoint, which the log contradicts, once an operator has replaced every sink that could
    /// have held it, and the log agrees with what they hold now. That the sinks agree is not enough: the newest checkpoint
    /// may not have reached them when the log was cut.
    fn forget_what_was_given_up(&mut self) {
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
