//! The examination of one stream and of the rows derived from it. It does no I/O.

use authlog_application::ports::RecordedEvent;
use authlog_application::ports::{Account, Check, Finding, StreamId};
use authlog_domain::{AggregateKind, EventKind, Timestamp, UserId};
use authlog_projections::{Row, claims_of, row};

use super::factors::factor_differences;
use super::rows::{account_differences, client_differences, session_differences};
use super::{Place, Reading, StoredEvent, StreamName};
use crate::leaf::{LeafInput, leaf_hash};
use crate::sealing::{GrantsAccess, Stored, SubjectKey, open_payload};
use crate::store::{ClaimDigest, KeyVault};

/// The type of event after which an account has no key, no names and no password.
const ERASURE: &str = EventKind::UserErased.stored_type();

/// The result of examining one stream.
pub(super) struct Verdict {
    pub(super) stream: StreamName,
    pub(super) findings: Vec<Finding>,
    /// Whether a row should be there.
    pub(super) has_row: bool,
    /// The claims that its events make.
    pub(super) claims: Vec<ClaimDigest>,
    /// Events that have no place in the log yet.
    pub(super) waiting: u64,
}

impl Verdict {
    /// Whether the events themselves are intact, so that derived data can be rebuilt from them.
    pub(super) fn is_sound(&self) -> bool {
        self.findings.iter().all(|finding| {
            matches!(
                finding.check,
                Check::Accounts
                    | Check::Sessions
                    | Check::Clients
                    | Check::Claims
                    | Check::Credentials
                    | Check::SecondFactors
            )
        })
    }
}

/// Examines the events of one stream.
pub(super) fn examine(
    vault: &KeyVault,
    reading: &Reading,
    events: &[StoredEvent],
    now: Timestamp,
) -> Verdict {
    let stream = events.first().map_or_else(
        || StreamName {
            kind: String::new(),
            id: String::new(),
        },
        |event| event.stream.clone(),
    );
    let mut verdict = Verdict {
        findings: vec![],
        has_row: false,
        claims: vec![],
        waiting: 0,
        stream,
    };
    verdict.check_order(events);
    for event in events {
        verdict.check_place(event);
    }
    let Some(stream) = verdict.stream.known() else {
        if !events.is_empty() {
            verdict.finds(Check::Events, "no aggregate that this program knows");
        }
        return verdict;
    };
    let key = verdict.key(vault, reading, &stream, events);
    let Some(opened) = verdict.opened(&stream, events, key.as_ref()) else {
        return verdict;
    };
    // Without its key, or without some of its events, the expected derived data is unknown.
    if !verdict.is_sound() {
        return verdict;
    }
    match row(stream.kind, &opened) {
        Ok(expected) => {
            let owner = events.first().and_then(|event| event.user.as_ref());
            let is_being_removed = stream.kind == AggregateKind::Session
                && owner.is_some_and(|it| reading.unfinished.contains(it));
            if is_being_removed {
                return verdict;
            }
            // The events of a session do not say that its account was erased.
            let expected = expected.filter(|_| owner.is_none_or(|it| !reading.erased.contains(it)));
            verdict.has_row = expected.is_some();
            verdict.check_derived(vault, reading, &stream, expected.as_ref(), now);
            if stream.kind == AggregateKind::User {
                let account = match &expected {
                    Some(Row::Account(row)) => Some(&**row),
                    _ => None,
                };
                for detail in factor_differences(reading, &stream.id, account, key.as_ref()) {
                    verdict.finds(Check::SecondFactors, detail);
                }
            }
        }
        Err(error) => verdict.finds(Check::Events, error.to_string()),
    }
    verdict
}

impl Verdict {
    fn finds(&mut self, check: Check, detail: impl Into<String>) {
        let place = self.stream.to_string();
        self.findings.push(Finding::new(check, place, detail));
    }

    fn check_order(&mut self, events: &[StoredEvent]) {
        if let Some((expected, event)) = (1..)
            .zip(events)
            .find(|(expected, event)| event.sequence != *expected)
        {
            let found = event.sequence;
            self.finds(
                Check::Sequences,
                format!(
                    "event {found} is where {expected} should be; the events between are lost and cannot be restored. Earlier \
                     versions could write such an event after a failover that lost the one before it"
                ),
            );
        }
        let mut last = 0;
        for event in events {
            let Place::At { log_index, .. } = event.place else {
                continue;
            };
            if log_index <= last {
                let sequence = event.sequence;
                self.finds(
                    Check::LogOrder,
                    format!(
                        "event {sequence} is at {log_index} in the log, the one before it at {last}"
                    ),
                );
            }
            last = log_index;
        }
    }

