//! Comparing the stream with the log, message by message in the order of their sequences.

use std::collections::BTreeSet;

use async_nats::jetstream::message::StreamMessage;

use super::excluded::Excluded;
use super::identity::{Identity, LogReader, LogUnreadable, altered, identify};
use super::message::{Claim, described};

/// The most missing events that are remembered.
const MOST_MISSING: usize = 10_000;

/// How far the stream was compared with the log.
pub(super) struct Order {
    /// The event that has to come next.
    next: u64,
    /// How many messages that are no events came right before. Each may be in the place of an event.
    in_between: u64,
    /// Events in whose places other messages are.
    missing: BTreeSet<u64>,
}

/// What a message turned out to be.
pub(super) enum Verdict {
    /// The event that has to come next.
    Event,
    /// It was excluded before.
    Excluded,
    /// It is no event of this log, or not in its place: what it is instead.
    Foreign(String),
    /// It names an event that this log does not have. Either it was forged, or the log is not the one that the stream was
    /// copied from.
    Contradicts(String),
    /// It names an event beyond the end of the log, which may be about to get there.
    BeyondLog(Claim),
}

/// What a message is that is [`Verdict::BeyondLog`] of a log that ends at `end`, in words for an operator.
pub(super) fn beyond_log(claim: &Claim, end: u64, message: &StreamMessage) -> String {
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
    /// Events that are not on the stream, because other messages are in their places.
    pub(super) const fn missing(&self) -> &BTreeSet<u64> {
        &self.missing
    }

    /// Passes over messages that are lost, or are taken for foreign ones.
    pub(super) const fn pass(&mut self, count: u64) {
        self.in_between += count;
    }

    /// Judges the next message. One that is [`Verdict::BeyondLog`] can be judged again.
    pub(super) async fn judge(
        &mut self,
        message: &StreamMessage,
        excluded: &Excluded,
        log: &mut LogReader<'_>,
    ) -> Result<Verdict, LogUnreadable> {
        if excluded.contains(message.sequence) {
            let late =
                Claim::of(&message.headers).filter(|claim| self.missing.contains(&claim.log_index));
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
