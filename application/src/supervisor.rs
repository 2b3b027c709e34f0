//! Supervision of background workers: a worker that fails is restarted after a pause, and its state can be read.
//!
//! A supervised worker keeps its state when it fails: the restart reuses the value, for example the receiver of a queue, so
//! no queued work is lost. `docs/adr/0013` says why we have a supervisor of our own.

mod backoff;
#[cfg(test)]
mod tests;
mod workers;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use backoff::Backoff;
pub use futures_util::future::BoxFuture;
pub use workers::{WorkerState, Workers};

use crate::ports::Entropy;

/// A worker that ran for this long had recovered: its next failure counts as the first.
const RECOVERED_AFTER: Duration = Duration::from_secs(60);

/// Starts the background workers of a program and restarts those that fail.
pub struct Supervisor {
    entropy: Arc<dyn Entropy>,
    workers: Workers,
}

impl Supervisor {
    /// A supervisor without workers. `entropy` spreads the restarts of several nodes.
    pub fn new(entropy: Arc<dyn Entropy>) -> Self {
        Self {
            entropy,
            workers: Workers::default(),
        }
    }

    /// The states of all workers.
    pub fn workers(&self) -> &Workers {
        &self.workers
    }

    /// Starts `worker` under `name` and restarts it whenever its `run` panics, or returns before `stop` is cancelled.
    /// The task ends when `run` returns after `stop` was cancelled.
    ///
    /// A worker that panics after that is restarted too, to finish its queued work.
    pub fn start<W: Send + 'static>(
        &self,
        name: &'static str,
        stop: &CancellationToken,
        worker: W,
        run: impl for<'a> FnMut(&'a mut W) -> BoxFuture<'a, ()> + Send + 'static,
    ) -> JoinHandle<()> {
        let state = Arc::new(WorkerState::new(name));
        self.workers.add(Arc::clone(&state));
        let backoff = Backoff::new(Arc::clone(&self.entropy));
        let supervised = supervise(state, backoff, stop.clone(), worker, run);
        tokio::spawn(supervised)
    }
}

async fn supervise<W: Send>(
    state: Arc<WorkerState>,
    mut backoff: Backoff,
    stop: CancellationToken,
    mut worker: W,
    mut run: impl for<'a> FnMut(&'a mut W) -> BoxFuture<'a, ()> + Send,
) {
    loop {
        let started = Instant::now();
        // A panic may interrupt the worker anywhere. So each `run` begins by finding out how far it had come.
        let ended = AssertUnwindSafe(async { run(&mut worker).await })
            .catch_unwind()
            .await;
        if ended.is_ok() && stop.is_cancelled() {
            state.ended();
            return;
        }
        if started.elapsed() >= RECOVERED_AFTER {
            backoff.reset();
        }
        let pause = backoff.next_pause();
        state.failed();
        let reason = if ended.is_err() {
            "it panicked"
        } else {
            "it ended"
        };
        tracing::error!(
            worker = state.name(),
            reason,
            restart_in = ?pause,
            "a background worker failed and will be restarted"
        );
        tokio::time::sleep(pause).await;
        state.restarted();
    }
}
