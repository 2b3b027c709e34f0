//! How old the news is, without comparing the clocks of two machines.
//!
//! A heartbeat says: every event that was committed until `elapsed_ms` after its base has an index of at most `logindex`. The base of
//! the feed is the arrival of the request, which was sent at a known local time. The base of a publisher on NATS is the begin of its
//! leadership, which was at least `elapsed_ms` before each heartbeat arrives: the earliest of these times is the best estimate.
//!
//! The monotonic clock may stand still while the machine is suspended, and what was sent before is read after it. So the age of the
//! news is measured by both clocks, and the larger value counts. A heartbeat proves an instant of the monotonic clock. The difference
//! of the clocks at the start of the connection converts it to the wall clock. A heartbeat that was on the way during a suspend
//! therefore counts for at most the moment before the suspend, whenever it is read. After a suspend, or after the wall clock was set,
//! the connection is opened again ([`Freshness::has_clock_jumped`]): what arrives on it was sent after that.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::{Moment, Reading, millis};
use crate::event::Heartbeat;

/// The largest number of publishers whose bases are kept. There is one at a time.
const MOST_BASES: usize = 8;

/// The largest number of heartbeats that wait for the events before them. When there are more, each second one is dropped, so that
/// some are reached also by a reader that is far behind.
const MOST_PENDING: usize = 64;

/// How much faster than the clock of the sender the local clock may be: 200 parts in a million. A base that could only become earlier
/// would make the news appear older and older.
const DRIFT: i64 = 5000;

/// How much the difference of the clocks may change while a connection lasts, in milliseconds. A change in which the wall clock
/// gains counts as age until then. It is more than clocks drift apart in hours, and less than a heartbeat takes to come.
const LARGEST_JUMP: i64 = 500;

/// The longest text that names a publisher.
const LONGEST_PUBLISHER: usize = 128;

/// The age of the news of one source.
#[derive(Default)]
pub(crate) struct Freshness {
    bases: Vec<Base>,
    /// Heartbeats whose events have not been applied, with the time that they would prove.
    pending: VecDeque<(u64, Moment)>,
    /// The moment up to which every event is known.
    known: Option<Moment>,
    /// How far the wall clock was ahead of the monotonic clock when the connection began.
    ahead: Option<i64>,
}

struct Base {
    publisher: String,
    /// In milliseconds by the local monotonic clock. It may be before the clock began.
    at: i64,
    noted: i64,
}

impl Freshness {
    /// Begins a connection at `now`, before anything is sent on it.
    pub(crate) fn begin(&mut self, now: Reading) {
        self.end();
        self.ahead = Some(now.ahead());
    }

    /// Begins to read an answer of the feed, whose request was sent at `sent`.
    pub(crate) fn begin_answer(&mut self, sent: Reading) {
        self.begin(sent);
        self.bases.push(Base {
            publisher: String::new(),
            at: millis(sent.monotonic),
            noted: millis(sent.monotonic),
        });
    }

    /// Forgets what the heartbeats of an ended connection refer to.
    pub(crate) fn end(&mut self) {
        self.pending.clear();
        self.bases.clear();
        self.ahead = None;
    }

    /// Whether the machine was suspended, or its wall clock was set, since the connection began.
    pub(crate) fn has_clock_jumped(&self, now: Reading) -> bool {
        self.ahead.is_some_and(|ahead| {
            let change = now.ahead().saturating_sub(ahead);
            change.saturating_abs() > LARGEST_JUMP
        })
    }

    /// Notes a heartbeat that arrived at `at`; `publisher` is empty for the feed. `applied` is the last index up to which
    /// every event was applied.
    pub(crate) fn heartbeat(
        &mut self,
        publisher: &str,
        beat: Heartbeat,
        applied: Option<u64>,
        at: Reading,
    ) {
        if publisher.len() > LONGEST_PUBLISHER {
            return;
        }
        let arrived = millis(at.monotonic);
        let elapsed = i64::try_from(beat.elapsed_ms).unwrap_or(i64::MAX);
        let latest = arrived.saturating_sub(elapsed);
        let known = self.bases.iter().position(|it| it.publisher == publisher);
        let base = match known {
            Some(known) => self.bases.remove(known),
            None => Base {
                publisher: publisher.to_owned(),
                at: latest,
                noted: arrived,
            },
        };
        let drifted = base
            .at
            .saturating_add(arrived.saturating_sub(base.noted).max(0) / DRIFT);
        let begin = latest.min(drifted);
        // The part of a drift that is below a millisecond must not get lost.
        let noted = if drifted == base.at {
            base.noted
        } else {
            arrived
        };
        if self.bases.len() >= MOST_BASES {
            self.bases.remove(0);
        }
        self.bases.push(Base {
            publisher: base.publisher,
            at: begin,
            noted,
        });
        let monotonic = begin.saturating_add(elapsed).min(arrived);
        let proved = Moment {
            monotonic,
            wall: monotonic.saturating_add(*self.ahead.get_or_insert(at.ahead())),
        };
        if applied.is_some_and(|applied| beat.log_index <= applied) {
            self.prove(proved);
        } else {
            if self.pending.len() >= MOST_PENDING {
                let mut is_odd = false;
                self.pending.retain(|_| {
                    is_odd = !is_odd;
                    is_odd
                });
            }
            self.pending.push_back((beat.log_index, proved));
        }
    }

