//! The configuration of the streams, and the check of a stream that this program has not created.

use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use serde_json::Value;

/// The name of the stream of events.
pub const STREAM: &str = "AUTH_EVENTS";

/// The subjects of all events.
pub(super) const SUBJECTS: &str = "auth.v1.>";

/// The name of the stream of checkpoints.
pub const CHECKPOINT_STREAM: &str = "AUTH_CHECKPOINTS";

/// The subject of checkpoints, which is not among those of the events.
pub(super) const CHECKPOINT_SUBJECT: &str = "auth-checkpoint.v1";

/// The message size that a stream has to accept, in bytes. The messages of this program are much smaller.
const LARGEST_MESSAGE: i32 = 65_536;

/// The operator's options for new streams. Existing streams are not changed.
#[derive(Clone, Copy)]
pub struct StreamOptions {
    /// The number of servers that keep each stream.
    pub replicas: usize,
    /// The size limit of each stream in bytes. Accounts with `max_bytes_required` need one. A full stream refuses new messages
    /// and keeps the old ones.
    pub max_bytes: Option<i64>,
}

/// The configuration of the stream of events: it keeps every message for ever, on disk, and no client can delete one.
pub(super) fn events(options: StreamOptions) -> Config {
    let description = "Every event of Authlog, in the order of its log";
    kept(STREAM, SUBJECTS, description, options)
}

/// The configuration of the stream of checkpoints, with the same properties.
pub(super) fn checkpoints(options: StreamOptions) -> Config {
    let description = "Signed checkpoints of Authlog's log";
    kept(CHECKPOINT_STREAM, CHECKPOINT_SUBJECT, description, options)
}

fn kept(name: &str, subject: &str, description: &str, options: StreamOptions) -> Config {
    Config {
        name: name.to_owned(),
        description: Some(description.to_owned()),
        subjects: vec![subject.to_owned()],
        retention: RetentionPolicy::Limits,
        storage: StorageType::File,
        max_messages: -1,
        max_messages_per_subject: -1,
        max_bytes: options.max_bytes.unwrap_or(-1),
        discard: match options.max_bytes {
            Some(_) => DiscardPolicy::New,
            None => DiscardPolicy::Old,
        },
        num_replicas: options.replicas,
        deny_delete: true,
        deny_purge: true,
        allow_direct: true,
        ..Config::default()
    }
}

/// The members of `found` that would lose messages, their order or their subjects. `raw` is the configuration as the server
/// sent it, including members that the client library does not know. Replicas, placement, compression and a size limit that
/// refuses new messages are the operator's choice.
pub(super) fn differences(found: &Config, raw: &Value, subject: &str) -> Vec<String> {
    let is_limited = |limit: i64| limit > 0;
    let forgets_the_oldest = found.discard == DiscardPolicy::Old
        && (is_limited(found.max_messages) || is_limited(found.max_bytes));
    let feeds_on_others = found.mirror.is_some()
        || found
            .sources
            .as_ref()
            .is_some_and(|sources| !sources.is_empty());
    let all = [
        (
            found.subjects != [subject],
            format!("its subjects are {:?} instead of {subject}", found.subjects),
        ),
        (
            is_set(raw, "subject_transform"),
            "it renames subjects (subject_transform), so that readers would not find the events"
                .to_owned(),
        ),
        (
            found.retention != RetentionPolicy::Limits,
            format!("its retention is {:?} instead of limits", found.retention),
        ),
        (
            found.storage != StorageType::File,
            "it is kept in memory instead of in files".to_owned(),
        ),
        (
            forgets_the_oldest,
            "it forgets messages beyond a number or size (a limit is fine with --discard new)"
                .to_owned(),
        ),
        (
            is_limited(found.max_messages_per_subject),
            "it keeps a limited number of messages of each subject".to_owned(),
        ),
        (
            !found.max_age.is_zero(),
            format!("it forgets messages after {:?}", found.max_age),
        ),
        (
            (1..LARGEST_MESSAGE).contains(&found.max_message_size),
            format!(
                "it refuses messages of more than {} bytes",
                found.max_message_size
            ),
        ),
        (
            found.allow_rollup,
            "one message can remove all before it (allow_rollup_hdrs)".to_owned(),
        ),
        (
            found.sealed || found.no_ack,
            "it is sealed or does not acknowledge".to_owned(),
        ),
        (
            feeds_on_others,
            "it takes messages from other streams".to_owned(),
        ),
    ];
    let differs = all.into_iter().filter_map(|(is, what)| is.then_some(what));
    differs.collect()
}

