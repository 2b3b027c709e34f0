//! The stream: made if it is not there, and checked before anything is added to it.

use std::time::Duration;

use async_nats::jetstream::context::{
    CreateStreamError, CreateStreamErrorKind, GetStreamErrorKind,
};
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{
    Config, RawMessageErrorKind, RetentionPolicy, State, StorageType, Stream,
};
use async_nats::jetstream::{self, ErrorCode};
use authlog_application::ports::{EventLog, LogCursor, LogFilter, LoggedEvent};
use authlog_application::published::{PublishedEvent, publish};

use super::message::{ID, TIME};
use super::trouble::Trouble;

/// The stream's name.
pub const STREAM: &str = "AUTH_EVENTS";

/// Every subject of the events.
const SUBJECTS: &str = "auth.v1.>";

/// The largest message that a stream has to take, in bytes; ours are a fraction of it.
const LARGEST_MESSAGE: i32 = 65_536;

/// How long a stream has to have been gone before another is made in its place. A server may go on removing the files of
/// the one that was deleted after it has said that it is gone, and takes those of its successor along (nats-server 2.9).
pub(super) const GONE_FOR: Duration = Duration::from_secs(1);

/// The stream as it has to be: it keeps every message for ever, on disk, and nobody can cut a hole in it.
fn wanted(replicas: usize) -> Config {
    Config {
        name: STREAM.to_owned(),
        description: Some("Every event of Authlog, in the order of its log".to_owned()),
        subjects: vec![SUBJECTS.to_owned()],
        retention: RetentionPolicy::Limits,
        storage: StorageType::File,
        max_messages: -1,
        max_messages_per_subject: -1,
        max_bytes: -1,
        num_replicas: replicas,
        deny_delete: true,
        deny_purge: true,
        allow_direct: true,
        ..Config::default()
    }
}

/// What of `found` would lose messages or order. How many replicas it has, and where, is the operator's choice.
fn differences(found: &Config) -> Vec<String> {
    let wanted = wanted(found.num_replicas);
    let unlimited = |limit: i64| limit <= 0;
    let mut differences = Vec::new();
    let mut differs = |is: bool, what: String| {
        if is {
            differences.push(what);
        }
    };
    differs(
        found.subjects != wanted.subjects,
        format!(
            "its subjects are {:?} instead of {SUBJECTS}",
            found.subjects
        ),
    );
    differs(
        found.retention != wanted.retention,
        format!("its retention is {:?} instead of limits", found.retention),
    );
    differs(
        found.storage != wanted.storage,
        "it is kept in memory instead of in files".to_owned(),
    );
    differs(
        !unlimited(found.max_messages)
            || !unlimited(found.max_messages_per_subject)
            || !unlimited(found.max_bytes),
        "it forgets messages beyond a number or size".to_owned(),
    );
    differs(
        !found.max_age.is_zero(),
        format!("it forgets messages after {:?}", found.max_age),
    );
    differs(
        (1..LARGEST_MESSAGE).contains(&found.max_message_size),
        format!(
            "it refuses messages of more than {} bytes",
            found.max_message_size
        ),
    );
    differs(
        found.sealed || found.no_ack,
        "it is sealed or does not acknowledge".to_owned(),
    );
    let feeds_on_others = found.mirror.is_some()
        || found
            .sources
            .as_ref()
            .is_some_and(|sources| !sources.is_empty());
    differs(
        feeds_on_others,
        "it takes messages from other streams".to_owned(),
    );
    differences
}

/// Opens the stream, makes it with that many replicas if it is not there, and finds out after which entry of the log to go
/// on: the one that the stream's last message was made of. `was_there` says whether this node has seen it before.
pub(super) async fn open(
    jetstream: &jetstream::Context,
    log: &dyn EventLog,
    replicas: usize,
    was_there: bool,
) -> Result<LogCursor, Trouble> {
    let stream = match jetstream.get_stream(STREAM).await {
        Ok(stream) => stream,
        Err(error) if is_missing(&error.kind()) => {
            if was_there {
                tokio::time::sleep(GONE_FOR).await;
            }
            jetstream
                .create_stream(wanted(replicas))
                .await
                .map_err(|error| not_created(error, replicas))?
        }
        Err(error) => return Err(Trouble::away(error)),
    };
    let info = stream.cached_info();
    let differences = differences(&info.config);
    if !differences.is_empty() {
        return Err(Trouble::Refused(format!(
            "the stream {STREAM} is not configured as it has to be: {}; mend it with `nats stream edit`, or delete it to have it made and filled again",
            differences.join("; ")
        )));
    }
    check_whole(&info.state, info.config.num_replicas)?;
    match info.state.last_sequence {
        0 => Ok(LogCursor::default()),
        last => check_last(&stream, last, log).await,
    }
}

pub(super) fn is_missing(kind: &GetStreamErrorKind) -> bool {
    matches!(
        kind,
        GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND
    )
}

/// JetStream that is switched off, or subjects that another stream has, do not mend themselves, but another may mend them.
fn not_created(error: CreateStreamError, replicas: usize) -> Trouble {
    let error = match error.kind() {
        CreateStreamErrorKind::JetStreamUnavailable => {
            return Trouble::Away(
                "the NATS server has no JetStream, or not for this account".to_owned(),
            );
        }
        _ => Trouble::away(error),
    };
    match error {
        Trouble::Away(reason) if replicas > 1 => Trouble::Away(format!(
            "the stream {STREAM} cannot be made with {replicas} replicas, as AUTHLOG_NATS_REPLICAS asks for: {reason}"
        )),
        other => other,
    }
}

