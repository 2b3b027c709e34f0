//! Whether a store accepts writes: known from the outcomes of real writes, and from a probe only where those leave it
//! in doubt.
//!
//! A write that was refused, for example for a conflict, says nothing about the store: what one client requests must
//! not make a node look broken. Nor does a single write that failed while others succeeded.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use authlog_application::ports::{NotReady, StoreError};
use authlog_application::{Outcomes, RecentOutcomes};
use tokio::time::timeout;

/// How long a write may be in progress before it counts as hanging. Writes that wait for a lock are given up within
/// this time or shortly after.
const HANGS_AFTER: Duration = Duration::from_secs(3);

/// The shortest time between two probes, however often readiness is asked for.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// How long a successful write is taken as proof that writes succeed: another program may fill the disk afterwards. A
/// node without traffic then writes a few pages a minute, if its readiness is asked for.
const BELIEVED_FOR: Duration = Duration::from_mins(1);

/// How long a caller waits for a probe, which continues without it.
const PROBE_WITHIN: Duration = Duration::from_secs(2);

/// The outcomes of the writes of one store.
#[derive(Default)]
pub(crate) struct WriteHealth(Mutex<Writes>);

/// A write in progress. If it is dropped without an outcome, it counts neither as a success nor as a failure.
pub(crate) struct WriteAttempt {
    health: Arc<WriteHealth>,
    number: u64,
}

#[derive(Default)]
struct Writes {
    recent: RecentOutcomes,
    /// The last write that ended.
    last: Option<Ended>,
    /// The reason of the most recent failure.
    reason: String,
    under_way: BTreeMap<u64, Instant>,
    next_number: u64,
    probed_at: Option<Instant>,
    is_probing: bool,
}

/// How a write ended, and when.
struct Ended {
    at: Instant,
    has_failed: bool,
}

/// The right to probe, held by one at a time.
struct Turn(Arc<WriteHealth>);

impl WriteHealth {
    /// Records the start of a write.
    pub(crate) fn begin(self: &Arc<Self>) -> WriteAttempt {
        let mut outcomes = self.lock();
        let number = outcomes.next_number;
        outcomes.next_number += 1;
        outcomes.under_way.insert(number, Instant::now());
        drop(outcomes);
        WriteAttempt {
            health: Arc::clone(self),
            number,
        }
    }

    /// Checks that writes succeed. If that is in doubt, because they fail or none was tried recently, it runs `probe`,
    /// which has to write and to record its outcome as every write does.
    ///
    /// # Errors
    /// [`NotReady::WritesFail`], if writes fail or hang.
    pub(crate) async fn check<F>(
        self: &Arc<Self>,
        probe: impl FnOnce() -> F,
    ) -> Result<(), StoreError>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if !self.lock().are_in_doubt(Instant::now()) {
            return Ok(());
        }
        if let Some(turn) = self.take_turn(Instant::now()) {
            let probe = probe();
            let probing = tokio::spawn(async move {
                let _turn = turn;
                probe.await;
            });
            let _ = timeout(PROBE_WITHIN, probing).await;
        }
        match self.fault(Instant::now()) {
            None => Ok(()),
            Some(reason) => {
                let fault = NotReady::WritesFail(reason);
                Err(StoreError::Unavailable(Box::new(fault)))
            }
        }
    }

    /// Why writes cannot be relied on now; `None` if they can.
    fn fault(&self, now: Instant) -> Option<String> {
        self.lock().fault(now)
    }

    fn take_turn(self: &Arc<Self>, now: Instant) -> Option<Turn> {
        let mut outcomes = self.lock();
        let is_due = outcomes
            .probed_at
            .is_none_or(|at| now.duration_since(at) >= PROBE_EVERY);
        if outcomes.is_probing || !is_due {
            return None;
        }
        outcomes.is_probing = true;
        outcomes.probed_at = Some(now);
        Some(Turn(Arc::clone(self)))
    }

    fn lock(&self) -> MutexGuard<'_, Writes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.lock().is_probing = false;
    }
}

impl WriteAttempt {
    /// Records that something was written.
    pub(crate) fn succeeded(self) {
        self.health.lock().note(Instant::now(), false);
    }

    /// Records that the store could not write.
    pub(crate) fn failed(self, error: &(dyn Error + 'static)) {
        let mut reason = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            reason = format!("{reason}: {cause}");
            source = cause.source();
        }
        let mut outcomes = self.health.lock();
        outcomes.note(Instant::now(), true);
        outcomes.reason = reason;
    }
}

impl Drop for WriteAttempt {
    fn drop(&mut self) {
        self.health.lock().under_way.remove(&self.number);
    }
}

impl Writes {
    fn note(&mut self, now: Instant, has_failed: bool) {
        self.recent.note(now, has_failed);
        self.last = Some(Ended {
            at: now,
            has_failed,
        });
    }

    /// Whether another write is needed to know that writes succeed.
    fn are_in_doubt(&mut self, now: Instant) -> bool {
        let is_old = |last: &Ended| now.duration_since(last.at) >= BELIEVED_FOR;
        self.last.as_ref().is_none_or(is_old) || self.fault(now).is_some()
    }

