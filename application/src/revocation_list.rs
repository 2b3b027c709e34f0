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
    epochs: HashMap<UserId, (u32, Timestamp)>,
    heard_at: Option<Timestamp>,
    pruned_at: Option<Timestamp>,
}

impl RevocationList {
    /// What is known at `now` about the session of `token`.
    pub fn standing(&self, token: &VerifiedToken, now: Timestamp) -> Standing {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let ended = entries.sessions.contains_key(&token.session)
            || entries
                .epochs
                .get(&token.user)
                .is_some_and(|(epoch, _)| token.epoch < *epoch);
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
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        entries.add(revocation, now);
    }

    /// Adds the news of a source that was asked at `asked_at`.
    pub fn hear(&self, news: &[Revocation], asked_at: Timestamp) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        for revocation in news {
            entries.add(*revocation, asked_at);
        }
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
            Revocation::Epoch { user, epoch } | Revocation::Erased { user, epoch } => {
                let entry = self.epochs.entry(user).or_insert((epoch, until));
                if epoch > entry.0 {
                    *entry = (epoch, until);
                }
            }
        }
    }

    /// Forgets what no unexpired token can need, once a minute.
    fn prune(&mut self, now: Timestamp) {
        const EVERY: Duration = Duration::from_secs(60);
        if self.pruned_at.is_some_and(|at| now.since(at) < EVERY) {
            return;
        }
        self.sessions.retain(|_, until| *until > now);
        self.epochs.retain(|_, (_, until)| *until > now);
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
        list.hear(&[], at);
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
        list.hear(&[Revocation::Epoch { user, epoch: 2 }], at);
        list.hear(&[Revocation::Epoch { user, epoch: 1 }], at);
        assert_eq!(list.standing(&token(1), at), Standing::Ended);
        assert_eq!(list.standing(&token(2), at), Standing::Live);
    }

    #[test]
    fn entries_are_forgotten_once_no_token_can_need_them() {
        let list = RevocationList::default();
        let at = Timestamp::from_unix_millis(10_000);
        list.hear(&[Revocation::Session(token(0).session)], at);
        let later = at.plus(KEEP_FOR).plus(Duration::from_secs(61));
        list.hear(&[], later);
        assert_eq!(list.standing(&token(0), later), Standing::Live);
    }
}