/// Says so if the stream has more or fewer replicas than the setting asks for. They are the operator's choice: a stream
/// that holds messages is not changed.
pub(super) async fn note_replicas(jetstream: &jetstream::Context, wanted: usize) {
    let Ok(stream) = jetstream.get_stream(STREAM).await else {
        return;
    };
    let found = stream.cached_info().config.num_replicas;
    if found != wanted {
        tracing::info!(
            found,
            wanted,
            "the stream {STREAM} has another number of replicas than AUTHLOG_NATS_REPLICAS, and is left as it is"
        );
    }
}

/// A stream with a hole cannot be mended by adding to its end.
fn check_whole(state: &State, replicas: usize) -> Result<(), Trouble> {
    if state.messages == state.last_sequence {
        return Ok(());
    }
    Err(Trouble::Refused(format!(
        "the stream {STREAM} has lost messages: it ends at sequence {} and holds {} (its first is {}); {}",
        state.last_sequence,
        state.messages,
        state.first_sequence,
        way_back(replicas)
    )))
}

/// What an operator can do about a stream that has lost messages. Where it has replicas, the others may be whole.
fn way_back(replicas: usize) -> &'static str {
    if replicas > 1 {
        "do not delete it before each of its replicas was looked at: have another one lead (`nats stream cluster step-down AUTH_EVENTS`), and if the stream is whole there, remove the damaged one (`nats stream cluster peer-remove AUTH_EVENTS`) to have it copied again. Publishing goes on by itself. Only if every replica has lost messages, delete the stream to have it made and filled again from the log"
    } else {
        "delete it to have it made and filled again from the log"
    }
}

/// The stream's last message has to be the event that the log has there: otherwise one of them is not what the other was
/// copied from.
async fn check_last(stream: &Stream, last: u64, log: &dyn EventLog) -> Result<LogCursor, Trouble> {
    if let Some(logged) = event_at(log, last).await? {
        agree(stream, &published(&logged)?).await?;
        return Ok(logged.cursor());
    }
    let head = log.log_head().await.map_err(Trouble::away)?;
    let reached = head.log_index;
    if reached + head.unsequenced >= last {
        // The order of the last events need not have survived a crash of the database; it is found again, the same.
        return Err(Trouble::Away(format!(
            "the log is in order up to {reached} so far, and the stream ends at {last}"
        )));
    }
    if let Some(logged) = event_at(log, reached).await? {
        agree(stream, &published(&logged)?).await?;
    }
    Err(Trouble::Refused(format!(
        "the database is behind the stream {STREAM}: its log ends at {reached}, the stream at {last}. Was it restored from a backup, or is it another one than the stream was filled from? Restore it to a later moment, or, if the events since are to be given up, delete the stream to have it filled again; subscribers then have to rebuild what they made of the events that are gone"
    )))
}

fn published(logged: &LoggedEvent) -> Result<PublishedEvent, Trouble> {
    publish(logged).map_err(Trouble::away)
}

async fn event_at(log: &dyn EventLog, log_index: u64) -> Result<Option<LoggedEvent>, Trouble> {
    let Some(before) = log_index.checked_sub(1) else {
        return Ok(None);
    };
    let events = log
        .read_log(before, 1, &LogFilter::default())
        .await
        .map_err(Trouble::away)?;
    let mut events = events.into_iter();
    Ok(events.next().filter(|event| event.log_index == log_index))
}

/// Makes sure that the stream has `logged` at its place.
async fn agree(stream: &Stream, logged: &PublishedEvent) -> Result<(), Trouble> {
    let at = logged.log_index;
    let message = stream
        .get_raw_message(at)
        .await
        .map_err(|error| match error.kind() {
            RawMessageErrorKind::NoMessageFound => Trouble::Refused(format!(
                "the stream {STREAM} has lost messages: it says that it ends at sequence {at}, and has no message there; {}",
                way_back(stream.cached_info().config.num_replicas)
            )),
            _ => Trouble::away(error),
        })?;
    let header = |name: &str| message.headers.get(name).map(|value| value.as_str());
    // A database that was restored and has gone on may give an event the name of one that was lost, but not its time.
    if header(ID) == Some(&logged.id) && header(TIME) == Some(&logged.time.to_string()) {
        return Ok(());
    }
    Err(Trouble::Refused(format!(
        "the stream {STREAM} and the log disagree at {at}: the stream has {}, the log {} of {}. Either this stream was filled from another database: then use another NATS account. Or this database was restored from a backup and has gone on since: then delete the stream to have it filled again; subscribers have to rebuild what they made of the events that are gone",
        described(&message),
        logged.id,
        logged.time
    )))
}

fn described(message: &StreamMessage) -> String {
    let header = |name: &str| message.headers.get(name).map(|value| value.as_str());
    match (header(ID), header(TIME)) {
        (Some(id), Some(time)) => format!("{id} of {time}"),
        _ => "no event of ours".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_that_we_make_is_one_that_we_take() {
        assert_eq!(differences(&wanted(1)), Vec::<String>::new());
        assert_eq!(differences(&wanted(3)), Vec::<String>::new());
    }

    #[test]
    fn a_stream_that_forgets_is_told_by_what_differs() {
        let found = Config {
            max_age: std::time::Duration::from_secs(60),
            storage: StorageType::Memory,
            ..wanted(1)
        };
        let told = differences(&found).join("; ");
        assert!(told.contains("60s") && told.contains("memory"), "{told}");
    }

    #[test]
    fn a_stream_with_whole_replicas_left_is_not_to_be_deleted_first() {
        assert_eq!(
            way_back(1),
            "delete it to have it made and filled again from the log"
        );
        let several = way_back(3);
        assert!(several.contains("do not delete it before"), "{several}");
        assert!(several.contains("step-down"), "{several}");
    }
}
