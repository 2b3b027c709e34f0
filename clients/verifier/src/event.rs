//! An event of Authlog: what it changes for tokens.
//!
//! The published types and their members are listed in Authlog's `docs/events.md`, and what they mean for tokens in
//! `docs/verifying.md`.

use serde::Deserialize;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

/// The longest text of an attribute that is kept.
const LONGEST_ATTRIBUTE: usize = 1024;

/// What an event changes for tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing.
    None,
    /// A session has ended, and every session that began in it.
    Session(Uuid),
    /// The sessions of the account that began under an earlier epoch have ended, except for `kept`.
    Epoch {
        account: Uuid,
        epoch: u32,
        kept: Option<Uuid>,
    },
    /// The account was erased.
    Erased(Uuid),
    /// A client was locked or unlocked.
    ClientLocked { client: String, locked: bool },
    /// A client was removed.
    ClientRemoved(String),
    /// The settings of a client were replaced. A client without the grant `client_credentials` has no tokens of its own.
    ClientGrants { client: String, own_tokens: bool },
    /// A secret of a client was retired.
    Secret(Uuid),
    /// Something that is not known: the type is one that ends something, in another version. It contains the type.
    Unknown(String),
}

/// An event, reduced to what the verifier needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// Its place in the log, and what identifies it there.
    pub(crate) mark: Mark,
    pub(crate) source: String,
    pub(crate) change: Change,
}

/// An event that was read: if the log has another event at this index, it is another log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) log_index: u64,
    pub(crate) id: String,
    pub(crate) time: String,
}

impl Mark {
    /// When the event happened, in milliseconds since 1970. `None` if that is no time.
    pub(crate) fn millis(&self) -> Option<i64> {
        let time = OffsetDateTime::parse(&self.time, &Rfc3339).ok()?;
        i64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok()
    }
}

/// An event that cannot be understood, although it may end sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable;

/// The attributes of a CloudEvent, as texts.
pub(crate) struct Attributes<'a> {
    pub(crate) log_index: &'a str,
    pub(crate) id: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) source: &'a str,
    pub(crate) subject: &'a str,
    pub(crate) time: &'a str,
}

impl Event {
    /// Reads an event from its attributes and its data.
    pub(crate) fn new(attributes: &Attributes<'_>, data: &Value) -> Result<Self, Unreadable> {
        let Attributes {
            log_index,
            id,
            kind,
            source,
            subject,
            time,
        } = *attributes;
        let all = [id, kind, source, subject, time];
        if all.iter().any(|text| text.len() > LONGEST_ATTRIBUTE) {
            return Err(Unreadable);
        }
        let index = self::log_index(log_index).filter(|index| *index > 0);
        Ok(Self {
            mark: Mark {
                log_index: index.ok_or(Unreadable)?,
                id: id.to_owned(),
                time: time.to_owned(),
            },
            source: source.to_owned(),
            change: change(kind, subject, data)?,
        })
    }
}

/// What an event of this type changes.
///
/// An event of an account that names a `session_epoch` raises it, of whichever type it is: events of newer versions of Authlog
/// do so as well. A login names the epoch under which it began, and is an event of a session.
///
/// Another version of a type that ends something is unknown, because a version may change everything but the name. To ignore it could
/// leave sessions alive that have ended. An event of an account says what it ended by its `session_epoch` in any version, `null`
/// included; without that member, it is unknown as well.
fn change(kind: &str, subject: &str, data: &Value) -> Result<Change, Unreadable> {
    let id = |name: &str| -> Result<Uuid, Unreadable> {
        let text = data.get(name).and_then(Value::as_str);
        text.and_then(|text| Uuid::try_parse(text).ok())
            .ok_or(Unreadable)
    };
    let subject_id = || Uuid::try_parse(subject).map_err(|_| Unreadable);
    let client = || subject.to_owned();
    let Some(versioned) = kind.strip_prefix("dev.authlog.") else {
        return Ok(Change::None);
    };
    let (name, version) = name_and_version(versioned);
    if name.starts_with("user.")
        && data.get("session_epoch").is_some()
        && versioned != "user.erased.v1"
    {
        return Ok(match present(data, "session_epoch") {
            None => Change::None,
            Some(epoch) => Change::Epoch {
                account: subject_id()?,
                epoch: epoch
                    .as_u64()
                    .and_then(|epoch| u32::try_from(epoch).ok())
                    .ok_or(Unreadable)?,
                kept: match present(data, "kept_session_id") {
                    None => None,
                    Some(_) => Some(id("kept_session_id")?),
                },
            },
        });
    }
    let is_known = ENDS.contains(&name);
    if is_known && version != Some("1") {
        return Ok(Change::Unknown(kind.to_owned()));
    }
    Ok(match name {
        "session.logged-out"
        | "session.revoked"
        | "session.refresh-token-reused"
        | "session.authorization-code-reused" => Change::Session(id("session_id")?),
        "user.erased" => Change::Erased(subject_id()?),
        "client.locked" => Change::ClientLocked {
            client: client(),
            locked: true,
        },
        "client.unlocked" => Change::ClientLocked {
            client: client(),
            locked: false,
        },
        "client.removed" => Change::ClientRemoved(client()),
        "client.changed" => {
            let grants = data.get("grants").and_then(Value::as_array);
            let mut grants = grants.ok_or(Unreadable)?.iter();
            Change::ClientGrants {
                client: client(),
                own_tokens: grants.any(|grant| grant == "client_credentials"),
            }
        }
        "client.secret-retired" => Change::Secret(id("secret_id")?),
        _ => Change::None,
    })
}

