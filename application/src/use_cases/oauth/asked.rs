//! What this service remembers of having asked a person to sign in again for an authorization request. It is part of the
//! request's URL, so no row has to be stored and removed.

use std::time::Duration;

use authlog_domain::{CLOCK_DIFFERENCE, ClientId, SessionId, Timestamp};
use serde::{Deserialize, Serialize};

use super::AuthorizationRequest;
use crate::access::BrowserSession;
use crate::ports::SealedFor;
use crate::use_cases::sealed_values::is_current;
use crate::{Authlog, Refusal};

/// For how long the person can take to sign in.
const LIFETIME: Duration = Duration::from_secs(60 * 60);

/// That the person was asked to sign in, when, and in which session they were then. A later authentication in that session shows
/// that they did, and so does another session that is not older than the question. Without the second condition the question could be
/// asked in one browser, and shown in another one that is signed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Asked {
    client: ClientId,
    redirect_uri: String,
    challenge: Option<String>,
    nonce: Option<String>,
    /// The session in which the person was, and when they had been authenticated.
    before: Option<(SessionId, Timestamp)>,
    at: Timestamp,
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

    /// Whether the person has signed in since: they are in `session` now, and were authenticated at `authenticated`.
    pub(super) fn is_answered_by(&self, session: SessionId, authenticated: Timestamp) -> bool {
        match self.before {
            Some((before, at)) if before == session => authenticated > at,
            // The clocks of two nodes may differ.
            _ => authenticated.plus(CLOCK_DIFFERENCE) >= self.at,
        }
    }
}

impl Authlog {
    /// The value of `authlog_asked` with which the request comes back once the person has signed in.
    pub(super) fn ask(
        &self,
        request: &AuthorizationRequest,
        browser: Option<&BrowserSession>,
    ) -> Result<String, Refusal> {
        let now = self.parts.clock.now();
        let asked = Asked {
            client: request.target.client.id.clone(),
            redirect_uri: request.target.redirect_uri.clone(),
            challenge: request.challenge.clone(),
            nonce: request.nonce.clone(),
            before: browser.map(|browser| {
                let caller = browser.caller();
                (caller.session(), caller.authentication().auth_time)
            }),
            at: now,
            expires_at: now.plus(LIFETIME),
        };
        self.seal(SealedFor::AuthorizationAsked, &asked)
    }

    /// What was sealed; `None` if it was not, or has expired.
    pub(super) fn open_asked(&self, text: &str) -> Option<Asked> {
        let asked: Asked = self.open(SealedFor::AuthorizationAsked, text).ok()?;
        is_current(self.parts.clock.now(), asked.expires_at, LIFETIME).then_some(asked)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const HOUR: i64 = 60 * 60 * 1000;

    fn session(number: u128) -> SessionId {
        SessionId::new(Uuid::from_u128(number))
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_unix_millis(millis)
    }

    /// What was asked at the tenth hour.
    fn asked(before: Option<(SessionId, Timestamp)>) -> Asked {
        Asked {
            client: ClientId::from_stored("shop"),
            redirect_uri: "https://shop.example/".to_owned(),
            challenge: None,
            nonce: None,
            before,
            at: at(10 * HOUR),
            expires_at: at(11 * HOUR),
        }
    }

    #[test]
    fn a_later_authentication_in_the_same_session_answers() {
        let asked = asked(Some((session(1), at(9 * HOUR))));
        assert!(!asked.is_answered_by(session(1), at(9 * HOUR)));
        assert!(asked.is_answered_by(session(1), at(9 * HOUR + 1)));
    }

    #[test]
    fn another_session_answers_only_if_it_is_not_older_than_the_question() {
        for asked in [asked(None), asked(Some((session(1), at(9 * HOUR))))] {
            assert!(!asked.is_answered_by(session(2), at(10 * HOUR - 60_001)));
            assert!(asked.is_answered_by(session(2), at(10 * HOUR - 60_000)));
            assert!(asked.is_answered_by(session(2), at(10 * HOUR + 1)));
        }
    }
}
