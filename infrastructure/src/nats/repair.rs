//! Excluding messages of other clients from the stream, so that publishing continues after them (`docs/adr/0018`).

use std::collections::BTreeSet;

use async_nats::jetstream::Context;
use async_nats::jetstream::context::{PublishErrorKind, RequestErrorKind};
use authlog_application::ports::EventLog;
use authlog_application::published::{self, publish};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use super::access::NatsAccess;
use super::comparison::ANSWER_WITHIN;
use super::config::STREAM;
use super::copy_check::messages;
use super::excluded::{Excluded, LONGEST_DESCRIPTION};
use super::identity::LogReader;
use super::message::message;
use super::order::{Order, Verdict, beyond_log};
use super::stream::{FoundStream, refusal};

/// Events in one read of the log.
const PAGE: u32 = 1000;

/// The maximum number of events that are added at the end of the stream because other messages are in their places. With
/// more, it is better to create the stream again.
const MOST_LATE_EVENTS: usize = 100;

/// The number of attempts to add an event while the service publishes.
const ATTEMPTS: usize = 20;

/// The result of a repair.
#[derive(Debug)]
pub struct Repaired {
    /// The number of messages on the stream.
    pub messages: u64,
    /// The newly excluded messages, with their descriptions.
    pub excluded: Vec<(u64, String)>,
    /// The events that were added at the end, because other messages are in their places.
    pub added: Vec<u64>,
    /// The list of all messages of other clients that are excluded now; empty if there are none.
    pub list: String,
}

/// Why the stream was not repaired.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// The stream does not exist.
    #[error("there is no stream {STREAM}")]
    NoStream,
    /// A message is lost. Excluding messages cannot restore it.
    #[error(
        "message {0} of the stream {STREAM} is lost, which this cannot repair: `lag.publisher.trouble` in /readyz says what to do"
    )]
    Lost(u64),
    /// The message may be an event that the database lost.
    #[error(
        "message {sequence} of the stream {STREAM} names an event that this log does not have: {what}. If the database was restored from a backup, lost transactions in a failover, or is not the one of this stream, see docs/operations.md. Only if another client forged the message, repair with --forged: readers that have applied it then have to build their state again"
    )]
    Contradicts {
        /// The sequence of the message.
        sequence: u64,
        /// The event that it names.
        what: String,
    },
    /// The last events of the log are not sequenced yet.
    #[error("the log is in order up to {0} so far; try again in a moment")]
    NotInOrder(u64),
    /// The list does not fit into the stream's description, or too many events are missing.
    #[error(
        "too much of the stream {STREAM} would have to be excluded; delete it to have it made and filled again from the log"
    )]
    TooMany,
    /// The server did not answer the request to change the stream.
    #[error(
        "the server does not answer the request to change the stream {STREAM}: is this user permitted to publish on $JS.API.STREAM.UPDATE.{STREAM}? Give the command the credentials of an operator"
    )]
    NotPermitted,
    /// Other publishers added messages during every attempt.
    #[error("the stream {STREAM} has got further messages meanwhile; try again")]
    Overtaken,
    /// NATS or the store does not answer, or refuses a request.
    #[error("the stream {STREAM} cannot be repaired")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

