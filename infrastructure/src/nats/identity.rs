//! The event of the log that a message of the stream carries, if any.

use std::collections::VecDeque;

use async_nats::jetstream::message::StreamMessage;
use authlog_application::ports::{EventLog, LogFilter, LoggedEvent, StoreError};
use authlog_application::published::{PublishedEvent, publish};

use super::message::{EventClaim, carries};

/// What a message carries.
pub(super) enum Identity {
    /// This event of the log.
    Event(Box<LoggedEvent>),
    /// The headers name no event.
    NoEvent,
    /// The headers name an event of the log, but the content differs.
    Altered(EventClaim),
    /// The headers name an event, and the log has another one at its index.
    OtherHistory(EventClaim, Box<PublishedEvent>),
    /// The headers name an event beyond the end of the log.
    BeyondLog(EventClaim),
}

/// A description of [`Identity::Altered`] for an operator.
pub(super) fn altered(claim: &EventClaim) -> String {
    format!(
        "named like event {} of the log, {}, but with other contents",
        claim.log_index, claim.id
    )
}

/// Why the log cannot be compared.
#[derive(Debug, thiserror::Error)]
pub(super) enum LogUnreadable {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the log has an event that this version of the program cannot read: {0}")]
    Event(String),
}

/// Compares a message with the log.
pub(super) async fn identify(
    message: &StreamMessage,
    log: &mut LogReader<'_>,
) -> Result<Identity, LogUnreadable> {
    let Some(claim) = EventClaim::of(&message.headers) else {
        return Ok(Identity::NoEvent);
    };
    let Some(logged) = log.event(claim.log_index).await? else {
        return Ok(Identity::BeyondLog(claim));
    };
    let ours = publish(&logged).map_err(|error| LogUnreadable::Event(error.to_string()))?;
    if carries(message, &ours) {
        return Ok(Identity::Event(Box::new(logged)));
    }
    // A restored database may assign the id of a lost event again, but not its time.
    if claim.id == ours.id && claim.time == ours.time.to_string() {
        return Ok(Identity::Altered(claim));
    }
    Ok(Identity::OtherHistory(claim, Box::new(ours)))
}

/// Reads single events of the log. Events that are requested in order are read in pages.
pub(super) struct LogReader<'a> {
    log: &'a dyn EventLog,
    page_size: u32,
    page: VecDeque<LoggedEvent>,
    next: u64,
}

impl<'a> LogReader<'a> {
    /// A reader with pages of `page_size` events.
    pub(super) const fn new(log: &'a dyn EventLog, page_size: u32) -> Self {
        Self {
            log,
            page_size,
            page: VecDeque::new(),
            next: 0,
        }
    }

    /// The event at this log index; `None` if the log has none.
    pub(super) async fn event(
        &mut self,
        log_index: u64,
    ) -> Result<Option<LoggedEvent>, StoreError> {
        let Some(before) = log_index.checked_sub(1) else {
            return Ok(None);
        };
        let is_next = log_index == self.next || self.next == 0;
        if is_next && self.page.is_empty() {
            self.page = self.read(before, self.page_size).await?.into();
        }
        if is_next
            && self
                .page
                .front()
                .is_some_and(|it| it.log_index == log_index)
        {
            self.next = log_index + 1;
            return Ok(self.page.pop_front());
        }
        // An index out of order, which a foreign message may name, costs one read of one event.
        let events = self.read(before, 1).await?;
        let mut events = events.into_iter();
        let event = events.next().filter(|event| event.log_index == log_index);
        if event.is_some() && log_index > self.next {
            self.page.clear();
            self.next = log_index + 1;
        }
        Ok(event)
    }

    async fn read(&self, after: u64, limit: u32) -> Result<Vec<LoggedEvent>, StoreError> {
        self.log.read_log(after, limit, &LogFilter::default()).await
    }
}
