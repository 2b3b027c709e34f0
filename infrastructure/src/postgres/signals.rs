//! Signals within a node: that it has appended events, and that its sequencer has added them to the log.
//!
//! They only save time. Events of other nodes are found by polling, because PostgreSQL's `NOTIFY` takes a lock that all commits
//! wait for.

use authlog_application::ports::LogGrowth;
use tokio::sync::{Notify, watch};

/// The signals of one node.
#[derive(Default)]
pub(super) struct Signals {
    appended: Notify,
    grown: watch::Sender<()>,
}

impl Signals {
    /// This node has committed events.
    pub(super) fn has_appended(&self) {
        self.appended.notify_one();
    }

    /// Waits until this node has committed events since the last call.
    pub(super) async fn appended(&self) {
        self.appended.notified().await;
    }

    /// The sequencer of this node has added events to the log.
    pub(super) fn log_has_grown(&self) {
        self.grown.send_replace(());
    }

    /// Tells when the log has grown.
    pub(super) fn growth(&self) -> LogGrowth {
        LogGrowth::reported_by(self.grown.subscribe())
    }
}
