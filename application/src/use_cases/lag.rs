//! The lag of the sequencer and the publisher.

use std::time::Duration;

use authlog_domain::Timestamp;

use crate::ports::{BlockingTransaction, LogFilter, Publication};
use crate::{Authlog, Refusal};

/// How far the log and the stream are behind the events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lag {
    /// The last log index.
    pub log_index: u64,
    /// Committed events without a log index yet.
    pub sequencer: Behind,
    /// The transaction that blocks the sequencer, if it has been blocked for long and the cause is known.
    pub held_up: Option<BlockingTransaction>,
    /// Log entries that are not on the stream yet; `None` if nothing is published, or another node publishes.
    pub publisher: Option<Behind>,
    /// Why this node cannot publish, or what is wrong with the stream, in words for an operator.
    pub trouble: Option<String>,
    /// Whether an operator has to act.
    pub alarm: bool,
}

/// A lag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Behind {
    /// The number of events.
    pub events: u64,
    /// The age of the oldest of these events.
    pub age: Duration,
}

impl Authlog {
    /// The current lag.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`].
    pub async fn lag(&self) -> Result<Lag, Refusal> {
        let now = self.parts.clock.now();
        let head = self.parts.log.log_head().await?;
        let age = |at: Option<Timestamp>| at.map(|at| now.since(at)).unwrap_or_default();
        let publication = self
            .parts
            .publication
            .as_ref()
            .map(|publication| publication.borrow().clone());
        let publisher = match &publication {
            Some(publication) if publication.active || publication.trouble.is_some() => {
                Some(self.unpublished(publication, head.log_index, now).await?)
            }
            _ => None,
        };
        Ok(Lag {
            log_index: head.log_index,
            sequencer: Behind {
                events: head.unsequenced,
                age: age(head.unsequenced_since),
            },
            held_up: head.held_up,
            publisher,
            alarm: publication
                .as_ref()
                .is_some_and(|publication| publication.alarm),
            trouble: publication.and_then(|publication| publication.trouble),
        })
    }

    async fn unpublished(
        &self,
        publication: &Publication,
        head: u64,
        now: Timestamp,
    ) -> Result<Behind, Refusal> {
        let events = head.saturating_sub(publication.log_index);
        if events == 0 {
            return Ok(Behind::default());
        }
        let everything = LogFilter::default();
        let oldest = self
            .parts
            .log
            .read_log(publication.log_index, 1, &everything)
            .await?;
        let age = oldest
            .first()
            .map(|event| now.since(event.recorded_at))
            .unwrap_or_default();
        Ok(Behind { events, age })
    }
}
