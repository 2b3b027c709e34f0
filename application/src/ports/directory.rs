//! Queries of the read models, on which sign-in and every security decision depend. They always reflect the last append.

use async_trait::async_trait;
use authlog_domain::{AccountNumber, Identifier, IdentifierKind, SessionId, Timestamp, UserId};
use authlog_projections::{Account, SessionRecord};

use super::{
    CredentialDigest, PasskeyWithAccount, PasswordHash, StoreError, StoredPasskey, StoredTotp,
    TokenDigest,
};

/// A page of an account's live sessions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LiveSessions {
    /// The sessions, in the order of their ids.
    pub sessions: Vec<SessionRecord>,
    /// The session after which the next page begins; `None` on the last page. There may be a next page although `sessions` is
    /// empty, because a query examines a bounded number of sessions.
    pub next: Option<SessionId>,
}

/// A session with its account and its parent, read at one moment. Together they determine whether the session is live.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionWithAccount {
    /// The session.
    pub session: SessionRecord,
    /// Its account.
    pub account: Account,
    /// The session that it ends with, if it has one that can be found. Few sessions have one, so that the others do not carry its size.
    pub parent: Option<Box<SessionRecord>>,
}

impl SessionWithAccount {
    /// Whether the session is live at `now`.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.session
            .is_live(&self.account, self.parent.as_deref(), now)
    }

    /// Whether the session has no parent, or a live one.
    pub fn has_no_ended_parent(&self, now: Timestamp) -> bool {
        self.session
            .has_no_ended_parent(&self.account, self.parent.as_deref(), now)
    }
}

/// An account and the hash of its password, read at one moment.
pub struct SignInRecord {
    /// The account.
    pub account: Account,
    /// The hash of its password; `None` if the stored hash was not written by this service. Then every password is wrong.
    pub hash: Option<PasswordHash>,
}

/// Queries of the read models.
///
/// A row that this service did not write is treated as missing. The lists of accounts and sessions are an exception, because
/// nothing is decided by them.
#[async_trait]
pub trait Directory: Send + Sync {
    /// The account with this identifier, and its password hash.
    async fn find_for_sign_in(
        &self,
        identifier: &Identifier,
    ) -> Result<Option<SignInRecord>, StoreError>;

    /// The kinds of those `identifiers` that an account has.
    async fn taken(&self, identifiers: &[Identifier]) -> Result<Vec<IdentifierKind>, StoreError>;

    /// The account with this identifier.
    async fn find_account(&self, identifier: &Identifier) -> Result<Option<Account>, StoreError>;

    /// The authenticator apps of the account, with their secrets; none for an account that was erased.
    async fn authenticator_apps(&self, user: UserId) -> Result<Vec<StoredTotp>, StoreError>;

    /// The passkeys of the account, in the order of their ids; none for an account that was erased.
    async fn passkeys(&self, user: UserId) -> Result<Vec<StoredPasskey>, StoreError>;

    /// The passkey with this credential id, and its account.
    async fn find_passkey(
        &self,
        digest: &CredentialDigest,
    ) -> Result<Option<PasskeyWithAccount>, StoreError>;

    /// The account with this id.
    async fn account(&self, user: UserId) -> Result<Option<Account>, StoreError>;

    /// Up to `limit` accounts after the account `after`, which may be erased, in the order in which their registrations were
    /// committed. An account is listed only once the accounts before it are known. So a reader who continues after the last
    /// one misses none.
    async fn accounts(
        &self,
        after: Option<AccountNumber>,
        limit: u32,
    ) -> Result<Vec<Account>, StoreError>;

    /// The session with this id, with its account and its parent.
    async fn session(&self, session: SessionId) -> Result<Option<SessionWithAccount>, StoreError>;

    /// As [`Self::session`], for a caller that only decides what to append to the session's stream. The row of the session may
    /// be out of date here, because the append is refused unless it follows the last event of the stream. The rows of the
    /// account and of the parent are up to date.
    async fn session_to_append_to(
        &self,
        session: SessionId,
    ) -> Result<Option<SessionWithAccount>, StoreError> {
        self.session(session).await
    }

    /// Up to `limit` of the account's sessions after `after` that are live at `now`, in the order of their ids. It examines a
    /// bounded number of sessions.
    async fn live_sessions(
        &self,
        user: UserId,
        now: Timestamp,
        after: Option<SessionId>,
        limit: u32,
    ) -> Result<LiveSessions, StoreError>;

    /// Whether the account may have a live session other than `kept`: one of its current epoch that was not ended (it may
    /// have expired), or the account's kept session. It reads a bounded number of sessions, and returns `true` if more
    /// started in this epoch.
    async fn may_have_other_sessions(
        &self,
        user: UserId,
        kept: Option<SessionId>,
    ) -> Result<bool, StoreError>;

    /// The session of the opaque token with this digest, if the token has not expired at `now`. Its parent is not looked up: a
    /// session with a parent has no opaque token.
    async fn session_by_opaque_token(
        &self,
        digest: &TokenDigest,
        now: Timestamp,
    ) -> Result<Option<SessionWithAccount>, StoreError>;

    /// A number for a new account. No account has it, and it is never returned again.
    async fn next_account_number(&self) -> Result<AccountNumber, StoreError>;
}
