//! The background workers of a node: started under one supervisor, and stopped in order.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use authlog_application::supervisor::{Supervisor, Workers};
use authlog_application::{Background, LogFeed};
use authlog_infrastructure::Store;
use authlog_infrastructure::claim_upgrade::ClaimUpgrader;
use authlog_infrastructure::limits::{GcraAttemptLimiter, Update};
use authlog_infrastructure::nats::EventPublisher;
use authlog_infrastructure::seal_upgrade::SealUpgrader;
use authlog_infrastructure::tokens::KeyWatch;
use futures_util::FutureExt as _;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::parts::{self, ClusterWorkers};
use crate::transparency::Checkpoints;

/// How long the workers get to finish once all requests are answered: enough for what a healthy store and stream need. With
/// the time for requests it is less than `signals::END_WITHIN`.
const FINISH_WITHIN: Duration = Duration::from_secs(6);

/// What runs beside the requests.
pub(crate) struct BackgroundWork {
    pub(crate) application: Background,
    pub(crate) key_watch: KeyWatch<dyn Store>,
    pub(crate) seal_upgrader: SealUpgrader,
    pub(crate) claim_upgrader: ClaimUpgrader,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) publisher: Option<EventPublisher>,
    pub(crate) cluster: Option<ClusterWorkers>,
    pub(crate) limits: Option<(Arc<GcraAttemptLimiter>, mpsc::Receiver<Update>)>,
}

/// The workers of a node that runs.
pub(crate) struct Running {
    workers: Workers,
    /// These can be left at any moment: what they had not finished is taken up again from the store.
    interruptible: Vec<AbortOnDropHandle<()>>,
    recorder: JoinHandle<()>,
    sequencer: Option<JoinHandle<()>>,
    publisher: Option<JoinHandle<()>>,
    others: Vec<JoinHandle<()>>,
    recorded: CancellationToken,
    sequenced: CancellationToken,
    published: CancellationToken,
}

impl BackgroundWork {
    /// Starts everything. `stop` is cancelled when the program is told to end; requests are still being answered then.
    pub(crate) fn start(self, store: &dyn Store, stop: &CancellationToken) -> Running {
        let supervisor = Supervisor::new(parts::entropy());
        for worker in store.workers() {
            supervisor.workers().add(worker);
        }
        let (recorded, sequenced, published) = (
            CancellationToken::new(),
            CancellationToken::new(),
            CancellationToken::new(),
        );
        let Background {
            refused_logins,
            password_renewer,
            reset_mailer,
            event_mailer,
            revocation_tail,
            housekeeper,
            mail_sweeper,
            feed,
        } = self.application;
        let mut interruptible = vec![
            supervisor.start("password_renewer", stop, password_renewer, |it| {
                it.run().boxed()
            }),
            supervisor.start("reset_mailer", stop, reset_mailer, |it| it.run().boxed()),
            supervisor.start("event_mailer", stop, event_mailer, |it| it.run().boxed()),
            supervisor.start("revocation_tail", stop, revocation_tail, |it| {
                it.run().boxed()
            }),
            supervisor.start("housekeeper", stop, housekeeper, |it| it.run().boxed()),
            supervisor.start("mail_sweeper", stop, mail_sweeper, |it| it.run().boxed()),
            supervisor.start("log_feed", stop, feed, |feed: &mut Arc<LogFeed>| {
                Arc::clone(feed).run().boxed()
            }),
            supervisor.start("key_watch", stop, self.key_watch, |it| it.run().boxed()),
            supervisor.start("seal_upgrader", stop, self.seal_upgrader, |it| {
                // Once everything is sealed there is nothing left to do.
                it.run().then(|()| pending()).boxed()
            }),
            supervisor.start("claim_upgrader", stop, self.claim_upgrader, |it| {
                it.run().then(|()| pending()).boxed()
            }),
        ];
        // It ends with the last copy of the façade, once its queue is empty.
        let recorder = supervisor.start("refused_login_recorder", stop, refused_logins, |it| {
            it.run().boxed()
        });
        let mut others = self.checkpoints.start(&supervisor, &published);
        let mut sequencer = None;
        if let Some(cluster) = self.cluster {
            let until = recorded.clone();
            sequencer = Some(supervisor.start(
                "sequencer",
                &recorded,
                cluster.sequencer,
                move |it| it.run(until.clone()).boxed(),
            ));
            let exchange = self
                .limits
                .map(|(limiter, told)| (cluster.guesses, limiter, told));
            interruptible.extend(exchange.map(|exchange| {
                supervisor.start(
                    "guess_exchange",
                    stop,
                    exchange,
                    |(guesses, limiter, told)| guesses.run(limiter, told).boxed(),
                )
            }));
            let until = published.clone();
            others.push(supervisor.start(
                "signer_election",
                &published,
                cluster.signer,
                move |it| it.run(until.clone()).boxed(),
            ));
            if let Some(publisher) = &self.publisher {
                let until = published.clone();
                let mut election = cluster.publisher;
                election.gives_up_while(publisher.unable());
                others.push(supervisor.start(
                    "publisher_election",
                    &published,
                    election,
                    move |it| it.run(until.clone()).boxed(),
                ));
            }
        }
        let publisher = self.publisher.map(|publisher| {
            let until = sequenced.clone();
            supervisor.start("publisher", &sequenced, publisher, move |it| {
                it.run(until.clone()).boxed()
            })
        });
        Running {
            workers: supervisor.workers().clone(),
            interruptible: interruptible
                .into_iter()
                .map(AbortOnDropHandle::new)
                .collect(),
            recorder,
            sequencer,
            publisher,
            others,
            recorded,
            sequenced,
            published,
        }
    }
}

impl Running {
    /// The states of the workers.
    pub(crate) fn workers(&self) -> &Workers {
        &self.workers
    }

    /// Ends the workers in the order in which events pass through them, so that the last ones are recorded, have their
    /// place in the log and are on the stream; whether all of them have finished in time.
    pub(crate) async fn finish(self) -> bool {
        let deadline = Instant::now() + FINISH_WITHIN;
        drop(self.interruptible);
        let mut in_time = finish("recording refused logins", self.recorder, deadline).await;
        self.recorded.cancel();
        if let Some(sequencer) = self.sequencer {
            in_time &= finish("sequencing the log", sequencer, deadline).await;
        }
        self.sequenced.cancel();
        if let Some(publisher) = self.publisher {
            in_time &= finish("publishing events", publisher, deadline).await;
        }
        self.published.cancel();
        for worker in self.others {
            in_time &= finish("signing checkpoints", worker, deadline).await;
        }
        in_time
    }
}

async fn finish(what: &str, worker: JoinHandle<()>, deadline: Instant) -> bool {
    let in_time = timeout_at(deadline, worker).await.is_ok();
    if !in_time {
        tracing::warn!(what, "a worker did not finish in time");
    }
    in_time
}
