//! Queues the logout tokens that clients are to get, from the events that end sessions (`docs/adr/0041`).
//!
//! Every node runs this worker, and the store lets one of them read at a time. A node that finds that another one has read what it
//! was to read leaves the next events to that one for a moment. So one node works, and another one continues at once when it ends,
//! without an election.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::{Stop, Worker};
use crate::ports::{LogoutQueue, QueuedLogouts};

/// Sessions that are queued in one commit: some ten milliseconds of work.
const BATCH: u32 = 500;

/// How long a node leaves new events to the one that read the events before.
const STANDBY: Duration = Duration::from_millis(400);

/// How long to collect further events after a read, so that a busy log is read a few times each second. What ends a session after a
/// while without events is read at once.
const PAUSE: Duration = Duration::from_millis(50);

/// How long to wait for another node that is reading.
const BUSY: Duration = Duration::from_millis(50);

/// How often ends of sessions are passed over while no client gets logout tokens. It is also the time after which the sessions
/// of the first such client are noticed.
const UNUSED: Duration = Duration::from_millis(500);

/// The pause after the store failed.
const AFTER_FAILURE: Duration = Duration::from_millis(500);

/// Queues logout tokens.
pub(crate) struct LogoutQueuer {
    queue: Arc<dyn LogoutQueue>,
    /// The index of the last entry of the log, as this node knows it.
    log_end: watch::Receiver<u64>,
    /// Wakes the [`LogoutDeliverer`](super::LogoutDeliverer).
    queued: Arc<Notify>,
}

impl LogoutQueuer {
    pub(crate) fn new(
        queue: Arc<dyn LogoutQueue>,
        log_end: watch::Receiver<u64>,
        queued: Arc<Notify>,
    ) -> Self {
        Self {
            queue,
            log_end,
            queued,
        }
    }

    /// Waits until the log may have further events.
    async fn log_has_grown(&mut self) {
        if self.log_end.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Worker for LogoutQueuer {
    const NAME: &'static str = "logout_queuer";
    const STOP: Stop = Stop::Abort;

    /// Works until it is dropped. What it queues and how far it has read is one commit, so it can be dropped anywhere.
    async fn run(&mut self) {
        // How many times in a row another node had read what there was to read. Once is chance: the read before may have been late.
        let mut found_nothing = 0_u32;
        loop {
            self.log_end.mark_unchanged();
            match self.queue.queue_logouts(BATCH).await {
                Ok(QueuedLogouts::More) => {
                    self.queued.notify_one();
                    found_nothing = 0;
                }
                Ok(QueuedLogouts::Done) => {
                    self.queued.notify_one();
                    found_nothing = 0;
                    tokio::time::sleep(PAUSE).await;
                    self.log_has_grown().await;
                }
                Ok(QueuedLogouts::Nothing) => {
                    tokio::time::sleep(PAUSE).await;
                    self.log_has_grown().await;
                    if found_nothing > 0 {
                        tokio::time::sleep(STANDBY).await;
                    }
                }
                Ok(QueuedLogouts::Unused) => {
                    found_nothing = 0;
                    tokio::time::sleep(UNUSED).await;
                    self.log_has_grown().await;
                }
                Ok(QueuedLogouts::Idle) => {
                    self.log_has_grown().await;
                    if found_nothing > 0 {
                        tokio::time::sleep(STANDBY).await;
                    }
                    found_nothing = found_nothing.saturating_add(1);
                }
                Ok(QueuedLogouts::Busy) => {
                    found_nothing = found_nothing.saturating_add(1);
                    tokio::time::sleep(BUSY).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "the ends of sessions cannot be read for logout tokens; will retry");
                    tokio::time::sleep(AFTER_FAILURE).await;
                }
            }
        }
    }
}
