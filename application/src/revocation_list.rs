//! The deny list: sessions that ended while access tokens of theirs may still be unexpired.
//!
//! It lets a node verify tokens from memory. The node's own commands add to it at once; those of other nodes arrive by
//! the [`RevocationTail`](crate::RevocationTail). If the tail has not been heard of lately the list says so instead of
//! guessing, and the caller asks the store.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use authlog_domain::{SessionId, Timestamp, UserId};

use crate::ports::{Revocation, VerifiedToken};

/// How old the news of other nodes may be before a token is checked against the store instead.
const STALE_AFTER: Duration = Duration::from_millis(500);

/// Entries are kept for as long as the longest-lived access token, and an hour more: a login that raced the revocation,
/// and nodes whose clocks differ, issue theirs a little later. Then the token's own expiry does the work.
pub(crate) const KEEP_FOR: Duration = Duration::from_secs(25 * 60 * 60);

/// What the list says of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its session counts.
    Live,
    /// Its session has ended.
    Ended,
    /// The list is too old to say.
    Unknown,
}

/// The deny list of one node.
#[derive(Default)]
pub struct RevocationList {
    entries: RwLock<Entries>,
}

#[derive(Default)]
struct Entries {
    sessions: HashMap<SessionId, Timestamp>,
    epochs: HashMap<UserId, Epoch>,
    heard_at: Option<Timestamp>,
    pruned_at: Option<Timestamp>,
}

/// An account's epoch, the session of an earlier one that goes on, and until when a token may need to be told.
struct Epoch {
    number: u32,
    kept: Option<SessionId>,
    until: Timestamp,
}

impl RevocationList {
    /// What is known at `now` about the session of `token`.
    pub fn standing(&self, token: &VerifiedToken, now: Timestamp) -> Standing {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let ended = entries.sessions.contains_key(&token.session)
            || entries.epochs.get(&token.user).is_some_and(|epoch| {
                token.epoch < epoch.number && epoch.kept != Some(token.session)
            });
        if ended {
            return Standing::Ended;
        }
        match entries.heard_at {
            // A clock that was set back says nothing about how old the news are.
            Some(heard_at) if heard_at <= now && now.since(heard_at) <= STALE_AFTER => {
                Standing::Live
            }
            _ => Standing::Unknown,
        }
    }

    /// Adds what this node itself has just done.
    pub fn add(&self, revocation: Revocation, now: Timestamp) {
        self.add_all(&[revocation], now);
    }

    /// Adds what was heard.
    pub fn add_all(&self, news: &[Revocation], now: Timestamp) {
        if news.is_empty() {
            return;
        }
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        for revocation in news {
            entries.add(*revocation, now);
        }
    }

    /// Notes that revocations of other nodes may be missed from now on.
    pub fn is_incomplete(&self) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        entries.heard_at = None;
    }

    /// Forgets everything, to be read from the store again. What the list holds may be of a history that a failover or a
    /// restore has taken back: an account that lost its newest epoch would be refused by it for a day.
    pub fn start_over(&self) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        *entries = Entries::default();
    }

    /// Notes that all the news there were at this time have been added.
    pub fn is_complete_as_of(&self, asked_at: Timestamp) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        entries.heard_at = Some(asked_at);
        entries.prune(asked_at);
    }
}

impl Entries {
    fn add(&mut self, revocation: Revocation, now: Timestamp) {
        let until = now.plus(KEEP_FOR);
        match revocation {
            Revocation::Session(session) => {
                self.sessions.entry(session).or_insert(until);
            }
            Revocation::Epoch { user, epoch, kept } => self.raise(user, epoch, kept, until),
            Revocation::Erased { user, epoch } => self.raise(user, epoch, None, until),
        }
    }

    fn raise(&mut self, user: UserId, number: u32, kept: Option<SessionId>, until: Timestamp) {
        let known = self.epochs.get(&user).map(|epoch| epoch.number);
        if known.is_none_or(|known| known < number) {
            let epoch = Epoch {
                number,
                kept,
                until,
            };
            self.epochs.insert(user, epoch);
        }
    }

