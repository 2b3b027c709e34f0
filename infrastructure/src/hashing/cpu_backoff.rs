//! How a thread that hashes shares the processors with everything else.
//!
//! Linux shares a processor evenly between the threads that want it, but lets each run on for a while (1.4 to 4 ms
//! here), even when a thread wakes up that needs only some microseconds. Hashing therefore gives way in two steps.
//! While a hash has used more than [`SHARE`] of the time since it began, it yields to other threads every 100 µs. If it
//! has used more than that at its end nevertheless, and others wanted the processors much of the time, the thread
//! pauses until the share is right. Below its share a hash competes like any other thread, so that no load keeps
//! passwords from being hashed.
//!
//! Only processor time and elapsed time decide. How many requests come or are refused does not, so that overload cannot feed
//! itself, and where nothing else wants the processor a hash neither waits nor pauses.

use std::time::{Duration, Instant};

use super::cpu_time::CpuTime;

/// The share of a processor that a hash has while others want all of it. A quarter is promised to hashing; with 0.28 it has 0.25
/// to 0.265 of the processors (`docs/performance.md`), as it takes some time for a thread to have a processor again.
const SHARE: f64 = 0.28;

/// The share of the processors that others have at least where the machine counts as saturated. Where only logins come, the
/// rest of a login (its client, the service and PostgreSQL) takes 0.15 to 0.28 of them: a pause would leave them idle.
const SATURATED: f64 = 0.4;

/// The longest pause: an imported hash may cost two seconds, and the next client should not wait for five.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// A job that hashes, from its beginning.
#[derive(Clone, Copy)]
pub(super) struct Backoff {
    began: Instant,
    cpu: CpuTime,
}

/// The usage of a job: the processor time that it got, and the time that passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub ran: Duration,
    pub elapsed: Duration,
}

/// The usage of the recent jobs of all threads, as a moving average over about a dozen jobs, some 200 ms.
///
/// One job says little: where a thread shares its processor with a client that waits for answers most of the time, it has
/// most of that processor for seconds, while the service shares the other one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RecentUsage(Usage);

impl Backoff {
    /// Begins now, on this thread.
    pub fn begin() -> Self {
        Self {
            began: Instant::now(),
            cpu: CpuTime::now(),
        }
    }

    /// Lets threads that wait for this processor run first if the job has had more than its share.
    pub fn yield_to_others(self) {
        if self.usage().is_ahead() {
            std::thread::yield_now();
        }
    }

    /// The usage of the job so far.
    pub fn usage(self) -> Usage {
        Usage {
            ran: self.cpu.elapsed(),
            elapsed: self.began.elapsed(),
        }
    }
}

impl Usage {
    fn is_ahead(self) -> bool {
        self.ran > self.elapsed.mul_f64(SHARE)
    }

    /// How long to pause after such a job where the machine is saturated. Nothing where the job has had less than its share.
    fn pause(self) -> Duration {
        let pause = self.ran.mul_f64(1.0 / SHARE).saturating_sub(self.elapsed);
        pause.min(LONGEST_PAUSE)
    }
}

impl RecentUsage {
    /// Adds a finished job, and returns how long its thread has to pause.
    pub fn pause_after(&mut self, job: Usage) -> Duration {
        let Self(recent) = self;
        recent.ran = recent.ran * 7 / 8 + job.ran;
        recent.elapsed = recent.elapsed * 7 / 8 + job.elapsed;
        let is_saturated = recent.ran <= recent.elapsed.mul_f64(1.0 - SATURATED);
        if is_saturated {
            job.pause()
        } else {
            Duration::ZERO
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A job that ran for so many milliseconds of the elapsed ones.
    fn job(ran: u64, elapsed: u64) -> Usage {
        let [ran, elapsed] = [ran, elapsed].map(Duration::from_millis);
        Usage { ran, elapsed }
    }

    /// The pauses after these jobs, in milliseconds.
    fn pauses(recent: &mut RecentUsage, jobs: &[Usage]) -> Vec<u128> {
        let pauses = jobs.iter().map(|job| recent.pause_after(*job));
        pauses.map(|pause| pause.as_millis()).collect()
    }

    #[test]
    fn a_job_gives_way_while_it_has_had_more_than_its_share() {
        assert!(job(10, 10).is_ahead());
        assert!(job(4, 10).is_ahead());
        assert!(!job(2, 10).is_ahead());
        assert!(!job(1, 1000).is_ahead());
    }

    #[test]
    fn a_thread_pauses_until_its_share_is_right_where_others_want_the_processors() {
        for (ran, elapsed, pause) in [
            // Nothing else wants the processors, or only the rest of the logins themselves.
            (14, 14, 0),
            (14, 19, 0),
            (14, 23, 0),
            // Others do.
            (14, 24, 26),
            (14, 45, 5),
            // It has had its share or less.
            (14, 50, 0),
            (14, 6000, 0),
            // A job that costs much.
            (2000, 4000, 500),
            (0, 0, 0),
        ] {
            let jobs = [job(ran, elapsed); 20];
            let expected = vec![pause; 20];
            let paused = pauses(&mut RecentUsage::default(), &jobs);
            assert_eq!(paused, expected, "{ran} of {elapsed} ms");
        }
    }

    #[test]
    fn a_thread_with_a_processor_for_itself_pauses_where_the_other_processors_are_wanted() {
        let jobs = [job(9, 10), job(9, 32)].repeat(20);
        let paused = pauses(&mut RecentUsage::default(), &jobs);
        assert!(
            paused[2..].chunks(2).all(|pair| pair == [22, 0]),
            "{paused:?}"
        );
    }

    #[test]
    fn pauses_end_within_a_dozen_jobs_once_nothing_else_wants_the_processors() {
        let mut recent = RecentUsage::default();
        assert!(
            pauses(&mut recent, &[job(8, 24); 100])
                .iter()
                .all(|pause| *pause > 0)
        );
        let paused = pauses(&mut recent, &[job(8, 8); 100]);
        assert!(paused[0] > 0);
        assert!(paused[12..].iter().all(|pause| *pause == 0), "{paused:?}");
    }
}
