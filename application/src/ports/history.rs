//! What happened to one account, and how it stood at an earlier moment.

use async_trait::async_trait;
use authlog_domain::{SessionId, Timestamp, UserId};

use super::{Account, RecordedEvent, SessionRecord, StoreError};

/// An event of an account, of one of its sessions or of its refused logins.
#[derive(Clone, Debug, PartialEq)]
pub struct PastEvent {
    /// Its place in the log; `None` for one that is committed and has not been given a place yet.
    pub log_index: Option<u64>,
    /// When the store recorded it.
    pub recorded_at: Timestamp,
    /// The event. Personal fields of the payload, and `ip` and `user_agent` of the metadata, are opened; where the key is
    /// gone they read `{"erased": true}`.
    pub event: RecordedEvent,
}

/// Which events of an account a reader wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryFilter {
    /// Those recorded at this instant or later.
    pub since: Option<Timestamp>,
    /// Those recorded before this instant.
    pub until: Option<Timestamp>,
    /// Those of these stored types; all if empty.
    pub event_types: Vec<String>,
    /// Those of one session.
    pub session: Option<SessionId>,
}

impl HistoryFilter {
    /// How many events one page of a filtered history looks at. The rest is for the next page, even where none of them
    /// passed the filter: a request costs what a page costs, however long the account's history is.
    pub const LOOKED_AT: u32 = 1000;

    /// How many events a page of up to `limit` events looks at.
    pub fn looks_at(&self, limit: u32) -> u32 {
        if *self == Self::default() {
            limit
        } else {
            limit.max(Self::LOOKED_AT)
        }
    }
}

/// A piece of an account's history.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HistoryPage {
    /// The events in order of the log. Those without a place come last, in the order in which they will most likely get
    /// theirs.
    pub events: Vec<PastEvent>,
    /// The last place that was looked at, if there may be more after it: where to go on.
    pub next: Option<u64>,
}

/// A moment in the life of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Right after the event at this place in the log. It is exact.
    Index(u64),
    /// After the account's last event that the store had recorded by this instant.
    Instant(Timestamp),
}

impl Moment {
    /// Reads a log index or an RFC 3339 instant.
    pub fn parse(text: &str) -> Option<Self> {
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            // The stores count in signed 64-bit numbers.
            let index = text.parse().ok()?;
            return i64::try_from(index).is_ok().then_some(Self::Index(index));
        }
        Timestamp::parse(text).map(Self::Instant)
    }
}

/// An account as it stood at a moment: the fold of its events up to then, by the folds that keep the read models.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PastState {
    /// How many events it is made of; none where the account had not been registered yet.
    pub events: u64,
    /// The place of the last of them, if it has one.
    pub log_index: Option<u64>,
    /// When that was recorded.
    pub recorded_at: Option<Timestamp>,
    /// The account; `None` also where it had been erased.
    pub account: Option<Account>,
    /// Its sessions, ended or not, in order of their ids.
    pub sessions: Vec<SessionRecord>,
}

impl PastState {
    /// The sessions that counted at `now`.
    pub fn live_sessions(&self, now: Timestamp) -> impl Iterator<Item = &SessionRecord> {
        let account = self.account.as_ref();
        self.sessions
            .iter()
            .filter(move |session| account.is_some_and(|it| session.is_live(it, now)))
    }
}

/// Reads what happened to one account. A page costs by the events that it looks at ([`HistoryFilter::looks_at`]), however
/// long the log and the account's history are.
#[async_trait]
pub trait History: Send + Sync {
    /// Up to `limit` events with places after `after`, and if those were the last, also some that have no place yet.
    async fn history(
        &self,
        user: UserId,
        after: u64,
        limit: u32,
        filter: &HistoryFilter,
    ) -> Result<HistoryPage, StoreError>;

    /// The events with which these sessions of the account started, in any order.
    async fn origins(
        &self,
        user: UserId,
        sessions: &[SessionId],
    ) -> Result<Vec<PastEvent>, StoreError>;

    /// The account as it stood at `moment`; as it stands now, events without a place included, if there is none.
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
