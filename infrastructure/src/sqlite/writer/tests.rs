//! Tests of the writer alone: groups, savepoints and failures.

use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use super::*;
use crate::system::SystemEntropy;

struct Bench {
    writer: Arc<Writer>,
    path: PathBuf,
    /// How often the writer tried to open the database again.
    openings: Arc<AtomicU64>,
    // Dropped last.
    _folder: tempfile::TempDir,
}

/// A writer on a database with one table, whose write-ahead log may reach `wal` bytes.
fn bench_with(wal: u64) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bench.db");
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY, filling)",
        )
        .unwrap();
    let files = Arc::new(DatabaseFiles::of(&path).unwrap());
    let (reopened, openings) = (path.clone(), Arc::new(AtomicU64::new(0)));
    let opened = Arc::clone(&openings);
    let writer = Writer::start(WriterParts {
        connection,
        reopen: Box::new(move || {
            // The first attempt fails.
            match opened.fetch_add(1, Ordering::Relaxed) {
                0 => Connection::open("/nowhere/at/all.db"),
                _ => Connection::open(&reopened),
            }
        }),
        wal: WalLimit::new(files.wal(), wal),
        files,
        entropy: Arc::new(SystemEntropy),
    });
    Bench {
        writer: Arc::new(writer.unwrap()),
        path,
        openings,
        _folder: folder,
    }
}

fn bench() -> Bench {
    bench_with(WalLimit::BYTES)
}

impl Bench {
    fn ids(&self) -> Vec<i64> {
        let connection = Connection::open(&self.path).unwrap();
        let mut select = connection.prepare("SELECT id FROM t ORDER BY id").unwrap();
        let ids = select.query_map([], |row| row.get(0)).unwrap();
        ids.collect::<Result<_, _>>().unwrap()
    }

    fn wal_bytes(&self) -> u64 {
        let mut wal = self.path.clone().into_os_string();
        wal.push("-wal");
        std::fs::metadata(wal).unwrap().len()
    }

    /// Keeps the writer busy, so that what is written next waits in the queue, until the sender is used or dropped.
    async fn hold(&self) -> mpsc::Sender<()> {
        let (release, released) = mpsc::channel();
        let (started, has_started) = oneshot::channel();
        let writer = Arc::clone(&self.writer);
        tokio::spawn(async move {
            writer
                .write::<_, StoreError>(move |_| {
                    let _ = started.send(());
                    let _ = released.recv();
                    Ok(())
                })
                .await
        });
        has_started.await.unwrap();
        release
    }

    /// Puts a command into the queue, and returns once it is there.
    async fn queue<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> tokio::task::JoinHandle<Result<T, StoreError>> {
        let queue = self.writer.queue.clone().unwrap();
        let room = queue.capacity();
        let writer = Arc::clone(&self.writer);
        let command = tokio::spawn(async move { writer.write(work).await });
        while queue.capacity() == room {
            tokio::task::yield_now().await;
        }
        command
    }
}

fn insert(id: i64) -> impl FnOnce(&Connection) -> Result<(), StoreError> + Send {
    move |connection| {
        connection
            .prepare_cached("INSERT INTO t (id) VALUES (?)")
            .and_then(|mut insert| insert.execute([id]))
            .map(drop)
            .map_err(store_error)
    }
}

