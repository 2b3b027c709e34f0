//! The read models that sign-in and every security decision read. They are always as new as the last append.

use std::time::Duration;

use async_trait::async_trait;
use authlog_domain::session::Started;
use authlog_domain::user::{PendingReset, PendingVerification, RecentRequests, Registered};
use authlog_domain::{
    AccountNumber, ContractName, CredentialId, Email, PersonName, Phone, Role, Rotation, SessionId,
    Timestamp, UserId, Username,
};

use super::{PasswordHash, StoreError, TokenDigest};
use crate::revocation_list::KEEP_FOR;

/// One account: the fold of its `User` events.
#[derive(Clone, Debug, PartialEq)]
pub struct Account {
    /// Its id.
    pub id: UserId,
    /// The sequence of the last event that this row contains.
    pub version: u64,
    /// Its number.
    pub number: AccountNumber,
    /// The username, where one was chosen that is not the e-mail address.
    pub username: Option<Username>,
    /// The e-mail address.
    pub email: Option<Email>,
    /// Whether the address was verified.
    pub email_verified: bool,
    /// The person's name.
    pub name: Option<PersonName>,
    /// The person's telephone number.
    pub phone: Option<Phone>,
    /// The role of the account.
    pub role: Role,
    /// The current password.
    pub credential: CredentialId,
    /// Whether the account is locked: signing in is refused.
    pub locked: bool,
    /// The session epoch: sessions that started under an earlier epoch have ended.
    pub session_epoch: u32,
    /// The session of an earlier epoch that has not ended.
    pub kept_session: Option<SessionId>,
    /// The pending password reset.
    pub pending_reset: Option<PendingReset>,
    /// The pending verification link.
    pub pending_verification: Option<PendingVerification>,
    /// The links that were last asked for; `None` in a row that an earlier version of this program wrote. Then they are
    /// known from the account's events alone.
    pub recent_requests: Option<RecentRequests>,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl Account {
    /// What to call the account where a contract asks for a username: the username, or else the e-mail address.
    pub fn sign_in_name(&self) -> &str {
        match (&self.username, &self.email) {
            (Some(username), _) => username.as_str(),
            (None, Some(email)) => email.as_str(),
            (None, None) => "",
        }
    }

    /// What to call the person where a contract asks for a name: the name, or else the sign-in name.
    pub fn display_name(&self) -> &str {
        self.name
            .as_ref()
            .map_or_else(|| self.sign_in_name(), PersonName::as_str)
    }

    /// The account as the domain has it: its row holds all that decisions depend on. Recent requests that are not known
    /// read as none.
    pub fn state(&self) -> Registered {
        Registered {
            role: self.role,
            credential: self.credential,
            session_epoch: self.session_epoch,
            kept_session: self.kept_session,
            locked: self.locked,
            email: self.email.clone(),
            email_verified: self.email_verified,
            pending_reset: self.pending_reset,
            pending_verification: self.pending_verification.clone(),
            recent_requests: self.recent_requests.clone().unwrap_or_default(),
        }
    }

    /// Takes over what the domain made of [`Self::state`]. Recent requests that were not known stay unknown.
    pub fn set_state(&mut self, state: Registered) {
        let Registered {
            role,
            credential,
            session_epoch,
            kept_session,
            locked,
            email,
            email_verified,
            pending_reset,
            pending_verification,
            recent_requests,
        } = state;
        self.role = role;
        self.credential = credential;
        self.session_epoch = session_epoch;
        self.kept_session = kept_session;
        self.locked = locked;
        self.email = email;
        self.email_verified = email_verified;
        self.pending_reset = pending_reset;
        self.pending_verification = pending_verification;
        if let Some(known) = &mut self.recent_requests {
            *known = recent_requests;
        }
    }

    /// The epoch that `session` must have started under to count; it started under `started`.
    pub fn epoch_for(&self, session: SessionId, started: u32) -> u32 {
        if self.kept_session == Some(session) {
            started
        } else {
            self.session_epoch
        }
    }
}

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

const _: () = assert!(OVER_SESSIONS_KEPT.as_secs() > KEEP_FOR.as_secs());

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

/// What kind of name an identifier is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IdentifierKind {
    /// A username.
    Username,
    /// An e-mail address.
    Email,
}

impl IdentifierKind {
    /// The stored name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Username => "username",
            Self::Email => "email",
        }
    }
}

/// A name under which one account at most can be found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Identifier {
    /// A username.
    Username(Username),
    /// An e-mail address.
    Email(Email),
}

impl Identifier {
    /// Reads what a person types to say who they are: with an `@` it is an e-mail address, otherwise a username.
    /// `None` for what no account can be called.
    pub fn parse(text: &str) -> Option<Self> {
        if text.contains('@') {
            Email::parse_existing(text).ok().map(Self::Email)
        } else {
            Username::parse_existing(text).ok().map(Self::Username)
        }
    }

    /// What kind of name it is.
    pub const fn kind(&self) -> IdentifierKind {
        match self {
            Self::Username(_) => IdentifierKind::Username,
            Self::Email(_) => IdentifierKind::Email,
        }
    }

    /// The form in which two spellings of one name are equal. It is personal data.
    pub fn comparable(&self) -> String {
        match self {
            Self::Username(username) => username.comparable(),
            Self::Email(email) => email.comparable(),
        }
    }

    /// The forms under which an account claims the name, each with whether it is of this spelling (`docs/adr/0016`).
    ///
    /// An address is claimed by its spelling, as versions before did that knew no other form, and by its mailbox. Most often
    /// they are one.
    pub fn claimed_forms(&self) -> Vec<(String, bool)> {
        let comparable = self.comparable();
        match self {
            Self::Username(_) => vec![(comparable, true)],
            Self::Email(email) => {
                let spelling = email.folded_spelling();
                let is_one = spelling == comparable;
                let mailbox = (!is_one).then_some((comparable, false));
                [(spelling, true)].into_iter().chain(mailbox).collect()
            }
        }
    }
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
