//! What this service remembers of having asked a person to sign in again for an authorization request. It is part of the
//! request's URL, so no row has to be stored and removed.

use std::time::Duration;

use authlog_domain::{ClientId, SessionId, Timestamp};
use serde::{Deserialize, Serialize};

use super::AuthorizationRequest;
use crate::access::BrowserSession;
use crate::ports::SealedFor;
use crate::use_cases::sealed_values::is_current;
use crate::{Authlog, Refusal};

/// For how long the person can take to sign in.
const LIFETIME: Duration = Duration::from_secs(60 * 60);

/// That the person was asked to sign in, and in which session they were then. Another session, or a later authentication in
/// that one, shows that they did. No clocks of two nodes are compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Asked {
    client: ClientId,
    redirect_uri: String,
    challenge: Option<String>,
    nonce: Option<String>,
    /// The session in which the person was, and when they had been authenticated.
    before: Option<(SessionId, Timestamp)>,
    expires_at: Timestamp,
}

impl Asked {
    /// Whether it was sealed for this request. Otherwise an application could show what another request was given.
    pub(super) fn is_for(&self, request: &AuthorizationRequest) -> bool {
        self.client == request.target.client.id
            && self.redirect_uri == request.target.redirect_uri
            && self.challenge == request.challenge
            && self.nonce == request.nonce
    }

    /// Whether the person has signed in since.
    pub(super) fn is_answered_by(&self, browser: &BrowserSession) -> bool {
        let caller = browser.caller();
        self.before.is_none_or(|(session, authenticated)| {
            session != caller.session() || caller.authentication().auth_time > authenticated
        })
    }
}

impl Authlog {
    /// The value of `authlog_asked` with which the request comes back once the person has signed in.
    pub(super) fn ask(
        &self,
        request: &AuthorizationRequest,
        browser: Option<&BrowserSession>,
    ) -> Result<String, Refusal> {
        let asked = Asked {
            client: request.target.client.id.clone(),
            redirect_uri: request.target.redirect_uri.clone(),
            challenge: request.challenge.clone(),
            nonce: request.nonce.clone(),
            before: browser.map(|browser| {
                let caller = browser.caller();
                (caller.session(), caller.authentication().auth_time)
            }),
            expires_at: self.parts.clock.now().plus(LIFETIME),
        };
        self.seal(SealedFor::AuthorizationAsked, &asked)
    }

    /// What was sealed; `None` if it was not, or has expired.
    pub(super) fn open_asked(&self, text: &str) -> Option<Asked> {
        let asked: Asked = self.open(SealedFor::AuthorizationAsked, text).ok()?;
        is_current(self.parts.clock.now(), asked.expires_at, LIFETIME).then_some(asked)
    }
}
