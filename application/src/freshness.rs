//! The proof that the log has every event that was committed up to an instant.
//!
//! An event can be committed and have no log index yet (`docs/adr/0024`). So a reader that has the whole log may lack events, and
//! the age of the last event says nothing. The proof compares the places of the committed events with the place of the
//! log's end. Instants are those of this node's monotonic clock (`docs/adr/0042`).

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::ports::{CommitPlace, EventLog, LogCoverage, LogCursor};

/// The first pause while committed events have no log index yet, which takes about 20 ms. Each further pause is twice as long, up
/// to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// The longest of these pauses, also after the store failed.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// What is known: every event that was committed up to the instant `at`, on any node, has an index of at most `end.log_index`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// The instant, by the monotonic clock of this node.
    pub at: Instant,
    /// An entry of the log. Its hash says which history of the log this is about.
    pub end: LogCursor,
}

impl Freshness {
    /// Queries the store until something is known. This takes as long as the store does not answer, or as a committed event gets
    /// no log index.
    pub async fn find(log: &dyn EventLog) -> Self {
        let mut probe = Probe::default();
        let mut pause = FIRST_PAUSE;
        loop {
            // Every event whose append was answered before this instant is in the snapshot.
            let asked = Instant::now();
            match log.coverage().await {
                Ok(coverage) => {
                    if let Some(found) = probe.conclude(asked, coverage) {
                        return found;
                    }
                }
                Err(error) => {
                    // The feed and the publisher report the outage.
                    tracing::debug!(%error, "the store does not say how current the log is");
                    pause = LONGEST_PAUSE;
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// Draws conclusions from snapshots of one store.
#[derive(Debug, Default)]
struct Probe {
    /// The last place that was committed at an instant, while the log did not have it yet.
    waiting: Option<(Instant, CommitPlace)>,
}

impl Probe {
    /// If there are always new events, no snapshot has all of its events in the log. So the places of an earlier snapshot are
    /// kept until the log has reached them.
    fn conclude(&mut self, asked: Instant, coverage: LogCoverage) -> Option<Freshness> {
        let LogCoverage {
            end,
            sequenced,
            committed,
        } = coverage;
        if sequenced >= committed {
            self.waiting = None;
            return Some(Freshness { at: asked, end });
        }
        match self.waiting {
            Some((at, place)) if sequenced >= place => {
                self.waiting = Some((asked, committed));
                Some(Freshness { at, end })
            }
            Some(_) => None,
            None => {
                self.waiting = Some((asked, committed));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn coverage(log_index: u64, sequenced: u64, committed: u64) -> LogCoverage {
        let place = |transaction| CommitPlace {
            transaction,
            position: 0,
        };
        LogCoverage {
            end: LogCursor::unproven(log_index),
            sequenced: place(sequenced),
            committed: place(committed),
        }
    }

    #[test]
    fn what_was_committed_when_the_store_was_asked_has_to_be_in_the_log() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut probe = Probe::default();
        let mut ask = |millis, coverage| {
            let found = probe.conclude(at(millis), coverage)?;
            Some((found.at - start, found.end.log_index))
        };
        let millis = Duration::from_millis;
        assert_eq!(ask(0, coverage(3, 7, 7)), Some((millis(0), 3)));
        // An event waits, and later ones join it.
        assert_eq!(ask(10, coverage(3, 7, 9)), None);
        assert_eq!(ask(20, coverage(4, 8, 10)), None);
        // What was committed at 10 is in the log; what was committed at 20 need not be.
        assert_eq!(ask(30, coverage(6, 9, 12)), Some((millis(10), 6)));
        assert_eq!(ask(40, coverage(7, 11, 13)), None);
        assert_eq!(ask(50, coverage(9, 13, 13)), Some((millis(50), 9)));
        // Nothing of the past is claimed again.
        assert_eq!(ask(60, coverage(9, 13, 14)), None);
    }
}
