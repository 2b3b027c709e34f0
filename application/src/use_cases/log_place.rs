//! The place in the log that belongs to an instant.

use std::time::Duration;

use authlog_domain::Timestamp;

use crate::ports::{EventLog, LogFilter, StoreError};
use crate::{Authlog, LogReader};

/// How much earlier the place is than the instant. The caller's clock and the clock that dates events may differ, and the order of
/// the log is that of the commits, which differs a little from the order of the times.
const MARGIN: Duration = Duration::from_secs(60);

impl Authlog {
    /// The log index after which every event is that was recorded at or after `since`, less a minute. The times of the log are in
    /// order unless the clock of the database was set back. If it was set back by more than a minute, the place may be too late.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn log_index_before(
        &self,
        _by: &LogReader,
        since: Timestamp,
    ) -> Result<u64, StoreError> {
        place_before(&*self.parts.log, since.minus(MARGIN)).await
    }
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
