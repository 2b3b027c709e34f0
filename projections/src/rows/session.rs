//! The row of a session.

use std::time::Duration;

use authlog_domain::session::Started;
use authlog_domain::{ContractName, Rotation, SessionId, Timestamp, UserId};

use super::Account;

/// One session: the fold of its `Session` events.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionRecord {
    /// Its id.
    pub id: SessionId,
    /// The sequence of the last event that this row contains.
    pub version: u64,
    /// The account of the session.
    pub user: UserId,
    /// The contract through which it was started.
    pub contract: Option<ContractName>,
    /// The account's session epoch when it started.
    pub epoch: u32,
    /// How its refresh token behaves; `None` where it has none.
    pub rotation: Option<Rotation>,
    /// The generation of the refresh token that is current.
    pub generation: u32,
    /// When it started.
    pub started_at: Timestamp,
    /// When it was last refreshed, or started.
    pub last_used_at: Timestamp,
    /// When the current generation replaced the one before it, or when it started.
    pub rotated_at: Timestamp,
    /// From this instant on none of its tokens is good.
    pub expires_at: Timestamp,
    /// When it was ended before it expired.
    pub ended_at: Option<Timestamp>,
}

/// How long the row of a session is kept once the session is over. By then no access token of the session can be
/// unexpired: they live for a day at the most. The second day is for clocks that differ, and for nodes that issued a token
/// while they did not know of the end.
pub const OVER_SESSIONS_KEPT: Duration = Duration::from_secs(2 * 24 * 60 * 60);

/// By how much the clocks differ at the most of the node that removed a row and of the one that looks for it.
const CLOCKS_DIFFER_BY: Duration = Duration::from_secs(60 * 60);

impl SessionRecord {
    /// From this instant on none of the session's tokens is good: it ended, or expired.
    pub fn over_at(&self) -> Timestamp {
        self.ended_at
            .map_or(self.expires_at, |ended| ended.min(self.expires_at))
    }

    /// Whether a row is to be written where there is none. What housekeeping may have removed at `now` is not: that depends
    /// on the session's events and the clock alone.
    pub fn has_row(&self, now: Timestamp) -> bool {
        now < self.over_at().plus(OVER_SESSIONS_KEPT)
    }

    /// Whether it is no damage if there is no row: housekeeping may have removed it, by any node's clock.
    pub fn may_lack_row(&self, now: Timestamp) -> bool {
        !self.has_row(now.plus(CLOCKS_DIFFER_BY))
    }

    /// The row of a session that is in `state` after its event `version`.
    pub fn new(
        id: SessionId,
        version: u64,
        contract: Option<ContractName>,
        state: Started,
    ) -> Self {
        let Started {
            user,
            epoch,
            rotation,
            generation,
            started_at,
            last_used_at,
            rotated_at,
            expires_at,
            ended_at,
        } = state;
        Self {
            id,
            version,
            user,
            contract,
            epoch,
            rotation,
            generation,
            started_at,
            last_used_at,
            rotated_at,
            expires_at,
            ended_at,
        }
    }

    /// The session as the domain has it: its row holds all that decisions depend on, so that a session of ten thousand
    /// refreshes need not be loaded event by event. An append that builds on it names its version.
    pub fn state(&self) -> Started {
        Started {
            user: self.user,
            epoch: self.epoch,
            rotation: self.rotation,
            generation: self.generation,
            started_at: self.started_at,
            last_used_at: self.last_used_at,
            rotated_at: self.rotated_at,
            expires_at: self.expires_at,
            ended_at: self.ended_at,
        }
    }

    /// Whether the session, which is one of `account`, counts at `now`.
    pub fn is_live(&self, account: &Account, now: Timestamp) -> bool {
        let account_epoch = account.epoch_for(self.id, self.epoch);
        self.state().is_live(account_epoch, now)
    }
}
