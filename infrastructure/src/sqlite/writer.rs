//! The one thread that writes: it commits in groups.
//!
//! SQLite allows one writer at a time, and a commit waits for the disk. So one thread owns the only writing
//! connection and executes all queued commands in one transaction, each in a savepoint of its own. It never waits for
//! a batch to fill: a single command is committed at once, and under load a batch is what arrived during the last
//! commit.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use authlog_application::ports::{AppendError, Entropy, StoreError};
use authlog_application::supervisor::{Backoff, WorkerState};
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::checkpoint::WalLimit;
use super::errors::{GroupError, given_up, shared_error, store_error};
use super::files::DatabaseFiles;
use crate::write_health::WriteHealth;

/// How many commands may wait. Beyond it callers wait for room, which costs them no more than waiting for the answer.
const QUEUE: usize = 1024;

/// The maximum number of commands in a commit: enough to make the wait for the disk small in comparison, few enough
/// that the first of them is answered within milliseconds.
const GROUP: usize = 512;

/// The name of the thread in the state of the workers.
const WORKER: &str = "sqlite_writer";

/// Executes commands one after the other. Dropping this waits until all queued commands are executed.
///
/// A panic of the thread fails only the commands of its group. The thread continues with a new connection, because the
/// state of the old one is unknown.
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Box<dyn Command>>>,
    thread: Option<JoinHandle<()>>,
    commits: Arc<AtomicU64>,
    worker: Arc<WorkerState>,
    health: Arc<WriteHealth>,
}

/// The parts of a writer.
pub(super) struct WriterParts {
    /// The writing connection.
    pub(super) connection: Connection,
    /// Opens another one in its place.
    pub(super) reopen: Box<dyn Fn() -> rusqlite::Result<Connection> + Send>,
    pub(super) wal: WalLimit,
    pub(super) files: Arc<DatabaseFiles>,
    /// Spreads attempts to open the database again.
    pub(super) entropy: Arc<dyn Entropy>,
}

impl Writer {
    pub(super) fn start(parts: WriterParts) -> std::io::Result<Self> {
        let (sender, queue) = mpsc::channel(QUEUE);
        let commits = Arc::new(AtomicU64::new(0));
        let worker = Arc::new(WorkerState::new(WORKER));
        let health = Arc::<WriteHealth>::default();
        let thread = WriterThread {
            connection: parts.connection,
            reopen: parts.reopen,
            retry: Backoff::new(parts.entropy),
            retry_at: None,
            queue,
            commits: Arc::clone(&commits),
            wal: parts.wal,
            files: parts.files,
            worker: Arc::clone(&worker),
            health: Arc::clone(&health),
        };
        let thread = std::thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(|| thread.run())?;
        Ok(Self {
            queue: Some(sender),
            thread: Some(thread),
            commits,
            worker,
            health,
        })
    }

    /// Executes `work` and commits it. If `work` fails, only its own changes are rolled back.
    pub(super) async fn write<T, E>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: WriteError,
    {
        let queue = self.queue.as_ref().ok_or_else(given_up)?;
        let answer = put(queue, work).await?;
        answer.await.map_err(|_| given_up())?
    }

    /// Executes `statements`, which change something, to test whether writes work. The outcome is recorded like that of
    /// every write.
    pub(super) fn probe(
        &self,
        statements: &'static str,
    ) -> impl Future<Output = ()> + Send + 'static {
        // A probe in progress does not keep the thread from ending.
        let queue = self.queue.as_ref().map(mpsc::Sender::downgrade);
        async move {
            let Some(queue) = queue.and_then(|queue| queue.upgrade()) else {
                return;
            };
            let execute =
                |connection: &Connection| connection.execute_batch(statements).map_err(store_error);
            let answer = put(&queue, execute).await;
            drop(queue);
            if let Ok(answer) = answer {
                let _ = answer.await;
            }
        }
    }

    /// How many transactions were committed so far.
    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// The state of the thread.
    pub(super) fn worker(&self) -> &Arc<WorkerState> {
        &self.worker
    }

    /// The outcomes of the latest writes.
    pub(super) fn health(&self) -> &Arc<WriteHealth> {
        &self.health
    }
}

