//! The worker that finds out how current the log is, for all followers that send heartbeats.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::{Stop, Worker};
use crate::freshness::Freshness;
use crate::ports::EventLog;

/// The shortest time between two findings, which all followers share. A finding of this age counts as new.
pub(super) const SHARED_FOR: Duration = Duration::from_millis(100);

/// How current the log is, found out only when a follower has asked.
pub(crate) struct FreshnessWatch {
    log: Arc<dyn EventLog>,
    asked: Notify,
    found: watch::Sender<Option<Freshness>>,
}

impl FreshnessWatch {
    pub(super) fn new(log: Arc<dyn EventLog>) -> Self {
        Self {
            log,
            asked: Notify::new(),
            found: watch::Sender::new(None),
        }
    }

    /// Asks for a finding. All that ask before it is made share it.
    pub(super) fn ask(&self) {
        self.asked.notify_one();
    }

    /// The findings.
    pub(super) fn subscribe(&self) -> watch::Receiver<Option<Freshness>> {
        self.found.subscribe()
    }

    /// Answers all that ask, until it is dropped.
    pub(super) async fn run(&self) {
        loop {
            self.asked.notified().await;
            tokio::select! {
                found = Freshness::find(&*self.log) => {
                    self.found.send_replace(Some(found));
                    tokio::time::sleep(SHARED_FOR).await;
                }
                // No follower is left that waits for it.
                () = self.found.closed() => {}
            }
        }
    }
}

impl Worker for Arc<FreshnessWatch> {
    const NAME: &'static str = "freshness_watch";
    const STOP: Stop = Stop::Abort;

    async fn run(&mut self) {
        FreshnessWatch::run(self).await;
    }
}