/// The types that end something, or undo that, without their versions.
const ENDS: [&str; 15] = [
    "session.logged-out",
    "session.revoked",
    "session.refresh-token-reused",
    "session.authorization-code-reused",
    "user.password-reset",
    "user.password-changed",
    "user.sessions-revoked",
    "user.role-changed",
    "user.locked",
    "user.erased",
    "client.locked",
    "client.unlocked",
    "client.removed",
    "client.changed",
    "client.secret-retired",
];

/// The name of a type and its version: `user.locked.v1` is `user.locked` in the version `1`.
fn name_and_version(kind: &str) -> (&str, Option<&str>) {
    match kind.rsplit_once(".v") {
        Some((name, version)) if version.bytes().all(|byte| byte.is_ascii_digit()) => {
            (name, Some(version))
        }
        _ => (kind, None),
    }
}

/// A member that is there and not null.
fn present<'a>(data: &'a Value, name: &str) -> Option<&'a Value> {
    data.get(name).filter(|value| !value.is_null())
}

/// An index in the log; `None` if the text is none. The log counts with 63 bits.
pub(crate) fn log_index(text: &str) -> Option<u64> {
    let index: u64 = text.parse().ok()?;
    i64::try_from(index).is_ok().then_some(index)
}

/// A heartbeat: every event that was committed until `elapsed_ms` after its base has an index of at most `log_index`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Heartbeat {
    pub(crate) log_index: u64,
    pub(crate) elapsed_ms: u64,
}

/// A line of the feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// An empty line, which carries nothing.
    Blank,
    Event(Event),
    Heartbeat(Heartbeat),
    /// A problem document, after which the feed ends.
    Problem {
        status: u16,
    },
}

/// The members of everything that the feed sends.
#[derive(Deserialize)]
struct Members {
    specversion: Option<String>,
    logindex: Option<String>,
    id: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    source: Option<String>,
    subject: Option<String>,
    time: Option<String>,
    #[serde(default)]
    data: Value,
    elapsed_ms: Option<u64>,
    status: Option<u16>,
}

impl Line {
    /// Parses a line of the feed.
    pub(crate) fn parse(line: &[u8]) -> Result<Self, Unreadable> {
        if line.trim_ascii().is_empty() {
            return Ok(Self::Blank);
        }
        if line.first() != Some(&b'{') {
            return Err(Unreadable);
        }
        let members: Members = serde_json::from_slice(line).map_err(|_| Unreadable)?;
        // Only a CloudEvent has a version of the specification.
        if members.specversion.is_some() {
            let text = |member: &'_ Option<String>| member.clone().ok_or(Unreadable);
            let attributes = Attributes {
                log_index: &text(&members.logindex)?,
                id: &text(&members.id)?,
                kind: &text(&members.kind)?,
                source: &text(&members.source)?,
                subject: &text(&members.subject)?,
                time: &text(&members.time)?,
            };
            return Event::new(&attributes, &members.data).map(Self::Event);
        }
        match (members.logindex, members.elapsed_ms, members.status) {
            (Some(log_index), Some(elapsed_ms), _) => Ok(Self::Heartbeat(Heartbeat {
                log_index: self::log_index(&log_index).ok_or(Unreadable)?,
                elapsed_ms,
            })),
            (_, _, Some(status)) => Ok(Self::Problem { status }),
            _ => Err(Unreadable),
        }
    }
}

/// Cuts what arrives into lines.
pub(crate) struct Lines {
    rest: Vec<u8>,
    longest: usize,
}

/// A line is longer than permitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LineTooLong;

impl Lines {
    pub(crate) fn new(longest: usize) -> Self {
        Self {
            rest: Vec::new(),
            longest,
        }
    }

