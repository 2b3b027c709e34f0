//! The row of an account.

use authlog_domain::user::{PendingReset, PendingVerification, RecentRequests, Registered};
use authlog_domain::{
    AccountNumber, CredentialId, Email, PersonName, Phone, Role, SessionId, Timestamp, UserId,
    Username,
};

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