    fn fault(&mut self, now: Instant) -> Option<String> {
        if let Some((_, since)) = self.under_way.first_key_value() {
            let age = now.duration_since(*since);
            if age >= HANGS_AFTER {
                return Some(format!("one has been under way for {} s", age.as_secs()));
            }
        }
        let outcomes = self.recent.at(now);
        let Some(last) = &self.last else {
            return Some("none was tried since the start".to_owned());
        };
        let is_fault = if outcomes == Outcomes::default() {
            // What was true before holds until a write shows otherwise.
            last.has_failed
        } else {
            outcomes.are_mostly_failures()
        };
        is_fault.then(|| self.reason.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn works(outcomes: &mut Writes, now: Instant) -> bool {
        outcomes.fault(now).is_none()
    }

    fn failing() -> Arc<WriteHealth> {
        let health = Arc::new(WriteHealth::default());
        health
            .begin()
            .failed(&std::io::Error::other("the disk is full"));
        health
    }

    #[tokio::test]
    async fn a_store_that_was_not_written_to_is_probed_before_it_is_trusted() {
        let health = Arc::new(WriteHealth::default());
        let error = health.check(|| async {}).await.unwrap_err();
        assert_eq!(
            error.source().unwrap().to_string(),
            "writes fail: none was tried since the start"
        );
        health.lock().probed_at = None;
        let attempt = health.begin();
        health
            .check(|| async { attempt.succeeded() })
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn a_store_that_was_not_written_to_for_a_minute_is_probed_and_meanwhile_trusted() {
        let (mut outcomes, now) = (Writes::default(), Instant::now());
        outcomes.note(now, false);
        assert!(!outcomes.are_in_doubt(now + BELIEVED_FOR - SECOND));
        assert!(outcomes.are_in_doubt(now + BELIEVED_FOR));
        assert!(works(&mut outcomes, now + BELIEVED_FOR));
        outcomes.note(now + BELIEVED_FOR, true);
        assert!(!works(&mut outcomes, now + BELIEVED_FOR));
    }

    #[test]
    fn one_failure_among_successes_is_no_fault_and_many_are() {
        let (mut outcomes, now) = (Writes::default(), Instant::now());
        outcomes.note(now, false);
        outcomes.note(now, false);
        outcomes.note(now, true);
        assert!(works(&mut outcomes, now));
        outcomes.note(now + SECOND, true);
        assert!(works(&mut outcomes, now + SECOND));
        outcomes.note(now + 2 * SECOND, true);
        assert!(!works(&mut outcomes, now + 2 * SECOND));
        outcomes.note(now + 3 * SECOND, false);
        assert!(works(&mut outcomes, now + 3 * SECOND));
    }

    #[test]
    fn a_fault_lasts_until_a_write_succeeds_however_late() {
        let (mut outcomes, now) = (Writes::default(), Instant::now());
        outcomes.note(now, false);
        for _ in 0..3 {
            outcomes.note(now + SECOND, true);
        }
        let later = now + 1000 * SECOND;
        assert!(!works(&mut outcomes, later));
        outcomes.note(later, false);
        assert!(works(&mut outcomes, later));
        assert!(works(&mut outcomes, later + 1000 * SECOND));
    }

    #[test]
    fn successes_of_long_ago_do_not_hide_a_fault() {
        let (mut outcomes, now) = (Writes::default(), Instant::now());
        for _ in 0..1000 {
            outcomes.note(now, false);
        }
        outcomes.note(now + RecentOutcomes::WINDOW, true);
        assert!(!works(&mut outcomes, now + RecentOutcomes::WINDOW));
    }

    #[test]
    fn a_write_that_hangs_is_a_fault_until_it_ends() {
        let health = Arc::new(WriteHealth::default());
        health.begin().succeeded();
        let attempt = health.begin();
        let now = Instant::now();
        assert_eq!(health.fault(now), None);
        let reason = health.fault(now + HANGS_AFTER).unwrap();
        assert_eq!(reason, "one has been under way for 3 s");
        drop(attempt);
        assert_eq!(health.fault(now + HANGS_AFTER), None);
    }

    #[tokio::test]
    async fn a_doubt_is_settled_by_a_probe() {
        let health = failing();
        let error = health.check(|| async {}).await.unwrap_err();
        assert_eq!(
            error.source().unwrap().to_string(),
            "writes fail: the disk is full"
        );
        health.lock().probed_at = None;
        let attempt = health.begin();
        let succeeds = || async { attempt.succeeded() };
        health.check(succeeds).await.unwrap();
    }

    #[tokio::test]
    async fn a_store_that_is_trusted_is_not_probed() {
        let health = Arc::new(WriteHealth::default());
        health.begin().succeeded();
        let probed = health.check(|| async { panic!("it is not in doubt") });
        probed.await.unwrap();
    }

    #[tokio::test]
    async fn probes_are_few_however_many_ask_and_never_overlap() {
        let health = failing();
        let probes = Arc::new(AtomicU32::new(0));
        let ask = || {
            let probes = Arc::clone(&probes);
            health.check(move || async move {
                probes.fetch_add(1, Ordering::Relaxed);
                std::future::pending::<()>().await;
            })
        };
        let all = futures_util::future::join_all((0..100).map(|_| ask())).await;
        assert!(all.iter().all(Result::is_err));
        // The first probe still hangs, and another one would be due.
        health.lock().probed_at = None;
        assert!(ask().await.is_err());
        assert_eq!(probes.load(Ordering::Relaxed), 1);
    }
}
