//! Checkpoints on a real NATS server: each is stored once and in order, and a log that contradicts one is not signed.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what fails in a test may panic"
)]

use std::net::TcpListener;
use std::ops::Range;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::jetstream;
use async_trait::async_trait;
use authlog_application::ports::{LogIntegrity, StoreError};
use authlog_infrastructure::nats::{
    CHECKPOINT_STREAM, NatsCheckpoints, NatsServers, StreamOptions,
};
use authlog_infrastructure::transparency::checkpoint::Checkpoint;
use authlog_infrastructure::transparency::exporter::CheckpointExporter;
use authlog_infrastructure::transparency::note::NoteKey;
use authlog_infrastructure::transparency::signer::sign_all;
use authlog_infrastructure::transparency::tree::{Hash, NodeId};
use authlog_infrastructure::transparency::witness::Witness;
use authlog_infrastructure::transparency::{LogEnd, LogTree, StoredCheckpoint};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A NATS server with JetStream, which ends with the test.
struct Nats {
    process: Child,
    url: String,
    _folder: TempDir,
}

impl Nats {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let process = Command::new("nats-server")
            .args(["-a", "127.0.0.1", "-p", &port.to_string(), "-js", "-sd"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let url = format!("nats://127.0.0.1:{port}");
        for _ in 0..200 {
            if async_nats::connect(&url).await.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Self {
            process,
            url,
            _folder: folder,
        }
    }

    async fn notes(&self) -> Vec<String> {
        let client = async_nats::connect(&self.url).await.unwrap();
        let Ok(stream) = jetstream::new(client).get_stream(CHECKPOINT_STREAM).await else {
            return vec![];
        };
        let mut notes = vec![];
        for sequence in 1..=stream.cached_info().state.last_sequence {
            let message = stream.get_raw_message(sequence).await.unwrap();
            notes.push(String::from_utf8(message.payload.to_vec()).unwrap());
        }
        notes
    }

    async fn has(&self, count: usize) -> Vec<String> {
        for _ in 0..200 {
            let notes = self.notes().await;
            if notes.len() >= count {
                return notes;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("there are not {count} notes on the stream");
    }

    /// A leading node with `log`, which runs while the guard is held.
    fn node(&self, log: &Arc<Log>) -> Node {
        let witness = Arc::new(Witness::default());
        let servers = NatsServers::parse(&self.url).unwrap();
        let options = StreamOptions {
            replicas: 1,
            max_bytes: None,
        };
        let sink = NatsCheckpoints::new(servers.into(), options);
        let (tree, leads): (Arc<dyn LogTree>, _) = (log.clone(), watch::channel(true).1);
        let key = key().verifier().clone();
        let mut checkpoint_exporter =
            CheckpointExporter::new(sink, tree, key, leads, Arc::clone(&witness));
        let stop = CancellationToken::new();
        let ends = stop.clone();
        tokio::spawn(async move { checkpoint_exporter.run(ends).await });
        Node {
            integrity: witness.integrity(),
            _stop: stop.drop_guard(),
        }
    }

    async fn stream_of(&self, notes: &[&str]) {
        let jetstream = jetstream::new(async_nats::connect(&self.url).await.unwrap());
        let config = jetstream::stream::Config {
            name: CHECKPOINT_STREAM.to_owned(),
            subjects: vec!["auth-checkpoint.v1".to_owned()],
            ..jetstream::stream::Config::default()
        };
        jetstream.get_or_create_stream(config).await.unwrap();
        for note in notes {
            let sent = jetstream.publish("auth-checkpoint.v1", (*note).to_owned().into());
            sent.await.unwrap().await.unwrap();
        }
    }

    async fn delete_stream(&self) {
        let jetstream = jetstream::new(async_nats::connect(&self.url).await.unwrap());
        jetstream.delete_stream(CHECKPOINT_STREAM).await.unwrap();
        // nats-server 2.9 may delete the files of a successor.
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

struct Node {
    integrity: watch::Receiver<LogIntegrity>,
    _stop: DropGuard,
}

impl Node {
    /// Waits for the expected integrity, and returns why the log is not trusted.
    async fn says(&mut self, wanted: impl FnMut(&LogIntegrity) -> bool) -> String {
        let within = Duration::from_secs(60);
        let waiting = tokio::time::timeout(within, self.integrity.wait_for(wanted));
        let integrity = waiting.await.unwrap().unwrap();
        integrity.tampered.clone().unwrap_or_default()
    }

    async fn raises_an_alarm(&mut self) -> String {
        self.says(|it| it.tampered.is_some()).await
    }

    async fn is_content(&mut self) {
        self.says(|it| *it == LogIntegrity::default()).await;
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn key() -> NoteKey {
    NoteKey::new("log.example", &[5; 32]).unwrap()
}

/// A log in memory.
#[derive(Default)]
struct Log {
    leaves: Mutex<Vec<Hash>>,
    checkpoints: Mutex<Vec<StoredCheckpoint>>,
}

impl Log {
    fn of(leaves: &[u8]) -> Arc<Self> {
        let log = Self::default();
        log.grow(leaves);
        Arc::new(log)
    }

    fn grow(&self, leaves: &[u8]) {
        let mut log = self.leaves.lock().unwrap();
        log.extend(leaves.iter().map(|leaf| Hash([*leaf; 32])));
    }

    /// Appends events and signs a checkpoint for all of them.
    async fn signs(&self, leaves: &[u8]) -> String {
        self.grow(leaves);
        sign_all(self, &key(), None).await.unwrap().unwrap().note
    }
}

#[async_trait]
impl LogTree for Log {
    async fn leaves(&self, range: Range<u64>) -> Result<Vec<Hash>, StoreError> {
        let leaves = self.leaves.lock().unwrap();
        let range = range.start as usize..(range.end as usize).min(leaves.len());
        Ok(leaves.get(range).unwrap_or_default().to_vec())
    }

    async fn end(&self, signed: u64) -> Result<LogEnd, StoreError> {
        let size = self.leaves.lock().unwrap().len() as u64;
        Ok(LogEnd {
            first_index: 1,
            last_index: size.try_into().unwrap(),
            has_next: size > signed,
            has_last_event: true,
            disagreement: None,
        })
    }

    async fn nodes(&self, _: u8, _: Range<u64>) -> Result<Vec<Hash>, StoreError> {
        Ok(vec![])
    }

    async fn keep_nodes(&self, _: Vec<(NodeId, Hash)>) -> Result<(), StoreError> {
        Ok(())
    }

    async fn keep_checkpoint(&self, checkpoint: StoredCheckpoint) -> Result<(), StoreError> {
        self.checkpoints.lock().unwrap().push(checkpoint);
        Ok(())
    }

    async fn latest_checkpoint(&self) -> Result<Option<StoredCheckpoint>, StoreError> {
        Ok(self.checkpoints.lock().unwrap().last().cloned())
    }

    async fn checkpoints_after(
        &self,
        size: u64,
        limit: u32,
    ) -> Result<Vec<StoredCheckpoint>, StoreError> {
        let checkpoints = self.checkpoints.lock().unwrap();
        let after = checkpoints.iter().filter(|it| it.tree_size > size);
        Ok(after.take(limit as usize).cloned().collect())
    }
}

#[tokio::test]
async fn every_checkpoint_is_on_the_stream_once_and_in_order() {
    let (nats, log) = (Nats::start().await, Log::of(&[]));
    let mut signed = vec![log.signs(&[1, 2, 3]).await, log.signs(&[4, 5]).await];
    let mut node = nats.node(&log);
    assert_eq!(nats.has(2).await, signed);
    signed.push(log.signs(&[6]).await);
    assert_eq!(nats.has(3).await, signed);
    node.is_content().await;
    drop(node);

    // Two nodes that both believe to lead, after a restart.
    let mut both = [nats.node(&log), nats.node(&log)];
    for leaf in 10..30 {
        signed.push(log.signs(&[leaf]).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    nats.has(signed.len()).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(nats.notes().await, signed);
    for node in &mut both {
        node.is_content().await;
    }
}

#[tokio::test]
async fn a_log_that_contradicts_the_stream_raises_an_alarm() {
    for (leaves, words) in [
        (&[1, 2, 9, 9, 9, 9][..], "was rewritten"),
        (&[1, 2][..], "rolled back"),
    ] {
        let (nats, before) = (Nats::start().await, Log::of(&[]));
        let note = before.signs(&[1, 2, 3, 4, 5]).await;
        let node = nats.node(&before);
        assert_eq!(nats.has(1).await, [note]);
        drop(node);

        let other = Log::of(&[]);
        other.signs(leaves).await;
        let mut node = nats.node(&other);
        let said = node.raises_an_alarm().await;
        assert!(said.contains(words), "{said}");
        assert_eq!(nats.notes().await.len(), 1);
    }
}

#[tokio::test]
async fn an_earlier_note_is_compared_even_if_the_last_one_agrees() {
    let (nats, before, forked) = (Nats::start().await, Log::of(&[]), Log::of(&[]));
    let first = before.signs(&[1, 2, 3]).await;
    let second = before.signs(&[4, 5]).await;
    forked.signs(&[1, 2, 3]).await;
    let last = forked.signs(&[7, 8, 9]).await;
    nats.stream_of(&[&first, &second, &last]).await;
    let said = nats.node(&forked).raises_an_alarm().await;
    assert!(said.contains("of size 5"), "{said}");
}

#[tokio::test]
async fn foreign_notes_and_older_notes_do_not_stop_signing() {
    let (nats, log) = (Nats::start().await, Log::of(&[]));
    let (first, second) = (log.signs(&[1, 2]).await, log.signs(&[3, 4]).await);
    let stranger = NoteKey::new("log.example", &[6; 32]).unwrap();
    let stranger = Checkpoint::sign(9, Hash([1; 32]), &stranger);
    nats.stream_of(&[&first, &second, "no note", &stranger, &first])
        .await;
    let mut node = nats.node(&log);
    node.is_content().await;
    let third = log.signs(&[5]).await;
    assert_eq!(nats.has(6).await.last(), Some(&third));
}

#[tokio::test]
async fn messages_that_are_no_checkpoints_neither_raise_an_alarm_nor_stop_signing() {
    let (nats, log) = (Nats::start().await, Log::of(&[]));
    // Before the first checkpoint, before another start, and while the node runs.
    nats.stream_of(&["hello"]).await;
    let mut signed = vec!["hello".to_owned(), log.signs(&[1, 2]).await];
    let mut node = nats.node(&log);
    assert_eq!(nats.has(2).await, signed);
    node.is_content().await;
    drop(node);

    nats.stream_of(&["hello again"]).await;
    signed.extend(["hello again".to_owned(), log.signs(&[3]).await]);
    let mut node = nats.node(&log);
    assert_eq!(nats.has(4).await, signed);

    nats.stream_of(&["and again"]).await;
    signed.extend(["and again".to_owned(), log.signs(&[4]).await]);
    assert_eq!(nats.has(6).await, signed);
    node.is_content().await;
}

#[tokio::test]
async fn a_stream_of_another_log_raises_an_alarm_until_it_is_deleted() {
    let (nats, log) = (Nats::start().await, Log::of(&[]));
    let signed = log.signs(&[1, 2]).await;
    let stranger = NoteKey::new("other.example", &[6; 32]).unwrap();
    nats.stream_of(&[&Checkpoint::sign(9, Hash([1; 32]), &stranger)])
        .await;
    let mut node = nats.node(&log);
    let said = node.raises_an_alarm().await;
    assert!(said.contains("none is a checkpoint of this log"), "{said}");
    nats.delete_stream().await;
    node.is_content().await;
    assert_eq!(nats.has(1).await, [signed]);
}
