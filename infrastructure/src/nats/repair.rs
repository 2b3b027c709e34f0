//! Excluding messages of other clients from the stream, so that publishing goes on after them (`docs/adr/0018`).

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
use super::stream::{Found, refusal};

/// Events that are read from the log at a time.
const PAGE: u32 = 1000;

/// The most events that are added at the stream's end because other messages are in their places. Beyond that the stream
/// is better made again.
const MOST_LATE_EVENTS: usize = 100;

/// How often it is tried to add an event while the service publishes.
const TRIES: usize = 20;

/// What was done.
#[derive(Debug)]
pub struct Repaired {
    /// How many messages the stream holds.
    pub messages: u64,
    /// The messages that are excluded from now on, and what they are.
    pub excluded: Vec<(u64, String)>,
    /// The events that were added at the end, because other messages are in their places.
    pub added: Vec<u64>,
    /// All messages that are excluded now; empty if there are none.
    pub list: String,
}

/// Why the stream was not repaired.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// There is none.
    #[error("there is no stream {STREAM}")]
    NoStream,
    /// Excluding messages does not bring back one that is gone.
    #[error(
        "message {0} of the stream {STREAM} is lost, which this cannot repair: `lag.publisher.trouble` in /readyz says what to do"
    )]
    Lost(u64),
    /// The message may be an event that the database lost.
    #[error(
        "message {sequence} of the stream {STREAM} names an event that this log does not have: {what}. If the database was restored from a backup, lost transactions in a failover, or is not the one of this stream, see docs/operations.md. Only if another client forged the message, repair with --forged: readers that have applied it then have to build their state again"
    )]
    Contradicts {
        /// Its sequence.
        sequence: u64,
        /// What it names.
        what: String,
    },
    /// The database looks for the order of its last events.
    #[error("the log is in order up to {0} so far; try again in a moment")]
    NotInOrder(u64),
    /// They do not fit into the stream's description.
    #[error(
        "too much of the stream {STREAM} would have to be excluded; delete it to have it made and filled again from the log"
    )]
    TooMany,
    /// The server did not answer.
    #[error(
        "the server does not answer the request to change the stream {STREAM}: is this user permitted to publish on $JS.API.STREAM.UPDATE.{STREAM}? Give the command the credentials of an operator"
    )]
    NotPermitted,
    /// Others went on publishing.
    #[error("the stream {STREAM} has got further messages meanwhile; try again")]
    Overtaken,
    /// Something does not answer, or refuses.
    #[error("the stream {STREAM} cannot be repaired")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

fn failed(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> RepairError {
    RepairError::Failed(source.into())
}

/// Compares the stream with the log, excludes the messages that are no events in their places, and adds the events in
/// whose places they are. Messages that name events which the log does not have are excluded only if they are `forged`.
/// `source` is that of the published events. The service may run meanwhile.
///
/// # Errors
/// Why not.
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

async fn find(jetstream: &Context) -> Result<Found, RepairError> {
    let found = Found::named(jetstream, STREAM).await.map_err(failed)?;
    found.ok_or(RepairError::NoStream)
}

/// The messages that have to be excluded, with what they are, and the events in whose places such messages are.
async fn compare(
    found: &Found,
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

/// Lists the excluded messages in the stream's description. Everything else of its configuration is sent back as it came.
async fn list(jetstream: &Context, found: &Found, excluded: &Excluded) -> Result<(), RepairError> {
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
            // A server does not answer what it does not permit.
            RequestErrorKind::TimedOut => RepairError::NotPermitted,
            _ => failed(error),
        })?;
    match refusal(&answer).map_err(failed)? {
        Some(error) => Err(failed(error)),
        None => Ok(()),
    }
}

/// Adds an event at the end of the stream, and returns its sequence there.
async fn add_late(
    jetstream: &Context,
    log: &dyn EventLog,
    source: &str,
    index: u64,
) -> Result<u64, RepairError> {
    let logged = LogReader::new(log, 1).event(index).await.map_err(failed)?;
    let logged = logged.ok_or(RepairError::NotInOrder(index))?;
    let event = publish(&logged).map_err(failed)?;
    let subject = published::subject(event.kind, event.user);
    // Its own name may be that of the message in its place, which the server would then take for a duplicate.
    let message_id = format!("{}/late", event.id);
    for _ in 0..TRIES {
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
