//! The publisher: on the node that leads, it copies the log to the stream as fast as the stream takes it.

use std::collections::VecDeque;
use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::context::PublishAckFuture;
use authlog_application::ports::{EventLog, LogFilter, LoggedEvent, Publication};
use authlog_application::published::publish;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::message::message;
use super::stream;

/// Events that are read from the log at a time.
const BATCH: u32 = 1000;

/// Messages that may be under way at once: enough to hide the round trip, few enough to resend after a fault.
const IN_FLIGHT: usize = 512;

/// How often the log is looked at when there is nothing to publish. It is most of the delay between an answer to a
/// client and the event on the stream.
const IDLE: Duration = Duration::from_millis(10);

/// How long a message may remain unacknowledged before the connection counts as broken.
const ACK_WITHIN: Duration = Duration::from_secs(5);

/// The first pause after trouble; each further one is twice as long, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// How long a server that was away may have been back unnoticed.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What keeps the publisher from publishing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// Something does not answer; it may be back in a moment.
    #[error("{0}")]
    Away(String),
    /// Going on would make a hole or a lie. An operator has to decide.
    #[error("{0}")]
    Refused(String),
}

impl Trouble {
    pub(super) fn away(error: impl std::error::Error) -> Self {
        let mut words = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            words = format!("{words}: {cause}");
            source = cause.source();
        }
        Self::Away(words)
    }
}

/// Where and as whom to publish.
#[derive(Clone)]
pub struct PublisherSettings {
    /// The NATS server, such as `nats://127.0.0.1:4222`; it may hold credentials.
    pub url: String,
    /// `source` of every event: a URI reference that names this service.
    pub source: String,
}

/// Publishes the log to JetStream while this node leads.
pub struct EventPublisher {
    log: Arc<dyn EventLog>,
    settings: PublisherSettings,
    leads: watch::Receiver<bool>,
    publication: watch::Sender<Publication>,
}

impl EventPublisher {
    /// A publisher that works while `leads` says so, and where its progress can be watched.
    pub fn new(
        log: Arc<dyn EventLog>,
        settings: PublisherSettings,
        leads: watch::Receiver<bool>,
    ) -> (Self, watch::Receiver<Publication>) {
        let (publication, progress) = watch::channel(Publication::default());
        let publisher = Self {
            log,
            settings,
            leads,
            publication,
        };
        (publisher, progress)
    }

    /// Publishes until `stop`. Whatever goes wrong, events wait in the log and publishing resumes by itself.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut failures = 0;
        while !stop.is_cancelled() {
            if !*self.leads.borrow_and_update() {
                self.publication.send_modify(|it| {
                    it.active = false;
                    it.trouble = None;
                });
                tokio::select! {
                    () = stop.cancelled() => return,
                    changed = self.leads.changed() => if changed.is_err() { return },
                }
                continue;
            }
            let before = self.publication.borrow().log_index;
            let Err(trouble) = self.publish_while_leading(&stop).await else {
                continue;
            };
            if self.publication.borrow().log_index > before {
                failures = 0;
            }
            let pause = FIRST_PAUSE
                .saturating_mul(1 << failures.min(10))
                .min(LONGEST_PAUSE);
            failures += 1;
            self.report(&trouble);
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Says what is wrong, once as long as it stays the same.
    fn report(&self, trouble: &Trouble) {
        let words = trouble.to_string();
        if self.publication.borrow().trouble.as_ref() == Some(&words) {
            return;
        }
        match trouble {
            Trouble::Away(_) => {
                tracing::warn!(trouble = %words, "events wait in the log until they can be published");
            }
            Trouble::Refused(_) => {
                tracing::error!(trouble = %words, "events are not published until an operator decides");
            }
        }
        self.publication.send_modify(|it| it.trouble = Some(words));
    }

    /// Publishes until this node no longer leads, it is told to stop, or something goes wrong.
    async fn publish_while_leading(&self, stop: &CancellationToken) -> Result<(), Trouble> {
        let client = async_nats::connect(&self.settings.url)
            .await
            .map_err(Trouble::away)?;
        let jetstream = jetstream::ContextBuilder::new()
            .timeout(ACK_WITHIN)
            .ack_timeout(ACK_WITHIN)
            .build(client);
        let mut reached = stream::open(&jetstream, &*self.log).await?;
        tracing::info!(reached, "publishing events");
        self.publication.send_modify(|it| {
            it.active = true;
            it.log_index = reached;
            it.trouble = None;
        });
        while !stop.is_cancelled() && *self.leads.borrow() {
            let batch = self
                .log
                .read_log(reached, BATCH, &LogFilter::default())
                .await
                .map_err(Trouble::away)?;
            if batch.is_empty() {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(IDLE) => {}
                }
                continue;
            }
            reached = self.publish_batch(&jetstream, reached, &batch).await?;
        }
        Ok(())
    }

    /// Sends a batch without waiting for each message, and returns the last index once all are stored.
    async fn publish_batch(
        &self,
        jetstream: &jetstream::Context,
        mut reached: u64,
        batch: &[LoggedEvent],
    ) -> Result<u64, Trouble> {
        let mut under_way: VecDeque<(u64, PublishAckFuture)> = VecDeque::with_capacity(IN_FLIGHT);
        for logged in batch {
            let expected = reached + under_way.len() as u64 + 1;
            if logged.log_index != expected {
                return Err(Trouble::Refused(format!(
                    "the log has no event {expected}; nothing after it is published"
                )));
            }
            let event = publish(logged).map_err(Trouble::away)?;
            let subject = event.kind.subject(event.user);
            let message = message(&event, &self.settings.source).map_err(Trouble::away)?;
            let sent = jetstream.send_publish(subject, message).await;
            under_way.push_back((event.log_index, sent.map_err(Trouble::away)?));
            if under_way.len() >= IN_FLIGHT {
                reached = self.stored(&mut under_way, reached).await?;
            }
        }
        while !under_way.is_empty() {
            reached = self.stored(&mut under_way, reached).await?;
        }
        Ok(reached)
    }

    /// Waits until the oldest message under way is stored at its place.
    async fn stored(
        &self,
        under_way: &mut VecDeque<(u64, PublishAckFuture)>,
        reached: u64,
    ) -> Result<u64, Trouble> {
        let Some((log_index, acknowledged)) = under_way.pop_front() else {
            return Ok(reached);
        };
        let ack = acknowledged.into_future().await.map_err(Trouble::away)?;
        if ack.sequence != log_index {
            return Err(Trouble::Away(format!(
                "the stream stored event {log_index} at {}",
                ack.sequence
            )));
        }
        self.publication.send_modify(|it| it.log_index = log_index);
        Ok(log_index)
    }
}