    fn check_place(&mut self, event: &StoredEvent) {
        let place = format!("{}/{}", event.stream, event.sequence);
        match &event.place {
            Place::Waiting => self.waiting += 1,
            Place::Missing => {
                let finding =
                    Finding::new(Check::LogComplete, place, "an event that is not in the log");
                self.findings.push(finding);
            }
            Place::At {
                log_index,
                leaf_hash: stored,
            } => {
                let computed = leaf_hash(&LeafInput {
                    aggregate_type: &event.stream.kind,
                    aggregate_id: &event.stream.id,
                    sequence: event.sequence,
                    event_type: &event.event_type,
                    event_version: &event.event_version,
                    recorded_at_micros: event.recorded_at_micros,
                    payload: &event.payload,
                    metadata: &event.metadata,
                });
                if computed.as_slice() != stored.as_slice() {
                    let detail = format!(
                        "the stored event does not match its leaf at {log_index} in the log"
                    );
                    self.findings
                        .push(Finding::new(Check::Leaves, place, detail));
                }
            }
        }
    }

    /// The account's key, if the stream is an account's. What is wrong with the key becomes a finding.
    fn key(
        &mut self,
        vault: &KeyVault,
        reading: &Reading,
        stream: &StreamId,
        events: &[StoredEvent],
    ) -> Option<SubjectKey> {
        if stream.kind != AggregateKind::User {
            return None;
        }
        let erased = is_erased(events);
        match (reading.keys.get(&stream.id), UserId::parse(&stream.id)) {
            (None, _) if erased => None,
            (None, _) => {
                self.finds(
                    Check::SubjectKeys,
                    "the account has no key: its personal fields cannot be read",
                );
                None
            }
            (Some(_), _) if erased => {
                self.finds(
                    Check::SubjectKeys,
                    "the account was erased and still has a key",
                );
                None
            }
            (Some(wrapped), Some(user)) => match SubjectKey::unwrap(user, wrapped, &vault.master) {
                Ok(key) => Some(key),
                Err(error) => {
                    self.finds(Check::SubjectKeys, format!("the account's key: {error}"));
                    None
                }
            },
            (Some(_), None) => {
                self.finds(Check::Events, "its id is not an account id");
                None
            }
        }
    }

    /// The decrypted events; `None` if one of them cannot be read, which becomes a finding.
    fn opened(
        &mut self,
        stream: &StreamId,
        events: &[StoredEvent],
        key: Option<&SubjectKey>,
    ) -> Option<Vec<RecordedEvent>> {
        let mut opened = Vec::with_capacity(events.len());
        for event in events {
            match open(stream, event, key) {
                Ok(event) => opened.push(event),
                Err(reason) => {
                    let place = format!("{}/{}", event.stream, event.sequence);
                    self.findings
                        .push(Finding::new(Check::Events, place, reason));
                }
            }
        }
        (opened.len() == events.len()).then_some(opened)
    }

