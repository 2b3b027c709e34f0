//! Checkpoints on a real NATS server: each once, in order, and a log that contradicts them is told on.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what fails in a test may panic"
)]

#[path = "store_behaviour/system.rs"]
#[expect(dead_code, reason = "the stores' suite uses the rest")]
mod system;

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream;
use authlog_infrastructure::nats::{CHECKPOINT_STREAM, NatsCheckpoints};
use authlog_infrastructure::sealing::MasterKey;
use authlog_infrastructure::sqlite::SqliteStore;
use authlog_infrastructure::transparency::checkpoint::Checkpoint;
use authlog_infrastructure::transparency::courier::Courier;
use authlog_infrastructure::transparency::note::NoteKey;
use authlog_infrastructure::transparency::signer::Alarm;
use authlog_infrastructure::transparency::tree::Hash;
use authlog_infrastructure::transparency::{LogTree, StoredCheckpoint};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

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

    fn courier(&self, store: &Arc<SqliteStore>, alarm: &Alarm) -> Courier<NatsCheckpoints> {
        let sink = NatsCheckpoints::new(self.url.clone());
        let store: Arc<dyn LogTree> = store.clone();
        let leads = watch::channel(true).1;
        let key = key().verifier().clone();
        Courier::new(sink, store, key, leads, Arc::clone(alarm))
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

fn store(folder: &TempDir) -> Arc<SqliteStore> {
    let master = MasterKey::generate(&system::SystemEntropy);
    let path = folder.path().join("authlog.db");
    let store = SqliteStore::open(&path, master, Arc::new(system::SystemEntropy));
    Arc::new(store.unwrap())
}

/// The task of a courier, which ends with `stop`.
fn spawned(
    mut courier: Courier<NatsCheckpoints>,
    stop: &CancellationToken,
) -> tokio::task::JoinHandle<()> {
    let stop = stop.clone();
    tokio::spawn(async move { courier.run(stop).await })
}

/// A checkpoint of that size; whether it is true makes no difference to who carries it.
async fn sign(store: &SqliteStore, tree_size: u64, root: u8) -> String {
    let note = Checkpoint::sign(tree_size, Hash([root; 32]), &key());
    let checkpoint = StoredCheckpoint {
        tree_size,
        note: note.clone(),
    };
    store.keep_checkpoint(checkpoint).await.unwrap();
    note
}

#[tokio::test]
async fn every_checkpoint_is_on_the_stream_once_and_in_order() {
    let (nats, folder) = (Nats::start().await, tempfile::tempdir().unwrap());
    let (store, alarm) = (store(&folder), Alarm::new(watch::Sender::new(None)));
    let mut signed = vec![sign(&store, 3, 1).await, sign(&store, 7, 2).await];
    let stop = CancellationToken::new();
    let courier = spawned(nats.courier(&store, &alarm), &stop);
    assert_eq!(nats.has(2).await, signed);
    signed.push(sign(&store, 9, 3).await);
    assert_eq!(nats.has(3).await, signed);
    stop.cancel();
    courier.await.unwrap();

    // Two that both believe to lead, after a restart.
    let stop = CancellationToken::new();
    let both = [0, 1].map(|_| spawned(nats.courier(&store, &alarm), &stop));
    for size in 10..30 {
        signed.push(sign(&store, size, 4).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    nats.has(signed.len()).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(nats.notes().await, signed);
    assert_eq!(*alarm.borrow(), None);
    stop.cancel();
    for courier in both {
        courier.await.unwrap();
    }
}

#[tokio::test]
async fn a_log_that_contradicts_the_stream_is_told_on() {
    for (rewritten, words) in [(true, "was rewritten"), (false, "rolled back")] {
        let (nats, folder) = (Nats::start().await, tempfile::tempdir().unwrap());
        let (before, alarm) = (store(&folder), Alarm::new(watch::Sender::new(None)));
        let note = sign(&before, 5, 1).await;
        let stop = CancellationToken::new();
        let courier = spawned(nats.courier(&before, &alarm), &stop);
        assert_eq!(nats.has(1).await, [note]);
        stop.cancel();
        courier.await.unwrap();

        let folder = tempfile::tempdir().unwrap();
        let other = store(&folder);
        let size = if rewritten { 5 } else { 4 };
        sign(&other, size, 2).await;
        nats.courier(&other, &alarm)
            .run(CancellationToken::new())
            .await;
        let said = alarm.borrow().clone().unwrap();
        assert!(said.contains(words), "{said}");
        assert_eq!(nats.notes().await.len(), 1);
    }
}
