//! The row of a session.

use std::time::Duration;

use authlog_domain::session::{ClientGrant, Started};
use authlog_domain::{Authentication, ContractName, Rotation, SessionId, Timestamp, UserId};

use super::Account;

/// One session: the fold of its `Session` events.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionRecord {
    /// The id of the session.
    pub id: SessionId,
    /// The sequence of the last event that this row contains.
    pub version: u64,
    /// The account of the session.
    pub user: UserId,
    /// The contract through which it was started; `None` if this program does not know it.
    pub contract: Option<ContractName>,
    /// The account's session epoch when it started.
    pub epoch: u32,
    /// How its refresh token behaves; `None` if it has none.
    pub rotation: Option<Rotation>,
    /// The current generation of the refresh token.
    pub generation: u32,
    /// When it started.
    pub started_at: Timestamp,
    /// When it was last refreshed, or when it started.
    pub last_used_at: Timestamp,
    /// When the current generation replaced the previous one, or when the session started.
    pub rotated_at: Timestamp,
    /// The instant from which no token of the session is valid.
    pub expires_at: Timestamp,
    /// When it was ended, if that was before it expired.
    pub ended_at: Option<Timestamp>,
    /// How the person was authenticated.
    pub authentication: Authentication,
    /// What was granted to an application; `None` for a session of the person.
    pub grant: Option<ClientGrant>,
}

/// How long the row of a session is kept once the session is over. After that, every access token of the session has expired:
/// access tokens live for a day at most. The second day allows for clocks that differ, and for nodes that issued a token
/// before they knew that the session had ended.
pub const SESSION_ROW_RETENTION: Duration = Duration::from_secs(2 * 24 * 60 * 60);

/// How much the clock of the node that removed a row may differ from that of the node that expects it.
const CLOCKS_DIFFER_BY: Duration = Duration::from_secs(60 * 60);

impl SessionRecord {
    /// The instant from which no token of the session is valid, because the session ended or expired.
    pub fn over_at(&self) -> Timestamp {
        self.ended_at
            .map_or(self.expires_at, |ended| ended.min(self.expires_at))
    }

    /// Whether the session has a row at `now`. Housekeeping removes the row later, and a rebuild must not write it again. The
    /// answer depends only on the session's events and the clock.
    pub fn has_row(&self, now: Timestamp) -> bool {
        now < self.over_at().plus(SESSION_ROW_RETENTION)
    }

    /// Whether a missing row is no damage, because housekeeping may have removed it by the clock of any node.
    pub fn may_lack_row(&self, now: Timestamp) -> bool {
        !self.has_row(now.plus(CLOCKS_DIFFER_BY))
    }

    /// The row of a session that has the state `state` after the event with the sequence `version`.
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
            authentication,
            grant,
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
            authentication,
            grant,
        }
    }

    /// The state of the `Session` aggregate: the row holds everything that decisions depend on. So a session of ten thousand
    /// refreshes is not loaded event by event. An append that builds on the row names its version.
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
            authentication: self.authentication,
            grant: self.grant.clone(),
        }
    }

    /// The session that this one ends with.
    pub fn parent(&self) -> Option<SessionId> {
        self.grant.as_ref()?.parent
    }

    /// Whether the session is live at `now`. `account` is the account of the session, and `parent` is the row of its parent.
    ///
    /// A session with a parent is live only while the parent is, which is derived from both rows: no event ends it. So the end of
    /// a session ends any number of others. A parent that cannot be found, or is another account's, counts as ended. The parent
    /// is a session of a person, and has no parent of its own.
    pub fn is_live(&self, account: &Account, parent: Option<&Self>, now: Timestamp) -> bool {
        let account_epoch = account.epoch_for(self.id, self.epoch);
        self.is_live_alone(account_epoch, now) && self.has_no_ended_parent(account, parent, now)
    }

    /// Whether the session has no parent, or `parent` is the row of it and live at `now`.
    pub fn has_no_ended_parent(
        &self,
        account: &Account,
        parent: Option<&Self>,
        now: Timestamp,
    ) -> bool {
        let Some(id) = self.parent() else {
            return true;
        };
        parent.is_some_and(|parent| {
            let account_epoch = account.epoch_for(parent.id, parent.epoch);
            parent.id == id
                && parent.user == self.user
                && parent.parent().is_none()
                && parent.is_live_alone(account_epoch, now)
        })
    }

    /// Whether the session is live at `now` apart from its parent, for an account with this session epoch.
    pub fn is_live_alone(&self, account_epoch: u32, now: Timestamp) -> bool {
        self.state().is_live(account_epoch, now)
    }
}
