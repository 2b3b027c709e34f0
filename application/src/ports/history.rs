//! The history of one account or one client, and the state of an account at an earlier moment.

use async_trait::async_trait;
use authlog_domain::{AuthenticationLevel, ClientId, SessionId, Timestamp, UserId};

use crate::history::known_level;

use super::{Account, RecordedEvent, SessionRecord, StoreError};

/// An event of an account, of one of its sessions or of its refused logins, or of a client.
#[derive(Clone, Debug, PartialEq)]
pub struct PastEvent {
    /// The log index; `None` for a committed event that has none yet.
    pub log_index: Option<u64>,
    /// When the store recorded the event.
    pub recorded_at: Timestamp,
    /// The event. Personal fields of the payload, and `ip` and `user_agent` of the metadata, are in clear text; after
    /// an erasure they read `{"erased": true}`.
    pub event: RecordedEvent,
}

/// Which events of an account or a client to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryFilter {
    /// Events recorded at this instant or later.
    pub since: Option<Timestamp>,
    /// Events recorded before this instant.
    pub until: Option<Timestamp>,
    /// Events of these stored types only; every type if empty.
    pub event_types: Vec<String>,
    /// Events of this session only.
    pub session: Option<SessionId>,
    /// Events only whose actor is not known to have been authenticated at this level or a higher one.
    pub below: Option<AuthenticationLevel>,
}

impl HistoryFilter {
    /// How many events one page of a filtered history examines. Then the page ends, even if no event passed the filter. So
    /// the cost of a request does not depend on the length of the account's history.
    pub const LOOKED_AT: u32 = 1000;

    /// Whether an event of a client passes the filter. It has no session.
    pub fn passes_event_of_client(&self, past: &PastEvent) -> bool {
        let types = &self.event_types;
        self.since.is_none_or(|since| past.recorded_at >= since)
            && self.until.is_none_or(|until| past.recorded_at < until)
            && (types.is_empty() || types.contains(&past.event.event_type))
            && self.session.is_none()
            && self.passes_level(&past.event)
    }

    /// Whether the event belongs to a history with this lowest level ([`Self::below`]).
    pub fn passes_level(&self, event: &RecordedEvent) -> bool {
        self.below
            .is_none_or(|below| known_level(event).is_none_or(|level| level < below))
    }

    /// How many events a page of up to `limit` events examines.
    pub fn looks_at(&self, limit: u32) -> u32 {
        if *self == Self::default() {
            limit
        } else {
            limit.max(Self::LOOKED_AT)
        }
    }
}

/// A page of an account's history.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HistoryPage {
    /// The events in the order of the log. Events without a log index come last, in the order in which they will most likely
    /// get one.
    pub events: Vec<PastEvent>,
    /// The last log index that was examined, after which the next page begins; `None` on the last page.
    pub next: Option<u64>,
}

/// A moment for which the state of an account is requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// After the event with this log index. This is exact.
    Index(u64),
    /// After the last event of the account that the store had recorded at this instant.
    Instant(Timestamp),
}

impl Moment {
    /// Parses a log index or an RFC 3339 instant; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            // The stores use signed 64-bit integers.
            let index = text.parse().ok()?;
            return i64::try_from(index).is_ok().then_some(Self::Index(index));
        }
        Timestamp::parse(text).map(Self::Instant)
    }
}

/// The state of an account at a moment: the fold of its events up to then, by the same folds as the read models.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PastState {
    /// The number of these events; 0 if the account was not registered yet.
    pub events: u64,
    /// The log index of the last of them, if it has one.
    pub log_index: Option<u64>,
    /// When the last of them was recorded.
    pub recorded_at: Option<Timestamp>,
    /// The account; `None` if it was not registered yet, or was erased.
    pub account: Option<Account>,
    /// Its sessions, including ended ones, in the order of their ids.
    pub sessions: Vec<SessionRecord>,
}

impl PastState {
    /// The sessions that were live at `now`.
    pub fn live_sessions(&self, now: Timestamp) -> impl Iterator<Item = &SessionRecord> {
        let account = self.account.as_ref();
        self.sessions.iter().filter(move |session| {
            let parent = session.parent().and_then(|parent| self.session(parent));
            account.is_some_and(|it| session.is_live(it, parent, now))
        })
    }

    /// The session with this id. The sessions are in the order of their ids.
    fn session(&self, id: SessionId) -> Option<&SessionRecord> {
        let place = self.sessions.binary_search_by_key(&id, |it| it.id).ok()?;
        self.sessions.get(place)
    }
}

/// Reads the history of one account or one client. The cost of a page depends on the number of events that it examines
/// ([`HistoryFilter::looks_at`]), and not on the length of the log or of the whole history.
#[async_trait]
pub trait History: Send + Sync {
    /// Up to `limit` events with log indices after `after`. If these are the last, events without a log index follow.
    async fn history(
        &self,
        user: UserId,
        after: u64,
        limit: u32,
        filter: &HistoryFilter,
    ) -> Result<HistoryPage, StoreError>;

    /// The events that started these sessions of the account, in any order.
    async fn origins(
        &self,
        user: UserId,
        sessions: &[SessionId],
    ) -> Result<Vec<PastEvent>, StoreError>;

    /// Up to `limit` events of the client after the event with the sequence `after`, in their order. Those without a log index
    /// are among them.
    async fn client_events(
        &self,
        client: &ClientId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<PastEvent>, StoreError>;

    /// The state of the account at `moment`. For `None`, its current state, including events without a log index.
    async fn state_at(&self, user: UserId, moment: Option<Moment>)
    -> Result<PastState, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_place_in_the_log_or_an_instant() {
        assert_eq!(Moment::parse("17"), Some(Moment::Index(17)));
        let instant = Timestamp::parse("2024-07-24T16:34:05.337Z").unwrap();
        assert_eq!(
            Moment::parse("2024-07-24T18:34:05.337+02:00"),
            Some(Moment::Instant(instant))
        );
        for text in ["", "-1", "yesterday", "2024-07-24", "9223372036854775808"] {
            assert_eq!(Moment::parse(text), None, "{text:?}");
        }
    }
}
