//! The states of background workers, for the readiness endpoint and the metrics.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The states of the workers of one node. Clones share them.
#[derive(Clone, Default)]
pub struct Workers(Arc<Mutex<Vec<Arc<WorkerState>>>>);

/// Whether one worker runs, and how often it was restarted.
pub struct WorkerState {
    name: &'static str,
    is_up: AtomicBool,
    restarts: AtomicU64,
}

impl Workers {
    /// Adds a worker, which may be supervised elsewhere.
    pub fn add(&self, worker: Arc<WorkerState>) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(worker);
    }

    /// All workers, in the order in which they were started.
    pub fn all(&self) -> Vec<Arc<WorkerState>> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl WorkerState {
    /// A worker that runs.
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            is_up: AtomicBool::new(true),
            restarts: AtomicU64::new(0),
        }
    }

    /// Its name, in lower case with underscores.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Whether it runs, and does not wait to be restarted.
    pub fn is_up(&self) -> bool {
        self.is_up.load(Ordering::Relaxed)
    }

    /// How often it was restarted after a failure.
    pub fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }

    /// Notes that it failed and waits to be restarted.
    pub fn failed(&self) {
        self.is_up.store(false, Ordering::Relaxed);
    }

    /// Notes that it runs again.
    pub fn restarted(&self) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
        self.is_up.store(true, Ordering::Relaxed);
    }

    /// Notes that it ended because the program is stopping.
    pub fn ended(&self) {
        self.is_up.store(false, Ordering::Relaxed);
    }
}
