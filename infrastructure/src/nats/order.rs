//! Comparing the stream with the log, message by message in the order of their sequences.

use std::collections::BTreeSet;

use async_nats::jetstream::message::StreamMessage;

use super::excluded::Excluded;
use super::identity::{Identity, LogReader, LogUnreadable, altered, identify};
use super::message::{EventClaim, described};

/// The maximum number of missing events that are recorded.
const MOST_MISSING: usize = 10_000;

/// The state of the comparison of the stream with the log.
pub(super) struct Order {
    /// The log index of the next expected event.
    next: u64,
    /// The number of other messages since the last event. Each may be in the place of an event.
    in_between: u64,
    /// Events in whose place the stream has another message.
    missing: BTreeSet<u64>,
}

/// The result for one message.
pub(super) enum Verdict {
    /// The next expected event, or a later one after messages that may be in the places of the events between.
    Event,
    /// A message that an operator has excluded.
    Excluded,
    /// Not an event of this log, or not in its place; with a description for an operator.
    Foreign(String),
    /// A message that names an event that this log does not have. Either the message was forged, or the stream was copied
    /// from another log.
    Contradicts(String),
    /// A message that names an event beyond the end of the log. The log may reach it soon.
    BeyondLog(EventClaim),
}

/// A description of a message with [`Verdict::BeyondLog`] for an operator. The log ends at `end`.
pub(super) fn beyond_log(claim: &EventClaim, end: u64, message: &StreamMessage) -> String {
    format!(
        "it is event {} by its headers, {} of {}, and the log ends at {end} ({})",
        claim.log_index,
        claim.id,
        claim.time,
        described(message)
    )
}

impl Default for Order {
    fn default() -> Self {
        Self {
            next: 1,
            in_between: 0,
            missing: BTreeSet::new(),
        }
    }
}

impl Order {
    /// Events that are not on the stream because other messages are in their places.
    pub(super) const fn missing(&self) -> &BTreeSet<u64> {
        &self.missing
    }

    /// Skips messages that are lost or foreign.
    pub(super) const fn pass(&mut self, count: u64) {
        self.in_between += count;
    }

    /// Compares the next message. A message with [`Verdict::BeyondLog`] can be compared again later.
    pub(super) async fn judge(
        &mut self,
        message: &StreamMessage,
        excluded: &Excluded,
        log: &mut LogReader<'_>,
    ) -> Result<Verdict, LogUnreadable> {
        if excluded.contains(message.sequence) {
            let late = EventClaim::of(&message.headers)
                .filter(|claim| self.missing.contains(&claim.log_index));
            if late.is_some()
                && let Identity::Event(event) = identify(message, log).await?
            {
                self.missing.remove(&event.log_index);
            }
            self.in_between += 1;
            return Ok(Verdict::Excluded);
        }
        let verdict = match identify(message, log).await? {
            Identity::Event(event) => {
                let index = event.log_index;
                if (self.next..=self.next + self.in_between).contains(&index) {
                    let room = MOST_MISSING.saturating_sub(self.missing.len());
                    self.missing.extend((self.next..index).take(room));
                    self.next = index + 1;
                    self.in_between = 0;
                    return Ok(Verdict::Event);
                }
                let due = self.next;
                Verdict::Foreign(format!("event {index} of the log where {due} has to come"))
            }
            Identity::BeyondLog(claim) => return Ok(Verdict::BeyondLog(claim)),
            Identity::NoEvent => Verdict::Foreign("no event of this log".to_owned()),
            Identity::Altered(claim) => Verdict::Foreign(altered(&claim)),
            Identity::OtherHistory(claim, ours) => Verdict::Contradicts(format!(
                "it is event {} by its headers, {} of {}, and the log has {} of {} there",
                claim.log_index, claim.id, claim.time, ours.id, ours.time
            )),
        };
        self.in_between += 1;
        Ok(match verdict {
            Verdict::Foreign(what) => Verdict::Foreign(format!("{what} ({})", described(message))),
            other => other,
        })
    }
}
