//! Threads that take jobs from a bounded queue, each with state of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use super::cpu_backoff::{Backoff, RecentUsage, Usage};
use super::fair_queue::{FairQueue, Reserved, Ticket};
use crate::limits::Network;

/// What a job does with the state of the thread that takes it. It answers its caller itself.
type Work<S> = Box<dyn FnOnce(&mut S) + Send>;

/// Why a job was not done.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PoolError {
    /// All places were taken, a client with fewer took this one, or no thread was free while the caller waited.
    #[error("too many jobs are waiting")]
    Overloaded,
    /// The pool takes no more jobs.
    #[error("the pool has been stopped")]
    Stopped,
    /// The job panicked; its thread continues with the next one.
    #[error("the job panicked")]
    Panicked,
}

/// Threads with state of their own, `S`.
pub(super) struct Pool<S> {
    shared: Arc<Shared<S>>,
    threads: TaskTracker,
}

struct Shared<S> {
    queue: Mutex<Queue<S>>,
    capacity: usize,
    threads: usize,
    /// How long all threads together may need for the waiting jobs, if nothing else runs on the machine.
    longest_backlog: Duration,
    /// How long a job waits before its caller gives it up.
    max_wait: Duration,
    changed: Condvar,
}

struct Queue<S> {
    jobs: FairQueue<Job<S>>,
    /// The processor time of a job, a moving average. Time spent waiting for a processor does not count, so that a busy
    /// machine admits as many jobs as an idle one.
    mean_cpu_time: Duration,
    recent_usage: RecentUsage,
    is_stopped: bool,
}

struct Job<S> {
    /// Tells the caller that a thread has taken the job. It cannot be sent once the caller has gone away or given up.
    taken: oneshot::Sender<()>,
    work: Work<S>,
}

/// No job counts for more than this part of the longest backlog. At least ten jobs may therefore wait for each thread,
/// however costly a few imported hashes are.
const LONGEST_JOB: u32 = 10;

impl<S> Shared<S> {
    fn lock(&self) -> MutexGuard<'_, Queue<S>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many jobs may wait.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a conversion from a float saturates"
    )]
    fn places(&self, queue: &Queue<S>) -> usize {
        let turns = self.longest_backlog.as_secs_f64() / queue.mean_cpu_time.as_secs_f64();
        ((self.threads as f64 * turns) as usize).min(self.capacity)
    }

    /// Takes a place, before the job is known.
    fn reserve(&self, client: Network) -> Result<Ticket, PoolError> {
        let mut queue = self.lock();
        if queue.is_stopped {
            return Err(PoolError::Stopped);
        }
        let places = self.places(&queue);
        let reserved = queue.jobs.reserve(client, places);
        drop(queue);
        let Reserved { ticket, displaced } = reserved.ok_or(PoolError::Overloaded)?;
        // Its caller learns that it was refused.
        drop(displaced);
        Ok(ticket)
    }

    /// Puts a job in the place that was reserved for it, unless another client has taken the place.
    fn put(&self, client: Network, reserved: Ticket, job: Job<S>) -> Result<Ticket, PoolError> {
        let mut queue = self.lock();
        if queue.is_stopped {
            return Err(PoolError::Stopped);
        }
        let put = queue.jobs.put(client, reserved, job);
        drop(queue);
        let ticket = put.map_err(|_| PoolError::Overloaded)?;
        self.changed.notify_one();
        Ok(ticket)
    }

    /// The next job, as soon as there is one, and what its client is charged for it meanwhile; `None` once the pool has been
    /// stopped and all jobs are taken.
    fn take(&self) -> Option<(Network, Job<S>, Duration)> {
        let mut queue = self.lock();
        loop {
            let estimate = queue.mean_cpu_time;
            if let Some((client, job)) = queue.jobs.take(estimate) {
                return Some((client, job, estimate));
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

    /// Records the processor time of a finished job, and returns how long its thread has to pause.
    fn ended(&self, client: Network, estimate: Duration, usage: Usage) -> Duration {
        let took = usage.ran;
        let counted = took.min(self.longest_backlog / LONGEST_JOB);
        let mut queue = self.lock();
        // A moving average over about a dozen jobs. It starts at zero, so that the slow first job of a thread changes
        // little.
        queue.mean_cpu_time = (queue.mean_cpu_time * 7 + counted) / 8;
        queue.jobs.settle(client, estimate, took);
        queue.recent_usage.pause_after(usage)
    }

    fn stop(&self) {
        self.lock().is_stopped = true;
        self.changed.notify_all();
    }
}

/// A caller's place in the queue, first reserved and then with a job. Dropping the place drops a job that has not
/// begun.
pub(super) struct Place<S> {
    shared: Arc<Shared<S>>,
    client: Network,
    ticket: Ticket,
}

impl<S> Drop for Place<S> {
    fn drop(&mut self) {
        let job = self.shared.lock().jobs.remove(self.client, self.ticket);
        // The lock is released before the job is dropped.
        drop(job);
    }
}

impl<S: 'static> Place<S> {
    /// Runs `work` on a thread of the pool, and returns its result.
    ///
    /// A job that has not begun is dropped if its caller is dropped, or once the future `gone` is ready.
    pub async fn run<T: Send + 'static>(
        mut self,
        gone: impl Future<Output = ()>,
        work: impl FnOnce(&mut S) -> T + Send + 'static,
    ) -> Result<T, PoolError> {
        let (taken, is_taken) = oneshot::channel();
        let (done, made) = oneshot::channel();
        let job = Job {
            taken,
            work: Box::new(move |state| {
                // The caller may have gone away; then the result is dropped.
                let _ = done.send(work(state));
            }),
        };
        self.ticket = self.shared.put(self.client, self.ticket, job)?;
        let is_taken = tokio::select! {
            biased;
            is_taken = is_taken => is_taken.is_ok(),
            () = tokio::time::sleep(self.shared.max_wait) => false,
            () = gone => false,
        };
        drop(self);
        if !is_taken {
            return Err(PoolError::Overloaded);
        }
        made.await.map_err(|_| PoolError::Panicked)
    }
}

