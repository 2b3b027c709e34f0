//! The worker that compares every stored event with the log: slowly, a slice at a time, and again and again.
//!
//! The signer compares the log's end and the stored nodes with what was signed. That leaves out an event that was deleted or
//! changed further back, an entry that was changed together with its event, and an event that was added where the log has
//! passed already. `log verify` finds them when it is run; the auditor finds them while the service runs.

use std::sync::Arc;
use std::time::Duration;

use authlog_application::ports::{AuditProgress, Clock, StoreError};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::checkpoint::Checkpoint;
use super::signer::elected_or_not;
use super::store::{LogRecords, WrittenPlace};
use super::tree::GrowingTree;
use super::verify::{Difference, VerifyError, Whose, intact_leaf};
use super::witness::Witness;

/// Entries, and events, in a slice. A store reads them in some milliseconds.
const SLICE: u32 = 500;

/// How often a slice is read: a log of a million events is compared in 34 minutes, for about a hundredth of a processor.
const EVERY: Duration = Duration::from_secs(1);

/// How long to wait between two passes, and before a slice is read again that differed.
const PAUSE: Duration = Duration::from_secs(10);

/// How often what is wrong is said again.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// Compares the stored events with the log while this node signs checkpoints.
pub struct Auditor<S: ?Sized> {
    store: Arc<S>,
    clock: Arc<dyn Clock>,
    leads: watch::Receiver<bool>,
    witness: Arc<Witness>,
}

/// What the auditor remembers.
#[derive(Default)]
struct Memory {
    pass: Option<Pass>,
    progress: AuditProgress,
    /// How many checkpoints had been given up when the pass began.
    given_up: u64,
    /// The last fault, and when the log of the program got it.
    said: Option<(String, Instant)>,
}

/// Going through the log once, as far as a checkpoint vouches for it.
struct Pass {
    vouched: Checkpoint,
    tree: GrowingTree,
    /// Behind which event to go on among all events; `None` once there are no more.
    written: Option<WrittenPlace>,
    /// How often the slice at which the pass stands was found to differ.
    differed: u32,
}

impl<S: LogRecords + ?Sized> Auditor<S> {
    /// An auditor that works while `leads` says so, and tells `witness` what it finds.
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

    /// Works until `stop`.
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
                () = elected_or_not(&mut self.leads) => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Compares a slice; how long to wait before the next one.
    async fn step(&self, memory: &mut Memory, leads: bool) -> Duration {
        let trusted = self.witness.trusted().filter(|_| leads);
        let Some(trusted) = trusted else {
            self.begin_again(memory);
            return EVERY;
        };
        let given_up = self.witness.given_up();
        if given_up != memory.given_up {
            memory.given_up = given_up;
            self.begin_again(memory);
        }
        let pass = memory.pass.take();
        let mut pass = pass.unwrap_or_else(|| Pass::by(trusted.checkpoint));
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
            // It is not known where they differ: the next pass begins with the first event.
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

    fn begin_again(&self, memory: &mut Memory) {
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

    /// Stays at the slice. A crash of the server takes back the end of the log for a moment, so a fault counts when it is found
    /// a second time.
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
            Some((said, at)) => *said != fault || at.elapsed() >= SAY_AGAIN,
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
    fn by(vouched: Checkpoint) -> Self {
        Self {
            vouched,
            tree: GrowingTree::default(),
            written: Some(WrittenPlace::FIRST),
            differed: 0,
        }
    }

    /// Compares the next entries with their events, and the next events with their entries; whether the pass is complete.
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