#[tokio::test]
async fn queued_commands_share_one_commit() {
    let bench = bench();
    let held = bench.hold().await;
    let mut queued = Vec::new();
    for id in 1..=100 {
        queued.push(bench.queue(insert(id)).await);
    }
    drop(held);
    for command in queued {
        command.await.unwrap().unwrap();
    }
    // The command that kept the writer busy was of the same group.
    assert_eq!(bench.writer.commits(), 1);
    assert_eq!(bench.ids(), (1..=100).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_command_alone_is_committed_at_once() {
    let bench = bench();
    for id in 1..=3 {
        bench.writer.write(insert(id)).await.unwrap();
        assert_eq!(bench.writer.commits(), id as u64);
        assert_eq!(bench.ids().len(), id as usize);
    }
}

#[tokio::test]
async fn a_refused_command_rolls_back_only_itself() {
    let bench = bench();
    let held = bench.hold().await;
    let first = bench.queue(insert(1)).await;
    let refused = bench
        .queue(|connection| {
            insert(2)(connection)?;
            insert(1)(connection)
        })
        .await;
    let last = bench.queue(insert(3)).await;
    drop(held);
    first.await.unwrap().unwrap();
    assert!(refused.await.unwrap().is_err());
    last.await.unwrap().unwrap();
    assert_eq!(bench.ids(), [1, 3]);
    assert_eq!(bench.writer.commits(), 1);
}

#[tokio::test]
async fn a_panicking_command_is_rolled_back_and_the_writer_continues() {
    let bench = bench();
    let held = bench.hold().await;
    let first = bench.queue(insert(1)).await;
    let panicking = bench
        .queue(|connection| -> Result<(), StoreError> {
            insert(2)(connection)?;
            panic!("on purpose");
        })
        .await;
    let last = bench.queue(insert(3)).await;
    drop(held);
    first.await.unwrap().unwrap();
    let outcome = panicking.await.unwrap();
    assert!(matches!(outcome, Err(StoreError::Unavailable(_))));
    last.await.unwrap().unwrap();
    bench.writer.write(insert(4)).await.unwrap();
    assert_eq!(bench.ids(), [1, 3, 4]);
    assert!(bench.writer.worker().is_up());
}

#[tokio::test]
async fn a_transaction_that_sqlite_rolled_back_is_not_reported_as_committed() {
    let bench = bench();
    let held = bench.hold().await;
    let before = bench.queue(insert(1)).await;
    // What SQLite does by itself when, for one, the disk is full.
    let losing = bench
        .queue(|connection| connection.execute_batch("ROLLBACK").map_err(store_error))
        .await;
    let after = bench.queue(insert(2)).await;
    drop(held);
    for lost in [before, losing] {
        let outcome = lost.await.unwrap();
        assert!(matches!(outcome, Err(StoreError::Unavailable(_))));
    }
    after.await.unwrap().unwrap();
    assert_eq!(bench.ids(), [2]);
}

#[tokio::test]
async fn a_failed_commit_fails_its_whole_group_and_no_later_one() {
    let bench = bench();
    bench
        .writer
        .write(|connection| {
            connection
                .execute_batch(
                    "CREATE TABLE parent (id INTEGER PRIMARY KEY);
                     CREATE TABLE child (id REFERENCES parent DEFERRABLE INITIALLY DEFERRED)",
                )
                .map_err(store_error)
        })
        .await
        .unwrap();
    let held = bench.hold().await;
    let innocent = bench.queue(insert(1)).await;
    // A deferred constraint is checked by COMMIT, and fails it.
    let culprit = bench
        .queue(|connection| {
            connection
                .execute_batch("INSERT INTO child VALUES (7)")
                .map_err(store_error)
        })
        .await;
    drop(held);
    for failed in [innocent, culprit] {
        let outcome = failed.await.unwrap();
        assert!(matches!(outcome, Err(StoreError::Unavailable(_))));
    }
    assert!(bench.ids().is_empty());
    bench.writer.write(insert(2)).await.unwrap();
    assert_eq!(bench.ids(), [2]);
}

#[tokio::test]
async fn commands_that_wait_too_long_for_another_program_fail_together() {
    let bench = bench();
    let impatient = |connection: &Connection| {
        connection
            .busy_timeout(Duration::from_millis(500))
            .map_err(store_error)
    };
    bench.writer.write(impatient).await.unwrap();
    let other = Connection::open(&bench.path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut waiting = Vec::new();
    for id in 1..=20 {
        let writer = Arc::clone(&bench.writer);
        waiting.push(tokio::spawn(async move { writer.write(insert(id)).await }));
    }
    let started = std::time::Instant::now();
    for command in waiting {
        let outcome = command.await.unwrap();
        assert!(matches!(outcome, Err(StoreError::Unavailable(_))));
    }
    // One wait or two, not twenty.
    assert!(started.elapsed() < Duration::from_secs(8));
    other.execute_batch("COMMIT").unwrap();
    bench.writer.write(insert(1)).await.unwrap();
    assert_eq!(bench.ids(), [1]);
}

#[tokio::test]
async fn a_full_disk_makes_commands_unavailable_until_there_is_room() {
    let bench = bench();
    let limit = |pages: i64| {
        move |connection: &Connection| {
            connection
                .query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))
                .map_err(store_error)
        }
    };
    let fill = |connection: &Connection| {
        connection
            .execute("INSERT INTO t (filling) VALUES (zeroblob(4000000))", [])
            .map_err(store_error)
    };
    bench.writer.write(limit(100)).await.unwrap();
    let full = bench.writer.write(fill).await;
    assert!(matches!(full, Err(StoreError::Unavailable(_))));
    bench.writer.write(limit(1_000_000)).await.unwrap();
    bench.writer.write(fill).await.unwrap();
    assert_eq!(bench.ids().len(), 1);
}

#[tokio::test]
async fn queued_commands_are_executed_when_the_writer_is_dropped() {
    let Bench {
        writer,
        path,
        _folder,
        ..
    } = bench();
    for id in 1..=50 {
        let (reply, _receiver) = oneshot::channel();
        let command = Box::new(Work {
            work: Some(insert(id)),
            outcome: None,
            reply,
        });
        let queue = writer.queue.as_ref().unwrap();
        assert!(queue.try_send(command).is_ok());
    }
    drop(writer);
    let connection = Connection::open(path).unwrap();
    let count: i64 = connection
        .query_row("SELECT count(*) FROM t", [], |row| row.get(0))
        .unwrap();
    assert_eq!(count, 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_write_ahead_log_stays_bounded_under_readers_that_overlap() {
    const LIMIT: u64 = 8 * 1024 * 1024;
    let bench = bench_with(LIMIT);
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    // Each reads for 10 ms; they take turns so that there is always one, and none lasts.
    let readers: Vec<_> = (0..3)
        .map(|number| {
            let (path, stop) = (bench.path.clone(), Arc::clone(&stop));
            std::thread::spawn(move || {
                let connection = Connection::open(path).unwrap();
                std::thread::sleep(Duration::from_millis(number * 3));
                while !stop.load(Ordering::Relaxed) {
                    connection
                        .execute_batch("BEGIN; SELECT count(*) FROM t")
                        .unwrap();
                    std::thread::sleep(Duration::from_millis(10));
                    connection.execute_batch("COMMIT").unwrap();
                }
            })
        })
        .collect();
    let mut greatest = 0;
    for _ in 0..64 {
        bench
            .writer
            .write(|connection| {
                connection
                    .execute("INSERT INTO t (filling) VALUES (zeroblob(1000000))", [])
                    .map_err(store_error)
            })
            .await
            .unwrap();
        greatest = greatest.max(bench.wal_bytes());
    }
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.join().unwrap();
    }
    // An attempt may fail on a busy machine; 64 MB were written.
    assert!(greatest < 4 * LIMIT, "{greatest} bytes");
}

/// A command that panics where the writer does not expect it.
struct Panicking(oneshot::Sender<()>);

impl Command for Panicking {
    fn execute(&mut self, connection: &Connection) -> Effect {
        connection
            .execute_batch("INSERT INTO t (id) VALUES (99)")
            .unwrap();
        panic!("on purpose");
    }

    fn answer(self: Box<Self>, failure: Option<&Arc<GroupError>>) {
        assert!(matches!(
            failure.map(|error| &**error),
            Some(GroupError::Panicked)
        ));
        self.0.send(()).unwrap();
    }
}

#[tokio::test]
async fn a_panic_of_the_writer_fails_its_group_and_the_next_commands_work() {
    let bench = bench();
    bench.writer.write(insert(1)).await.unwrap();
    let held = bench.hold().await;
    let before = bench.queue(insert(2)).await;
    let (answered, was_answered) = oneshot::channel();
    let queue = bench.writer.queue.as_ref().unwrap();
    assert!(queue.try_send(Box::new(Panicking(answered))).is_ok());
    let after = bench.queue(insert(3)).await;
    drop(held);
    was_answered.await.unwrap();
    let outcome = before.await.unwrap();
    assert!(matches!(outcome, Err(StoreError::Unavailable(_))));
    // It belongs to the next group, which waits until the database is open again or fails before the next attempt.
    let outcome = after.await.unwrap();
    let mut expected = vec![1];
    expected.extend(outcome.is_ok().then_some(3));
    let mut attempts = 0;
    while bench.writer.write(insert(4)).await.is_err() {
        attempts += 1;
        assert!(attempts < 2000, "the writer does not recover");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    expected.push(4);
    assert_eq!(bench.ids(), expected);
    assert_eq!(bench.openings.load(Ordering::Relaxed), 2);
    let worker = bench.writer.worker();
    assert!(worker.is_up());
    assert_eq!(worker.restarts(), 1);
}

#[tokio::test]
async fn a_database_that_was_replaced_is_not_written_to() {
    let bench = bench();
    bench.writer.write(insert(1)).await.unwrap();
    let aside = bench.path.with_extension("aside");
    std::fs::rename(&bench.path, &aside).unwrap();
    let refused = bench.writer.write(insert(2)).await;
    let Err(StoreError::Unavailable(error)) = refused else {
        panic!("{refused:?}");
    };
    assert!(error.to_string().contains("removed or replaced"), "{error}");
    std::fs::rename(&aside, &bench.path).unwrap();
    bench.writer.write(insert(3)).await.unwrap();
    assert_eq!(bench.ids(), [1, 3]);
}

/// Whether writes count as working, without a probe.
async fn writes_work(bench: &Bench) -> bool {
    bench.writer.health().check(|| async {}).await.is_ok()
}

#[tokio::test]
async fn failed_commands_count_as_write_failures_and_refused_ones_do_not() {
    let bench = bench();
    bench.writer.write(insert(1)).await.unwrap();
    for _ in 0..10 {
        let refused = bench
            .writer
            .write(|_| Err::<(), _>(AppendError::Conflict))
            .await;
        assert!(refused.is_err());
    }
    assert!(writes_work(&bench).await);
    for _ in 0..3 {
        let full = |_: &Connection| {
            let error = rusqlite::Error::SqliteFailure(
                rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL),
                None,
            );
            Err::<(), _>(store_error(error))
        };
        assert!(bench.writer.write(full).await.is_err());
    }
    assert!(!writes_work(&bench).await);
    // Commands that change nothing do not reach the disk.
    for _ in 0..10 {
        bench
            .writer
            .write(|connection| {
                connection
                    .execute("DELETE FROM t WHERE id = 1000", [])
                    .map_err(store_error)
            })
            .await
            .unwrap();
    }
    assert!(!writes_work(&bench).await);
    for id in 2..=4 {
        bench.writer.write(insert(id)).await.unwrap();
    }
    assert!(writes_work(&bench).await);
}