impl<S: 'static> Pool<S> {
    /// Starts `threads` threads named `name`, at least one, for which `capacity` jobs may wait, or fewer: all threads
    /// together must be able to work through them in half of `deadline`. A job waits for nine tenths of `deadline` at the
    /// most, which leaves the last for the job itself. A thread makes its state by `new_state`, once.
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
        let threads = threads.max(1);
        let pool = Self {
            shared: Arc::new(Shared {
                queue: Mutex::new(Queue {
                    jobs: FairQueue::new(),
                    mean_cpu_time: Duration::ZERO,
                    recent_usage: RecentUsage::default(),
                    is_stopped: false,
                }),
                capacity,
                threads,
                longest_backlog: deadline / 2,
                max_wait: deadline.mul_f64(0.9),
                changed: Condvar::new(),
            }),
            threads: TaskTracker::new(),
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

    /// Reserves a place for a job of `client`, so that the data of the job can be looked up. A client with fewer places
    /// may still take it.
    ///
    /// # Errors
    /// There is no place, and no other client has at least two more than this one.
    pub fn reserve(&self, client: Network) -> Result<Place<S>, PoolError> {
        Ok(Place {
            shared: Arc::clone(&self.shared),
            client,
            ticket: self.shared.reserve(client)?,
        })
    }

    /// Takes no more jobs, finishes those that it has, and waits for its threads to end.
    pub async fn stop(&self) {
        self.shared.stop();
        self.threads.wait().await;
    }
}

impl<S> Drop for Pool<S> {
    /// Lets the threads end once all jobs are done.
    fn drop(&mut self) {
        self.shared.stop();
    }
}

fn work_through<S>(shared: &Shared<S>, mut state: S) {
    while let Some((client, Job { taken, work }, estimate)) = shared.take() {
        if taken.send(()).is_ok() {
            let backoff = Backoff::begin();
            if catch_unwind(AssertUnwindSafe(|| work(&mut state))).is_err() {
                tracing::error!("a password hashing job panicked; its thread continues");
            }
            let pause = shared.ended(client, estimate, backoff.usage());
            std::thread::sleep(pause);
        } else {
            shared.lock().jobs.settle(client, estimate, Duration::ZERO);
        }
    }
}

#[cfg(test)]
mod tests;
