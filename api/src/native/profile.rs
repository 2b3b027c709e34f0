//! Accounts and sessions as the native endpoints show them. Fields are only ever added.

use authlog_application::ports::Account;
use authlog_application::{LiveSession, SessionPage};
use authlog_domain::{
    AccountNumber, Authentication, ContractName, Email, PersonName, Phone, Role, SessionId,
    Timestamp, UserId, Username,
};
use serde::Serialize;

/// An account.
#[derive(Serialize)]
pub(super) struct ProfileOut<'a> {
    id: UserId,
    number: AccountNumber,
    username: Option<&'a Username>,
    email: Option<&'a Email>,
    email_verified: bool,
    /// The address that the account will have once a mailed link is followed.
    pending_email: Option<&'a Email>,
    name: Option<&'a PersonName>,
    phone: Option<&'a Phone>,
    role: Role,
    locked: bool,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl<'a> ProfileOut<'a> {
    pub(super) fn of(account: &'a Account) -> Self {
        let pending = account.pending_verification.as_ref();
        Self {
            id: account.id,
            number: account.number,
            username: account.username.as_ref(),
            email: account.email.as_ref(),
            email_verified: account.email_verified,
            pending_email: pending.and_then(|pending| pending.email.as_ref()),
            name: account.name.as_ref(),
            phone: account.phone.as_ref(),
            role: account.role,
            locked: account.locked,
            created_at: account.created_at,
            updated_at: account.updated_at,
        }
    }
}

/// A page of an account's sessions.
#[derive(Serialize)]
pub(super) struct SessionsOut {
    sessions: Vec<SessionOut>,
    /// `after` of the next request. `null` on the last page.
    next: Option<SessionId>,
}

#[derive(Serialize)]
struct SessionOut {
    id: SessionId,
    contract: Option<ContractName>,
    device: Option<String>,
    address: Option<String>,
    started_at: Timestamp,
    last_used_at: Timestamp,
    expires_at: Timestamp,
    /// `amr`, `acr`, `auth_time` and, if there is one, `factor`.
    #[serde(flatten)]
    authentication: Authentication,
    /// Whether this is the caller's session.
    current: bool,
}

impl SessionsOut {
    pub(super) fn of(page: SessionPage, asking: Option<SessionId>) -> Self {
        let sessions = page.sessions.into_iter().map(|live| {
            let LiveSession {
                session,
                address,
                device,
            } = live;
            SessionOut {
                id: session.id,
                contract: session.contract,
                device,
                address,
                started_at: session.started_at,
                last_used_at: session.last_used_at,
                expires_at: session.expires_at,
                authentication: session.authentication,
                current: asking == Some(session.id),
            }
        });
        Self {
            sessions: sessions.collect(),
            next: page.next,
        }
    }
}
