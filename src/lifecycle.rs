//! The lifecycle of a service: from the first signal handler to the last worker that stops.
//!
//! The first SIGTERM or SIGINT makes the service not ready. After the shutdown delay it stops accepting requests, finishes
//! the accepted ones, and then stops its workers in order. A second signal, or the end of [`END_WITHIN`], ends it at once.

mod signals;
mod tasks;

use std::time::Duration;

use authlog_application::supervisor::Workers;
use tokio_util::sync::CancellationToken;

use signals::Signals;
pub(crate) use tasks::{Stage, Tasks};

/// Time for accepted requests to finish after the program stops accepting. With [`FINISH_WITHIN`] it is less than
/// [`END_WITHIN`].
const DRAIN_WITHIN: Duration = Duration::from_secs(20);

/// Time for the workers to finish after the requests: enough for what a healthy store and stream need.
const FINISH_WITHIN: Duration = Duration::from_secs(6);

/// Time from the stop to the forced end of the program. Container platforms kill after thirty seconds; the program ends
/// before that and logs the reason.
const END_WITHIN: Duration = Duration::from_secs(28);

/// Starts, drains and stops a service.
pub(crate) struct Lifecycle {
    signals: Signals,
    tasks: Tasks,
}

impl Lifecycle {
    /// Starts to receive signals. Until [`Self::mark_serving`] is called, a signal ends the program at once. After that, the
    /// program serves for another `shutdown_delay` when the first signal comes.
    ///
    /// # Errors
    /// Signals cannot be received.
    pub(crate) fn begin(shutdown_delay: Duration) -> anyhow::Result<Self> {
        let signals = Signals::receive(shutdown_delay)?;
        let tasks = Tasks::new(signals.stop.clone());
        Ok(Self { signals, tasks })
    }

    /// The tasks of the background workers.
    pub(crate) fn tasks(&mut self) -> &mut Tasks {
        &mut self.tasks
    }

    /// The states of the workers.
    pub(crate) fn workers(&self) -> &Workers {
        self.tasks.workers()
    }

    /// Cancelled by the first signal, before [`Self::stopping`].
    pub(crate) fn draining(&self) -> CancellationToken {
        self.signals.draining.clone()
    }

    /// Cancelled when no further request is accepted.
    pub(crate) fn stopping(&self) -> CancellationToken {
        self.signals.stop.clone()
    }

    /// Notes that requests are accepted from now on, so that a signal has to let them finish.
    pub(crate) fn mark_serving(&self) {
        self.signals.mark_serving();
    }

    /// Runs `serving` until it is drained, then stops the workers. `serving` is dropped in between: it holds the last
    /// handles of the queues that workers empty.
    ///
    /// # Errors
    /// Requests or workers did not finish in time.
    pub(crate) async fn run(self, serving: impl Future<Output = ()>) -> anyhow::Result<()> {
        let drained = drain(serving, &self.signals.stop).await;
        let finished = self.tasks.finish(FINISH_WITHIN).await;
        anyhow::ensure!(
            drained && finished,
            "the program ended before all requests and workers had finished"
        );
        Ok(())
    }
}

/// Runs `serving` until every answer is written, at most [`DRAIN_WITHIN`] after `stop`. Returns whether it ended in time.
async fn drain(serving: impl Future<Output = ()>, stop: &CancellationToken) -> bool {
    let too_late = async {
        stop.cancelled().await;
        tokio::time::sleep(DRAIN_WITHIN).await;
    };
    tokio::select! {
        () = serving => true,
        () = too_late => {
            tracing::warn!("some connections did not finish in time");
            false
        }
    }
}
