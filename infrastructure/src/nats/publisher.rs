//! The worker that publishes the log. On the leading node it copies the log to the stream as fast as the stream accepts it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use authlog_application::ports::{Entropy, EventLog, LogCursor, Publication};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::access::NatsAccess;
use super::config::StreamOptions;
use super::connection::NatsConnection;
use super::copy_check::CopyCheck;
use super::error::NatsError;
use super::heartbeats::Heartbeats;
use super::pages::{PAGE, Pages};
use super::pipeline::Pipeline;
use super::stream;

/// The limit of unacknowledged messages, beyond which no further page is sent. It hides the round trip, and is small enough
/// to resend after an error.
const IN_FLIGHT: usize = 1000;

/// The interval at which the stream is checked: whether it exists, is complete and belongs to this log. So a stream that an
/// operator has deleted is filled again without a new event.
const CHECK_EVERY: Duration = Duration::from_secs(5);

/// The first pause after an error. Each further pause is twice as long, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long the leader fails to reach a server before it resigns in favour of another node. The time doubles with each
/// resignation, up to [`LONGEST_RESIGN_AFTER`], while no node reaches a server.
const RESIGN_AFTER: Duration = Duration::from_secs(10);

/// The upper limit of [`RESIGN_AFTER`].
const LONGEST_RESIGN_AFTER: Duration = Duration::from_secs(5 * 60);

/// The reported state of a leader that has not opened the stream yet.
const NOT_OPENED_YET: &str = "the stream has not been opened yet";

/// How to publish.
#[derive(Clone)]
pub struct PublisherSettings {
    /// How to connect to NATS.
    pub access: NatsAccess,
    /// How the stream is created if it does not exist.
    pub stream: StreamOptions,
    /// The CloudEvents attribute `source` of every event: a URI reference that names this service.
    pub source: String,
    /// Makes the names of the publishers in heartbeats.
    pub entropy: Arc<dyn Entropy>,
}

/// Publishes the log to JetStream while this node leads.
pub struct EventPublisher {
    log: Arc<dyn EventLog>,
    settings: PublisherSettings,
    leads: watch::Receiver<bool>,
    publication: watch::Sender<Publication>,
    unable: watch::Sender<bool>,
    check: CopyCheck,
}

