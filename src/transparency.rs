//! Assembles the transparency log: its key, the signer, the auditor and the export of checkpoints.

use std::sync::Arc;

use anyhow::Context;
use authlog_application::ports::LogIntegrity;
use authlog_infrastructure::Store;
use authlog_infrastructure::nats::NatsCheckpoints;
use authlog_infrastructure::system::{SystemClock, SystemEntropy};
use authlog_infrastructure::transparency::auditor::Auditor;
use authlog_infrastructure::transparency::checkpoint::Checkpoint;
use authlog_infrastructure::transparency::exporter::{
    CheckpointExporter, CheckpointSink, compare_sink,
};
use authlog_infrastructure::transparency::file::CheckpointFile;
use authlog_infrastructure::transparency::key::log_key;
use authlog_infrastructure::transparency::note::{NoteKey, VerifierKey};
use authlog_infrastructure::transparency::signer::{Signer, sign_all};
use authlog_infrastructure::transparency::witness::{TrustedCheckpoint, Witness};
use authlog_infrastructure::transparency::{LogTree, ProvenLog, SchemaWatch};
use futures_util::FutureExt as _;
use tokio::sync::watch;

use crate::lifecycle::{Stage, Tasks};
use crate::settings::Settings;

/// The key that signs for the log of this store.
///
/// # Errors
/// The store does not answer, or its value is not a key.
pub(crate) async fn key(settings: &Settings, store: &dyn Store) -> anyhow::Result<NoteKey> {
    // The origin of a log is a URL without a scheme (C2SP tlog-checkpoint). Without a public URL a name is generated.
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

/// The log with its proofs.
///
/// # Errors
/// As for [`key`].
pub(crate) async fn log(settings: &Settings, store: Arc<dyn Store>) -> anyhow::Result<ProvenLog> {
    let key = key(settings, &*store).await?;
    Ok(ProvenLog::new(store, Arc::new(key)))
}

/// Signs a checkpoint of the whole log, unless the log contradicts a checkpoint in the file or on the stream that the settings
/// name. A service that is running signs the same checkpoint.
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
        let newest = compare_sink(&mut *sink, store, key.verifier()).await;
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

/// The newest checkpoint in the file that the settings name, after every note in it was compared with the log.
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
    let newest = compare_sink(&mut file, store, key).await?;
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

/// The workers of the transparency log.
pub(crate) struct Checkpoints {
    signer: Signer,
    schema_watch: SchemaWatch<dyn Store>,
    auditor: Auditor<dyn Store>,
    witness: Arc<Witness>,
    file: Option<CheckpointExporter<CheckpointFile>>,
    nats: Option<CheckpointExporter<NatsCheckpoints>>,
}

impl Checkpoints {
    /// The signer of the log in `store`, which works while `signs` is true, the auditor, and the exporters of checkpoints that
    /// the settings name.
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
                CheckpointExporter::new(file, store, verifier.clone(), signs, witness)
            }),
            nats: checkpoint_stream(settings).map(|nats| {
                let (store, signs, witness) = (store.clone(), signs.clone(), witness.clone());
                CheckpointExporter::new(nats, store, verifier.clone(), signs, witness)
            }),
            witness,
        })
    }

    /// Whether the log still matches its signed checkpoints.
    pub(crate) fn integrity(&self) -> watch::Receiver<LogIntegrity> {
        self.witness.integrity()
    }

    /// Starts the workers.
    pub(crate) fn start(self, tasks: &mut Tasks) {
        tasks.drain(Stage::Sign, "signer", self.signer, |it, stop| {
            it.run(stop).boxed()
        });
        tasks.drain(
            Stage::Sign,
            "schema_watch",
            self.schema_watch,
            |watch, stop| {
                async move {
                    tokio::select! {
                        () = watch.run() => {}
                        () = stop.cancelled() => {}
                    }
                }
                .boxed()
            },
        );
        tasks.drain(Stage::Sign, "auditor", self.auditor, |it, stop| {
            it.run(stop).boxed()
        });
        if let Some(checkpoint_exporter) = self.file {
            start_exporter("checkpoint_file_exporter", checkpoint_exporter, tasks);
        }
        if let Some(checkpoint_exporter) = self.nats {
            start_exporter("checkpoint_stream_exporter", checkpoint_exporter, tasks);
        }
    }
}

fn start_exporter<S: CheckpointSink + 'static>(
    name: &'static str,
    checkpoint_exporter: CheckpointExporter<S>,
    tasks: &mut Tasks,
) {
    tasks.drain(Stage::Sign, name, checkpoint_exporter, |it, stop| {
        it.run(stop).boxed()
    });
}
