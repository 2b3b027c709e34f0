//! The deadline of a request: the instant after which it must not write to the store.
//!
//! A request that misses its time limit is answered as unavailable, and its client retries. So it must not write
//! afterwards. The deadline is a task-local value of the request's future, like a tracing span: it reaches the store
//! through every use case, also when the future moves to another task.

use std::time::Duration;

use tokio::time::Instant;

tokio::task_local! {
    static DEADLINE: Deadline;
}

/// The instant after which a request writes nothing.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    /// The deadline of a request that must be answered within `time_limit` from now.
    ///
    /// A fifth of the time is reserved for a commit in progress: two of the service's ten seconds, which is how long
    /// PostgreSQL lets a statement wait for a lock.
    pub fn of_request(time_limit: Duration) -> Self {
        Self(Instant::now() + time_limit / 5 * 4)
    }

    /// Runs `work` under this deadline.
    pub async fn limit<F: Future>(self, work: F) -> F::Output {
        DEADLINE.scope(self, work).await
    }

    /// The deadline of the request of this task; `None` for background work.
    pub(crate) fn current() -> Option<Instant> {
        DEADLINE.try_with(|deadline| deadline.0).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_deadline_goes_with_its_work_into_another_task() {
        assert!(Deadline::current().is_none());
        let started = Instant::now();
        let work = Deadline::of_request(Duration::from_secs(10)).limit(async {
            tokio::time::sleep(Duration::from_secs(9)).await;
            Deadline::current()
        });
        let deadline = tokio::spawn(work).await.unwrap();
        assert_eq!(deadline, Some(started + Duration::from_secs(8)));
    }
}
