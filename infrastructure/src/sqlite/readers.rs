//! The threads that read, each with a read-only connection of its own.
//!
//! A read sees everything that was committed before it began, by this program or another, and never waits for the writer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use authlog_application::ports::StoreError;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::errors::{given_up, store_error};

/// How many reads may wait. Beyond it callers wait for room.
const QUEUE: usize = 1024;

type Read = Box<dyn FnOnce(&Connection) + Send>;

/// Executes reads, as many at once as there are threads. Dropping this waits for the reads in progress.
pub(super) struct Readers {
    queue: Option<mpsc::Sender<Read>>,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    pub(super) fn start(connections: Vec<Connection>) -> std::io::Result<Self> {
        let (sender, queue) = mpsc::channel(QUEUE);
        let queue = Arc::new(Mutex::new(queue));
        let mut readers = Self {
            queue: Some(sender),
            threads: Vec::new(),
        };
        for connection in connections {
            let queue = Arc::clone(&queue);
            let thread = std::thread::Builder::new()
                .name("sqlite-reader".to_owned())
                .spawn(move || serve(&connection, &queue))?;
            readers.threads.push(thread);
        }
        Ok(readers)
    }

    /// Executes `work` on a reading thread. Several statements see one state if `work` runs them in a transaction.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let read: Read = Box::new(move |connection| {
            // A request that has ended while its read waited needs no answer.
            if !reply.is_closed() {
                let _ = reply.send(work(connection));
            }
        });
        let queue = self.queue.as_ref().ok_or_else(given_up)?;
        queue.send(read).await.map_err(|_| given_up())?;
        answer.await.map_err(|_| given_up())?.map_err(store_error)
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.queue = None;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a reader thread had panicked");
            }
        }
    }
}

fn serve(connection: &Connection, queue: &Mutex<mpsc::Receiver<Read>>) {
    // One idle thread waits for the queue and the others for the lock. A thread that takes a read hands the lock on
    // first.
    let next = || {
        queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .blocking_recv()
    };
    while let Some(read) = next() {
        // A read that panics has dropped its reply; nothing that it began outlives it but a transaction.
        if catch_unwind(AssertUnwindSafe(|| read(connection))).is_err()
            && !connection.is_autocommit()
            && let Err(error) = connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "the transaction of a read could not be rolled back");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn an_abandoned_read_is_not_executed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bench.db");
        let readers = Readers::start(vec![Connection::open(path).unwrap()]).unwrap();
        let (resume, wait) = std::sync::mpsc::channel::<()>();
        let first = readers.read(move |_| {
            wait.recv().unwrap();
            Ok(())
        });
        let done = Arc::new(AtomicBool::new(false));
        let mark = Arc::clone(&done);
        let abandoned = readers.read(move |_| {
            mark.store(true, Ordering::SeqCst);
            Ok(())
        });
        let mut first = Box::pin(first);
        let mut abandoned = Box::pin(abandoned);
        // Both are in the queue after they were polled once.
        assert!((&mut first).now_or_never().is_none());
        assert!((&mut abandoned).now_or_never().is_none());
        drop(abandoned);
        resume.send(()).unwrap();
        first.await.unwrap();
        readers.read(|_| Ok(())).await.unwrap();
        assert!(!done.load(Ordering::SeqCst));
    }

    #[tokio::test]
    async fn a_panic_in_a_read_ends_its_transaction_and_the_thread_continues() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bench.db");
        let readers = Readers::start(vec![Connection::open(path).unwrap()]).unwrap();
        let panicking = readers.read(|connection| -> rusqlite::Result<()> {
            connection.execute_batch("BEGIN")?;
            panic!("on purpose");
        });
        let outcome = panicking.await;
        assert!(matches!(outcome, Err(StoreError::Unavailable(_))));
        let idle = readers.read(|connection| Ok(connection.is_autocommit()));
        assert!(idle.await.unwrap());
    }
}