fn failed(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> RepairError {
    RepairError::Failed(source.into())
}

/// Compares the stream with the log, excludes the messages that are not the expected events, and adds the events whose places
/// they take. Messages that name events which the log does not have are excluded only if `forged` is set. `source` is the
/// CloudEvents source of the published events. The service may run during the repair.
///
/// # Errors
/// The stream cannot be repaired, or NATS or the store does not answer.
pub async fn repair_stream(
    access: &NatsAccess,
    log: &dyn EventLog,
    source: &str,
    forged: bool,
) -> Result<Repaired, RepairError> {
    let client = access.connect().await.map_err(failed)?;
    let jetstream = access.jetstream(client, ANSWER_WITHIN);
    let found = find(&jetstream).await?;
    let (foreign, missing) = compare(&found, log, forged).await?;
    let mut excluded = found.excluded();
    for (sequence, _) in &foreign {
        excluded.foreign.add(*sequence..=*sequence);
    }
    if missing.len() > MOST_LATE_EVENTS {
        return Err(RepairError::TooMany);
    }
    if !foreign.is_empty() {
        list(&jetstream, &found, &excluded).await?;
    }
    for index in &missing {
        let sequence = add_late(&jetstream, log, source, *index).await?;
        excluded.late.add(sequence..=sequence);
        list(&jetstream, &found, &excluded).await?;
    }
    Ok(Repaired {
        messages: found.info.state.messages,
        excluded: foreign,
        added: missing.into_iter().collect(),
        list: excluded.foreign.to_string(),
    })
}

async fn find(jetstream: &Context) -> Result<FoundStream, RepairError> {
    let found = FoundStream::named(jetstream, STREAM)
        .await
        .map_err(failed)?;
    found.ok_or(RepairError::NoStream)
}

/// The messages that have to be excluded, with their descriptions, and the events whose places they take.
async fn compare(
    found: &FoundStream,
    log: &dyn EventLog,
    forged: bool,
) -> Result<(Vec<(u64, String)>, BTreeSet<u64>), RepairError> {
    let state = &found.info.state;
    let excluded = found.excluded();
    let (mut order, mut reader) = (Order::default(), LogReader::new(log, PAGE));
    let mut foreign = vec![];
    let mut messages = messages(found, 1, state.last_sequence);
    while let Some(message) = messages.next().await {
        let (sequence, message) = message.map_err(failed)?;
        let Some(message) = message else {
            if !excluded.contains(sequence) {
                return Err(RepairError::Lost(sequence));
            }
            order.pass(1);
            continue;
        };
        let verdict = order.judge(&message, &excluded, &mut reader).await;
        let what = match verdict.map_err(failed)? {
            Verdict::Event | Verdict::Excluded => continue,
            Verdict::Foreign(what) => what,
            Verdict::Contradicts(what) if forged => what,
            Verdict::Contradicts(what) => return Err(RepairError::Contradicts { sequence, what }),
            Verdict::BeyondLog(claim) => {
                let head = log.log_head().await.map_err(failed)?;
                let end = head.log_index;
                if head.end_once_sequenced() >= claim.log_index {
                    return Err(RepairError::NotInOrder(end));
                }
                let what = beyond_log(&claim, end, &message);
                if !forged {
                    return Err(RepairError::Contradicts { sequence, what });
                }
                order.pass(1);
                what
            }
        };
        foreign.push((sequence, what));
    }
    Ok((foreign, order.missing().clone()))
}

/// Writes the list of excluded messages into the stream's description. The rest of the configuration is sent back unchanged.
async fn list(
    jetstream: &Context,
    found: &FoundStream,
    excluded: &Excluded,
) -> Result<(), RepairError> {
    let description = excluded.written_into(found.description());
    if description.len() > LONGEST_DESCRIPTION {
        return Err(RepairError::TooMany);
    }
    let mut config = found.config.clone();
    config["description"] = json!(description);
    let answer: Value = jetstream
        .request(format!("STREAM.UPDATE.{STREAM}"), &config)
        .await
        .map_err(|error| match error.kind() {
            // The server does not answer a request that it does not permit.
            RequestErrorKind::TimedOut => RepairError::NotPermitted,
            _ => failed(error),
        })?;
    match refusal(&answer).map_err(failed)? {
        Some(error) => Err(failed(error)),
        None => Ok(()),
    }
}

/// Adds an event at the end of the stream, and returns its sequence.
async fn add_late(
    jetstream: &Context,
    log: &dyn EventLog,
    source: &str,
    index: u64,
) -> Result<u64, RepairError> {
    let logged = LogReader::new(log, 1).event(index).await.map_err(failed)?;
    let logged = logged.ok_or(RepairError::NotInOrder(index))?;
    let event = publish(&logged).map_err(failed)?;
    let subject = published::subject(event.kind, &event.subject);
    // The message in the event's place may have the event's id. The server would then treat this one as a duplicate.
    let message_id = format!("{}/late", event.id);
    for _ in 0..ATTEMPTS {
        let last = find(jetstream).await?.info.state.last_sequence;
        let message = message(&event, source, last, &message_id).map_err(failed)?;
        let sent = jetstream.send_publish(subject.clone(), message).await;
        match sent.map_err(failed)?.await {
            Ok(stored) => return Ok(stored.sequence),
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Err(RepairError::Overtaken)
}
