//! The tasks of the background workers, and the order in which they stop.

use std::time::Duration;

use authlog_application::supervisor::{BoxFuture, Supervisor, Workers};
use authlog_application::{BackgroundWorker, Stop};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::composition;

/// The stages in which workers are drained: the order in which events pass through them. So the last events are recorded,
/// have their place in the log and are on the stream.
#[derive(Clone, Copy)]
pub(crate) enum Stage {
    /// Recording what requests left in queues, and giving back what is leased.
    Record,
    /// Giving events their place in the log.
    Sequence,
    /// Publishing the log.
    Publish,
    /// Signing checkpoints, and elections.
    Sign,
}

/// The workers of one stage.
struct StageTasks {
    what: &'static str,
    /// Tells them to finish.
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl StageTasks {
    fn new(what: &'static str, stop: CancellationToken) -> Self {
        Self {
            what,
            stop,
            tasks: vec![],
        }
    }
}

/// The background tasks of a node.
pub(crate) struct Tasks {
    supervisor: Supervisor,
    /// Cancelled when the program begins to stop. It still answers requests then.
    stop: CancellationToken,
    aborted: Vec<AbortOnDropHandle<()>>,
    /// One entry for each [`Stage`], in order.
    stages: [StageTasks; 4],
}

impl Tasks {
    pub(super) fn new(stop: CancellationToken) -> Self {
        let stages = [
            StageTasks::new(
                "recording refused logins and returning leases",
                stop.clone(),
            ),
            StageTasks::new("sequencing the log", CancellationToken::new()),
            StageTasks::new("publishing events", CancellationToken::new()),
            StageTasks::new("signing checkpoints", CancellationToken::new()),
        ];
        Self {
            supervisor: Supervisor::new(composition::entropy()),
            stop,
            aborted: vec![],
            stages,
        }
    }

    /// The states of the workers.
    pub(crate) fn workers(&self) -> &Workers {
        self.supervisor.workers()
    }

    /// Starts a worker of the application.
    pub(crate) fn start(&mut self, worker: BackgroundWorker) {
        let name = worker.name();
        match worker.stop() {
            Stop::Abort => self.abort(name, worker, |it| it.run()),
            // It finishes when `Authlog` is dropped.
            Stop::Drain => self.drain(Stage::Record, name, worker, |it, _| it.run()),
        }
    }

    /// Starts a worker that is aborted once the requests are answered: the store has what it did not finish.
    pub(crate) fn abort<W: Send + 'static>(
        &mut self,
        name: &'static str,
        worker: W,
        run: impl for<'a> FnMut(&'a mut W) -> BoxFuture<'a, ()> + Send + 'static,
    ) {
        let task = self.supervisor.start(name, &self.stop, worker, run);
        self.aborted.push(AbortOnDropHandle::new(task));
    }

    /// Starts a worker that finishes in `stage`, when the token that `run` gets is cancelled.
    pub(crate) fn drain<W: Send + 'static>(
        &mut self,
        stage: Stage,
        name: &'static str,
        worker: W,
        mut run: impl for<'a> FnMut(&'a mut W, CancellationToken) -> BoxFuture<'a, ()> + Send + 'static,
    ) {
        let stage = &mut self.stages[stage as usize];
        let stop = stage.stop.clone();
        let task = self
            .supervisor
            .start(name, &stage.stop, worker, move |worker| {
                run(worker, stop.clone())
            });
        stage.tasks.push(task);
    }

    /// Aborts the workers that can be aborted, then drains the others stage by stage, at most for `time` in all. Returns
    /// whether all of them finished in time.
    pub(super) async fn finish(self, time: Duration) -> bool {
        let deadline = Instant::now() + time;
        drop(self.aborted);
        let mut in_time = true;
        for stage in self.stages {
            stage.stop.cancel();
            for task in stage.tasks {
                if timeout_at(deadline, task).await.is_err() {
                    tracing::warn!(what = stage.what, "a worker did not finish in time");
                    in_time = false;
                }
            }
        }
        in_time
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use futures_util::FutureExt as _;
    use tokio::sync::mpsc;

    use super::*;

    /// Starts a worker of `stage` that reports once its token is cancelled.
    fn reporting(
        tasks: &mut Tasks,
        stage: Stage,
        name: &'static str,
        report: &mpsc::UnboundedSender<&'static str>,
    ) {
        tasks.drain(stage, name, report.clone(), move |report, stop| {
            async move {
                stop.cancelled().await;
                // Other stages get time to be faster, if they are not waiting for this one.
                tokio::time::sleep(Duration::from_secs(1)).await;
                report.send(name).unwrap();
            }
            .boxed()
        });
    }

    #[tokio::test(start_paused = true)]
    async fn workers_finish_in_the_order_in_which_events_pass_through_them() {
        let mut tasks = Tasks::new(CancellationToken::new());
        let (report, mut reports) = mpsc::unbounded_channel();
        reporting(&mut tasks, Stage::Sign, "signer", &report);
        reporting(&mut tasks, Stage::Publish, "publisher", &report);
        reporting(&mut tasks, Stage::Sequence, "sequencer", &report);
        reporting(&mut tasks, Stage::Record, "recorder", &report);
        assert!(tasks.finish(Duration::from_secs(6)).await);
        drop(report);
        let mut order = vec![];
        while let Some(name) = reports.recv().await {
            order.push(name);
        }
        assert_eq!(order, ["recorder", "sequencer", "publisher", "signer"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_does_not_finish_is_left_at_the_deadline() {
        let mut tasks = Tasks::new(CancellationToken::new());
        tasks.drain(Stage::Sequence, "sequencer", (), |(), _| pending().boxed());
        let begun = Instant::now();
        assert!(!tasks.finish(Duration::from_secs(6)).await);
        assert_eq!(begun.elapsed(), Duration::from_secs(6));
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_can_be_aborted_is_not_waited_for() {
        let mut tasks = Tasks::new(CancellationToken::new());
        let (running, mut ended) = mpsc::channel::<()>(1);
        tasks.abort("housekeeper", running, |_| pending().boxed());
        assert!(tasks.finish(Duration::from_secs(6)).await);
        assert_eq!(ended.recv().await, None);
    }
}
