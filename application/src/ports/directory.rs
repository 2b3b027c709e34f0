//! The read models that sign-in and every security decision read. They are always as new as the last append.

use async_trait::async_trait;
use authlog_domain::{AccountNumber, Identifier, IdentifierKind, SessionId, Timestamp, UserId};
use authlog_projections::{Account, SessionRecord};

use super::{PasswordHash, StoreError, TokenDigest};

/// Some of an account's sessions that count.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LiveSessions {
    /// The sessions, in order of their ids.
    pub sessions: Vec<SessionRecord>,
    /// After which session there may be more. There may be some even where `sessions` is empty: only so many are looked at.
    pub next: Option<SessionId>,
}

/// A session together with the account whose it is: all that says whether the session counts.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionStanding {
    /// The session.
    pub session: SessionRecord,
    /// Its account.
    pub account: Account,
}

impl SessionStanding {
    /// Whether the session counts at `now`.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.session.is_live(&self.account, now)
    }
}

/// An account and the hash of its password, read at one moment.
pub struct SignInRecord {
    /// The account.
    pub account: Account,
    /// The hash of its password; `None` if no password may be right: what is stored was not stored by this service.
    pub hash: Option<PasswordHash>,
}

/// Queries of the read models.
///
/// A row that this service did not write grants nothing: except in lists of accounts and sessions, which decide nothing,
/// it reads as if it were not there.
#[async_trait]
pub trait Directory: Send + Sync {
    /// The account called so, with its credential.
    async fn find_for_sign_in(
        &self,
        identifier: &Identifier,
    ) -> Result<Option<SignInRecord>, StoreError>;

    /// Those of `identifiers` that some account has.
    async fn taken(&self, identifiers: &[Identifier]) -> Result<Vec<IdentifierKind>, StoreError>;

    /// The account called so.
    async fn find_account(&self, identifier: &Identifier) -> Result<Option<Account>, StoreError>;

    /// The account of that id.
    async fn account(&self, user: UserId) -> Result<Option<Account>, StoreError>;

    /// Up to `limit` accounts in the order in which their registrations were stored, those after the account `after`, which
    /// may be erased. An account is listed only when every account before it is known, so that a reader who goes on after the
    /// last one misses none.
    async fn accounts(
        &self,
        after: Option<AccountNumber>,
        limit: u32,
    ) -> Result<Vec<Account>, StoreError>;

    /// The session of that id and its account.
    async fn session(&self, session: SessionId) -> Result<Option<SessionStanding>, StoreError>;

    /// The same for a caller that decides nothing by the session but what to append to its stream. An append proves itself
    /// that it follows the last event, so the session's row may be an earlier one here. The account's may not.
    async fn session_to_append_to(
        &self,
        session: SessionId,
    ) -> Result<Option<SessionStanding>, StoreError> {
        self.session(session).await
    }

    /// Up to `limit` of the account's sessions that count at `now`, in order of their ids, those after `after`. It looks at a
    /// bounded number of sessions.
    async fn live_sessions(
        &self,
        user: UserId,
        now: Timestamp,
        after: Option<SessionId>,
        limit: u32,
    ) -> Result<LiveSessions, StoreError>;

    /// Whether the account may have a live session other than `kept`: one of its current epoch that was not ended (it
    /// may have expired), or the one that was kept when the epoch began. It reads a bounded number of sessions, and
    /// answers yes if more began in this epoch.
    async fn may_have_other_sessions(
        &self,
        user: UserId,
        kept: Option<SessionId>,
    ) -> Result<bool, StoreError>;

    /// The session for which an opaque token stands that has this digest and has not expired at `now`.
    async fn session_by_opaque_token(
        &self,
        digest: &TokenDigest,
        now: Timestamp,
    ) -> Result<Option<SessionStanding>, StoreError>;

    /// A number that no account has been or will be given again.
    async fn next_account_number(&self) -> Result<AccountNumber, StoreError>;
}
