//! Revocations: what an event that ends sessions invalidates.

use authlog_domain::user::RaisedEpoch;
use authlog_domain::{EventKind, SessionId, UserId};

/// An event that invalidates tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Revocation {
    /// A session was ended.
    Session(SessionId),
    /// The sessions of an account that started under an earlier epoch ended, except for `kept`.
    Epoch {
        /// The account.
        user: UserId,
        /// The new session epoch.
        epoch: u32,
        /// The kept session, if any.
        kept: Option<SessionId>,
    },
    /// An account was erased, and all its sessions ended.
    Erased {
        /// The account.
        user: UserId,
        /// An epoch later than every one that the account had.
        epoch: u32,
    },
}

impl Revocation {
    /// What an event that raises the session epoch of the account `user` invalidates. `kind` is `None` for one that this
    /// program does not know.
    pub fn of_account(user: UserId, kind: Option<EventKind>, raised: RaisedEpoch) -> Self {
        let RaisedEpoch {
            epoch,
            kept_session: kept,
        } = raised;
        match kind {
            Some(EventKind::UserErased) => Self::Erased { user, epoch },
            _ => Self::Epoch { user, epoch, kept },
        }
    }
}
