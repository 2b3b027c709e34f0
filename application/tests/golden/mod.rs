//! The domain's golden events as entries of the log, and generated files that tests compare.

use std::path::{Path, PathBuf};

use authlog_application::ports::LoggedEvent;
use authlog_application::ports::RecordedEvent;
use authlog_domain::{AggregateKind, Timestamp, UserId};
use serde_json::json;

pub fn folder(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Compares `text` with the file, which is written first if `AUTHLOG_WRITE_SCHEMAS` is set.
pub fn check_in(path: &Path, text: &str) {
    if std::env::var_os("AUTHLOG_WRITE_SCHEMAS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let checked_in = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(
        checked_in,
        text,
        "{} is not current: run this test with AUTHLOG_WRITE_SCHEMAS=1",
        path.display()
    );
}

/// The account of all golden events.
const USER: &str = "019c0000-0000-7000-8000-000000000002";

/// Every golden event of the domain; those of one type are in the order of their versions. Unlike in the log, personal fields
/// are in clear text, so that a test can see whether they are published.
pub fn golden_events() -> Vec<LoggedEvent> {
    let mut events = Vec::new();
    for kind in AggregateKind::ALL {
        let golden = folder("../domain/tests/golden").join(kind.as_str());
        let files = std::fs::read_dir(golden).unwrap();
        let mut paths: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for path in paths {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let (event_type, version) = name.split_once(".v").unwrap();
            let text = std::fs::read_to_string(&path).unwrap();
            // The id of a `User` is that of the account. The stream of refused logins begins with it.
            let id = match kind {
                AggregateKind::Session => "019c0000-0000-7000-8000-000000000001",
                AggregateKind::User | AggregateKind::RefusedLogins => USER,
                AggregateKind::Client => "shop",
            };
            let event = RecordedEvent {
                aggregate_id: id.to_owned(),
                sequence: 3,
                aggregate_type: kind.as_str().to_owned(),
                event_type: event_type.to_owned(),
                event_version: version.to_owned(),
                payload: serde_json::from_str(&text).unwrap(),
                metadata: match kind {
                    AggregateKind::Client => json!({ "actor": "operator", "contract": "cli" }),
                    _ => json!({
                        "user_id": USER,
                        "contract": "api-auth",
                        "ip": "192.0.2.77",
                        "user_agent": "planted-agent",
                    }),
                },
            };
            let user = (kind != AggregateKind::Client).then(|| UserId::parse(USER).unwrap());
            events.push(LoggedEvent {
                log_index: 41,
                leaf_hash: [0; 32],
                recorded_at: Timestamp::from_unix_millis(0),
                user,
                event,
            });
        }
    }
    events
}