    /// Forgets what no unexpired token can need, once a minute.
    fn prune(&mut self, now: Timestamp) {
        const EVERY: Duration = Duration::from_secs(60);
        if self.pruned_at.is_some_and(|at| now.since(at) < EVERY) {
            return;
        }
        self.sessions.retain(|_, until| *until > now);
        self.epochs.retain(|_, epoch| epoch.until > now);
        self.pruned_at = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::TokenKind;
    use uuid::Uuid;

    fn token(epoch: u32) -> VerifiedToken {
        VerifiedToken {
            kind: TokenKind::Access,
            token: Uuid::from_u128(3),
            user: UserId::new(Uuid::from_u128(1)),
            session: SessionId::new(Uuid::from_u128(2)),
            epoch,
            issued_at: Timestamp::from_unix_millis(0),
            expires_at: Timestamp::from_unix_millis(1_000_000),
        }
    }

    #[test]
    fn a_list_that_has_heard_nothing_lately_says_so() {
        let list = RevocationList::default();
        let at = Timestamp::from_unix_millis(10_000);
        assert_eq!(list.standing(&token(0), at), Standing::Unknown);
        list.is_complete_as_of(at);
        assert_eq!(list.standing(&token(0), at), Standing::Live);
        let later = at.plus(STALE_AFTER).plus(Duration::from_millis(1));
        assert_eq!(list.standing(&token(0), later), Standing::Unknown);
    }

    #[test]
    fn an_ended_session_stays_ended_even_when_the_list_is_stale() {
        let list = RevocationList::default();
        let at = Timestamp::from_unix_millis(10_000);
        list.add(Revocation::Session(token(0).session), at);
        assert_eq!(list.standing(&token(0), at), Standing::Ended);
    }

    #[test]
    fn a_later_epoch_ends_the_sessions_of_earlier_ones_alone() {
        let list = RevocationList::default();
        let at = Timestamp::from_unix_millis(10_000);
        let user = token(0).user;
        let kept = None;
        for epoch in [2, 1] {
            list.add_all(&[Revocation::Epoch { user, epoch, kept }], at);
            list.is_complete_as_of(at);
        }
        assert_eq!(list.standing(&token(1), at), Standing::Ended);
        assert_eq!(list.standing(&token(2), at), Standing::Live);
    }

    #[test]
    fn a_kept_session_outlives_the_epoch_that_keeps_it_and_no_later_one() {
        let list = RevocationList::default();
        let at = Timestamp::from_unix_millis(10_000);
        let VerifiedToken { user, session, .. } = token(0);
        let other = VerifiedToken {
            session: SessionId::new(Uuid::from_u128(3)),
            ..token(0)
        };
        let kept = Some(session);
        let epoch = 1;
        list.add_all(&[Revocation::Epoch { user, epoch, kept }], at);
        list.is_complete_as_of(at);
        assert_eq!(list.standing(&token(0), at), Standing::Live);
        assert_eq!(list.standing(&other, at), Standing::Ended);
        let (epoch, kept) = (2, None);
        list.add_all(&[Revocation::Epoch { user, epoch, kept }], at);
        list.is_complete_as_of(at);
        assert_eq!(list.standing(&token(0), at), Standing::Ended);
    }

    #[test]
    fn a_list_that_starts_over_knows_neither_who_is_live_nor_who_has_ended() {
        let list = RevocationList::default();
        let at = Timestamp::from_unix_millis(10_000);
        let (user, kept) = (token(0).user, None);
        let epoch = 1;
        list.add(Revocation::Epoch { user, epoch, kept }, at);
        list.is_complete_as_of(at);
        assert_eq!(list.standing(&token(0), at), Standing::Ended);
        assert_eq!(list.standing(&token(1), at), Standing::Live);
        list.is_incomplete();
        assert_eq!(list.standing(&token(0), at), Standing::Ended);
        assert_eq!(list.standing(&token(1), at), Standing::Unknown);
        list.start_over();
        assert_eq!(list.standing(&token(0), at), Standing::Unknown);
        list.is_complete_as_of(at);
        assert_eq!(list.standing(&token(0), at), Standing::Live);
    }

    #[test]
    fn entries_are_forgotten_once_no_token_can_need_them() {
        let list = RevocationList::default();
        let at = Timestamp::from_unix_millis(10_000);
        list.add_all(&[Revocation::Session(token(0).session)], at);
        list.is_complete_as_of(at);
        let later = at.plus(KEEP_FOR).plus(Duration::from_secs(61));
        list.is_complete_as_of(later);
        assert_eq!(list.standing(&token(0), later), Standing::Live);
    }
}