    fn check_derived(
        &mut self,
        vault: &KeyVault,
        reading: &Reading,
        stream: &StreamId,
        expected: Option<&Row>,
        now: Timestamp,
    ) {
        match stream.kind {
            AggregateKind::RefusedLogins => {}
            AggregateKind::Client => {
                let expected = match expected {
                    Some(Row::Client(row)) => Some(&**row),
                    _ => None,
                };
                let stored = reading.clients.get(&stream.id);
                let detail = differences(expected, row_of(stored), client_differences)
                    .or_else(|| unsealed(vault, stored));
                if let Some(detail) = detail {
                    self.finds(Check::Clients, detail);
                }
            }
            AggregateKind::Session => {
                let expected = match expected {
                    Some(Row::Session(row)) => Some(&**row),
                    _ => None,
                };
                let stored = reading.sessions.get(&stream.id);
                // Housekeeping may have removed it.
                let expected = expected.filter(|row| stored.is_some() || !row.may_lack_row(now));
                let detail = differences(expected, row_of(stored), session_differences)
                    .or_else(|| unsealed(vault, stored));
                if let Some(detail) = detail {
                    self.finds(Check::Sessions, detail);
                }
            }
            AggregateKind::User => {
                let expected = match expected {
                    Some(Row::Account(row)) => Some(&**row),
                    _ => None,
                };
                let stored = reading.accounts.get(&stream.id);
                let expected = expected.map(|row| comparable(row, row_of(stored)));
                let expected = expected.as_ref();
                let detail = differences(expected, row_of(stored), account_differences)
                    .or_else(|| unsealed(vault, stored));
                if let Some(detail) = detail {
                    self.finds(Check::Accounts, detail);
                }
                let named = expected
                    .filter(|_| reading.keys.contains_key(&stream.id))
                    .map(|account| account.credential);
                match (named, reading.credentials.get(&stream.id)) {
                    (_, Some(Err(reason))) => self.finds(
                        Check::Credentials,
                        format!("its password cannot be read: {reason}"),
                    ),
                    (Some(named), Some(Ok(stored))) if named != stored.credential => self.finds(
                        Check::Credentials,
                        format!(
                            "its password is {}, and its events name {named}",
                            stored.credential
                        ),
                    ),
                    (Some(_), Some(Ok(stored)))
                        if vault.seals.are_required() && vault.seals.open(stored).is_none() =>
                    {
                        self.finds(
                            Check::Credentials,
                            "its password was not stored by this service: have it reset",
                        );
                    }
                    (Some(named), None) => self.finds(
                        Check::Credentials,
                        format!("its password {named} is not stored: have it reset"),
                    ),
                    (None, Some(Ok(_))) => {
                        self.finds(Check::Credentials, "it was erased and still has a password");
                    }
                    _ => {}
                }
                let claims = expected.map(claims_of).unwrap_or_default();
                self.claims = claims.iter().map(|it| vault.pepper.claim(it)).collect();
            }
        }
    }
}

/// The account that its row should hold. A row of an earlier version lacks the recent requests, which is no damage:
/// they are then read from the events.
fn comparable(expected: &Account, stored: Option<Result<&Account, &String>>) -> Account {
    let mut expected = expected.clone();
    if stored.is_some_and(|row| row.is_ok_and(|row| row.recent_requests.is_none())) {
        expected.recent_requests = None;
    }
    expected
}

fn is_erased(events: &[StoredEvent]) -> bool {
    events.iter().any(|event| event.event_type == ERASURE)
}

fn open(
    stream: &StreamId,
    stored: &StoredEvent,
    key: Option<&SubjectKey>,
) -> Result<RecordedEvent, String> {
    let parse = |text: &str| serde_json::from_str(text).map_err(|error| error.to_string());
    let mut event = RecordedEvent {
        aggregate_id: stream.id.clone(),
        sequence: u64::try_from(stored.sequence).map_err(|error| error.to_string())?,
        aggregate_type: stored.stream.kind.clone(),
        event_type: stored.event_type.clone(),
        event_version: stored.event_version.clone(),
        payload: parse(&stored.payload)?,
        metadata: parse(&stored.metadata)?,
    };
    open_payload(stream.kind, &mut event, key).map_err(|error| error.to_string())?;
    Ok(event)
}

/// The row without its MAC, where there is one.
fn row_of<T>(stored: Option<&Result<Stored<T>, String>>) -> Option<Result<&T, &String>> {
    stored.map(|stored| stored.as_ref().map(|stored| &stored.row))
}

/// The finding for a row that equals its events and is nevertheless rejected, because its MAC is wrong.
fn unsealed<T: GrantsAccess>(
    vault: &KeyVault,
    stored: Option<&Result<Stored<T>, String>>,
) -> Option<String> {
    let stored = stored?.as_ref().ok()?;
    let is_refused = vault.seals.are_required_of(&stored.row) && !vault.seals.is_sealed(stored);
    is_refused.then(|| "its row was not written by this service: its MAC is wrong".to_owned())
}

/// How a row differs from the expected one. The text names fields and never contains their values.
fn differences<T: PartialEq>(
    expected: Option<&T>,
    stored: Option<Result<&T, &String>>,
    compare: fn(&T, &T) -> Vec<String>,
) -> Option<String> {
    match (expected, stored) {
        (None, None) => None,
        (None, Some(_)) => Some("there is a row where the events give none".to_owned()),
        (Some(_), None) => Some("its row is missing".to_owned()),
        (Some(_), Some(Err(reason))) => Some(format!("its row cannot be read: {reason}")),
        (Some(expected), Some(Ok(stored))) if expected == stored => None,
        (Some(expected), Some(Ok(stored))) => Some(format!(
            "its row differs in {}",
            compare(expected, stored).join(", ")
        )),
    }
}
