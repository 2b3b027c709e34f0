//! The worker that compares every stored event with the log, continuously and at a bounded rate (`docs/adr/0021`).
//!
//! The signer compares only the end of the log and the stored nodes with what was signed. It does not see an event that was
//! deleted or changed further back, an entry that was changed together with its event, and an event that was inserted behind
//! the end of the log. `log verify` finds these when an operator runs it; the auditor finds them while the service runs.

use std::sync::Arc;
use std::time::Duration;

use authlog_application::ports::{AuditProgress, Clock, StoreError};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::checkpoint::Checkpoint;
use super::signer::leadership_change;
use super::store::{LogRecords, WrittenPlace};
use super::tree::GrowingTree;
use super::verify::{Difference, VerifyError, Whose, intact_leaf};
use super::witness::Witness;

/// The number of entries and of events in a slice. A store reads a slice in a few milliseconds.
const SLICE: u32 = 500;

/// The interval between two slices. A log of a million events is compared in 34 minutes, at about one per cent of a
/// processor.
const EVERY: Duration = Duration::from_secs(1);

/// The pause between two passes, and before a differing slice is read again.
const PAUSE: Duration = Duration::from_secs(10);

/// The interval at which an unchanged fault is logged again.
const REPEAT_AFTER: Duration = Duration::from_secs(60);

/// Compares the stored events with the log while this node signs checkpoints.
pub struct Auditor<S: ?Sized> {
    store: Arc<S>,
    clock: Arc<dyn Clock>,
    leads: watch::Receiver<bool>,
    witness: Arc<Witness>,
}

/// The state of the auditor between two slices.
#[derive(Default)]
struct Memory {
    pass: Option<Pass>,
    progress: AuditProgress,
    /// The value of [`Witness::given_up`] when the pass began.
    given_up: u64,
    /// The last fault, and when it was logged.
    said: Option<(String, Instant)>,
}

/// One pass through the part of the log that a checkpoint covers.
struct Pass {
    vouched: Checkpoint,
    tree: GrowingTree,
    /// The place of the last event that was searched for in the log; `None` after the last event.
    written: Option<WrittenPlace>,
    /// How often the current slice was found to differ.
    differed: u32,
}

impl<S: LogRecords + ?Sized> Auditor<S> {
    /// An auditor that works while `leads` is true, and reports to `witness`.
    pub fn new(
        store: Arc<S>,
        clock: Arc<dyn Clock>,
        leads: watch::Receiver<bool>,
        witness: Arc<Witness>,
    ) -> Self {
        Self {
            store,
            clock,
            leads,
            witness,
        }
    }