/// Puts `work` into the queue, and returns where its outcome arrives.
async fn put<T, E>(
    queue: &mpsc::Sender<Box<dyn Command>>,
    work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
) -> Result<oneshot::Receiver<Result<T, E>>, StoreError>
where
    T: Send + 'static,
    E: WriteError,
{
    let (reply, answer) = oneshot::channel();
    let command = Box::new(Work {
        work: Some(work),
        outcome: None,
        reply,
    });
    queue.send(command).await.map_err(|_| given_up())?;
    Ok(answer)
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the writer thread had panicked");
        }
    }
}

/// Why a command was not executed.
pub(super) trait WriteError: From<StoreError> + Send + 'static {
    /// Whether the store failed, in contrast to a refusal.
    fn is_outage(&self) -> bool;
}

impl WriteError for StoreError {
    fn is_outage(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

impl WriteError for AppendError {
    fn is_outage(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_outage())
    }
}

/// A piece of work, and the channel for its outcome.
trait Command: Send {
    /// Executes the work.
    fn execute(&mut self, connection: &Connection) -> Effect;

    /// Sends the outcome, after the group was committed or has failed.
    fn answer(self: Box<Self>, failure: Option<&Arc<GroupError>>);
}

/// The effect of a command.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// Its changes are kept.
    Done,
    /// It was refused, and its changes are rolled back.
    Refused,
    /// The store failed, and its changes are rolled back.
    Failed,
}

struct Work<T, E, F> {
    work: Option<F>,
    outcome: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
}

impl<T, E, F> Command for Work<T, E, F>
where
    T: Send,
    E: WriteError,
    F: FnOnce(&Connection) -> Result<T, E> + Send,
{
    fn execute(&mut self, connection: &Connection) -> Effect {
        // What a panic leaves half done in the connection is undone with the savepoint.
        self.outcome = self
            .work
            .take()
            .and_then(|work| catch_unwind(AssertUnwindSafe(|| work(connection))).ok());
        match &self.outcome {
            Some(Ok(_)) => Effect::Done,
            Some(Err(error)) if error.is_outage() => Effect::Failed,
            Some(Err(_)) | None => Effect::Refused,
        }
    }

    fn answer(self: Box<Self>, failure: Option<&Arc<GroupError>>) {
        let outcome = match failure {
            Some(error) => Err(shared_error(error).into()),
            None => self.outcome.unwrap_or_else(|| Err(given_up().into())),
        };
        // The caller may be gone; the commit stands.
        let _ = self.reply.send(outcome);
    }
}

/// What the thread owns.
struct WriterThread {
    connection: Connection,
    reopen: Box<dyn Fn() -> rusqlite::Result<Connection> + Send>,
    retry: Backoff,
    /// When the database may be opened again; `None` while it is open.
    retry_at: Option<Instant>,
    queue: mpsc::Receiver<Box<dyn Command>>,
    commits: Arc<AtomicU64>,
    wal: WalLimit,
    files: Arc<DatabaseFiles>,
    worker: Arc<WorkerState>,
    health: Arc<WriteHealth>,
}

/// Whether the commands of a group changed something, and whether the store failed.
#[derive(Default)]
struct Written {
    has_changes: bool,
    has_failures: bool,
}

impl WriterThread {
    fn run(mut self) {
        while let Some(first) = self.queue.blocking_recv() {
            let mut group = Vec::new();
            // If this panics, nothing of the group is committed, because the commit is its last step.
            let committed = catch_unwind(AssertUnwindSafe(|| self.commit_group(first, &mut group)));
            let outcome = committed.unwrap_or_else(|_| {
                self.worker.failed();
                self.retry_at = Some(Instant::now());
                tracing::error!("the writer thread panicked and will reopen the database");
                Err(GroupError::Panicked)
            });
            let failure = outcome.err().map(|error| {
                tracing::error!(%error, commands = group.len(), "a batch of commands could not be committed");
                Arc::new(error)
            });
            for command in group {
                // The commit stands, even if the answers cannot be delivered.
                let _ = catch_unwind(AssertUnwindSafe(|| command.answer(failure.as_ref())));
            }
            let _ = catch_unwind(AssertUnwindSafe(|| self.tidy_up()));
        }
    }

