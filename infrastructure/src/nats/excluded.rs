//! The messages of the stream that an operator has excluded, because they are not the next event of the log.
//!
//! The description of the stream lists them. Only a user with permission to change the stream can change it; permission to
//! publish is not enough. The description is copied and backed up with the stream, in every version of the NATS server.

use std::fmt;
use std::ops::RangeInclusive;

/// The beginning of the list of messages that are not events.
const FOREIGN: &str = "Not events: ";

/// The beginning of the list of events that are not in their places.
const LATE: &str = "Late events: ";

/// The maximum length of a description in the NATS server, in bytes.
pub(super) const LONGEST_DESCRIPTION: usize = 4096;

/// Messages that are not the next event of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Excluded {
    /// Messages of other clients.
    pub(super) foreign: Sequences,
    /// Events that were added at the end, because other messages are in their places.
    pub(super) late: Sequences,
}

impl Excluded {
    /// Parses the lists in a stream's description. They are empty if there are none.
    pub(super) fn of_description(description: &str) -> Self {
        let list = |mark: &str| {
            let (_, list) = description.rsplit_once(mark)?;
            Sequences::parse(list.split('.').next()?)
        };
        Self {
            foreign: list(FOREIGN).unwrap_or_default(),
            late: list(LATE).unwrap_or_default(),
        }
    }

    /// The description with its lists replaced by these.
    pub(super) fn written_into(&self, description: &str) -> String {
        let end = [FOREIGN, LATE]
            .iter()
            .filter_map(|mark| description.find(mark))
            .min();
        let words = &description[..end.unwrap_or(description.len())];
        let words = words.trim_end().trim_end_matches('.');
        let mut sentences = vec![];
        if !words.is_empty() {
            sentences.push(words.to_owned());
        }
        for (mark, list) in [(FOREIGN, &self.foreign), (LATE, &self.late)] {
            if !list.is_empty() {
                sentences.push(format!("{mark}{list}"));
            }
        }
        let lists_something = !self.foreign.is_empty() || !self.late.is_empty();
        let end = if lists_something { "." } else { "" };
        sentences.join(". ") + end
    }

    /// Whether the message with this sequence is excluded.
    pub(super) fn contains(&self, sequence: u64) -> bool {
        self.foreign.contains(sequence) || self.late.contains(sequence)
    }

    /// The highest sequence up to this one that is not excluded; 0 if there is none.
    pub(super) fn newest_event_up_to(&self, mut sequence: u64) -> u64 {
        loop {
            let lists = [&self.foreign, &self.late];
            let range = lists.iter().find_map(|list| list.range_with(sequence));
            match range {
                Some(range) => sequence = range.start() - 1,
                None => return sequence,
            }
        }
    }

    /// The number of excluded messages up to this sequence.
    pub(super) fn count_up_to(&self, sequence: u64) -> u64 {
        self.foreign.count_up_to(sequence) + self.late.count_up_to(sequence)
    }
}

/// Ranges of sequences, ascending and not adjacent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sequences(Vec<RangeInclusive<u64>>);

impl Sequences {
    fn parse(list: &str) -> Option<Self> {
        let mut sequences = Self::default();
        for item in list.split(", ") {
            let (first, last) = item.split_once('-').unwrap_or((item, item));
            let (first, last) = (first.parse().ok()?, last.parse().ok()?);
            if first == 0 || first > last {
                return None;
            }
            sequences.add(first..=last);
        }
        Some(sequences)
    }

    /// Whether the list is empty.
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a range, and merges it with ranges that overlap or touch it.
    pub(super) fn add(&mut self, added: RangeInclusive<u64>) {
        let (mut first, mut last) = (*added.start(), *added.end());
        self.0.retain(|known| {
            let touches =
                *known.start() <= last.saturating_add(1) && first <= known.end().saturating_add(1);
            if touches {
                first = first.min(*known.start());
                last = last.max(*known.end());
            }
            !touches
        });
        let place = self.0.partition_point(|known| *known.end() < first);
        self.0.insert(place, first..=last);
    }

    fn range_with(&self, sequence: u64) -> Option<&RangeInclusive<u64>> {
        self.0.iter().find(|range| range.contains(&sequence))
    }

    fn contains(&self, sequence: u64) -> bool {
        self.range_with(sequence).is_some()
    }

    fn count_up_to(&self, sequence: u64) -> u64 {
        let counts = self.0.iter().map(|range| {
            let last = sequence.min(*range.end());
            (last + 1).saturating_sub(*range.start())
        });
        counts.sum()
    }
}

impl fmt::Display for Sequences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, range) in self.0.iter().enumerate() {
            if number > 0 {
                f.write_str(", ")?;
            }
            match (range.start(), range.end()) {
                (first, last) if first == last => write!(f, "{first}")?,
                (first, last) => write!(f, "{first}-{last}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(ranges: &[(u64, u64)]) -> Sequences {
        let mut sequences = Sequences::default();
        for (first, last) in ranges {
            sequences.add(*first..=*last);
        }
        sequences
    }

    fn excluded(foreign: &[(u64, u64)], late: &[(u64, u64)]) -> Excluded {
        Excluded {
            foreign: list(foreign),
            late: list(late),
        }
    }

    #[test]
    fn the_lists_are_read_as_they_were_written() {
        for excluded in [
            excluded(&[], &[]),
            excluded(&[(21, 21)], &[]),
            excluded(&[(3, 3), (21, 25), (30, 31)], &[(40, 40), (42, 43)]),
        ] {
            for description in [
                "",
                "Every event.",
                "Made by us",
                "Ours. Not events: 1, 2-9. Late events: 5.",
            ] {
                let written = excluded.written_into(description);
                assert_eq!(Excluded::of_description(&written), excluded, "{written}");
                assert_eq!(excluded.written_into(&written), written);
            }
        }
        let written = excluded(&[(3, 4)], &[(9, 9)]).written_into("Every event");
        assert_eq!(written, "Every event. Not events: 3-4. Late events: 9.");
    }

    #[test]
    fn ranges_that_touch_become_one() {
        assert_eq!(list(&[(5, 6), (1, 2), (3, 4)]), list(&[(1, 6)]));
        assert_eq!(list(&[(1, 9), (3, 4)]), list(&[(1, 9)]));
        assert_eq!(list(&[(1, 1), (3, 3), (5, 5), (2, 4)]), list(&[(1, 5)]));
    }

    #[test]
    fn a_malformed_list_excludes_nothing() {
        for text in [
            "Not events: ",
            "Not events: 0",
            "Not events: 5-3",
            "Not events: 1, x",
            "Not events: 1; 2",
        ] {
            let read = Excluded::of_description(text);
            assert_eq!(read, Excluded::default(), "{text}");
        }
    }

    #[test]
    fn events_are_found_and_messages_are_counted() {
        let excluded = excluded(&[(1, 2), (7, 7), (9, 10)], &[(11, 12)]);
        let newest = [0, 1, 2, 3, 7, 8, 12, 13].map(|at| excluded.newest_event_up_to(at));
        assert_eq!(newest, [0, 0, 0, 3, 6, 8, 8, 13]);
        let counts = [0, 1, 2, 6, 7, 10, 99].map(|at| excluded.count_up_to(at));
        assert_eq!(counts, [0, 1, 2, 2, 3, 5, 7]);
        assert!(excluded.contains(7) && !excluded.contains(8) && excluded.contains(12));
    }
}
