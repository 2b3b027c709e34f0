//! Revocations: what an event that ends sessions invalidates.

use authlog_domain::user::RaisedEpoch;
use authlog_domain::{EventKind, SessionId, UserId};

/// An event that invalidates tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Revocation {
    /// A session was ended.
    Session(SessionId),
    /// Sessions of an account that started under an earlier epoch have ended.
    Epoch {
        /// The account.
        user: UserId,
        /// Its epoch from now on.
        epoch: u32,
        /// The session of an earlier epoch that goes on.
        kept: Option<SessionId>,
    },
    /// An account was erased, and every session of it has ended.
    Erased {
        /// The account.
        user: UserId,
        /// An epoch after every one that it had.
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