    /// Commits `first` and the commands queued behind it. The commands left in `group` share one outcome.
    fn commit_group(
        &mut self,
        first: Box<dyn Command>,
        group: &mut Vec<Box<dyn Command>>,
    ) -> Result<(), GroupError> {
        let attempt = self.health.begin();
        let mut written = Written::default();
        let committed = match self.make_ready() {
            Ok(()) => self.commit(first, group, &mut written),
            Err(error) => {
                group.push(first);
                Err(error)
            }
        };
        match &committed {
            Err(error) => attempt.failed(error),
            Ok(()) if written.has_failures => attempt.failed(&GroupError::CommandFailed),
            Ok(()) if written.has_changes => attempt.succeeded(),
            // A commit that changes nothing does not reach the disk.
            Ok(()) => {}
        }
        committed
    }

    /// Checks that the database's file is the one that was opened, and opens the connection again if it was lost.
    fn make_ready(&mut self) -> Result<(), GroupError> {
        self.files.check()?;
        let Some(retry_at) = self.retry_at else {
            return Ok(());
        };
        if Instant::now() < retry_at {
            return Err(GroupError::NotOpen);
        }
        match (self.reopen)() {
            Ok(connection) => {
                self.connection = connection;
                self.retry_at = None;
                self.retry.reset();
                self.worker.restarted();
                Ok(())
            }
            Err(error) => {
                self.retry_at = Some(Instant::now() + self.retry.next_pause());
                Err(error.into())
            }
        }
    }

    fn commit(
        &mut self,
        first: Box<dyn Command>,
        group: &mut Vec<Box<dyn Command>>,
        written: &mut Written,
    ) -> Result<(), GroupError> {
        let began = self.execute("BEGIN IMMEDIATE");
        let mut next = Some(first);
        while let Some(command) = next {
            group.push(command);
            // If another program held the lock for too long, the commands that have waited meanwhile fail together,
            // instead of each waiting as long again.
            if began.is_ok()
                && let Some(command) = group.last_mut()
            {
                self.in_savepoint(&mut **command, written)?;
            }
            next = (group.len() < GROUP)
                .then(|| self.queue.try_recv().ok())
                .flatten();
        }
        began?;
        self.execute("COMMIT")?;
        self.commits.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// After errors such as a full disk, SQLite rolls back the whole transaction by itself, including the commands
    /// before this one. Then there is no savepoint left to release, and this fails for all of them.
    fn in_savepoint(
        &self,
        command: &mut dyn Command,
        written: &mut Written,
    ) -> rusqlite::Result<()> {
        self.execute("SAVEPOINT command")?;
        let before = self.connection.total_changes();
        let effect = command.execute(&self.connection);
        if effect != Effect::Done {
            self.execute("ROLLBACK TO command")?;
        }
        written.has_failures |= effect == Effect::Failed;
        written.has_changes |= effect == Effect::Done && self.connection.total_changes() != before;
        self.execute("RELEASE command")
    }

    /// Leaves no transaction open, so that the next group starts afresh, and bounds the write-ahead log.
    fn tidy_up(&mut self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.execute("ROLLBACK")
        {
            tracing::error!(%error, "a batch of commands could not be rolled back");
        }
        if self.retry_at.is_none() {
            self.wal.keep(&self.connection);
        } else if let Err(error) = self.make_ready() {
            tracing::error!(%error, "the database could not be reopened");
        }
    }

    fn execute(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(drop)
    }
}

#[cfg(test)]
mod tests;
