//! How far what follows from an event is behind it.

use std::time::Duration;

use authlog_domain::Timestamp;

use crate::ports::{HoldUp, LogFilter, Publication};
use crate::{Authlog, Refusal};

/// How far the log and the stream are behind the events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lag {
    /// The last place in the log that was given out.
    pub log_index: u64,
    /// Events that are committed and have no place in the log yet.
    pub sequencer: Behind,
    /// What keeps those from getting one, if they wait for long and it is known.
    pub held_up: Option<HoldUp>,
    /// Events in the log that are not on the stream yet; `None` where nothing is published, or another node publishes.
    pub publisher: Option<Behind>,
    /// What keeps this node from publishing, or what is wrong with the stream, in words for an operator.
    pub trouble: Option<String>,
    /// Whether an operator has to do something about it.
    pub alarm: bool,
}

/// How far something is behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Behind {
    /// In events.
    pub events: u64,
    /// By the age of the oldest of them.
    pub age: Duration,
}

impl Authlog {
    /// How far the log and the stream are behind the events now.
    ///
    /// # Errors
    /// It cannot be told now.
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
