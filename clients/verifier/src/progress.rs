//! How far the log was read, without a gap.

use std::collections::BTreeMap;

use crate::event::Mark;

/// The largest number of events that are kept behind a gap. A message that took the place of an event is excluded by an operator,
/// and the event then comes late.
const MOST_AHEAD: usize = 4096;

/// What to do with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Apply it.
    Apply,
    /// It was applied before.
    Skip,
}

/// Why the position cannot be continued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The log has another event at an index that was read.
    OtherHistory,
    /// Too many events were missed.
    Gap,
}

/// The position in the log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    /// The index of the first event that was read, and of the last one up to which none is missing.
    range: Option<(u64, u64)>,
    /// The event at the end of the range. `None` if only its index is known.
    last: Option<Mark>,
    /// Events behind a gap.
    ahead: BTreeMap<u64, Mark>,
}

impl Progress {
    /// The last index up to which none is missing.
    pub(crate) fn log_index(&self) -> Option<u64> {
        self.range.map(|(_, last)| last)
    }

    /// The last event up to which none is missing.
    pub(crate) fn last(&self) -> Option<&Mark> {
        self.last.as_ref()
    }

    /// Whether an event is missing before one that was read.
    #[cfg(any(feature = "nats", test))]
    pub(crate) fn has_gap(&self) -> bool {
        !self.ahead.is_empty()
    }

    /// Notes that every event up to this index is known to have been read or not to be needed, before the first event.
    pub(crate) fn begin_after(&mut self, log_index: u64) {
        if self.range.is_none() {
            self.range = Some((log_index.saturating_add(1), log_index));
        }
    }

    /// What to do with an event, which is then [noted](Self::note).
    pub(crate) fn step(&self, mark: &Mark) -> Result<Step, Broken> {
        let Some((first, last)) = self.range else {
            return Ok(Step::Apply);
        };
        let index = mark.log_index;
        let known = if index == last {
            self.last.as_ref()
        } else {
            self.ahead.get(&index)
        };
        if let Some(known) = known {
            return if known == mark {
                Ok(Step::Skip)
            } else {
                Err(Broken::OtherHistory)
            };
        }
        if index < first {
            // It comes late, from before the beginning.
            return Ok(Step::Apply);
        }
        if index <= last {
            return Ok(Step::Skip);
        }
        let is_behind_gap = index - last > 1;
        if is_behind_gap && self.ahead.len() >= MOST_AHEAD {
            return Err(Broken::Gap);
        }
        Ok(Step::Apply)
    }

    /// Notes an event that was applied.
    pub(crate) fn note(&mut self, mark: &Mark) {
        let index = mark.log_index;
        match self.range {
            None => {
                self.range = Some((index, index));
                self.last = Some(mark.clone());
            }
            Some((first, last)) if last.checked_add(1) == Some(index) => {
                self.range = Some((first, index));
                self.last = Some(mark.clone());
            }
            Some((_, last)) if index > last => {
                self.ahead.insert(index, mark.clone());
            }
            Some(_) => {}
        }
        while let Some((first, last)) = self.range {
            let following = last.saturating_add(1);
            let Some(next) = self.ahead.remove(&following) else {
                break;
            };
            self.range = Some((first, following));
            self.last = Some(next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(log_index: u64) -> Mark {
        Mark {
            log_index,
            id: format!("event/{log_index}"),
            time: "2026-11-21T09:25:00.123Z".to_owned(),
        }
    }

    fn take(progress: &mut Progress, index: u64) -> Step {
        let step = progress.step(&mark(index)).unwrap();
        if step == Step::Apply {
            progress.note(&mark(index));
        }
        step
    }

    #[test]
    fn events_behind_a_gap_count_once_it_is_filled() {
        let mut progress = Progress::default();
        for index in [5, 6, 9, 8] {
            assert_eq!(take(&mut progress, index), Step::Apply);
        }
        assert_eq!(progress.log_index(), Some(6));
        assert!(progress.has_gap());
        assert_eq!(take(&mut progress, 9), Step::Skip);
        assert_eq!(take(&mut progress, 7), Step::Apply);
        assert_eq!(progress.log_index(), Some(9));
        assert_eq!(progress.last(), Some(&mark(9)));
        assert!(!progress.has_gap());
        assert_eq!(take(&mut progress, 7), Step::Skip);
        assert_eq!(take(&mut progress, 3), Step::Apply, "from before");
        assert_eq!(progress.log_index(), Some(9));
    }

    #[test]
    fn another_event_at_a_known_index_is_another_history() {
        let mut progress = Progress::default();
        take(&mut progress, 5);
        take(&mut progress, 7);
        for index in [5, 7] {
            let mut other = mark(index);
            other.id.push('x');
            assert_eq!(progress.step(&other), Err(Broken::OtherHistory));
            let mut other = mark(index);
            other.time.push('x');
            assert_eq!(progress.step(&other), Err(Broken::OtherHistory));
        }
    }

    #[test]
    fn a_gap_is_kept_open_for_a_limited_number_of_events() {
        let mut progress = Progress::default();
        take(&mut progress, 1);
        for index in 3..3 + MOST_AHEAD as u64 {
            take(&mut progress, index);
        }
        let next = mark(3 + MOST_AHEAD as u64);
        assert_eq!(progress.step(&next), Err(Broken::Gap));
        assert_eq!(progress.step(&mark(2)), Ok(Step::Apply));
    }

    #[test]
    fn a_log_without_new_events_begins_where_its_end_is() {
        let mut progress = Progress::default();
        progress.begin_after(41);
        assert_eq!(progress.log_index(), Some(41));
        assert_eq!(progress.last(), None);
        assert_eq!(take(&mut progress, 42), Step::Apply);
        assert_eq!(progress.log_index(), Some(42));
        progress.begin_after(50);
        assert_eq!(progress.log_index(), Some(42));
    }

    #[test]
    fn the_largest_index_is_an_index() {
        let mut progress = Progress::default();
        progress.begin_after(u64::MAX);
        assert_eq!(take(&mut progress, u64::MAX), Step::Skip);
        assert_eq!(take(&mut progress, 5), Step::Apply, "from before");
        let mut progress = Progress::default();
        for index in [u64::MAX - 1, u64::MAX, u64::MAX] {
            take(&mut progress, index);
        }
        assert_eq!(progress.log_index(), Some(u64::MAX));
        let mut progress = Progress::default();
        for index in [1, u64::MAX, 2] {
            take(&mut progress, index);
        }
        assert_eq!(progress.log_index(), Some(2));
    }
}
