//! The publisher: on the node that leads, it copies the log to the stream as fast as the stream takes it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use authlog_application::ports::{EventLog, Publication};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::access::NatsAccess;
use super::config::StreamOptions;
use super::connection::Connection;
use super::copy_check::CopyCheck;
use super::pages::{PAGE, Pages};
use super::pipeline::Pipeline;
use super::stream;
use super::trouble::Trouble;

/// Messages under way beyond which no further page is sent: enough to hide the round trip, few enough to resend after a
/// fault.
const IN_FLIGHT: usize = 1000;

/// How often the stream is looked at while it takes messages, or while there are none: whether it is still there, whole,
/// and of this log. An operator who wipes it need not wait for the next event to see it filled again.
const CHECK_EVERY: Duration = Duration::from_secs(5);

/// The first pause after trouble; each further one is twice as long, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// How long a server that was away may have been back unnoticed.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long the leader tries in vain to reach a server before it gives another node the chance. While no node reaches one,
/// it is twice as long each time, up to [`LONGEST_PATIENCE`].
const PATIENCE: Duration = Duration::from_secs(10);

/// How long at the most.
const LONGEST_PATIENCE: Duration = Duration::from_secs(5 * 60);

/// What a leader says before it has opened the stream.
const NOT_OPENED_YET: &str = "the stream has not been opened yet";

/// Where and as whom to publish.
#[derive(Clone)]
pub struct PublisherSettings {
    /// How to connect to NATS.
    pub access: NatsAccess,
    /// How the stream is made, if it has to be.
    pub stream: StreamOptions,
    /// `source` of every event: a URI reference that names this service.
    pub source: String,
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
            unable: watch::Sender::new(false),
            check: CopyCheck::default(),
        };
        (publisher, progress)
    }

    /// Whether this node should leave the work to another, because it alone may be cut off from the servers.
    pub fn unable(&self) -> watch::Receiver<bool> {
        self.unable.subscribe()
    }

    /// Publishes until `stop`, and then what the log holds at that moment, unless something is in the way. Whatever goes
    /// wrong, events wait in the log and publishing resumes by itself.
    pub async fn run(&mut self, stop: CancellationToken) {
        let mut failures = 0;
        let mut patience = PATIENCE;
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
                    () = elected_anew(&mut self.leads) => continue,
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
            // What is under way can be left at any moment: whether it arrived is asked of the stream.
            let trouble = tokio::select! {
                () = has_published_all(&stop, &self.log, &self.publication) => return,
                () = elected_anew(&mut self.leads) => continue,
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
                patience = PATIENCE;
                works_until = None;
            }
            match trouble {
                Trouble::Away(_) => {
                    let until = *works_until.get_or_insert_with(|| Instant::now() + patience);
                    if Instant::now() >= until && !self.unable.send_replace(true) {
                        patience = (patience * 2).min(LONGEST_PATIENCE);
                    }
                }
                // Another node would be refused, too.
                Trouble::Refused(_) => works_until = None,
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
                tracing::warn!(trouble = %words, "events cannot be published; they stay in the log until they can");
            }
            Trouble::Refused(_) => {
                tracing::error!(trouble = %words, "publishing has stopped until an operator repairs the stream");
            }
        }
        self.publication.send_modify(|it| {
            it.trouble = Some(words);
            it.alarm = matches!(trouble, Trouble::Refused(_));
        });
    }
}

/// Waits for the next election; for ever where there is none, as beside a store of one node.
async fn elected_anew(leads: &mut watch::Receiver<bool>) {
    if leads.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Waits for `stop`, and then until everything in the log is on the stream, or the log cannot be read.
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
    // The sender is there for as long as this waits.
    let _ = published
        .wait_for(|published| published.log_index >= head.log_index)
        .await;
}

/// Publishes until something goes wrong.
async fn publish_all(
    log: &Arc<dyn EventLog>,
    settings: &PublisherSettings,
    publication: &watch::Sender<Publication>,
    check: &mut CopyCheck,
    was_there: bool,
) -> Result<Infallible, Trouble> {
    let connection = Connection::open(&settings.access).await?;
    tokio::select! {
        trouble = connection.breaks() => Err(trouble),
        Err(trouble) = publish_over(&connection, log, settings, publication, check, was_there) => {
            Err(connection.explain(trouble))
        }
    }
}

/// Publishes over a connection, and makes sure from time to time that the stream is what it has to be.
async fn publish_over(
    connection: &Connection,
    log: &Arc<dyn EventLog>,
    settings: &PublisherSettings,
    publication: &watch::Sender<Publication>,
    check: &mut CopyCheck,
    was_there: bool,
) -> Result<Infallible, Trouble> {
    let jetstream = &connection.jetstream;
    let options = settings.stream;
    let mut opened = stream::open(jetstream, &**log, options, was_there).await?;
    stream::note_choices(&opened.found, options);
    let reached = opened.reached.log_index;
    tracing::info!(reached, "publishing events");
    loop {
        check.turn_to(&opened);
        let reached = opened.reached;
        // A stream that is full opens like any other: only a message that it takes shows that it has room again.
        let waits = log.log_head().await.map_err(Trouble::away)?.log_index > reached.log_index;
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
        tokio::select! {
            published = publish_for_a_while(pages, pipeline, publication, unproven) => published?,
            trouble = check.run(&opened.found, &**log, publication) => return Err(trouble),
        }
        opened = stream::open(jetstream, &**log, options, true).await?;
    }
}

/// Publishes until it is time to look at the stream again. The first message that is stored ends the trouble `unproven`.
async fn publish_for_a_while(
    mut pages: Pages,
    mut pipeline: Pipeline<'_>,
    publication: &watch::Sender<Publication>,
    mut unproven: Option<String>,
) -> Result<(), Trouble> {
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
                Some(page) => pipeline.send(&page.map_err(Trouble::away)?).await?,
                None => return Ok(()),
            },
            stored = pipeline.stored() => {
                let stored = stored?;
                let ended = unproven.take();
                publication.send_modify(|it| {
                    it.log_index = stored;
                    if ended.is_some() && it.trouble == ended {
                        it.trouble = None;
                        it.alarm = false;
                    }
                });
            }
            () = tokio::time::sleep_until(check_at), if goes_on => {}
        }
    }
}
