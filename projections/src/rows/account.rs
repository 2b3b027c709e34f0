//! The row of an account.

use authlog_domain::user::{
    Consents, PendingReset, PendingVerification, RecentRequests, Registered, SecondFactors,
};
use authlog_domain::{
    AccountNumber, CredentialId, Email, PersonName, Phone, Role, SessionId, Timestamp, UserId,
    Username,
};

/// One account: the fold of its `User` events.
#[derive(Clone, Debug, PartialEq)]
pub struct Account {
    /// The id of the account.
    pub id: UserId,
    /// The sequence of the last event that this row contains.
    pub version: u64,
    /// The number of the account.
    pub number: AccountNumber,
    /// The username, if there is one in addition to the e-mail address.
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
    /// The id of the current password hash.
    pub credential: CredentialId,
    /// Whether the account is locked: signing in is refused.
    pub locked: bool,
    /// The session epoch: sessions that started under an earlier epoch have ended.
    pub session_epoch: u32,
    /// The kept session: the one session of an earlier epoch that has not ended.
    pub kept_session: Option<SessionId>,
    /// The pending password reset.
    pub pending_reset: Option<PendingReset>,
    /// The pending verification link.
    pub pending_verification: Option<PendingVerification>,
    /// The latest requests for mailed links; `None` in a row that an earlier version of this program wrote. Then they
    /// have to be read from the account's events.
    pub recent_requests: Option<RecentRequests>,
    /// The second factors.
    pub second_factors: SecondFactors,
    /// What the person lets applications do.
    pub consents: Consents,
    /// When the account was registered.
    pub created_at: Timestamp,
    /// When anything last changed that a reader of the account sees.
    pub updated_at: Timestamp,
}

impl Account {
    /// The name of the account in contracts that require a username: the username, otherwise the e-mail address.
    pub fn sign_in_name(&self) -> &str {
        match (&self.username, &self.email) {
            (Some(username), _) => username.as_str(),
            (None, Some(email)) => email.as_str(),
            (None, None) => "",
        }
    }

    /// The name of the person in contracts that require a name: the person's name, otherwise the sign-in name.
    pub fn display_name(&self) -> &str {
        self.name
            .as_ref()
            .map_or_else(|| self.sign_in_name(), PersonName::as_str)
    }

    /// The state of the `User` aggregate: the row holds everything that decisions depend on. If the row has no recent requests,
    /// the state has none either.
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
            second_factors: self.second_factors.clone(),
            consents: self.consents.clone(),
        }
    }

    /// Sets the part of the row that [`Self::state`] returns. If the row has no recent requests, it still has none afterwards.
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
            second_factors,
            consents,
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
        self.second_factors = second_factors;
        self.consents = consents;
        if let Some(known) = &mut self.recent_requests {
            *known = recent_requests;
        }
    }

    /// The epoch under which `session` must have started to be live. For the kept session, that is `started`, the epoch under
    /// which it did start.
    pub fn epoch_for(&self, session: SessionId, started: u32) -> u32 {
        if self.kept_session == Some(session) {
            started
        } else {
            self.session_epoch
        }
    }
}