impl EventPublisher {
    /// A publisher that publishes while `leads` is true, and a channel with its progress.
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
            unable: watch::Sender::new(false),
            check: CopyCheck::default(),
        };
        (publisher, progress)
    }

    /// Whether this node should resign as leader, because it may be the only one that is cut off from the servers.
    pub fn unable(&self) -> watch::Receiver<bool> {
        self.unable.subscribe()
    }

    /// Publishes until `stop` is cancelled, and then what the log holds at that time, unless an error prevents it. After an
    /// error the events wait in the log, and publishing resumes without intervention.
    pub async fn run(&mut self, stop: CancellationToken) {
        let mut failures = 0;
        let mut resign_after = RESIGN_AFTER;
        let mut works_until = None;
        while !stop.is_cancelled() {
            if !*self.leads.borrow_and_update() {
                self.publication.send_modify(|it| {
                    it.active = false;
                    it.trouble = None;
                    it.alarm = false;
                });
                works_until = None;
                self.unable.send_replace(false);
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = leadership_change(&mut self.leads) => continue,
                }
            }
            self.publication.send_if_modified(|it| {
                let begins = !it.active && it.trouble.is_none();
                if begins {
                    it.trouble = Some(NOT_OPENED_YET.to_owned());
                }
                begins
            });
            let before = self.publication.borrow().log_index;
            let was_there = before > 0 || failures > 0;
            // Unacknowledged messages can be abandoned at any time: the stream says whether they were stored.
            let trouble = tokio::select! {
                () = has_published_all(&stop, &self.log, &self.publication) => return,
                () = leadership_change(&mut self.leads) => continue,
                Err(trouble) = publish_all(
                    &self.log,
                    &self.settings,
                    &self.publication,
                    &mut self.check,
                    was_there,
                ) => trouble,
            };
            if self.publication.borrow().log_index > before {
                failures = 0;
                resign_after = RESIGN_AFTER;
                works_until = None;
            }
            match trouble {
                NatsError::Unavailable(_) => {
                    let until = *works_until.get_or_insert_with(|| Instant::now() + resign_after);
                    if Instant::now() >= until && !self.unable.send_replace(true) {
                        resign_after = (resign_after * 2).min(LONGEST_RESIGN_AFTER);
                    }
                }
                // Another node would be blocked as well.
                NatsError::Blocked(_) => works_until = None,
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

    /// Logs and publishes an error, once while it stays the same.
    fn report(&self, trouble: &NatsError) {
        let words = trouble.to_string();
        if self.publication.borrow().trouble.as_ref() == Some(&words) {
            return;
        }
        match trouble {
            NatsError::Unavailable(_) => {
                tracing::warn!(trouble = %words, "events cannot be published; they stay in the log until they can");
            }
            NatsError::Blocked(_) => {
                tracing::error!(trouble = %words, "publishing has stopped until an operator repairs the stream");
            }
        }
        self.publication.send_modify(|it| {
            it.trouble = Some(words);
            it.alarm = matches!(trouble, NatsError::Blocked(_));
        });
    }
}

/// Waits for the next change of leadership. It waits for ever if there are no elections, as with a store of one node.
async fn leadership_change(leads: &mut watch::Receiver<bool>) {
    if leads.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Waits until `stop` is cancelled, and then until the whole log is on the stream or the log cannot be read.
async fn has_published_all(
    stop: &CancellationToken,
    log: &Arc<dyn EventLog>,
    publication: &watch::Sender<Publication>,
) {
    stop.cancelled().await;
    let Ok(head) = log.log_head().await else {
        return;
    };
    let mut published = publication.subscribe();
    // The sender outlives this wait.
    let _ = published
        .wait_for(|published| published.log_index >= head.log_index)
        .await;
}

/// Publishes until an error occurs.
async fn publish_all(
    log: &Arc<dyn EventLog>,
    settings: &PublisherSettings,
    publication: &watch::Sender<Publication>,
    check: &mut CopyCheck,
    was_there: bool,
) -> Result<Infallible, NatsError> {
    let connection = NatsConnection::open(&settings.access).await?;
    tokio::select! {
        trouble = connection.breaks() => Err(trouble),
        Err(trouble) = publish_over(&connection, log, settings, publication, check, was_there) => {
            Err(connection.explain(trouble))
        }
    }
}

/// Publishes over a connection, and checks the stream every [`CHECK_EVERY`].
async fn publish_over(
    connection: &NatsConnection,
    log: &Arc<dyn EventLog>,
    settings: &PublisherSettings,
    publication: &watch::Sender<Publication>,
    check: &mut CopyCheck,
    was_there: bool,
) -> Result<Infallible, NatsError> {
    let jetstream = &connection.jetstream;
    let options = settings.stream;
    let mut opened = stream::open(jetstream, &**log, options, was_there).await?;
    stream::note_choices(&opened.found, options);
    let reached = opened.reached.log_index;
    tracing::info!(reached, "publishing events");
    let (client, entropy) = (jetstream.client(), Arc::clone(&settings.entropy));
    let mut heartbeats = Heartbeats::over(client, Arc::clone(log), entropy);
    loop {
        check.turn_to(&opened);
        let reached = opened.reached;
        // A full stream can be opened, too. Only a stored message shows that it has room again.
        let waits = log
            .log_head()
            .await
            .map_err(NatsError::unavailable)?
            .log_index
            > reached.log_index;
        let mut unproven = None;
        publication.send_modify(|it| {
            it.active = true;
            it.log_index = reached.log_index;
            if waits && it.alarm {
                unproven.clone_from(&it.trouble);
            } else {
                it.trouble = check.finding();
                it.alarm = it.trouble.is_some();
            }
        });
        let source = &settings.source;
        let surplus = opened.surplus();
        let pipeline = Pipeline::after(reached.log_index, surplus, jetstream, source);
        let pages = Pages::after(reached, Arc::clone(log));
        let copy = Copy {
            pages,
            pipeline,
            stored: reached,
            unproven,
        };
        tokio::select! {
            published = publish_for_a_while(copy, publication, &mut heartbeats) => published?,
            trouble = check.run(&opened.found, &**log, publication) => return Err(trouble),
        }
        opened = stream::open(jetstream, &**log, options, true).await?;
    }
}

/// The log on its way to the stream.
struct Copy<'a> {
    pages: Pages,
    pipeline: Pipeline<'a>,
    /// The entry of the last event that is stored.
    stored: LogCursor,
    /// An error that the first stored message ends.
    unproven: Option<String>,
}

/// Publishes until the stream has to be checked again.
async fn publish_for_a_while(
    copy: Copy<'_>,
    publication: &watch::Sender<Publication>,
    heartbeats: &mut Heartbeats,
) -> Result<(), NatsError> {
    let Copy {
        mut pages,
        mut pipeline,
        stored: mut last,
        mut unproven,
    } = copy;
    let check_at = Instant::now() + CHECK_EVERY;
    loop {
        let goes_on = Instant::now() < check_at;
        if !goes_on && pipeline.len() == 0 {
            return Ok(());
        }
        let has_room = pipeline.len() + PAGE as usize <= IN_FLIGHT;
        tokio::select! {
            biased;
            page = pages.next(), if goes_on && has_room => match page {
                Some(page) => pipeline.send(&page.map_err(NatsError::unavailable)?).await?,
                None => return Ok(()),
            },
            stored = pipeline.stored() => {
                let stored = stored?;
                let ended = unproven.take();
                last = stored;
                publication.send_modify(|it| {
                    it.log_index = stored.log_index;
                    if ended.is_some() && it.trouble == ended {
                        it.trouble = None;
                        it.alarm = false;
                    }
                });
            }
            () = heartbeats.news() => {}
            () = tokio::time::sleep_until(check_at), if goes_on => {}
        }
        // A stream that is not the copy of the log makes no reader current.
        if publication.borrow().trouble.is_none() {
            heartbeats.send_at(last).await?;
        }
    }
}
