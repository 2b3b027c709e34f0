//! The news of one log: what has ended, how far the log was read, and how old that is.

use std::time::Duration;

use crate::clock::{Reading, millis};
use crate::deny_list::{DenyList, Full};
use crate::event::{Change, Event, Heartbeat, Mark};
use crate::freshness::Freshness;
use crate::progress::{Broken, Progress, Step};

/// How much longer than the longest access token an entry is remembered. It covers clocks that differ, and tokens that a node issued
/// a moment before it knew of the end of their session.
pub(crate) const MARGIN: Duration = Duration::from_secs(60 * 60);

/// How far ahead the time of an event may be. A clock that was wrong by years must not fill the list for years.
const FARTHEST_AHEAD: i64 = 7 * 24 * 60 * 60 * 1000;

/// What the list of the news may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The longest lifetime of an access token.
    pub(crate) longest_token: Duration,
    /// The largest number of entries.
    pub(crate) entries: usize,
}

/// Why an event cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotApplied {
    /// The log has another event at an index that was read.
    OtherHistory,
    /// Events are missing.
    Gap,
    /// The list is full. Nothing was noted, so the event can be applied later.
    Full,
    /// It may end sessions, and the version of its type is not known. Nothing was noted. It contains the type.
    Version(String),
}

impl From<Full> for NotApplied {
    fn from(_: Full) -> Self {
        Self::Full
    }
}

impl From<Broken> for NotApplied {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::OtherHistory => Self::OtherHistory,
            Broken::Gap => Self::Gap,
        }
    }
}

/// The news of one log.
pub(crate) struct News {
    pub(crate) list: DenyList,
    progress: Progress,
    freshness: Freshness,
    /// The instant from which on every event was read, in milliseconds since 1970.
    since: i64,
    keep: i64,
    longest_token: i64,
    is_complete: bool,
}

impl News {
    /// No news, to be read from [`Self::since`] on. `now` is the earliest time that any clock says.
    pub(crate) fn new(limits: Limits, now: i64) -> Self {
        let keep = millis(limits.longest_token.saturating_add(MARGIN));
        Self {
            list: DenyList::new(limits.entries),
            progress: Progress::default(),
            freshness: Freshness::default(),
            // No event is older than 1970.
            since: now.saturating_sub(keep).max(0),
            keep,
            longest_token: millis(limits.longest_token),
            is_complete: false,
        }
    }

    /// The instant from which on events have to be read, in milliseconds since 1970.
    pub(crate) fn since(&self) -> i64 {
        self.since
    }

    /// Whether the news reaches back to the issue of every token that may be unexpired at `now` (milliseconds since 1970). It does
    /// not if it was first read while the clock was ahead.
    pub(crate) fn reach_back(&self, now: i64) -> bool {
        self.since <= now.saturating_sub(self.longest_token).max(0)
    }

