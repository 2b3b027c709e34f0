//! Unacknowledged messages. They are sent without waiting, and acknowledged in the same order.

use std::collections::VecDeque;
use std::future::IntoFuture;
use std::pin::Pin;

use async_nats::jetstream::context::{PublishAckFuture, PublishErrorKind};
use async_nats::jetstream::{self, ErrorCode};
use authlog_application::ports::{LogCursor, LoggedEvent};
use authlog_application::published::{self, publish};

use super::config::STREAM;
use super::error::NatsError;
use super::message::message;

type Acknowledgement = Pin<Box<<PublishAckFuture as IntoFuture>::IntoFuture>>;

/// The messages that were sent and are not acknowledged yet.
pub(super) struct Pipeline<'a> {
    jetstream: &'a jetstream::Context,
    source: &'a str,
    sent: u64,
    /// The number of messages on the stream that are not events.
    surplus: u64,
    under_way: VecDeque<(LogCursor, Acknowledgement)>,
}

impl<'a> Pipeline<'a> {
    /// A pipeline to a stream whose last event has the log index `reached`, and that has `surplus` messages that are not
    /// events.
    pub(super) fn after(
        reached: u64,
        surplus: u64,
        jetstream: &'a jetstream::Context,
        source: &'a str,
    ) -> Self {
        Self {
            jetstream,
            source,
            sent: reached,
            surplus,
            under_way: VecDeque::new(),
        }
    }

    /// The number of unacknowledged messages.
    pub(super) fn len(&self) -> usize {
        self.under_way.len()
    }

    /// Sends events without waiting for their acknowledgements.
    pub(super) async fn send(&mut self, events: &[LoggedEvent]) -> Result<(), NatsError> {
        for logged in events {
            let expected = self.sent + 1;
            if logged.log_index != expected {
                return Err(NatsError::Blocked(format!(
                    "the log has no event {expected}; nothing after it is published"
                )));
            }
            let event = publish(logged).map_err(NatsError::unavailable)?;
            let subject = published::subject(event.kind, &event.subject);
            let after = self.sent + self.surplus;
            let message =
                message(&event, self.source, after, &event.id).map_err(NatsError::unavailable)?;
            let acknowledgement = self
                .jetstream
                .send_publish(subject, message)
                .await
                .map_err(NatsError::unavailable)?;
            self.under_way
                .push_back((logged.cursor(), Box::pin(acknowledgement.into_future())));
            self.sent = expected;
        }
        Ok(())
    }

    /// Waits until the oldest unacknowledged message is stored at its place, and returns its entry in the log. If there is
    /// none, it waits for ever. It is cancel safe.
    pub(super) async fn stored(&mut self) -> Result<LogCursor, NatsError> {
        let Some((entry, acknowledgement)) = self.under_way.front_mut() else {
            return std::future::pending().await;
        };
        let entry = *entry;
        let log_index = entry.log_index;
        let answer = acknowledgement.await;
        self.under_way.pop_front();
        let stored_at = answer.map_err(publish_error)?.sequence;
        if stored_at == log_index + self.surplus {
            return Ok(entry);
        }
        Err(NatsError::Unavailable(format!(
            "the stream has event {log_index} at {stored_at}"
        )))
    }
}

fn publish_error(error: jetstream::context::PublishError) -> NatsError {
    match error.kind() {
        // Opening the stream again finds out the reason for these two.
        PublishErrorKind::WrongLastSequence => NatsError::Unavailable(
            "the stream does not end where this node left it: another node or another client publishes, or the stream was changed"
                .to_owned(),
        ),
        PublishErrorKind::StreamNotFound => NatsError::Unavailable("the stream is gone".to_owned()),
        PublishErrorKind::Other if is_full(&error) => NatsError::Blocked(format!(
            "{}. Let the stream {STREAM} take more (`nats stream edit {STREAM} --max-bytes=…`), or the account; publishing then goes on by itself",
            NatsError::unavailable(error)
        )),
        _ => NatsError::unavailable(error),
    }
}

/// Whether the stream, its account or its server has no room for the message. A stream that discards new messages
/// refuses them and keeps the old ones. The client library gives the error of the server only as text.
fn is_full(error: &jetstream::context::PublishError) -> bool {
    const LIMITS: [ErrorCode; 3] = [
        ErrorCode::ACCOUNT_RESOURCES_EXCEEDED,
        ErrorCode::INSUFFICIENT_RESOURCES,
        ErrorCode::STORAGE_RESOURCES_EXCEEDED,
    ];
    let words = NatsError::unavailable(error).to_string();
    let has_no_room = |code: &ErrorCode| words.contains(&format!("error code {})", code.0));
    words.contains("maximum bytes exceeded")
        || words.contains("maximum messages exceeded")
        || LIMITS.iter().any(has_no_room)
}
