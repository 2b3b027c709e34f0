//! News of sessions that ended, for the nodes that verify tokens from memory.

use async_trait::async_trait;
use authlog_domain::{SessionId, Timestamp, UserId};

use super::StoreError;

/// Something after which tokens no longer count.
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

/// How far a reader of revocations has come. Only the source that gave it can read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevocationCursor(pub i64);

/// Takes revocations as they are read, some thousands at a time.
pub type HearRevocations<'a> = &'a mut (dyn FnMut(Vec<Revocation>) + Send);

/// Where revocations are read from.
#[async_trait]
pub trait RevocationSource: Send + Sync {
    /// Reads every revocation since `since`, and returns where to go on from. Whatever was committed when this was called
    /// is in this answer or was in an earlier one, on whichever node it was committed; some may come twice. It may be a
    /// day's worth of a busy service, which no statement and no memory should have to take at once.
    async fn revocations_since(
        &self,
        since: Timestamp,
        hear: HearRevocations<'_>,
    ) -> Result<RevocationCursor, StoreError>;

    /// The same, from where an earlier answer ended.
    async fn revocations_after(
        &self,
        cursor: RevocationCursor,
    ) -> Result<(Vec<Revocation>, RevocationCursor), StoreError>;
}
