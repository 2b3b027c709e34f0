//! Threads that take jobs from a bounded queue, each with state of its own.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use super::courtesy::{Times, be_nice};

/// What a job does with the state of the thread that takes it. It answers its caller itself.
type Work<S> = Box<dyn FnOnce(&mut S) + Send>;

/// Why a job was not done.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PoolError {
    /// The queue was full or too long to be worked through in time, or the deadline passed before a thread was free.
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
}

struct Shared<S> {
    queue: Mutex<Queue<S>>,
    capacity: usize,
    threads: usize,
    /// Whoever would wait for longer, as far as can be told, is turned away at once.
    longest_wait: Duration,
    /// Whoever has waited for that long is turned away.
    patience: Duration,
    /// Whether the last who asked was turned away.
    was_full: AtomicBool,
    /// How many were turned away so far.
    turned_away: AtomicU64,
    changed: Condvar,
}

struct Queue<S> {
    jobs: VecDeque<Job<S>>,
    /// How long a thread takes for a job, by those since nothing last waited; zero where that is not known.
    pace: Duration,
    is_stopped: bool,
}

struct Job<S> {
    /// Tells the caller that a thread has taken the job. It cannot be sent once the caller has gone away or given up,
    /// which is how the thread learns of that.
    taken: oneshot::Sender<()>,
    work: Work<S>,
}

/// How much faster jobs may become, where nobody knows. A thread that pauses knows that most have to be turned away.
const HOPE: f64 = 4.0;

impl<S> Shared<S> {
    fn lock(&self) -> MutexGuard<'_, Queue<S>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a job would be taken now. Nobody waits for that: a thread that has the queue gives way to all others, and
    /// may have it for long when there are many of them.
    fn has_room(&self) -> Result<(), PoolError> {
        match self.queue.try_lock() {
            Ok(mut queue) => self.check_room(&mut queue),
            Err(TryLockError::Poisoned(poisoned)) => self.check_room(&mut poisoned.into_inner()),
            Err(TryLockError::WouldBlock) if self.was_full.load(Ordering::Relaxed) => {
                self.turn_away()
            }
            Err(TryLockError::WouldBlock) => Ok(()),
        }
    }

    fn turn_away(&self) -> Result<(), PoolError> {
        self.turned_away.fetch_add(1, Ordering::Relaxed);
        Err(PoolError::Overloaded)
    }

    fn check_room(&self, queue: &mut Queue<S>) -> Result<(), PoolError> {
        if queue.is_stopped {
            return Err(PoolError::Stopped);
        }
        if self.is_too_long(queue) {
            queue.jobs.retain(|job| !job.taken.is_closed());
        }
        let is_full = self.is_too_long(queue);
        self.was_full.store(is_full, Ordering::Relaxed);
        if is_full {
            return self.turn_away();
        }
        Ok(())
    }

    fn put(&self, job: Job<S>) -> Result<(), PoolError> {
        let mut queue = self.lock();
        self.check_room(&mut queue)?;
        queue.jobs.push_back(job);
        drop(queue);
        self.changed.notify_one();
        Ok(())
    }

    fn is_too_long(&self, queue: &Queue<S>) -> bool {
        let waiting = queue.jobs.len();
        let wait = queue.pace.mul_f64(waiting as f64 / self.threads as f64);
        waiting >= self.capacity || wait > self.longest_wait
    }

    /// Notes how long a job has taken with the pause after it, and turns those away who will not be reached in time.
    fn note(&self, took: Duration, paused: Duration) {
        let mut queue = self.lock();
        // A moving average, for which the last dozen or so count. It begins with nothing: one slow job among many, as a
        // thread's first is, turns nobody away.
        queue.pace = (queue.pace * 7 + took) / 8;
        let hope = if paused.is_zero() { HOPE } else { 1.0 };
        let too_late = self.too_late(&mut queue, hope);
        drop(queue);
        // Nobody else has to wait for the queue while their callers are told.
        drop(too_late);
    }

    /// Takes those out whose turn will not come in time, even if jobs become faster by a factor.
    fn too_late(&self, queue: &mut Queue<S>, hope: f64) -> VecDeque<Job<S>> {
        let turns = hope * self.patience.as_secs_f64() / queue.pace.as_secs_f64();
        // The first one's comes now.
        let in_time = ((self.threads as f64 * turns) as usize).saturating_add(1);
        queue.jobs.split_off(in_time.min(queue.jobs.len()))
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
            // What was slow while many waited says nothing about the next who comes.
            queue.pace = Duration::ZERO;
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
    /// Starts `threads` threads named `name`, at least one, for which `capacity` jobs may wait. None waits for more than
    /// nine tenths of `deadline`, which leaves the last for the job itself, and those that would probably wait for more
    /// than half of it are not taken. A thread makes its state by `new_state`, once, and gives way to every thread that is
    /// no pool's.
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
                    jobs: VecDeque::new(),
                    pace: Duration::ZERO,
                    is_stopped: false,
                }),
                capacity,
                threads,
                longest_wait: deadline / 2,
                patience: deadline.mul_f64(0.9),
                was_full: AtomicBool::new(false),
                turned_away: AtomicU64::new(0),
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
                    be_nice();
                    work_through(&shared, new_state());
                })?;
        }
        pool.threads.close();
        Ok(pool)
    }

    /// Whether a job would be taken now.
    pub fn has_room(&self) -> Result<(), PoolError> {
        self.shared.has_room()
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
        match tokio::time::timeout(self.shared.patience, is_taken).await {
            Err(_) | Ok(Err(_)) => Err(PoolError::Overloaded),
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
        if taken.send(()).is_err() {
            continue;
        }
        let begun = Instant::now();
        let turned_away = shared.turned_away.load(Ordering::Relaxed);
        let times = Times::of_this_thread();
        if catch_unwind(AssertUnwindSafe(|| work(&mut state))).is_err() {
            tracing::error!("a job panicked; its thread goes on");
        }
        let mut pause = Duration::ZERO;
        if let (Some(before), Some(now)) = (times, Times::of_this_thread()) {
            let turned_away = shared.turned_away.load(Ordering::Relaxed) - turned_away;
            pause = now.since(before).pause(shared.threads, turned_away);
            std::thread::sleep(pause);
        }
        shared.note(begun.elapsed(), pause);
    }
}

#[cfg(test)]
mod tests;
