//! The worker that copies committed events into `event_log`, in their final order.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::hold_up::HoldUpWatch;
use super::hosts::{Hosts, Setting};
use super::leadership::{LeaderRole, Leadership, with_timeout};
use super::signals::Signals;

/// Events in a batch: large enough to amortise the fixed cost of the statement, small enough to finish within
/// milliseconds.
const BATCH: i32 = 2_000;

/// How often the leader looks for new events when it has caught up. It is the delay that feeds add to an event, against
/// fifty small reads a second; waiting in between also makes batches of what would be single commits.
const POLL_EVERY: Duration = Duration::from_millis(20);

/// The shortest time between two batches. A batch comes this early if this node has appended events itself, so that readers get an
/// event some milliseconds after its commit.
const EARLIEST_POLL: Duration = Duration::from_millis(8);

/// After a batch of so many events there are many commits, and the next batch waits for [`POLL_EVERY`].
const MANY: i32 = 8;

/// How long to wait after a first failure; twice as long after each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest wait between attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Settings of the leader's connection, besides those of every session.
///
/// A commit does not wait for the disk (`synchronous_commit`). A crash of the server loses the tail of the log together
/// with the mark. The order depends only on the events, so the next batch gives the same events the same indices.
///
/// While `events` is new and small, the planner would choose a plan that reads the whole table, and keep this plan when
/// the table has grown (`enable_seqscan`, `enable_bitmapscan`). Without these scans it overestimates the cost of
/// reading the one row of `sequencer`, which has no index, so much that it would compile each statement first (`jit`),
/// which takes longer than the batch.
const SETTINGS: [Setting; 4] = [
    ("synchronous_commit", "off"),
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("jit", "off"),
];

/// Puts the events of all nodes into one order. Run it on every node: the nodes elect a leader, and another one when it
/// stops.
pub struct Sequencer {
    hosts: Arc<Hosts>,
    signals: Arc<Signals>,
}

impl Sequencer {
    pub(super) fn new(hosts: Arc<Hosts>, signals: Arc<Signals>) -> Self {
        Self { hosts, signals }
    }

    /// Runs until `shutdown`, as the leader or waiting to be elected. A leader then sequences every event that was
    /// committed by that time, except those behind open transactions of others. Errors are logged, and the work is
    /// tried again.
    pub async fn run(&self, shutdown: CancellationToken) {
        let mut pause = FIRST_PAUSE;
        while let Err(error) = self.lead(&mut pause, &shutdown).await {
            tracing::warn!(%error, "the sequencer failed and will restart");
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Leads until something fails or there is nothing more to do after `shutdown`. A success resets `pause`.
    async fn lead(
        &self,
        pause: &mut Duration,
        shutdown: &CancellationToken,
    ) -> Result<(), sqlx::Error> {
        let mut leadership = tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            leadership = Leadership::win(&self.hosts, &SETTINGS, LeaderRole::Sequencer) => leadership?,
        };
        let connection = leadership.connection();
        let take_over =
            sqlx::query_scalar("SELECT take_over_sequencer()").fetch_one(&mut *connection);
        let epoch: i64 = with_timeout(take_over).await?;
        tracing::info!(epoch, "this node is the sequencer");
        let mut hold_ups = HoldUpWatch::default();
        loop {
            // Events that are committed before the last batch begins are part of it.
            let is_last = shutdown.is_cancelled();
            let batch = sqlx::query_scalar("SELECT sequence_batch($1, $2)")
                .bind(BATCH)
                .bind(epoch)
                .fetch_one(&mut *connection);
            let copied: i32 = with_timeout(batch).await?;
            *pause = FIRST_PAUSE;
            if copied > 0 {
                self.signals.log_has_grown();
                hold_ups.moved();
            } else {
                hold_ups.is_idle(&mut *connection).await;
            }
            if copied == BATCH {
                continue;
            }
            if is_last {
                return Ok(());
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = self.pause(copied) => {}
            }
        }
    }

    /// Waits for the next batch after one of so many events.
    async fn pause(&self, copied: i32) {
        let done = Instant::now();
        sleep_until(done + EARLIEST_POLL).await;
        tokio::select! {
            () = self.signals.appended(), if copied < MANY => {}
            () = sleep_until(done + POLL_EVERY) => {}
        }
    }
}
