//! Whether the stream is the copy of the log that it should be.

use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use authlog_application::ports::{Check, Diagnosis, EventLog, Finding, LogFilter, LoggedEvent};
use authlog_application::published;
use authlog_domain::EventKind;
use futures_util::StreamExt;

use super::connection::connect;
use super::message::ID;
use super::servers::NatsServers;
use super::stream::{STREAM, is_missing};

/// Events that are read from the log at a time.
const PAGE: u32 = 1000;

/// How long the next message may take.
const SILENCE: Duration = Duration::from_secs(10);

/// The stream cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the stream {STREAM} cannot be read")]
pub struct StreamUnreadable(#[source] Box<dyn std::error::Error + Send + Sync>);

fn unreadable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StreamUnreadable {
    StreamUnreadable(source.into())
}

/// Compares every message of the stream on `servers` with the event at its place in the log, and notes what differs. Events
/// that are not on the stream yet are no divergence: they wait.
///
/// # Errors
/// The stream or the log cannot be read.
pub async fn compare_stream(
    servers: &NatsServers,
    log: &dyn EventLog,
    diagnosis: &mut Diagnosis,
) -> Result<(), StreamUnreadable> {
    let client = connect(servers).await.map_err(unreadable)?;
    let jetstream = jetstream::new(client);
    let mut stream = match jetstream.get_stream(STREAM).await {
        Ok(stream) => stream,
        // Nothing was published yet.
        Err(error) if is_missing(&error.kind()) => return Ok(()),
        Err(error) => return Err(unreadable(error)),
    };
    // The stream is looked at before the log, so that a service that goes on can only make the log longer.
    let state = stream.info().await.map_err(unreadable)?.state.clone();
    let head = log.log_head().await.map_err(unreadable)?.log_index;
    let mut note = |place: u64, detail: String| {
        let place = format!("sequence {place} of {STREAM}");
        diagnosis.note(Finding::new(Check::Stream, place, detail), false);
    };
    if state.last_sequence > head {
        note(
            state.last_sequence,
            format!("the stream ends there and the log at {head}"),
        );
    }
    if state.messages == 0 {
        if state.last_sequence > 0 {
            note(1, "every message is gone".to_owned());
        }
        return Ok(());
    }
    let consumer = stream
        .create_consumer(OrderedConfig {
            headers_only: true,
            ..OrderedConfig::default()
        })
        .await
        .map_err(unreadable)?;
    let mut messages = consumer.messages().await.map_err(unreadable)?;
    let mut page: std::vec::IntoIter<LoggedEvent> = vec![].into_iter();
    let mut reached = 0;
    let last = state.last_sequence.min(head);
    while reached < last {
        let message = tokio::time::timeout(SILENCE, messages.next())
            .await
            .map_err(unreadable)?
            .ok_or_else(|| unreadable("the stream broke off"))?
            .map_err(unreadable)?;
        let sequence = message.info().map_err(unreadable)?.stream_sequence;
        if sequence != reached + 1 {
            let detail = format!("missing; the next is {sequence}");
            note(reached + 1, detail);
            page = vec![].into_iter();
        }
        reached = sequence;
        if reached > last {
            break;
        }
        let logged = match page.next() {
            Some(logged) => logged,
            None => {
                let everything = LogFilter::default();
                let read = log.read_log(sequence - 1, PAGE, &everything).await;
                page = read.map_err(unreadable)?.into_iter();
                match page.next() {
                    Some(logged) => logged,
                    None => break,
                }
            }
        };
        if logged.log_index != sequence {
            // The log has a gap there, which is told elsewhere.
            note(sequence, "the log has no event at this index".to_owned());
            page = vec![].into_iter();
            continue;
        }
        let event = &logged.event;
        let id = format!(
            "{}/{}/{}",
            event.aggregate_type, event.aggregate_id, event.sequence
        );
        let header = message.headers.as_ref().and_then(|headers| headers.get(ID));
        let found = header.map_or("no event of ours", |id| id.as_str());
        let subject = EventKind::from_stored(&event.event_type)
            .map(|kind| published::subject(kind, logged.user));
        if found != id {
            note(sequence, format!("the stream has {found}, the log {id}"));
        } else if subject.is_some_and(|subject| subject != message.subject.as_str()) {
            note(sequence, format!("{id} is under another subject"));
        }
    }
    Ok(())
}
