//! Heartbeats on NATS: how current a reader of the stream is (`docs/adr/0042`).

use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use async_nats::connection::State;
use authlog_application::Freshness;
use authlog_application::ports::{Entropy, EventLog, LogCursor};
use authlog_application::published::{HEARTBEAT_SUBJECT, Heartbeat};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::error::NatsError;

/// The time between two heartbeats.
const EVERY: Duration = Duration::from_millis(500);

/// The shortest time between two queries of the store.
const SPACING: Duration = Duration::from_millis(20);

/// How long one name of a publisher is used. A reader counts the time of a publisher by its own clock from the first heartbeat on.
/// Clocks of machines without a time service differ by up to a second in three hours, so by less than a tenth of a second in
/// this time.
const RENEWED_AFTER: Duration = Duration::from_secs(10 * 60);

/// The heartbeats of one connection.
pub(super) struct Heartbeats {
    client: Client,
    entropy: Arc<dyn Entropy>,
    /// A name for the instant from which the time counts.
    publisher: Uuid,
    began: Instant,
    found: watch::Receiver<Option<Freshness>>,
    /// What holds as soon as the stream has the entry that it names.
    to_reach: Option<Freshness>,
    /// Asks for something new before it is due.
    again: Arc<Notify>,
    _finder: AbortOnDropHandle<()>,
}

impl Heartbeats {
    /// Begins to find out how current `log` is.
    pub(super) fn over(client: Client, log: Arc<dyn EventLog>, entropy: Arc<dyn Entropy>) -> Self {
        let began = Instant::now();
        let (sender, found) = watch::channel(None);
        let again = Arc::new(Notify::new());
        let finder = tokio::spawn(find(log, sender, Arc::clone(&again)));
        Self {
            publisher: entropy.random_uuid(),
            client,
            entropy,
            began,
            found,
            to_reach: None,
            again,
            _finder: AbortOnDropHandle::new(finder),
        }
    }

    /// Waits until more is known than before. It is cancel safe.
    pub(super) async fn news(&mut self) {
        if self.found.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        let found = *self.found.borrow_and_update();
        // An earlier finding is kept: if the stream is always a little behind, it would never reach the newest one.
        self.to_reach = self.to_reach.or(found);
    }

    /// Sends a heartbeat if the last event that is stored on the stream is the one that what is known names. Nothing is sent
    /// while the connection is interrupted, because it would arrive late.
    pub(super) async fn send_at(&mut self, stored: LogCursor) -> Result<(), NatsError> {
        let Some(found) = self
            .to_reach
            .take_if(|found| found.end.log_index <= stored.log_index)
        else {
            return Ok(());
        };
        if found.end.log_index < stored.log_index {
            // The stream was faster than the answer of the store. The next finding is about a later entry.
            self.again.notify_one();
            return Ok(());
        }
        if found.end.leaf_hash != stored.leaf_hash {
            let log_index = stored.log_index;
            return Err(NatsError::Unavailable(format!(
                "the log no longer has the event {log_index} that is on the stream"
            )));
        }
        if self.began.elapsed() >= RENEWED_AFTER {
            self.publisher = self.entropy.random_uuid();
            self.began = Instant::now();
        }
        let Some(elapsed) = found.at.checked_duration_since(self.began) else {
            return Ok(());
        };
        if self.client.connection_state() != State::Connected {
            return Ok(());
        }
        let heartbeat = Heartbeat {
            log_index: stored.log_index,
            elapsed,
        };
        let message = heartbeat.of_publisher(self.publisher).to_string();
        let sent = self.client.publish(HEARTBEAT_SUBJECT, message.into()).await;
        sent.map_err(NatsError::unavailable)
    }
}

/// Finds out how current the log is, at intervals and when `again` asks for it.
async fn find(log: Arc<dyn EventLog>, found: watch::Sender<Option<Freshness>>, again: Arc<Notify>) {
    loop {
        let asked = Instant::now();
        found.send_replace(Some(Freshness::find(&*log).await));
        sleep_until(asked + SPACING).await;
        tokio::select! {
            () = sleep_until(asked + EVERY) => {}
            () = again.notified() => {}
        }
    }
}
