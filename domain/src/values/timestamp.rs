//! Instants in UTC, in milliseconds.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Duration, OffsetDateTime, PrimitiveDateTime, UtcOffset};

/// The largest accepted difference between the clocks of two nodes.
pub const CLOCK_DIFFERENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// An instant in UTC, in whole milliseconds. It is written as `2024-07-24T16:34:05.337Z` (RFC 3339), always with three
/// decimals, so that each instant has one spelling in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(OffsetDateTime);

impl Timestamp {
    /// The instant `at`, truncated to milliseconds, and moved into the range of the calendar in UTC if necessary.
    pub fn new(at: OffsetDateTime) -> Self {
        let nearest = if at.year() < 0 {
            PrimitiveDateTime::MIN
        } else {
            PrimitiveDateTime::MAX
        };
        let at = at.checked_to_offset(UtcOffset::UTC);
        Self::of_utc(at.unwrap_or(nearest.assume_utc()))
    }

    fn of_utc(at: OffsetDateTime) -> Self {
        Self(
            at.replace_nanosecond(u32::from(at.millisecond()) * 1_000_000)
                .unwrap_or(at),
        )
    }

    /// The instant this many milliseconds after 1970-01-01T00:00:00Z. An instant outside of the calendar's range is replaced
    /// by 1970-01-01T00:00:00Z.
    pub fn from_unix_millis(millis: i64) -> Self {
        let nanos = i128::from(millis) * 1_000_000;
        Self(OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH))
    }

    /// Parses an RFC 3339 instant. `None` if its year in UTC is outside of 0 to 9999, because it could not be written
    /// in RFC 3339 again.
    pub fn parse(text: &str) -> Option<Self> {
        let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        let at = at.checked_to_offset(UtcOffset::UTC)?;
        (0..=9999).contains(&at.year()).then(|| Self::of_utc(at))
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub fn unix_millis(self) -> i64 {
        self.0.unix_timestamp() * 1000 + i64::from(self.0.millisecond())
    }

    /// Whole seconds since 1970-01-01T00:00:00Z.
    pub fn unix_seconds(self) -> i64 {
        self.0.unix_timestamp()
    }

    /// The instant as date and time in UTC.
    pub fn date_time(self) -> OffsetDateTime {
        self.0
    }

    /// The instant `duration` later, at most the last one of the calendar.
    #[must_use]
    pub fn plus(self, duration: std::time::Duration) -> Self {
        let duration = Duration::try_from(duration).unwrap_or(Duration::MAX);
        Self(self.0.saturating_add(duration))
    }

    /// The instant `duration` earlier, at least the first one of the calendar.
    #[must_use]
    pub fn minus(self, duration: std::time::Duration) -> Self {
        let duration = Duration::try_from(duration).unwrap_or(Duration::MAX);
        Self(self.0.saturating_sub(duration))
    }

    /// Whether this is less than `window` after `earlier`. An `earlier` that is further ahead than the accepted clock
    /// difference was written by a wrong clock, and is outside of every window. Otherwise a value that should be valid for
    /// seconds would be valid until the clock has caught up.
    pub fn is_within(self, window: std::time::Duration, earlier: Self) -> bool {
        self.since(earlier) < window && earlier.since(self) <= CLOCK_DIFFERENCE
    }

    /// The instant to the minute, for mails and pages: `2026-11-21 10:55 UTC`.
    pub fn to_the_minute(self) -> String {
        let text = self.to_string();
        let (day, time) = text.split_once('T').unwrap_or((&text, ""));
        format!("{day} {} UTC", time.get(..5).unwrap_or(time))
    }

    /// The time since `earlier`. Zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> std::time::Duration {
        std::time::Duration::try_from(self.0 - earlier.0).unwrap_or_default()
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const FORMAT: &[time::format_description::BorrowedFormatItem<'_>] = format_description!(
            "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
        );
        let text = self.0.format(FORMAT).map_err(|_| std::fmt::Error)?;
        f.write_str(&text)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not an RFC 3339 instant"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_printed_to_the_minute() {
        let at = Timestamp::parse("2026-11-21T10:55:18.367Z").unwrap();
        assert_eq!(at.to_the_minute(), "2026-11-21 10:55 UTC");
    }

    #[test]
    fn an_instant_outside_of_the_calendar_in_utc_is_refused() {
        for text in [
            "9999-12-31T23:59:59-23:59",
            "9999-12-31T23:59:59-00:01",
            "0000-01-01T00:00:00+00:01",
            "0000-01-01T00:00:00+23:59",
        ] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
        for text in [
            "9999-12-31T23:59:59.999Z",
            "9999-12-31T23:59:59+23:59",
            "0000-01-01T00:00:00Z",
            "0000-01-01T23:59:00+23:59",
        ] {
            let at = Timestamp::parse(text).unwrap();
            assert_eq!(Timestamp::parse(&at.to_string()), Some(at), "{text}");
        }
        let offset = |hours| UtcOffset::from_hms(hours, 0, 0).unwrap();
        let last = PrimitiveDateTime::MAX.assume_offset(offset(-1));
        assert_eq!(Timestamp::new(last).date_time().year(), 9999);
        let first = PrimitiveDateTime::MIN.assume_offset(offset(1));
        assert_eq!(
            Timestamp::new(first).date_time(),
            PrimitiveDateTime::MIN.assume_utc()
        );
    }

    #[test]
    fn an_instant_has_one_spelling() {
        for text in [
            "2024-07-24T16:34:05.337Z",
            "2024-07-24T18:34:05.337999+02:00",
        ] {
            let at = Timestamp::parse(text).unwrap();
            assert_eq!(at.to_string(), "2024-07-24T16:34:05.337Z");
            assert_eq!(Timestamp::from_unix_millis(at.unix_millis()), at);
        }
        assert_eq!(
            Timestamp::from_unix_millis(0).to_string(),
            "1970-01-01T00:00:00.000Z"
        );
    }
}
