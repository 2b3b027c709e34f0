//! Assembles the transparency log: its key, the signer, the auditor and the export of checkpoints.

use std::sync::Arc;

use anyhow::Context;
use authlog_application::ports::LogIntegrity;
use authlog_application::supervisor::Supervisor;
use authlog_infrastructure::Store;
use authlog_infrastructure::nats::NatsCheckpoints;
use authlog_infrastructure::system::{SystemClock, SystemEntropy};
use authlog_infrastructure::transparency::auditor::Auditor;
use authlog_infrastructure::transparency::checkpoint::Checkpoint;
use authlog_infrastructure::transparency::exporter::{CheckpointSink, Courier, judge_sink};
use authlog_infrastructure::transparency::file::CheckpointFile;
use authlog_infrastructure::transparency::key::log_key;
use authlog_infrastructure::transparency::note::{NoteKey, VerifierKey};
use authlog_infrastructure::transparency::signer::{Signer, sign_all};
use authlog_infrastructure::transparency::witness::{TrustedCheckpoint, Witness};
use authlog_infrastructure::transparency::{LogTree, ProvenLog, SchemaWatch};
use futures_util::FutureExt as _;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::settings::Settings;

/// The key that signs for the log of this store.
///
/// # Errors
/// The store does not answer, or what it holds is no key.
pub(crate) async fn key(settings: &Settings, store: &dyn Store) -> anyhow::Result<NoteKey> {
    // Logs are named like URLs without a scheme (C2SP tlog-checkpoint). Where no URL is set the name is made up.
    let origin = settings.http.public_url.as_ref().and_then(|url| {
        let host = url.host_str()?;
        let port = url
            .port()
            .map(|port| format!(":{port}"))
            .unwrap_or_default();
        let path = url.path().trim_end_matches('/');
        Some(format!("{host}{port}{path}/audit/log"))
    });
    log_key(store, &SystemEntropy, origin.as_deref())
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

/// Signs for all that the log has, unless it contradicts a checkpoint in the file or on the stream that the settings name.
/// A service that runs meanwhile signs the same.
///
/// # Errors
/// They contradict each other, or one of them cannot be read.
pub(crate) async fn sign(
    settings: &Settings,
    store: &dyn LogTree,
    key: &NoteKey,
) -> anyhow::Result<()> {
    let mut trusted: Option<TrustedCheckpoint> = None;
    let size_of =
        |it: &Option<TrustedCheckpoint>| it.as_ref().map_or(0, |it| it.checkpoint.tree_size);
    let (file, stream) = (checkpoint_file(settings), checkpoint_stream(settings));
    let file = file.map(|sink| Box::new(sink) as Box<dyn CheckpointSink>);
    let stream = stream.map(|sink| Box::new(sink) as Box<dyn CheckpointSink>);
    for mut sink in file.into_iter().chain(stream) {
        let newest = judge_sink(&mut *sink, store, key.verifier()).await;
        let newest = newest.context("no checkpoint is signed")?;
        if size_of(&newest) > size_of(&trusted) {
            trusted = newest;
        }
    }
    sign_all(store, key, trusted)
        .await
        .context("no checkpoint is signed")?;
    Ok(())
}

/// The newest checkpoint in the file that the settings name, after all notes in it were compared with the log.
///
/// # Errors
/// They contradict each other, or one of them cannot be read.
pub(crate) async fn newest_in_file(
    settings: &Settings,
    store: &dyn LogTree,
    key: &VerifierKey,
) -> anyhow::Result<Option<Checkpoint>> {
    let Some(mut file) = checkpoint_file(settings) else {
        return Ok(None);
    };
    let newest = judge_sink(&mut file, store, key).await?;
    Ok(newest.map(|newest| newest.checkpoint))
}

fn checkpoint_file(settings: &Settings) -> Option<CheckpointFile> {
    settings
        .storage
        .checkpoint_file
        .clone()
        .map(CheckpointFile::new)
}

fn checkpoint_stream(settings: &Settings) -> Option<NatsCheckpoints> {
    let nats = settings.nats.as_ref()?;
    Some(NatsCheckpoints::new(nats.access.clone(), nats.stream))
}

/// The work that checkpoints make.
pub(crate) struct Checkpoints {
    signer: Signer,
    schema_watch: SchemaWatch<dyn Store>,
    auditor: Auditor<dyn Store>,
    witness: Arc<Witness>,
    file: Option<Courier<CheckpointFile>>,
    nats: Option<Courier<NatsCheckpoints>>,
}

impl Checkpoints {
    /// The signer of the log in `store`, which works while `signs` says so, and the couriers that carry its checkpoints to
    /// where the settings say.
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
        let witness = Arc::new(Witness::default());
        let schema_watch = SchemaWatch::new(Arc::clone(&store), Arc::clone(&witness));
        let (records, elected) = (Arc::clone(&store), signs.clone());
        let auditor = Auditor::new(
            records,
            Arc::new(SystemClock),
            elected,
            Arc::clone(&witness),
        );
        let store: Arc<dyn LogTree> = store;
        let (tree, elected) = (Arc::clone(&store), signs.clone());
        let signer = Signer::new(tree, Arc::new(key), elected, Arc::clone(&witness));
        Ok(Self {
            signer,
            schema_watch,
            auditor,
            file: checkpoint_file(settings).map(|file| {
                let (store, signs, witness) = (store.clone(), signs.clone(), witness.clone());
                Courier::new(file, store, verifier.clone(), signs, witness)
            }),
            nats: checkpoint_stream(settings).map(|nats| {
                let (store, signs, witness) = (store.clone(), signs.clone(), witness.clone());
                Courier::new(nats, store, verifier.clone(), signs, witness)
            }),
            witness,
        })
    }

    /// Where to watch whether the log still is the one that was signed.
    pub(crate) fn integrity(&self) -> watch::Receiver<LogIntegrity> {
        self.witness.integrity()
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
        let ends = stop.clone();
        let schema_watch =
            supervisor.start("schema_watch", stop, self.schema_watch, move |watch| {
                let ends = ends.clone();
                async move {
                    tokio::select! {
                        () = watch.run() => {}
                        () = ends.cancelled() => {}
                    }
                }
                .boxed()
            });
        let ends = stop.clone();
        let auditor = supervisor.start("auditor", stop, self.auditor, move |it| {
            it.run(ends.clone()).boxed()
        });
        let mut tasks = vec![signer, schema_watch, auditor];
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
    supervisor.start(name, stop, courier, move |it| it.run(ends.clone()).boxed())
}
