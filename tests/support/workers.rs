//! The processor time of the worker threads.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use super::Program;

/// The name of tokio's threads. Threads for blocking work have the same name.
const WORKER: &str = "tokio-rt-worker";

/// The processor time of each worker of a program so far. It does not grow while a worker waits for a processor, so a
/// busy machine has little influence.
pub struct Workers(BTreeMap<String, Duration>);

impl Workers {
    /// The times of `program`, from `/proc` (`sched-stats.rst` of Linux).
    pub fn of(program: &Program) -> Self {
        let threads = fs::read_dir(format!("/proc/{}/task", program.id())).expect("its threads");
        let spent = threads.filter_map(|thread| {
            let thread = thread.ok()?.path();
            // A thread may have ended meanwhile.
            let name = fs::read_to_string(thread.join("comm")).ok()?;
            let statistics = fs::read_to_string(thread.join("schedstat")).ok()?;
            let nanoseconds = statistics.split(' ').next()?.parse().ok()?;
            let is_worker = name.trim_end() == WORKER;
            is_worker.then(|| {
                (
                    thread.display().to_string(),
                    Duration::from_nanos(nanoseconds),
                )
            })
        });
        let workers = Self(spent.collect());
        assert!(!workers.0.is_empty(), "no thread is called {WORKER}");
        workers
    }

    /// The most processor time that a single worker has used since then.
    pub fn most_since(&self, before: &Self) -> Duration {
        let used = self.0.iter().map(|(thread, spent)| {
            let before = before.0.get(thread).copied().unwrap_or_default();
            spent.saturating_sub(before)
        });
        used.max().unwrap_or_default()
    }
}
