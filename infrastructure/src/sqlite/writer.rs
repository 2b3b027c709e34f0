//! The one thread that writes: it commits in groups.
//!
//! SQLite has one writer at a time, and a commit waits for the disk. So one thread owns the only writing connection and
//! carries out whatever is queued in one transaction, each command in a savepoint of its own. It never waits for a group
//! to fill: alone a command is committed at once, and under load a group is what arrived during the last commit.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use authlog_application::ports::StoreError;
use rusqlite::{Connection, Error, ffi};
use tokio::sync::{mpsc, oneshot};

use super::checkpoint::WalLimit;
use super::errors::{given_up, shared_error};

/// How many commands may wait. Beyond it callers wait for room, which costs them no more than waiting for the answer.
const QUEUE: usize = 1024;

/// How many commands share a commit at the most: enough to make the wait for the disk small beside the work, few enough
/// that the first of them is answered within milliseconds.
const GROUP: usize = 512;

/// Carries out commands one after the other. Dropping it waits until all that is queued is done.
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Box<dyn Command>>>,
    thread: Option<JoinHandle<()>>,
    commits: Arc<AtomicU64>,
}

impl Writer {
    pub(super) fn start(connection: Connection, wal: WalLimit) -> std::io::Result<Self> {
        let (sender, queue) = mpsc::channel(QUEUE);
        let commits = Arc::new(AtomicU64::new(0));
        let group = GroupCommit {
            connection,
            queue,
            commits: Arc::clone(&commits),
            wal,
        };
        let thread = std::thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(|| group.run())?;
        Ok(Self {
            queue: Some(sender),
            thread: Some(thread),
            commits,
        })
    }

    /// Does `work` and commits it. An error of `work` undoes what it did and nothing else.
    pub(super) async fn write<T, E>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let command = Box::new(Work {
            work: Some(work),
            outcome: None,
            reply,
        });
        let queue = self.queue.as_ref().ok_or_else(given_up)?;
        queue.send(command).await.map_err(|_| given_up())?;
        answer.await.map_err(|_| given_up())?
    }

    /// How many transactions were committed so far.
    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Whether commands are still carried out.
    pub(super) fn is_running(&self) -> bool {
        self.queue.as_ref().is_some_and(|queue| !queue.is_closed())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that writes had died");
        }
    }
}

/// A piece of work and whoever waits for its outcome.
trait Command: Send {
    /// Does the work; whether it is to be kept.
    fn carry_out(&mut self, connection: &Connection) -> bool;

    /// Tells the outcome, now that the group was committed or failed.
    fn answer(self: Box<Self>, failure: Option<&Arc<Error>>);
}

struct Work<T, E, F> {
    work: Option<F>,
    outcome: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
}

impl<T, E, F> Command for Work<T, E, F>
where
    T: Send,
    E: From<StoreError> + Send,
    F: FnOnce(&Connection) -> Result<T, E> + Send,
{
    fn carry_out(&mut self, connection: &Connection) -> bool {
        // What a panic leaves half done in the connection is undone with the savepoint.
        self.outcome = self
            .work
            .take()
            .and_then(|work| catch_unwind(AssertUnwindSafe(|| work(connection))).ok());
        matches!(self.outcome, Some(Ok(_)))
    }

    fn answer(self: Box<Self>, failure: Option<&Arc<Error>>) {
        let outcome = match failure {
            Some(error) => Err(shared_error(error).into()),
            None => self.outcome.unwrap_or_else(|| Err(given_up().into())),
        };
        // Whoever asked may have gone away; what was committed stays.
        let _ = self.reply.send(outcome);
    }
}

/// What the thread owns.
struct GroupCommit {
    connection: Connection,
    queue: mpsc::Receiver<Box<dyn Command>>,
    commits: Arc<AtomicU64>,
    wal: WalLimit,
}

impl GroupCommit {
    fn run(mut self) {
        while let Some(first) = self.queue.blocking_recv() {
            let mut group = Vec::new();
            let committed = self.commit(first, &mut group);
            let failure = committed.err().map(|error| {
                tracing::error!(%error, commands = group.len(), "a group of commands was not committed");
                self.undo();
                Arc::new(error)
            });
            for command in group {
                command.answer(failure.as_ref());
            }
            self.wal.keep(&self.connection);
        }
    }

    /// Carries out `first` and what is queued behind it, and commits. Whatever `group` then holds shares one fate.
    fn commit(
        &mut self,
        first: Box<dyn Command>,
        group: &mut Vec<Box<dyn Command>>,
    ) -> Result<(), Error> {
        let mut next = Some(first);
        let began = self.execute("BEGIN IMMEDIATE");
        while let Some(mut command) = next {
            let done = match &began {
                Ok(()) => self.in_savepoint(&mut *command),
                Err(_) => Ok(()),
            };
            group.push(command);
            done?;
            next = (began.is_ok() && group.len() < GROUP)
                .then(|| self.queue.try_recv().ok())
                .flatten();
        }
        began?;
        self.execute("COMMIT")?;
        self.commits.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn in_savepoint(&self, command: &mut dyn Command) -> Result<(), Error> {
        self.execute("SAVEPOINT command")?;
        let keep = command.carry_out(&self.connection);
        if self.connection.is_autocommit() {
            // A full disk and the like make SQLite roll everything back by itself, and with it what the commands before
            // this one did.
            return Err(Error::SqliteFailure(
                ffi::Error::new(ffi::SQLITE_ABORT_ROLLBACK),
                Some("the transaction was rolled back within a command".to_owned()),
            ));
        }
        if !keep {
            self.execute("ROLLBACK TO command")?;
        }
        self.execute("RELEASE command")
    }

    /// Leaves no transaction open, so that the next group starts afresh.
    fn undo(&self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.execute("ROLLBACK")
        {
            tracing::error!(%error, "a group of commands could not be rolled back");
        }
    }

    fn execute(&self, sql: &str) -> Result<(), Error> {
        self.connection.prepare_cached(sql)?.execute([]).map(drop)
    }
}
