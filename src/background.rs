//! The background workers of a node: the application's, and those of its adapters.

use std::future::pending;
use std::sync::Arc;

use authlog_application::Background;
use authlog_infrastructure::Store;
use authlog_infrastructure::claim_upgrade::ClaimUpgrader;
use authlog_infrastructure::limits::{GcraAttemptLimiter, Update};
use authlog_infrastructure::nats::EventPublisher;
use authlog_infrastructure::seal_upgrade::SealUpgrader;
use authlog_infrastructure::tokens::KeyWatch;
use futures_util::FutureExt as _;
use tokio::sync::mpsc;

use crate::composition::ClusterWorkers;
use crate::lifecycle::{Stage, Tasks};
use crate::transparency::Checkpoints;

/// The workers that are about to start.
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

impl BackgroundWork {
    /// Starts all workers. Those of `store` are already running; their states are shown with the others.
    pub(crate) fn start(self, store: &dyn Store, tasks: &mut Tasks) {
        for worker in store.workers() {
            tasks.workers().add(worker);
        }
        for worker in self.application {
            tasks.start(worker);
        }
        tasks.abort("key_watch", self.key_watch, |it| it.run().boxed());
        tasks.abort("seal_upgrader", self.seal_upgrader, |it| {
            // It ends when everything is sealed, and must not be restarted then.
            it.run().then(|()| pending()).boxed()
        });
        tasks.abort("claim_upgrader", self.claim_upgrader, |it| {
            it.run().then(|()| pending()).boxed()
        });
        self.checkpoints.start(tasks);
        if let Some(cluster) = self.cluster {
            start_cluster(cluster, self.limits, self.publisher.as_ref(), tasks);
        }
        if let Some(publisher) = self.publisher {
            tasks.drain(Stage::Publish, "publisher", publisher, |it, stop| {
                it.run(stop).boxed()
            });
        }
    }
}

/// Starts the workers of a node that shares its store with other nodes.
fn start_cluster(
    cluster: ClusterWorkers,
    limits: Option<(Arc<GcraAttemptLimiter>, mpsc::Receiver<Update>)>,
    publisher: Option<&EventPublisher>,
    tasks: &mut Tasks,
) {
    tasks.drain(
        Stage::Sequence,
        "sequencer",
        cluster.sequencer,
        |it, stop| it.run(stop).boxed(),
    );
    if let Some((limiter, updates)) = limits {
        let exchange = (cluster.guesses, limiter, updates);
        tasks.abort("guess_exchange", exchange, |(guesses, limiter, updates)| {
            guesses.run(limiter, updates).boxed()
        });
    }
    tasks.drain(
        Stage::Sign,
        "signer_election",
        cluster.signer,
        |it, stop| it.run(stop).boxed(),
    );
    if let Some(publisher) = publisher {
        let mut election = cluster.publisher;
        election.gives_up_while(publisher.unable());
        tasks.drain(Stage::Sign, "publisher_election", election, |it, stop| {
            it.run(stop).boxed()
        });
    }
}
