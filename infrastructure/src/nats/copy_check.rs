//! The continuous comparison of the stream with the log, at a bounded rate, while events are published.

use std::time::Duration;

use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::RawMessageError;
use authlog_application::ports::{EventLog, Publication};
use futures_util::stream::{self, StreamExt as _};
use time::OffsetDateTime;
use tokio::sync::watch;

use super::config::{STREAM, SUBJECTS};
use super::error::NatsError;
use super::excluded::Excluded;
use super::identity::LogReader;
use super::order::{Order, Verdict, beyond_log};
use super::stream::{FoundStream, OpenStream};

/// Messages that are compared between two pauses. With [`PAUSE`] this is less than a thousand per second, a negligible load
/// for the server and the store.
const PAGE: u32 = 250;

/// The pause between two pages.
const PAUSE: Duration = Duration::from_millis(250);

/// Concurrent requests for messages.
const CONCURRENT_REQUESTS: usize = 50;

/// How far this node has compared the stream with the log. Each message is compared once, because a message of a stream
/// cannot be changed.
#[derive(Default)]
pub(super) struct CopyCheck {
    made_at: Option<OffsetDateTime>,
    excluded: Excluded,
    /// The last sequence that was compared.
    compared: u64,
    order: Order,
    finding: Option<String>,
}

impl CopyCheck {
    /// The first difference, in words for an operator.
    pub(super) fn finding(&self) -> Option<String> {
        self.finding.clone()
    }

    /// Continues with this stream. The comparison restarts if it is another stream, or if the list of excluded messages has
    /// changed.
    pub(super) fn turn_to(&mut self, opened: &OpenStream) {
        let made_at = Some(opened.found.info.created);
        if self.made_at != made_at || self.excluded != opened.excluded {
            *self = Self {
                made_at,
                excluded: opened.excluded.clone(),
                ..Self::default()
            };
        }
    }

    /// Compares the messages that were not compared yet, up to the end of the stream when it was opened. It returns only if
    /// NATS or the store does not answer. It can be cancelled at any time.
    pub(super) async fn run(
        &mut self,
        found: &FoundStream,
        log: &dyn EventLog,
        publication: &watch::Sender<Publication>,
    ) -> NatsError {
        let mut reader = LogReader::new(log, PAGE);
        let state = &found.info.state;
        while self.finding.is_none() && self.compared < state.last_sequence {
            let first = self.compared + 1;
            let last = state.last_sequence.min(self.compared + u64::from(PAGE));
            let mut messages = messages(found, first, last);
            while let Some(message) = messages.next().await {
                let message = match message {
                    Ok(message) => message,
                    Err(error) => return NatsError::unavailable(error),
                };
                match self.compare(message, log, &mut reader).await {
                    Ok(true) => {}
                    // The log may not be sequenced up to there yet.
                    Ok(false) => return std::future::pending().await,
                    Err(trouble) => return trouble,
                }
            }
            if let Some(finding) = &self.finding {
                tracing::error!(%finding, "the event stream differs from the log");
                publication.send_modify(|it| {
                    it.trouble = Some(finding.clone());
                    it.alarm = true;
                });
            }
            tokio::time::sleep(PAUSE).await;
        }
        std::future::pending().await
    }

    /// Compares the next message. Returns `false` if that is not possible yet.
    async fn compare(
        &mut self,
        (sequence, message): (u64, Option<StreamMessage>),
        log: &dyn EventLog,
        reader: &mut LogReader<'_>,
    ) -> Result<bool, NatsError> {
        let Some(message) = message else {
            self.order.pass(1);
            self.compared = sequence;
            if !self.excluded.contains(sequence) {
                self.find(format!("message {sequence} of the stream {STREAM} is lost"));
            }
            return Ok(true);
        };
        let verdict = self.order.judge(&message, &self.excluded, reader).await;
        match verdict.map_err(NatsError::unavailable)? {
            Verdict::Event | Verdict::Excluded => {}
            Verdict::BeyondLog(claim) => {
                let head = log.log_head().await.map_err(NatsError::unavailable)?;
                // What is published is stored before: the event is found soon, if it is one.
                if head.end_once_sequenced() >= claim.log_index {
                    return Ok(false);
                }
                self.order.pass(1);
                let what = beyond_log(&claim, head.log_index, &message);
                self.find(not_as_it_should_be(sequence, &what));
            }
            Verdict::Foreign(what) | Verdict::Contradicts(what) => {
                self.find(not_as_it_should_be(sequence, &what));
            }
        }
        self.compared = sequence;
        Ok(true)
    }

    /// Keeps the first finding, because later ones may follow from it.
    fn find(&mut self, finding: String) {
        self.finding.get_or_insert(finding);
    }
}

fn not_as_it_should_be(sequence: u64, what: &str) -> String {
    format!(
        "message {sequence} of the stream {STREAM} is not as it should be: {what}. Let no other client publish on {SUBJECTS}, and run `authlog nats repair`; events go on being published"
    )
}

/// The messages from `first` to `last`, in order, with their sequences; `None` for a message that is lost.
pub(super) fn messages(
    found: &FoundStream,
    first: u64,
    last: u64,
) -> impl futures_util::Stream<Item = Result<(u64, Option<StreamMessage>), RawMessageError>> + Unpin + '_
{
    let asked = stream::iter(first..=last).map(move |sequence| async move {
        let message = found.message(sequence).await?;
        Ok((sequence, message))
    });
    Box::pin(asked.buffered(CONCURRENT_REQUESTS))
}