    /// Hands the complete lines to `take`, without their ends, and keeps the rest.
    pub(crate) fn push(
        &mut self,
        mut bytes: &[u8],
        mut take: impl FnMut(&[u8]),
    ) -> Result<(), LineTooLong> {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, after) = bytes.split_at(end);
            bytes = after.get(1..).unwrap_or_default();
            if self.rest.len() + line.len() > self.longest {
                return Err(LineTooLong);
            }
            if self.rest.is_empty() {
                take(line);
            } else {
                self.rest.extend_from_slice(line);
                take(&self.rest);
                self.rest.clear();
            }
        }
        if self.rest.len() + bytes.len() > self.longest {
            return Err(LineTooLong);
        }
        self.rest.extend_from_slice(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const ACCOUNT: &str = "019c0000-0000-7000-8000-000000000002";
    const SESSION: &str = "019c0000-0000-7000-8000-000000000001";

    fn uuid(text: &str) -> Uuid {
        Uuid::try_parse(text).unwrap()
    }

    fn line(kind: &str, subject: &str, data: &Value) -> Value {
        json!({
            "data": data, "datacontenttype": "application/json", "id": "user/x/3", "logindex": "41",
            "sequence": "00000000000000000003", "source": "https://auth.example.com", "specversion": "1.0",
            "subject": subject, "time": "2026-11-21T09:25:00.123Z", "type": format!("dev.authlog.{kind}"),
        })
    }

    fn parsed(kind: &str, subject: &str, data: &Value) -> Result<Change, Unreadable> {
        let line = Line::parse(line(kind, subject, data).to_string().as_bytes())?;
        match line {
            Line::Event(event) => Ok(event.change),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn events_that_end_sessions_say_which() {
        for kind in [
            "session.logged-out.v1",
            "session.revoked.v1",
            "session.refresh-token-reused.v1",
            "session.authorization-code-reused.v1",
        ] {
            let change = parsed(kind, ACCOUNT, &json!({ "session_id": SESSION }));
            assert_eq!(change, Ok(Change::Session(uuid(SESSION))), "{kind}");
            assert_eq!(parsed(kind, ACCOUNT, &json!({})), Err(Unreadable));
        }
    }

    #[test]
    fn an_event_of_an_account_with_an_epoch_raises_it_whatever_its_type() {
        let raised = |kept| {
            Ok(Change::Epoch {
                account: uuid(ACCOUNT),
                epoch: 3,
                kept,
            })
        };
        for kind in [
            "user.locked.v1",
            "user.password-reset.v1",
            "user.of-the-future.v7",
        ] {
            let change = parsed(kind, ACCOUNT, &json!({ "session_epoch": 3 }));
            assert_eq!(change, raised(None), "{kind}");
        }
        let data = json!({ "session_epoch": 3, "kept_session_id": SESSION });
        let change = parsed("user.password-changed.v1", ACCOUNT, &data);
        assert_eq!(change, raised(Some(uuid(SESSION))));
        let data = json!({ "session_epoch": 3, "kept_session_id": null });
        let change = parsed("user.sessions-revoked.v1", ACCOUNT, &data);
        assert_eq!(change, raised(None));
    }

    #[test]
    fn a_login_names_an_epoch_and_raises_none() {
        let data = json!({ "session_id": SESSION, "session_epoch": 3 });
        let change = parsed("session.logged-in.v1", ACCOUNT, &data);
        assert_eq!(change, Ok(Change::None));
        // The first version of this event ended no session.
        let data = json!({ "role": "user", "session_epoch": null });
        let change = parsed("user.role-changed.v1", ACCOUNT, &data);
        assert_eq!(change, Ok(Change::None));
        assert_eq!(
            parsed("client.new.v1", "shop", &json!({})),
            Ok(Change::None)
        );
    }

    #[test]
    fn an_event_that_may_end_sessions_and_cannot_be_read_is_an_error() {
        for (kind, subject, data) in [
            ("user.locked.v1", "shop", json!({ "session_epoch": 1 })),
            ("user.locked.v1", ACCOUNT, json!({ "session_epoch": "1" })),
            ("user.locked.v1", ACCOUNT, json!({ "session_epoch": -1 })),
            (
                "user.locked.v1",
                ACCOUNT,
                json!({ "session_epoch": 4_294_967_296_u64 }),
            ),
            (
                "user.locked.v1",
                ACCOUNT,
                json!({ "session_epoch": 1, "kept_session_id": 7 }),
            ),
            ("user.erased.v1", "shop", json!({})),
            ("client.changed.v1", "shop", json!({})),
            (
                "client.secret-retired.v1",
                "shop",
                json!({ "secret_id": "x" }),
            ),
        ] {
            assert_eq!(
                parsed(kind, subject, &data),
                Err(Unreadable),
                "{kind} {data}"
            );
        }
    }

    #[test]
    fn another_version_of_a_type_that_ends_something_is_not_ignored() {
        let data = json!({ "session_id": SESSION, "secret_id": SESSION, "grants": [] });
        for name in ENDS {
            let subject = if name.starts_with("client") {
                "shop"
            } else {
                ACCOUNT
            };
            for version in [".v2", ".v10", ".v0", ".v01", ".v", ".vx", ""] {
                let kind = format!("{name}{version}");
                let change = parsed(&kind, subject, &data);
                let kind = format!("dev.authlog.{kind}");
                match version {
                    // Not the name of a version, so it is another type.
                    ".vx" => assert_eq!(change, Ok(Change::None), "{kind}"),
                    _ => assert_eq!(change, Ok(Change::Unknown(kind))),
                }
            }
            // The first version of `role-changed` has no epoch.
            let change = parsed(&format!("{name}.v1"), subject, &data);
            assert!(
                !matches!(change, Err(Unreadable) | Ok(Change::Unknown(_))),
                "{name} {change:?}"
            );
        }
        let unknown = parsed("session.of-the-future.v2", ACCOUNT, &data);
        assert_eq!(unknown, Ok(Change::None));
        let refreshed = parsed("session.token-refreshed.v2", ACCOUNT, &data);
        assert_eq!(refreshed, Ok(Change::None), "it ends nothing");
    }

    #[test]
    fn another_version_of_an_event_of_an_account_says_by_its_epoch_what_it_ended() {
        for name in ["user.locked.v2", "user.erased.v2", "user.role-changed.v3"] {
            let data = json!({ "session_epoch": 4 });
            let expected = Change::Epoch {
                account: uuid(ACCOUNT),
                epoch: 4,
                kept: None,
            };
            assert_eq!(parsed(name, ACCOUNT, &data), Ok(expected), "{name}");
            let none = parsed(name, ACCOUNT, &json!({ "session_epoch": null }));
            assert_eq!(none, Ok(Change::None), "{name}");
        }
        let erased = parsed("user.erased.v1", ACCOUNT, &json!({ "session_epoch": 4 }));
        assert_eq!(erased, Ok(Change::Erased(uuid(ACCOUNT))));
    }

    #[test]
    fn lines_are_told_apart() {
        let parse = |line: &str| Line::parse(line.as_bytes());
        assert_eq!(parse(""), Ok(Line::Blank));
        let beat = Heartbeat {
            log_index: 123,
            elapsed_ms: 1500,
        };
        let line = r#"{"logindex":"123","elapsed_ms":1500}"#;
        assert_eq!(parse(line), Ok(Line::Heartbeat(beat)));
        let line = r#"{"type":"about:blank","title":"Conflict","status":409}"#;
        assert_eq!(parse(line), Ok(Line::Problem { status: 409 }));
        for bad in [
            "{}",
            "[]",
            "null",
            "<html>",
            r#"{"logindex":"0"}"#,
            r#"{"logindex":"-1","elapsed_ms":1}"#,
            r#"{"logindex":"9223372036854775808","elapsed_ms":1}"#,
            r#"{"logindex":123,"elapsed_ms":1}"#,
            r#"{"logindex":"1","elapsed_ms":1.5}"#,
            r#"{"specversion":"1.0","logindex":"1"}"#,
            r#"{"logindex":"1","logindex":"2","elapsed_ms":1}"#,
        ] {
            assert_eq!(parse(bad), Err(Unreadable), "{bad}");
        }
        let deep = format!("{{\"data\":{}", "[".repeat(100_000));
        assert_eq!(parse(&deep), Err(Unreadable));
    }

    proptest! {
        #[test]
        fn any_bytes_as_a_line_are_read_or_refused(bytes: Vec<u8>) {
            let _ = Line::parse(&bytes);
        }

        #[test]
        fn lines_do_not_depend_on_how_they_arrive(
            lines in prop::collection::vec("[a-z]{0,20}", 0..20),
            cuts in prop::collection::vec(1..7_usize, 1..50),
        ) {
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            let mut found = Vec::new();
            let mut cutter = Lines::new(20);
            let mut rest = text.as_bytes();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                cutter.push(piece, |line| found.push(String::from_utf8(line.to_vec()).unwrap())).unwrap();
                rest = after;
            }
            prop_assert_eq!(found, lines);
        }
    }

    #[test]
    fn a_line_that_never_ends_is_not_kept() {
        let mut cutter = Lines::new(10);
        assert_eq!(cutter.push(b"0123456789", |_| {}), Ok(()));
        assert_eq!(cutter.push(b"0", |_| {}), Err(LineTooLong));
        let mut cutter = Lines::new(10);
        assert_eq!(cutter.push(b"01234567890\n", |_| {}), Err(LineTooLong));
    }
}
