//! The stream: made if it is not there, and checked before anything is added to it.

use async_nats::jetstream::stream::{Config, RetentionPolicy, State, StorageType, Stream};
use async_nats::jetstream::{self, ErrorCode, context::GetStreamErrorKind};
use authlog_application::ports::{EventLog, LogFilter};
use authlog_application::published::publish;

use super::message::ID;
use super::publisher::Trouble;

/// The stream's name.
pub const STREAM: &str = "AUTH_EVENTS";

/// Every subject of the events.
const SUBJECTS: &str = "auth.v1.>";

/// The stream as it has to be: it keeps every message for ever, on disk, and nobody can cut a hole in it.
fn wanted() -> Config {
    Config {
        name: STREAM.to_owned(),
        description: Some("Every event of Authlog, in the order of its log".to_owned()),
        subjects: vec![SUBJECTS.to_owned()],
        retention: RetentionPolicy::Limits,
        storage: StorageType::File,
        max_messages: -1,
        max_messages_per_subject: -1,
        max_bytes: -1,
        num_replicas: 1,
        deny_delete: true,
        deny_purge: true,
        allow_direct: true,
        ..Config::default()
    }
}

/// What of `found` would lose messages or order. How many replicas it has, and where, is the operator's choice.
fn differences(found: &Config) -> Vec<String> {
    let wanted = wanted();
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
        found.sealed || found.no_ack || found.mirror.is_some(),
        "it is sealed, does not acknowledge, or mirrors another stream".to_owned(),
    );
    differences
}

/// Opens the stream, makes it if it is not there, and finds out after which index to go on.
pub(super) async fn open(
    jetstream: &jetstream::Context,
    log: &dyn EventLog,
) -> Result<u64, Trouble> {
    let stream = match jetstream.get_stream(STREAM).await {
        Ok(stream) => stream,
        Err(error) if is_missing(&error.kind()) => jetstream
            .create_stream(wanted())
            .await
            .map_err(Trouble::away)?,
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
    check_whole(&info.state)?;
    if info.state.last_sequence > 0 {
        check_last(&stream, info.state.last_sequence, log).await?;
    }
    Ok(info.state.last_sequence)
}

pub(super) fn is_missing(kind: &GetStreamErrorKind) -> bool {
    matches!(
        kind,
        GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND
    )
}

/// A stream with a hole cannot be mended by adding to its end.
fn check_whole(state: &State) -> Result<(), Trouble> {
    if state.messages == state.last_sequence {
        return Ok(());
    }
    Err(Trouble::Refused(format!(
        "the stream {STREAM} has lost messages: it ends at sequence {} and holds {} (its first is {}); delete it to have it made and filled again from the log",
        state.last_sequence, state.messages, state.first_sequence
    )))
}

/// The stream's last message has to be the event that the log has there: otherwise one of them is not what the other was
/// copied from.
async fn check_last(stream: &Stream, last: u64, log: &dyn EventLog) -> Result<(), Trouble> {
    let message = stream.get_raw_message(last).await.map_err(Trouble::away)?;
    let streamed = message.headers.get(ID).map(|id| id.as_str().to_owned());
    let logged = log
        .read_log(last - 1, 1, &LogFilter::default())
        .await
        .map_err(Trouble::away)?;
    let Some(logged) = logged.first() else {
        return Err(Trouble::Refused(format!(
            "the database is behind the stream {STREAM}, which ends at {last}: was it restored from a backup? Restore it to a later moment, or, if events after the backup are to be given up, delete the stream to have it filled again; subscribers then have to rebuild what they made of the events that are gone"
        )));
    };
    let logged = publish(logged).map_err(Trouble::away)?;
    if streamed.as_deref() == Some(logged.id.as_str()) {
        return Ok(());
    }
    Err(Trouble::Refused(format!(
        "the stream {STREAM} and the log disagree at {last}: the stream has {}, the log {}; this stream was filled from another database, or this database was restored from a backup and has gone on since. Use another NATS account, or delete the stream to have it filled again",
        streamed.as_deref().unwrap_or("no event of ours"),
        logged.id
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_that_we_make_is_one_that_we_take() {
        assert_eq!(differences(&wanted()), Vec::<String>::new());
    }

    #[test]
    fn a_stream_that_forgets_is_told_by_what_differs() {
        let found = Config {
            max_age: std::time::Duration::from_secs(60),
            storage: StorageType::Memory,
            ..wanted()
        };
        let told = differences(&found).join("; ");
        assert!(told.contains("60s") && told.contains("memory"), "{told}");
    }
}
