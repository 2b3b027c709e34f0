//! Putting together what proves the log: its key, the signer, and those who carry checkpoints away.

use std::sync::Arc;

use anyhow::Context;
use authlog_application::supervisor::Supervisor;
use authlog_infrastructure::Store;
use authlog_infrastructure::nats::NatsCheckpoints;
use authlog_infrastructure::transparency::courier::{CheckpointSink, Courier};
use authlog_infrastructure::transparency::file::CheckpointFile;
use authlog_infrastructure::transparency::key::log_key;
use authlog_infrastructure::transparency::note::NoteKey;
use authlog_infrastructure::transparency::signer::{Alarm, Signer};
use authlog_infrastructure::transparency::{LogTree, ProvenLog};
use futures_util::FutureExt as _;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::parts;
use crate::settings::Settings;

/// The key that signs for the log of this store.
///
/// # Errors
/// The store does not answer, or what it holds is no key.
pub(crate) async fn key(settings: &Settings, store: &dyn Store) -> anyhow::Result<NoteKey> {
    // Logs are named like URLs without a scheme (C2SP tlog-checkpoint). Where no URL is set the name is made up.
    let origin = settings.public_url.as_ref().and_then(|url| {
        let host = url.host_str()?;
        let port = url
            .port()
            .map(|port| format!(":{port}"))
            .unwrap_or_default();
        let path = url.path().trim_end_matches('/');
        Some(format!("{host}{port}{path}/audit/log"))
    });
    log_key(store, &*parts::entropy(), origin.as_deref())
        .await
        .context("the key that signs checkpoints")
}

/// The log as it answers for itself.
///
/// # Errors
/// As for [`key`].
pub(crate) async fn log(settings: &Settings, store: Arc<dyn Store>) -> anyhow::Result<ProvenLog> {
    let key = key(settings, &*store).await?;
    Ok(ProvenLog::new(store, Arc::new(key)))
}

/// The work that checkpoints make.
pub(crate) struct Checkpoints {
    signer: Signer,
    file: Option<Courier<CheckpointFile>>,
    nats: Option<Courier<NatsCheckpoints>>,
}

impl Checkpoints {
    /// The signer of the log in `store`, which works while `signs` says so, and who carries its checkpoints to where the
    /// settings say.
    ///
    /// # Errors
    /// As for [`key`].
    pub(crate) async fn new(
        settings: &Settings,
        store: Arc<dyn Store>,
        signs: watch::Receiver<bool>,
    ) -> anyhow::Result<Self> {
        let key = key(settings, &*store).await?;
        let verifier = key.verifier().clone();
        let store: Arc<dyn LogTree> = store;
        let alarm: Alarm = Arc::new(watch::Sender::new(None));
        let (tree, elected, bell) = (Arc::clone(&store), signs.clone(), Arc::clone(&alarm));
        let signer = Signer::new(tree, Arc::new(key), elected, bell);
        let file = settings.checkpoint_file.clone().map(CheckpointFile::new);
        let nats = settings.nats_url.as_ref();
        let nats = nats.map(|url| NatsCheckpoints::new(url.to_string()));
        Ok(Self {
            signer,
            file: file.map(|file| {
                let (store, signs, alarm) = (store.clone(), signs.clone(), alarm.clone());
                Courier::new(file, store, verifier.clone(), signs, alarm)
            }),
            nats: nats.map(|nats| {
                let (store, signs, alarm) = (store.clone(), signs.clone(), alarm.clone());
                Courier::new(nats, store, verifier.clone(), signs, alarm)
            }),
        })
    }

    /// Starts the work, which ends with `stop`.
    pub(crate) fn start(
        self,
        supervisor: &Supervisor,
        stop: &CancellationToken,
    ) -> Vec<JoinHandle<()>> {
        let ends = stop.clone();
        let signer = supervisor.start("signer", stop, self.signer, move |it| {
            it.run(ends.clone()).boxed()
        });
        let mut tasks = vec![signer];
        let file = self.file;
        tasks.extend(file.map(|courier| carry("file_courier", courier, supervisor, stop)));
        let nats = self.nats;
        tasks.extend(nats.map(|courier| carry("stream_courier", courier, supervisor, stop)));
        tasks
    }
}

fn carry<S: CheckpointSink + 'static>(
    name: &'static str,
    courier: Courier<S>,
    supervisor: &Supervisor,
    stop: &CancellationToken,
) -> JoinHandle<()> {
    let ends = stop.clone();
    supervisor.start(name, stop, courier, move |courier| {
        let ends = ends.clone();
        async move {
            courier.run(ends.clone()).await;
            // A courier that has raised the alarm has nothing more to do.
            ends.cancelled().await;
        }
        .boxed()
    })
}