    /// Whether everything was read once.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_complete
    }

    pub(crate) fn log_index(&self) -> Option<u64> {
        self.progress.log_index()
    }

    pub(crate) fn last(&self) -> Option<&Mark> {
        self.progress.last()
    }

    #[cfg(any(feature = "nats", test))]
    pub(crate) fn has_gap(&self) -> bool {
        self.progress.has_gap()
    }

    pub(crate) fn staleness(&self, now: Reading) -> Option<Duration> {
        self.freshness.staleness(now)
    }

    /// Begins to read an answer of the feed, whose request was sent at `sent`.
    pub(crate) fn begin_answer(&mut self, sent: Reading) {
        self.freshness.begin_answer(sent);
    }

    /// Begins a connection to another source, at `now`, before anything was sent on it.
    #[cfg(feature = "nats")]
    pub(crate) fn begin_connection(&mut self, now: Reading) {
        self.freshness.begin(now);
    }

    /// Whether the machine was suspended, or its wall clock was set, since the connection began.
    pub(crate) fn has_clock_jumped(&self, now: Reading) -> bool {
        self.freshness.has_clock_jumped(now)
    }

    /// Ends a connection: its heartbeats count no longer.
    pub(crate) fn end_connection(&mut self) {
        self.freshness.end();
    }

    /// Notes that the log up to this index has nothing that is needed. Without effect after the first event.
    pub(crate) fn begin_after(&mut self, log_index: u64) {
        self.progress.begin_after(log_index);
    }

    /// Applies an event. The wall clock of `now` is the earliest time that any clock says, so that no entry is left out or forgotten
    /// because a clock is ahead.
    pub(crate) fn apply(&mut self, event: &Event, now: Reading) -> Result<(), NotApplied> {
        if self.progress.step(&event.mark)? == Step::Skip {
            return Ok(());
        }
        if let Change::Unknown(kind) = &event.change {
            return Err(NotApplied::Version(kind.clone()));
        }
        self.add(event, now)?;
        self.progress.note(&event.mark);
        if let Some(applied) = self.progress.log_index() {
            self.freshness.applied(applied);
            self.complete(now);
        }
        Ok(())
    }

    /// Adds what an event changes, without a place in the log. So it can be of another history: a client that was locked or unlocked in
    /// both has the state of the higher index.
    pub(crate) fn add(&mut self, event: &Event, now: Reading) -> Result<(), Full> {
        if event.change == Change::None {
            return Ok(());
        }
        let until = Self::happened(event, now).saturating_add(self.keep);
        self.list.add(&event.change, event.mark.log_index, until)
    }

    /// When an event happened, at the latest. The clock that dated it may have been behind, so the time of reading counts as well. An
    /// event that is read at the start is therefore kept up to a day longer than necessary, and a list after a start has at most twice
    /// as many entries as it needs.
    fn happened(event: &Event, now: Reading) -> i64 {
        let written = event.mark.millis().unwrap_or(now.wall);
        let written = written.min(now.wall.saturating_add(FARTHEST_AHEAD));
        written.max(now.wall)
    }

    /// Notes a heartbeat of a publisher that arrived at `at`.
    pub(crate) fn heartbeat(&mut self, publisher: &str, beat: Heartbeat, at: Reading) {
        let applied = self.progress.log_index();
        self.freshness.heartbeat(publisher, beat, applied, at);
        self.complete(at);
    }

    fn complete(&mut self, now: Reading) {
        self.is_complete = self.is_complete || self.freshness.staleness(now).is_some();
    }

    /// Forgets what has expired by `now`, the earliest time that any clock says (milliseconds since 1970). Returns whether there is
    /// more to forget.
    pub(crate) fn forget(&mut self, now: i64, most: usize) -> bool {
        self.list.forget(now, most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_kept_by_when_it_was_read_if_the_clock_that_wrote_it_was_behind() {
        const NOW: i64 = 1_790_000_000_000;
        let limits = Limits {
            longest_token: Duration::from_secs(24 * 60 * 60),
            entries: 10,
        };
        let reading = Reading {
            wall: NOW,
            monotonic: Duration::from_secs(1),
        };
        let mut news = News::new(limits, NOW);
        for (index, time) in ["2001-01-01T00:00:00Z", "not a time"].iter().enumerate() {
            let event = Event {
                mark: Mark {
                    log_index: index as u64 + 1,
                    id: "x".to_owned(),
                    time: (*time).to_owned(),
                },
                source: String::new(),
                change: Change::Session(uuid::Uuid::from_u128(index as u128)),
            };
            news.apply(&event, reading).unwrap();
        }
        assert!(!news.is_complete());
        let day = millis(limits.longest_token);
        news.forget(NOW + day, usize::MAX);
        assert_eq!(news.list.entries().total(), 2);
        news.forget(NOW + 2 * day, usize::MAX);
        assert_eq!(news.list.entries().total(), 0);
    }

    #[test]
    fn no_lifetime_of_tokens_and_no_time_is_too_long() {
        let times = [i64::MIN, -1, 0, 1_790_000_000_000, i64::MAX];
        for (longest_token, now) in [Duration::ZERO, Duration::MAX]
            .into_iter()
            .flat_map(|longest| times.map(|now| (longest, now)))
        {
            let limits = Limits {
                longest_token,
                entries: 10,
            };
            let reading = Reading {
                wall: now,
                monotonic: Duration::MAX,
            };
            let mut news = News::new(limits, now);
            assert!(news.since() >= 0);
            assert!(now < 0 || news.reach_back(now), "{longest_token:?} {now}");
            let event = Event {
                mark: Mark {
                    log_index: u64::MAX,
                    id: "x".to_owned(),
                    time: "9999-12-31T23:59:59Z".to_owned(),
                },
                source: String::new(),
                change: Change::Session(uuid::Uuid::from_u128(1)),
            };
            assert_eq!(news.apply(&event, reading), Ok(()));
            let beat = Heartbeat {
                log_index: u64::MAX,
                elapsed_ms: u64::MAX,
            };
            news.heartbeat("x", beat, reading);
            assert!(news.is_complete());
            news.forget(i64::MAX, usize::MAX);
        }
    }
}
