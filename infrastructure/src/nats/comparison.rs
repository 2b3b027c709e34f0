//! Comparison of the whole stream with the log, for `authlog doctor`.

use std::time::Duration;

use authlog_application::ports::{Check, Diagnosis, EventLog, Finding};
use futures_util::StreamExt as _;

use super::access::NatsAccess;
use super::config::STREAM;
use super::copy_check::messages;
use super::identity::LogReader;
use super::order::{Order, Verdict};
use super::stream::FoundStream;

/// Events in one read of the log.
const PAGE: u32 = 1000;

/// How long the server may take for any answer.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// The stream cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the stream {STREAM} cannot be read")]
pub struct StreamUnreadable(#[source] Box<dyn std::error::Error + Send + Sync>);

fn unreadable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StreamUnreadable {
    StreamUnreadable(source.into())
}

/// Compares every message of the stream with the log, and adds the differences to `diagnosis`. Events that are not published
/// yet and messages that an operator has excluded are not differences.
///
/// # Errors
/// The stream or the log cannot be read.
pub async fn compare_stream(
    access: &NatsAccess,
    log: &dyn EventLog,
    diagnosis: &mut Diagnosis,
) -> Result<(), StreamUnreadable> {
    let client = access.connect().await.map_err(unreadable)?;
    let jetstream = access.jetstream(client, ANSWER_WITHIN);
    // The stream is read before the log, so a running service can only make the log longer.
    let found = FoundStream::named(&jetstream, STREAM)
        .await
        .map_err(unreadable)?;
    let Some(found) = found else {
        // No event was published yet.
        return Ok(());
    };
    let state = &found.info.state;
    let head = log.log_head().await.map_err(unreadable)?.log_index;
    let mut note = |place: String, detail: String| {
        diagnosis.note(Finding::new(Check::Stream, place, detail), false);
    };
    let at = |sequence: u64| format!("sequence {sequence} of {STREAM}");
    if state.messages == 0 {
        if state.last_sequence > 0 {
            note(at(1), "every message is gone".to_owned());
        }
        return Ok(());
    }
    let excluded = found.excluded();
    let (mut order, mut reader) = (Order::default(), LogReader::new(log, PAGE));
    let first = state.first_sequence.max(1);
    order.pass(first - 1);
    if excluded.count_up_to(first - 1) < first - 1 {
        note(at(1), format!("missing; the first is {first}"));
    }
    let mut messages = messages(&found, first, state.last_sequence);
    while let Some(message) = messages.next().await {
        let (sequence, message) = message.map_err(unreadable)?;
        let Some(message) = message else {
            order.pass(1);
            if !excluded.contains(sequence) {
                note(at(sequence), "missing".to_owned());
            }
            continue;
        };
        let verdict = order.judge(&message, &excluded, &mut reader).await;
        match verdict.map_err(unreadable)? {
            Verdict::Event | Verdict::Excluded => {}
            Verdict::Foreign(what) | Verdict::Contradicts(what) => note(at(sequence), what),
            Verdict::BeyondLog(claim) => {
                order.pass(1);
                let (id, index) = (claim.id, claim.log_index);
                let detail = format!("it is event {index}, {id}, and the log ends at {head}");
                note(at(sequence), detail);
            }
        }
    }
    for index in order.missing() {
        let detail = "it is not on the stream: another message is in its place".to_owned();
        note(format!("event {index} of the log"), detail);
    }
    Ok(())
}
