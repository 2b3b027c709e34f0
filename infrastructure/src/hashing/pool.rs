//! Threads that take jobs from a bounded queue, each with state of its own.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

/// What a job does with the state of the thread that takes it. It answers its caller itself.
type Work<S> = Box<dyn FnOnce(&mut S) + Send>;

/// Why a job was not done.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PoolError {
    /// The queue was full, or the deadline passed before a thread was free.
    #[error("too many jobs are waiting")]
    Overloaded,
    /// The pool takes no more jobs.
    #[error("the pool has been stopped")]
    Stopped,
    /// The thread panicked over the job; it has gone on to the next one.
    #[error("the job panicked")]
    Panicked,
}

/// Threads with state of their own, `S`.
pub(super) struct Pool<S> {
    shared: Arc<Shared<S>>,
    threads: TaskTracker,
    deadline: Duration,
}

struct Shared<S> {
    queue: Mutex<Queue<S>>,
    capacity: usize,
    changed: Condvar,
}

struct Queue<S> {
    jobs: VecDeque<Job<S>>,
    is_stopped: bool,
}

struct Job<S> {
    /// Tells the caller that a thread has taken the job. It cannot be sent once the caller has gone away or given up,
    /// which is how the thread learns of that.
    taken: oneshot::Sender<()>,
    work: Work<S>,
}

impl<S> Shared<S> {
    fn lock(&self) -> MutexGuard<'_, Queue<S>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, job: Job<S>) -> Result<(), PoolError> {
        let mut queue = self.lock();
        if queue.is_stopped {
            return Err(PoolError::Stopped);
        }
        if queue.jobs.len() >= self.capacity {
            queue.jobs.retain(|job| !job.taken.is_closed());
        }
        if queue.jobs.len() >= self.capacity {
            return Err(PoolError::Overloaded);
        }
        queue.jobs.push_back(job);
        drop(queue);
        self.changed.notify_one();
        Ok(())
    }

    /// The next job, as soon as there is one; `None` once the pool has been stopped and all jobs are taken.
    fn take(&self) -> Option<Job<S>> {
        let mut queue = self.lock();
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                return Some(job);
            }
            if queue.is_stopped {
                return None;
            }
            queue = self
                .changed
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn stop(&self) {
        self.lock().is_stopped = true;
        self.changed.notify_all();
    }
}

impl<S: 'static> Pool<S> {
    /// Starts `threads` threads named `name`, for which `capacity` jobs may wait, each no longer than `deadline`. A
    /// thread makes its state by `new_state`, once.
    ///
    /// # Errors
    /// The operating system starts no more threads. Those that were started end.
    pub fn start(
        name: &str,
        threads: usize,
        capacity: usize,
        deadline: Duration,
        new_state: impl Fn() -> S + Clone + Send + 'static,
    ) -> std::io::Result<Self> {
        let pool = Self {
            shared: Arc::new(Shared {
                queue: Mutex::new(Queue {
                    jobs: VecDeque::new(),
                    is_stopped: false,
                }),
                capacity,
                changed: Condvar::new(),
            }),
            threads: TaskTracker::new(),
            deadline,
        };
        for _ in 0..threads {
            let shared = Arc::clone(&pool.shared);
            let new_state = new_state.clone();
            let lives = pool.threads.token();
            std::thread::Builder::new()
                .name(name.to_owned())
                .spawn(move || {
                    let _lives = lives;
                    work_through(&shared, new_state());
                })?;
        }
        pool.threads.close();
        Ok(pool)
    }

    /// Has a thread do `work`, and waits for what it makes.
    ///
    /// A job whose caller has gone away is dropped undone, unless it has been begun.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut S) -> T + Send + 'static,
    ) -> Result<T, PoolError> {
        let (taken, is_taken) = oneshot::channel();
        let (done, made) = oneshot::channel();
        self.shared.put(Job {
            taken,
            work: Box::new(move |state| {
                // Nobody to tell if the caller has gone away.
                let _ = done.send(work(state));
            }),
        })?;
        match tokio::time::timeout(self.deadline, is_taken).await {
            Err(_) => Err(PoolError::Overloaded),
            Ok(Err(_)) => Err(PoolError::Stopped),
            Ok(Ok(())) => made.await.map_err(|_| PoolError::Panicked),
        }
    }

    /// Takes no more jobs, finishes those that it has, and waits for its threads to end.
    pub async fn stop(&self) {
        self.shared.stop();
        self.threads.wait().await;
    }
}

impl<S> Drop for Pool<S> {
    /// Lets the threads end. Nobody waits for a job any more: whoever does holds the pool.
    fn drop(&mut self) {
        self.shared.stop();
    }
}

fn work_through<S>(shared: &Shared<S>, mut state: S) {
    while let Some(Job { taken, work }) = shared.take() {
        if taken.send(()).is_ok() && catch_unwind(AssertUnwindSafe(|| work(&mut state))).is_err() {
            tracing::error!("a job panicked; its thread goes on");
        }
    }
}

#[cfg(test)]
mod tests;