/// The members of an accepted configuration that put messages at risk.
pub(super) fn risks(found: &Config, raw: &Value) -> Vec<&'static str> {
    let all = [
        (
            !found.deny_delete,
            "its messages can be deleted (deny_delete is off)",
        ),
        (!found.deny_purge, "it can be purged (deny_purge is off)"),
        (
            is_set(raw, "allow_msg_ttl"),
            "a message can expire (allow_msg_ttl is on)",
        ),
        (
            raw["persist_mode"] == "async",
            "messages are acknowledged before they are stored (persist_mode is async)",
        ),
    ];
    let at_risk = all.into_iter().filter_map(|(is, what)| is.then_some(what));
    at_risk.collect()
}

fn is_set(raw: &Value, member: &str) -> bool {
    !matches!(raw[member], Value::Null | Value::Bool(false))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    const OPTIONS: StreamOptions = StreamOptions {
        replicas: 1,
        max_bytes: None,
    };

    fn differences_of(found: &Config) -> Vec<String> {
        differences(found, &json!({}), SUBJECTS)
    }

    #[test]
    fn the_streams_of_this_program_are_accepted() {
        for (replicas, max_bytes) in [(1, None), (3, Some(1_000_000))] {
            let options = StreamOptions {
                replicas,
                max_bytes,
            };
            let none = Vec::<String>::new();
            let (ours, raw) = (events(options), json!({}));
            assert_eq!(differences(&ours, &raw, SUBJECTS), none);
            assert!(risks(&ours, &raw).is_empty());
            let ours = checkpoints(options);
            assert_eq!(differences(&ours, &raw, CHECKPOINT_SUBJECT), none);
        }
    }

    #[test]
    fn the_difference_of_a_stream_that_loses_messages_is_named() {
        let found = Config {
            max_age: Duration::from_secs(60),
            storage: StorageType::Memory,
            ..events(OPTIONS)
        };
        let named = differences_of(&found).join("; ");
        assert!(named.contains("60s") && named.contains("memory"), "{named}");
    }

    #[test]
    fn a_limit_is_accepted_if_a_full_stream_refuses_new_messages() {
        let limited = |discard| Config {
            max_bytes: 1_000_000,
            max_messages: 1000,
            discard,
            ..events(OPTIONS)
        };
        assert!(differences_of(&limited(DiscardPolicy::New)).is_empty());
        let named = differences_of(&limited(DiscardPolicy::Old)).join("; ");
        assert!(named.contains("forgets messages beyond"), "{named}");
        let by_subject = Config {
            max_messages_per_subject: 5,
            ..limited(DiscardPolicy::New)
        };
        let named = differences_of(&by_subject).join("; ");
        assert!(named.contains("each subject"), "{named}");
    }

    #[test]
    fn settings_of_newer_servers_are_checked_as_well() {
        let raw = json!({
            "subject_transform": {"src": "auth.v1.>", "dest": "x.>"},
            "allow_msg_ttl": true,
            "persist_mode": "async",
        });
        let named = differences(&events(OPTIONS), &raw, SUBJECTS).join("; ");
        assert!(named.contains("renames subjects"), "{named}");
        let risks = risks(&events(OPTIONS), &raw).join("; ");
        assert!(risks.contains("expire"), "{risks}");
        assert!(risks.contains("before they are stored"), "{risks}");
    }

    #[test]
    fn a_stream_from_which_messages_can_be_removed_is_refused_or_named() {
        let open = Config {
            deny_delete: false,
            deny_purge: false,
            ..events(OPTIONS)
        };
        assert!(differences_of(&open).is_empty());
        assert_eq!(risks(&open, &json!({})).len(), 2);
        let rolled_up = Config {
            allow_rollup: true,
            ..open
        };
        let named = differences_of(&rolled_up).join("; ");
        assert!(named.contains("allow_rollup_hdrs"), "{named}");
    }
}