    /// Runs until `stop` is cancelled.
    pub async fn run(&mut self, stop: CancellationToken) {
        let mut memory = Memory::default();
        loop {
            let leads = *self.leads.borrow_and_update();
            let pause = tokio::select! {
                () = stop.cancelled() => return,
                pause = self.step(&mut memory, leads) => pause,
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = leadership_change(&mut self.leads) => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Compares a slice, and returns the pause before the next one.
    async fn step(&self, memory: &mut Memory, leads: bool) -> Duration {
        let trusted = self.witness.trusted().filter(|_| leads);
        let Some(trusted) = trusted else {
            self.restart(memory);
            return EVERY;
        };
        let given_up = self.witness.given_up();
        if given_up != memory.given_up {
            memory.given_up = given_up;
            self.restart(memory);
        }
        let pass = memory.pass.take();
        let mut pass = pass.unwrap_or_else(|| Pass::up_to(trusted.checkpoint));
        let compared = pass.compare_slice(&*self.store).await;
        memory.progress.checked = pass.tree.size();
        memory.progress.of = pass.vouched.tree_size;
        let pause = match compared {
            Ok(true) => {
                self.agrees(memory);
                memory.progress.passes += 1;
                memory.progress.completed_at = Some(self.clock.now());
                PAUSE
            }
            Ok(false) => {
                if std::mem::take(&mut pass.differed) > 0 {
                    self.agrees(memory);
                }
                memory.pass = Some(pass);
                EVERY
            }
            Err(VerifyError::Store(error @ StoreError::Unavailable(_))) => {
                tracing::warn!(%error, "the store does not answer; the audit of the log waits until it does");
                memory.pass = Some(pass);
                PAUSE
            }
            Err(VerifyError::Store(StoreError::Unreadable(error))) => {
                let after = pass.tree.size();
                let fault = format!("what is stored after entry {after} cannot be read: {error}");
                self.slice_differs(memory, pass, fault)
            }
            // The position of the difference is unknown, so the next pass begins with the first event.
            Err(VerifyError::Differs(root @ Difference::Root { .. })) => {
                self.differs(memory, root.to_string());
                PAUSE
            }
            Err(VerifyError::Differs(difference)) => {
                self.slice_differs(memory, pass, difference.to_string())
            }
        };
        self.witness.audit_is_at(memory.progress);
        pause
    }

    fn restart(&self, memory: &mut Memory) {
        memory.pass = None;
        memory.said = None;
        memory.progress.checked = 0;
        memory.progress.of = 0;
        self.witness.audit_found(None);
        self.witness.audit_is_at(memory.progress);
    }

    fn agrees(&self, memory: &mut Memory) {
        if memory.said.take().is_some() {
            tracing::warn!("the stored events agree with the log again");
            self.witness.audit_found(None);
        }
    }

    /// Keeps the pass at this slice. A fault counts only when it is found a second time, because a crash of the database
    /// server takes back the end of the log for a moment.
    fn slice_differs(&self, memory: &mut Memory, mut pass: Pass, fault: String) -> Duration {
        pass.differed = pass.differed.saturating_add(1);
        let is_certain = pass.differed > 1;
        memory.pass = Some(pass);
        if !is_certain {
            return EVERY;
        }
        self.differs(memory, fault);
        PAUSE
    }

    fn differs(&self, memory: &mut Memory, fault: String) {
        let is_new = match &memory.said {
            Some((said, at)) => *said != fault || at.elapsed() >= REPEAT_AFTER,
            None => true,
        };
        if is_new {
            tracing::error!(%fault, "THE LOG WAS TAMPERED WITH. Run `authlog log verify` and `authlog doctor`");
            self.witness.audit_found(Some(fault.clone()));
            memory.said = Some((fault, Instant::now()));
        }
    }
}

impl Pass {
    fn up_to(vouched: Checkpoint) -> Self {
        Self {
            vouched,
            tree: GrowingTree::default(),
            written: Some(WrittenPlace::FIRST),
            differed: 0,
        }
    }

    /// Compares the next entries with their events, and the next events with their entries. Returns whether the pass is
    /// complete.
    async fn compare_slice<S: LogRecords + ?Sized>(
        &mut self,
        store: &S,
    ) -> Result<bool, VerifyError> {
        let (from, size) = (self.tree.size(), self.vouched.tree_size);
        let until = size.min(from + u64::from(SLICE));
        if from < until {
            let checks = store.leaf_checks(from + 1..until + 1).await?;
            let mut checks = checks.into_iter();
            let mut tree = self.tree.clone();
            for log_index in from + 1..=until {
                let leaf = intact_leaf(store, log_index, checks.next()).await?;
                tree.push(leaf, |_, _| {});
            }
            if until == size && tree.root() != self.vouched.root {
                let whose = Whose::Signed;
                return Err(Difference::Root {
                    good: 0,
                    size,
                    whose,
                }
                .into());
            }
            self.tree = tree;
        }
        if let Some(place) = self.written {
            let page = store.unlogged_after(place, SLICE).await?;
            if let Some(name) = page.unlogged {
                return Err(Difference::Unlogged(name).into());
            }
            self.written = page.last;
        }
        Ok(self.tree.size() == size && self.written.is_none())
    }
}