    /// Notes that every event up to this index was applied.
    pub(crate) fn applied(&mut self, applied: u64) {
        while let Some((log_index, proved)) = self.pending.front().copied() {
            if log_index > applied {
                return;
            }
            self.pending.pop_front();
            self.prove(proved);
        }
    }

    fn prove(&mut self, proved: Moment) {
        if self
            .known
            .is_none_or(|known| known.monotonic <= proved.monotonic)
        {
            self.known = Some(proved);
        }
    }

    /// Returns the age of the news, or `None` if no heartbeat has proved one.
    pub(crate) fn staleness(&self, now: Reading) -> Option<Duration> {
        self.known.map(|known| known.age(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Reading {
        Reading {
            wall: 1_700_000_000_000 + milliseconds as i64,
            monotonic: Duration::from_millis(milliseconds),
        }
    }

    fn beat(log_index: u64, elapsed_ms: u64) -> Heartbeat {
        Heartbeat {
            log_index,
            elapsed_ms,
        }
    }

    fn age(freshness: &Freshness, milliseconds: u64) -> Option<u64> {
        let age = freshness.staleness(at(milliseconds))?;
        Some(age.as_millis() as u64)
    }

    #[test]
    fn the_news_of_a_feed_are_as_old_as_the_request_and_what_passed_since_at_the_server() {
        let mut freshness = Freshness::default();
        assert_eq!(age(&freshness, 0), None);
        freshness.begin_answer(at(1000));
        // The request took 100 ms, the answer 200 ms more.
        freshness.heartbeat("", beat(7, 500), Some(7), at(1800));
        assert_eq!(age(&freshness, 1800), Some(300));
        assert_eq!(age(&freshness, 5000), Some(3500));
    }

    #[test]
    fn a_heartbeat_counts_once_the_events_before_it_were_applied() {
        let mut freshness = Freshness::default();
        freshness.begin_answer(at(0));
        freshness.heartbeat("", beat(7, 100), None, at(100));
        freshness.heartbeat("", beat(9, 600), None, at(600));
        assert_eq!(age(&freshness, 700), None);
        freshness.applied(6);
        assert_eq!(age(&freshness, 700), None);
        freshness.applied(8);
        assert_eq!(age(&freshness, 700), Some(600));
        freshness.applied(9);
        assert_eq!(age(&freshness, 700), Some(100));
    }

    #[test]
    fn a_delayed_heartbeat_counts_for_when_it_was_sent() {
        let mut freshness = Freshness::default();
        freshness.heartbeat("a", beat(1, 5000), Some(1), at(10_000));
        assert_eq!(age(&freshness, 10_000), Some(0));
        // It should have come at 10,500.
        freshness.heartbeat("a", beat(1, 5500), Some(1), at(14_500));
        assert_eq!(age(&freshness, 14_500), Some(4000));
        // An earlier one that comes later proves nothing more.
        freshness.heartbeat("a", beat(1, 5200), Some(1), at(14_600));
        assert_eq!(age(&freshness, 14_600), Some(4100));
        // It comes faster than the first one, which was delayed itself.
        freshness.heartbeat("a", beat(1, 9900), Some(1), at(14_700));
        assert_eq!(age(&freshness, 14_700), Some(0));
        freshness.heartbeat("a", beat(1, 10_000), Some(1), at(15_000));
        // The base has drifted by a millisecond meanwhile.
        assert_eq!(age(&freshness, 15_000), Some(199));
    }

    #[test]
    fn each_publisher_has_a_base_of_its_own() {
        let mut freshness = Freshness::default();
        freshness.heartbeat("a", beat(1, 1_000_000), Some(1), at(1000));
        freshness.heartbeat("b", beat(1, 3), Some(1), at(2000));
        assert_eq!(age(&freshness, 2000), Some(0));
        freshness.heartbeat("b", beat(1, 503), Some(1), at(2700));
        assert_eq!(age(&freshness, 2700), Some(200));
        for publisher in 0..1000 {
            freshness.heartbeat(&publisher.to_string(), beat(9, 3), Some(1), at(2700));
        }
        assert!(freshness.bases.len() <= MOST_BASES && freshness.pending.len() <= MOST_PENDING);
    }

    #[test]
    fn no_heartbeat_proves_the_future() {
        let mut freshness = Freshness::default();
        freshness.begin_answer(at(1000));
        freshness.heartbeat("", beat(1, u64::MAX), Some(1), at(2000));
        assert_eq!(age(&freshness, 2000), Some(0));
        assert_eq!(age(&freshness, 3000), Some(1000));
    }

    #[test]
    fn a_local_clock_that_is_faster_does_not_make_the_news_old() {
        let mut freshness = Freshness::default();
        freshness.begin_answer(at(0));
        // Three hours, and the local clock gains 100 parts in a million.
        for beats in 1..=20_000_u64 {
            let elapsed = beats * 500;
            let arrived = elapsed + elapsed / 10_000;
            freshness.heartbeat("", beat(1, elapsed), Some(1), at(arrived));
            assert!(age(&freshness, arrived).unwrap() < 5, "{beats}");
        }
    }

    #[test]
    fn news_grow_old_while_the_machine_is_suspended() {
        let mut freshness = Freshness::default();
        freshness.begin_answer(at(0));
        freshness.heartbeat("", beat(1, 500), Some(1), at(500));
        let mut now = at(600);
        now.wall += 3_600_000;
        assert_eq!(
            freshness.staleness(now),
            Some(Duration::from_millis(3_600_100))
        );
        // A clock that was set back proves nothing.
        now.wall -= 7_200_000;
        assert_eq!(freshness.staleness(now), Some(Duration::from_millis(100)));
    }

    /// The clocks after the machine was suspended for as long.
    fn after_suspend(milliseconds: u64, suspended: i64) -> Reading {
        let mut reading = at(milliseconds);
        reading.wall += suspended;
        reading
    }

    #[test]
    fn a_heartbeat_that_arrived_during_a_suspend_is_as_old_as_that() {
        const HOUR: i64 = 3_600_000;
        for publisher in ["", "a"] {
            let mut freshness = Freshness::default();
            freshness.begin_answer(at(0));
            freshness.heartbeat(publisher, beat(1, 500), Some(1), at(500));
            assert!(!freshness.has_clock_jumped(at(600)));
            // It was sent before the suspend, and is read after it.
            let resumed = after_suspend(1000, HOUR);
            freshness.heartbeat(publisher, beat(1, 950), Some(1), resumed);
            let age = freshness.staleness(resumed).unwrap();
            assert!(age >= Duration::from_millis(HOUR as u64), "{age:?}");
            // It was sent after the suspend. That cannot be told apart on the same connection.
            let beats = beat(1, 1500 + HOUR as u64);
            let now = after_suspend(1500, HOUR);
            freshness.heartbeat(publisher, beats, Some(1), now);
            assert!(freshness.staleness(now).unwrap() >= Duration::from_millis(HOUR as u64));
            assert!(freshness.has_clock_jumped(now));
            freshness.begin_answer(now);
            assert!(!freshness.has_clock_jumped(now));
            let now = after_suspend(2000, HOUR);
            freshness.heartbeat(publisher, beat(1, 500), Some(1), now);
            assert!(freshness.staleness(now).unwrap() <= Duration::from_millis(500));
        }
    }

    #[test]
    fn the_first_heartbeat_of_a_subscription_is_as_old_as_a_suspend_after_its_begin() {
        let mut freshness = Freshness::default();
        freshness.begin(at(0));
        let resumed = after_suspend(100, 10_000);
        freshness.heartbeat("a", beat(1, 77_000), Some(1), resumed);
        let age = freshness.staleness(resumed).unwrap();
        assert_eq!(age, Duration::from_millis(10_000));
    }

    #[test]
    fn a_wall_clock_that_is_set_makes_no_news_younger() {
        for jump in [-3_600_000, -400, 400, 3_600_000] {
            let mut freshness = Freshness::default();
            freshness.begin_answer(at(0));
            freshness.heartbeat("", beat(1, 500), Some(1), at(500));
            let now = after_suspend(2500, jump);
            assert!(freshness.staleness(now).unwrap() >= Duration::from_millis(2000));
            assert_eq!(freshness.has_clock_jumped(now), jump.abs() > LARGEST_JUMP);
            // It was delayed for a second.
            freshness.heartbeat("", beat(1, 1500), Some(1), now);
            assert!(freshness.staleness(now).unwrap() >= Duration::from_millis(1000));
        }
    }

    #[test]
    fn a_new_connection_forgets_the_heartbeats_of_the_last_one() {
        let mut freshness = Freshness::default();
        freshness.begin_answer(at(0));
        freshness.heartbeat("", beat(9, 100), Some(1), at(100));
        freshness.begin_answer(at(5000));
        freshness.applied(9);
        assert_eq!(age(&freshness, 5000), None);
    }
}
