//! The stream of events. It is created if it does not exist, and checked before a message is added.

use std::time::Duration;

use async_nats::jetstream::context::{
    CreateStreamError, CreateStreamErrorKind, RequestError, RequestErrorKind,
};
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{Info, RawMessageError, RawMessageErrorKind, Stream};
use async_nats::jetstream::{self, Context, ErrorCode};
use authlog_application::ports::{EventLog, LogCursor};
use authlog_application::published::PublishedEvent;
use serde::Deserialize;
use serde_json::Value;

use super::config::{self, STREAM, SUBJECTS, StreamOptions, differences};
use super::error::NatsError;
use super::excluded::Excluded;
use super::identity::{Identity, LogReader, altered, identify};
use super::message::{EventClaim, described};

/// The pause between the deletion of a stream and the creation of its successor. nats-server 2.9 still removes files after it
/// has reported the deletion, and then also removes those of the successor.
pub(super) const GONE_FOR: Duration = Duration::from_secs(1);

/// An existing stream, with its state and configuration.
pub(super) struct FoundStream {
    pub(super) handle: Stream<()>,
    pub(super) info: Info,
    /// The configuration as the server sent it, including members that the client library does not know.
    pub(super) config: Value,
}

/// Why the state of a stream cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum FindError {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("{0}")]
    Refused(ServerError),
    #[error("the server's answer cannot be read: {0}")]
    Answer(#[from] serde_json::Error),
    #[error(transparent)]
    Handle(#[from] jetstream::context::GetStreamError),
}

/// An error that the server reports.
#[derive(Debug, Deserialize, thiserror::Error)]
#[error("{description} (error code {})", .err_code.0)]
pub(super) struct ServerError {
    err_code: ErrorCode,
    #[serde(default)]
    description: String,
}

impl FoundStream {
    /// The stream with this name; `None` if it does not exist.
    pub(super) async fn named(jetstream: &Context, name: &str) -> Result<Option<Self>, FindError> {
        let mut answer: Value = jetstream
            .request(format!("STREAM.INFO.{name}"), &())
            .await?;
        if let Some(error) = refusal(&answer)? {
            if error.err_code == ErrorCode::STREAM_NOT_FOUND {
                return Ok(None);
            }
            return Err(FindError::Refused(error));
        }
        Ok(Some(Self {
            handle: jetstream.get_stream_no_info(name).await?,
            info: Info::deserialize(&answer)?,
            config: answer["config"].take(),
        }))
    }

    /// The messages that an operator has excluded.
    pub(super) fn excluded(&self) -> Excluded {
        Excluded::of_description(self.description())
    }

    /// The description of the stream.
    pub(super) fn description(&self) -> &str {
        self.info.config.description.as_deref().unwrap_or_default()
    }

    /// The message with this sequence; `None` if the stream has lost it.
    pub(super) async fn message(
        &self,
        sequence: u64,
    ) -> Result<Option<StreamMessage>, RawMessageError> {
        match self.handle.get_raw_message(sequence).await {
            Ok(message) => Ok(Some(message)),
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The error in the server's answer, if there is one.
pub(super) fn refusal(answer: &Value) -> Result<Option<ServerError>, FindError> {
    let error = answer.get("error").map(ServerError::deserialize);
    Ok(error.transpose()?)
}

/// The checked stream, and where publishing continues.
pub(super) struct OpenStream {
    pub(super) found: FoundStream,
    pub(super) excluded: Excluded,
    /// The log entry of the last event on the stream.
    pub(super) reached: LogCursor,
}

impl OpenStream {
    /// The number of messages on the stream that are not events.
    pub(super) const fn surplus(&self) -> u64 {
        self.found.info.state.last_sequence - self.reached.log_index
    }
}

/// Opens the stream, creates it if it does not exist, and finds the log entry after which publishing continues. `was_there`
/// says whether this node has seen the stream before.
pub(super) async fn open(
    jetstream: &Context,
    log: &dyn EventLog,
    options: StreamOptions,
    was_there: bool,
) -> Result<OpenStream, NatsError> {
    let found = match FoundStream::named(jetstream, STREAM)
        .await
        .map_err(not_readable)?
    {
        Some(found) => found,
        None => {
            if was_there {
                tokio::time::sleep(GONE_FOR).await;
            }
            make(jetstream, options).await?
        }
    };
    let differences = differences(&found.info.config, &found.config, SUBJECTS);
    if !differences.is_empty() {
        return Err(NatsError::Blocked(format!(
            "the stream {STREAM} is not configured as it has to be: {}; mend it with `nats stream edit`, or delete it to have it made and filled again",
            differences.join("; ")
        )));
    }
    let excluded = found.excluded();
    check_whole(&found, &excluded)?;
    let reached = reached(&found, &excluded, log).await?;
    Ok(OpenStream {
        found,
        excluded,
        reached,
    })
}

fn not_readable(error: FindError) -> NatsError {
    match &error {
        FindError::Request(request) if request.kind() == RequestErrorKind::NoResponders => {
            NatsError::Unavailable("the NATS server has no JetStream, or not for this account, or not under the domain or prefix that is set".to_owned())
        }
        _ => NatsError::unavailable(error),
    }
}

async fn make(jetstream: &Context, options: StreamOptions) -> Result<FoundStream, NatsError> {
    jetstream
        .create_stream(config::events(options))
        .await
        .map_err(|error| not_created(error, options))?;
    let found = FoundStream::named(jetstream, STREAM)
        .await
        .map_err(not_readable)?;
    found.ok_or_else(|| NatsError::Unavailable("the stream is gone".to_owned()))
}

/// The error of a failed creation. It can be retried even if JetStream is disabled or another stream has the subjects, because
/// an operator may change that.
fn not_created(error: CreateStreamError, options: StreamOptions) -> NatsError {
    let needs_a_limit = match error.kind() {
        CreateStreamErrorKind::JetStreamUnavailable => {
            return NatsError::Unavailable(
                "the NATS server has no JetStream, or not for this account".to_owned(),
            );
        }
        CreateStreamErrorKind::JetStream(error) => {
            error.error_code() == ErrorCode::STREAM_MAX_BYTES_REQUIRED
        }
        _ => false,
    };
    let replicas = options.replicas;
    match NatsError::unavailable(error) {
        NatsError::Unavailable(reason) if needs_a_limit => NatsError::Blocked(format!(
            "the stream {STREAM} cannot be made: {reason}; set AUTHLOG_NATS_MAX_BYTES"
        )),
        NatsError::Unavailable(reason) if replicas > 1 => NatsError::Unavailable(format!(
            "the stream {STREAM} cannot be made with {replicas} replicas, as AUTHLOG_NATS_REPLICAS asks for: {reason}"
        )),
        other => other,
    }
}

/// Logs accepted differences between the stream and the settings. A stream that holds messages is not changed.
pub(super) fn note_choices(found: &FoundStream, options: StreamOptions) {
    let config = &found.info.config;
    for risk in config::risks(config, &found.config) {
        tracing::warn!(
            risk,
            "the stream {STREAM} was not created by Authlog, and its messages are at risk"
        );
    }
    let (replicas, max_bytes) = (config.num_replicas, config.max_bytes);
    if replicas != options.replicas {
        tracing::info!(
            found = replicas,
            wanted = options.replicas,
            "the number of replicas of the stream {STREAM} differs from AUTHLOG_NATS_REPLICAS and is not changed"
        );
    }
    if options.max_bytes.is_some_and(|wanted| wanted != max_bytes) {
        tracing::info!(
            found = max_bytes,
            wanted = options.max_bytes,
            "the size limit of the stream {STREAM} differs from AUTHLOG_NATS_MAX_BYTES and is not changed"
        );
    }
}

/// Refuses a stream with lost messages, because adding messages at its end cannot repair it. Excluded messages may be
/// missing.
fn check_whole(found: &FoundStream, excluded: &Excluded) -> Result<(), NatsError> {
    let state = &found.info.state;
    let last = state.last_sequence;
    if state.messages + excluded.count_up_to(last) >= last {
        return Ok(());
    }
    Err(NatsError::Blocked(format!(
        "the stream {STREAM} has lost messages: it ends at sequence {last} and holds {} (its first is {}); {}",
        state.messages,
        state.first_sequence,
        way_back(found.info.config.num_replicas)
    )))
}

/// What an operator can do about a stream that has lost messages. If it has replicas, another one may be complete.
fn way_back(replicas: usize) -> &'static str {
    if replicas > 1 {
        "do not delete it before each of its replicas was looked at: have another one lead (`nats stream cluster step-down AUTH_EVENTS`), and if the stream is whole there, remove the damaged one (`nats stream cluster peer-remove AUTH_EVENTS`) to have it copied again. Publishing goes on by itself. Only if every replica has lost messages, delete the stream to have it made and filled again from the log"
    } else {
        "delete it to have it made and filled again from the log"
    }
}

/// The log entry of the last event on the stream. The log has to have the same event there. Otherwise the stream was not
/// copied from this log.
async fn reached(
    found: &FoundStream,
    excluded: &Excluded,
    log: &dyn EventLog,
) -> Result<LogCursor, NatsError> {
    let last = excluded.newest_event_up_to(found.info.state.last_sequence);
    if last == 0 {
        return Ok(LogCursor::default());
    }
    let message = found.message(last).await.map_err(NatsError::unavailable)?;
    let message = message.ok_or_else(|| {
        NatsError::Blocked(format!(
            "the stream {STREAM} has lost messages: it says that it ends at sequence {last}, and has no message there; {}",
            way_back(found.info.config.num_replicas)
        ))
    })?;
    let mut reader = LogReader::new(log, 1);
    let identity = identify(&message, &mut reader).await;
    match identity.map_err(NatsError::unavailable)? {
        Identity::Event(event) => {
            let surplus = last.checked_sub(event.log_index);
            if surplus.is_some_and(|surplus| surplus <= excluded.count_up_to(last)) {
                return Ok(event.cursor());
            }
            let what = format!("event {} of the log in another place", event.log_index);
            Err(foreign(&message, &what))
        }
        Identity::NoEvent => Err(foreign(&message, "no event of this log")),
        Identity::Altered(claim) => Err(foreign(&message, &altered(&claim))),
        Identity::OtherHistory(claim, ours) => Err(disagreement(&message, &claim, &ours)),
        Identity::BeyondLog(claim) => Err(beyond(found, &message, &claim, log).await?),
    }
}

fn disagreement(message: &StreamMessage, claim: &EventClaim, ours: &PublishedEvent) -> NatsError {
    NatsError::Blocked(format!(
        "the stream {STREAM} and the log disagree at {}: the stream has {} of {}, the log {} of {}. Either this stream was filled from another database: then use another NATS account. Or this database was restored from a backup and has gone on since: then delete the stream to have it filled again; subscribers have to rebuild what they made of the events that are gone. Or another client has forged message {} ({}): then see \"A message that is no event\" in docs/operations.md",
        ours.log_index,
        claim.id,
        claim.time,
        ours.id,
        ours.time,
        message.sequence,
        described(message)
    ))
}

fn foreign(message: &StreamMessage, what: &str) -> NatsError {
    NatsError::Blocked(format!(
        "message {} of the stream {STREAM} is {what} ({}): another client has published it. Let no other client publish on {SUBJECTS}, and run `authlog nats repair`; publishing goes on after that message, and readers keep their places",
        message.sequence,
        described(message)
    ))
}

/// The error for a stream whose last message names an event beyond the end of the log.
async fn beyond(
    found: &FoundStream,
    message: &StreamMessage,
    claim: &EventClaim,
    log: &dyn EventLog,
) -> Result<NatsError, NatsError> {
    let head = log.log_head().await.map_err(NatsError::unavailable)?;
    let (end, last) = (head.log_index, message.sequence);
    if head.end_once_sequenced() >= claim.log_index {
        // A crash of the database may lose the order of the last events. The sequencer restores the same order.
        return Ok(NatsError::Unavailable(format!(
            "the log is in order up to {end} so far, and the stream ends at {last}"
        )));
    }
    // Another database, or one that was restored and has continued, already differs at the end of its log.
    if end > 0
        && let Some(earlier) = found.message(end).await.map_err(NatsError::unavailable)?
    {
        let identity = identify(&earlier, &mut LogReader::new(log, 1)).await;
        if let Identity::OtherHistory(claim, ours) = identity.map_err(NatsError::unavailable)? {
            return Ok(disagreement(&earlier, &claim, &ours));
        }
    }
    Ok(NatsError::Blocked(format!(
        "the database is behind the stream {STREAM}: its log ends at {end}, the stream at {last}, with {} of {}. Was it restored from a backup, or is it another one than the stream was filled from? Restore it to a later moment, or, if the events since are to be given up, delete the stream to have it filled again; subscribers then have to rebuild what they made of the events that are gone. Or has another client forged message {last} ({})? Then see \"A message that is no event\" in docs/operations.md",
        claim.id,
        claim.time,
        described(message)
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_with_replicas_is_not_deleted_before_they_are_checked() {
        assert_eq!(
            way_back(1),
            "delete it to have it made and filled again from the log"
        );
        let several = way_back(3);
        assert!(several.contains("do not delete it before"), "{several}");
        assert!(several.contains("step-down"), "{several}");
    }
}
