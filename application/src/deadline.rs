//! Until when a request may store something.
//!
//! A request that is not done in time is answered that it could not be done, and its client tries again. So what it has not
//! stored by then must not be stored afterwards. The deadline accompanies the request's future as a task-local value, as a
//! tracing span does: it reaches the store through every use case, also after the future was moved to a task of its own.

use std::time::Duration;

use tokio::time::Instant;

tokio::task_local! {
    static DEADLINE: Deadline;
}

/// The instant from which on a request stores nothing more.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    /// The deadline of a request that is answered within `time_limit` from now.
    ///
    /// A fifth of the time is left to a commit that has begun: two seconds of the service's ten, the time that PostgreSQL
    /// gives a statement to wait for a lock.
    pub fn of_request(time_limit: Duration) -> Self {
        Self(Instant::now() + time_limit / 5 * 4)
    }

    /// Does `work` under this deadline.
    pub async fn limit<F: Future>(self, work: F) -> F::Output {
        DEADLINE.scope(self, work).await
    }

    /// The deadline of the request that this task works on; `None` for work that no client waits for.
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
