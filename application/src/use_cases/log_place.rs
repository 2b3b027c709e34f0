//! The place in the log that belongs to an instant.

use std::time::Duration;

use authlog_domain::Timestamp;

use crate::ports::{EventLog, LogFilter, StoreError};
use crate::workers::MARK_EVERY;
use crate::{Authlog, LogReader};

/// How much earlier the place is than the instant. The caller's clock and the clock that dates events may differ, and the order of
/// the log is that of the commits, which differs a little from the order of the times.
const MARGIN: Duration = Duration::from_secs(60);

impl Authlog {
    /// A log index after which every event is that was recorded at `since` or later, less a minute.
    ///
    /// The times of the log are in order unless a clock was wrong. So for the last day of service, the place is also no later than
    /// the mark of that hour. A mark does not depend on the clock that dates events. So no event that was committed after it is
    /// missed, even if its time or that of other events is wrong.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn log_index_before(
        &self,
        _by: &LogReader,
        since: Timestamp,
    ) -> Result<u64, StoreError> {
        let (log, now) = (&*self.parts.log, self.parts.clock.now());
        let earliest = since.minus(MARGIN);
        let by_time = place_before(log, earliest).await?;
        if since > now {
            return Ok(by_time);
        }
        let by_mark = log.log_index_at_mark(marks_within(now.since(earliest)));
        Ok(by_time.min(by_mark.await?))
    }
}

/// How many marks before the newest one the mark is that was made at least this long ago. The newest one may have just been made.
fn marks_within(time: Duration) -> u32 {
    let hours = time.as_secs().div_ceil(MARK_EVERY.as_secs());
    u32::try_from(hours).unwrap_or(u32::MAX)
}

/// Searches the log by halves: some twenty entries are read, however long it is.
async fn place_before(log: &dyn EventLog, since: Timestamp) -> Result<u64, StoreError> {
    let everything = LogFilter::default();
    let (mut before, mut end) = (0, log.log_head().await?.log_index);
    // The entries up to `before` are too early, and those after `end` are not.
    while before < end {
        let middle = before + (end - before) / 2;
        let entry = log.read_log(middle, 1, &everything).await?;
        // An event that cannot be found may be one that is wanted.
        let is_too_early = entry.first().is_some_and(|it| it.recorded_at < since);
        if is_too_early {
            before = middle + 1;
        } else {
            end = middle;
        }
    }
    Ok(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_marks_are_at_least_this_old() {
        let hours = |minutes: u64| marks_within(Duration::from_secs(minutes * 60));
        assert_eq!([0, 1, 60, 61, 1500].map(hours), [0, 1, 1, 2, 25]);
        assert_eq!(marks_within(Duration::MAX), u32::MAX);
    }
}
