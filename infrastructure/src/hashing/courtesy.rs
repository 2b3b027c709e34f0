//! How a thread that hashes leaves the processors to everything else.
//!
//! It is nice, so that what costs no hash is answered while all of them hash. But Linux looks for a processor that does
//! nothing when something wakes up, and one with a nice thread on it is busy: under load, what wakes up waits there, or
//! behind others of its kind, and whatever is a chain of threads that wake each other is slow. `authlog-argon2id` therefore
//! asks between blocks whether anybody waits. What is left of it is put up with as long as everybody can be served: the
//! processors are worth more to hashing than to nobody. But when more people come than
//! could be hashed for with all processors to themselves, most of them have to be turned away whatever is done for the
//! others. Then hashing pauses, too, for as long as others have to wait for processors.

use std::time::Duration;

/// Up to which part of its time a thread may wait for a processor and still count as undisturbed: those who are turned
/// away take some time, too.
const UNDISTURBED: f64 = 0.2;

/// From which part of its time on it pauses for as long as it ever does.
const CROWDED: f64 = 0.4;

/// How many times as long as it has run a thread pauses at the most. Somebody still signs in.
const LONGEST: f64 = 20.0;

/// How long it pauses at the most: hashes of other programs may be many times as dear as ours.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// How long a thread has run, and how long it was ready to and had no processor.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Times {
    pub ran: Duration,
    pub waited: Duration,
}

impl Times {
    /// Those of this thread so far, where the operating system tells them: Linux does (`/proc/thread-self/schedstat`).
    pub fn of_this_thread() -> Option<Self> {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        let mut nanoseconds = text.split_whitespace().map_while(|word| word.parse().ok());
        Some(Self {
            ran: Duration::from_nanos(nanoseconds.next()?),
            waited: Duration::from_nanos(nanoseconds.next()?),
        })
    }

    /// What has been added since.
    pub fn since(self, before: Self) -> Self {
        Self {
            ran: self.ran.saturating_sub(before.ran),
            waited: self.waited.saturating_sub(before.waited),
        }
    }

    /// How long to pause after these were spent on a job by one of so many `threads`, while so many jobs were turned away.
    pub fn pause(self, threads: usize, turned_away: u64) -> Duration {
        let (ran, waited) = (self.ran.as_secs_f64(), self.waited.as_secs_f64());
        let took = ran + waited;
        // How many jobs like it all threads could have done meanwhile if none had waited.
        if ran == 0.0 || turned_away as f64 <= threads as f64 * took / ran {
            return Duration::ZERO;
        }
        let crowd = (waited / took - UNDISTURBED) / (CROWDED - UNDISTURBED);
        let pause = self.ran.mul_f64(LONGEST * crowd.clamp(0.0, 1.0));
        pause.min(LONGEST_PAUSE)
    }
}

/// Lets everything else go first on this thread's processor.
#[cfg(target_os = "linux")]
pub(super) fn be_nice() {
    /// A thirtieth of the share of a thread that is not nice, where both want a processor (`sched(7)`).
    const NICE: i32 = 15;
    // Linux has a priority for each thread, by the thread's id.
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE) {
        tracing::debug!(%error, "hashing has the priority of everything else");
    }
}

/// Only Linux has a priority for each thread.
#[cfg(not(target_os = "linux"))]
pub(super) fn be_nice() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_pauses_when_others_wait_and_most_have_to_be_turned_away_anyway() {
        let millis = Duration::from_millis;
        for (ran, waited, turned_away, pause) in [
            // Nobody else wants a processor, whatever comes.
            (10, 0, 1000, 0),
            (10, 2, 1000, 0),
            // Others do.
            (7, 3, 1000, 70),
            (6, 4, 1000, 120),
            (10, 90, 1000, 200),
            // Fewer jobs, or more, than the twenty that two threads without a wait do in a tenth of a second.
            (10, 90, 19, 0),
            (10, 90, 21, 200),
            (10, 90, 0, 0),
            // A dear hash.
            (1000, 1000, 1000, 500),
            // Nothing is known of it.
            (0, 0, 1000, 0),
            (0, 10, 1000, 0),
        ] {
            let times = Times {
                ran: millis(ran),
                waited: millis(waited),
            };
            let paused = times.pause(2, turned_away).as_millis();
            assert_eq!(paused, pause, "{times:?} {turned_away}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_times_of_a_thread_are_its_own() {
        std::thread::spawn(|| {
            let before = Times::of_this_thread().unwrap();
            let mut now = before;
            while now == before {
                now = Times::of_this_thread().unwrap();
            }
            assert!(now.since(before).ran > Duration::ZERO);
            assert_eq!(before.since(now), Times::default());
        })
        .join()
        .unwrap();
    }
}
