//! How a thread that hashes shares the processors with everything else.
//!
//! Linux shares a processor evenly between the threads that want it, but lets each run on for a while (1.4 to 4 ms here), even
//! when a thread wakes up that needs only some microseconds. Hashing therefore gives way in two steps. While a hash has had more
//! than [`SHARE`] of the time since it began, it lets others run at a point that it reaches every 100 µs. Where it has had more
//! than that at its end nevertheless, and others wanted the processor most of the time, the thread pauses until the share is
//! right. Below its share a hash competes like any other thread, so that no load keeps passwords from being hashed.
//!
//! Only processor time and elapsed time decide. How many requests come or are refused does not, so that overload cannot feed
//! itself, and where nothing else wants the processor a hash neither waits nor pauses.

use std::time::{Duration, Instant};

use super::cpu_time::CpuTime;

/// The share of a processor that a hash has while others want all of it. A quarter is promised to hashing. With 0.3 or less
/// verification keeps the 0.7 of its rate that it is promised, and with 0.25 some logins fell short of the quarter:
/// `docs/performance.md` has the measurements.
const SHARE: f64 = 0.28;

/// The share of a processor that others have at least where the machine counts as saturated. Where only logins come, the rest
/// of a login (its client, the service and PostgreSQL) takes 0.15 to 0.28 of the processors: a pause would leave them idle.
const SATURATED: f64 = 0.4;

/// The longest pause: an imported hash may cost two seconds, and the next client should not wait for five.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// A job that hashes, from its beginning.
#[derive(Clone, Copy)]
pub(super) struct Backoff {
    began: Instant,
    cpu: CpuTime,
}

impl Backoff {
    /// Begins now, on this thread.
    pub fn begin() -> Self {
        Self {
            began: Instant::now(),
            cpu: CpuTime::now(),
        }
    }

    /// Lets threads that wait for this processor run first if the job has had more than its share.
    pub fn give_way(self) {
        if is_ahead(self.cpu.elapsed(), self.began.elapsed()) {
            std::thread::yield_now();
        }
    }

    /// Pauses after the job if it has had more than its share of a saturated machine.
    pub fn pause(self) {
        std::thread::sleep(pause_after(self.cpu.elapsed(), self.began.elapsed()));
    }
}

fn is_ahead(ran: Duration, elapsed: Duration) -> bool {
    ran > elapsed.mul_f64(SHARE)
}

/// How long to pause after a job that ran for so long of the elapsed time.
fn pause_after(ran: Duration, elapsed: Duration) -> Duration {
    let is_saturated = ran <= elapsed.mul_f64(1.0 - SATURATED);
    if !is_saturated {
        return Duration::ZERO;
    }
    // Nothing where the job has had less than its share.
    let pause = ran.mul_f64(1.0 / SHARE).saturating_sub(elapsed);
    pause.min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_gives_way_while_it_has_had_more_than_its_share() {
        let millis = Duration::from_millis;
        assert!(is_ahead(millis(10), millis(10)));
        assert!(is_ahead(millis(4), millis(10)));
        assert!(!is_ahead(millis(2), millis(10)));
        assert!(!is_ahead(millis(1), millis(1000)));
    }

    #[test]
    fn a_thread_pauses_until_its_share_is_right_where_others_want_the_processor() {
        for (ran, elapsed, pause) in [
            // No one else wants the processor, or only what belongs to the logins themselves.
            (14, 14, 0),
            (14, 19, 0),
            (14, 23, 0),
            // Others do.
            (14, 24, 26),
            (14, 45, 5),
            // It has had its share or less.
            (14, 50, 0),
            (14, 6000, 0),
            // A dear job.
            (2000, 4000, 500),
            (0, 0, 0),
        ] {
            let [ran, elapsed] = [ran, elapsed].map(Duration::from_millis);
            assert_eq!(
                pause_after(ran, elapsed),
                Duration::from_millis(pause),
                "{ran:?} of {elapsed:?}"
            );
        }
    }
}
