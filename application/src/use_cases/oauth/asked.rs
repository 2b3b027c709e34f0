//! What this service remembers of having asked a person to sign in again for an authorization request. It is part of the
//! request's URL, so no row has to be stored and removed.

use std::time::Duration;

use authlog_domain::{CLOCK_DIFFERENCE, SessionId, Timestamp};
use serde::{Deserialize, Serialize};

use super::AuthorizationRequest;
use crate::access::BrowserSession;
use crate::ports::SealedFor;
use crate::use_cases::sealed_values::is_current;
use crate::{Authlog, Refusal};

/// For how long the person can take to sign in.
pub(super) const LIFETIME: Duration = Duration::from_secs(60 * 60);

/// For how long after signing in the person counts as having signed in for the request. It is enough to read what the application
/// asks for.
const FRESH: Duration = Duration::from_secs(10 * 60);

/// That the person was asked to sign in, when, and in which session they were then. They have signed in since if they were
/// authenticated in that session again, or are in another session that began after the question. The age of another session is
/// compared because the question could be asked in one browser, and answered by an old session of another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Asked {
    /// The digest of the request. An application could show what another request was given otherwise.
    request: String,
    /// The session in which the person was, and when they had been authenticated.
    before: Option<(SessionId, Timestamp)>,
    at: Timestamp,
    expires_at: Timestamp,
}

impl Asked {
    /// Whether the person has signed in since: they are in `session` at `now`, and were authenticated at `authenticated`.
    pub(super) fn is_answered_by(
        &self,
        session: SessionId,
        authenticated: Timestamp,
        now: Timestamp,
    ) -> bool {
        if !now.is_within(FRESH, authenticated) {
            return false;
        }
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
            request: self.digest_of(request)?,
            before: browser.map(|browser| {
                let caller = browser.caller();
                (caller.session(), caller.authentication().auth_time)
            }),
            at: now,
            expires_at: now.plus(LIFETIME),
        };
        self.seal(SealedFor::AuthorizationAsked, &asked)
    }

    /// What was sealed; `None` if it was not, was sealed for another request, or has expired.
    pub(super) fn open_asked(&self, text: &str, request: &AuthorizationRequest) -> Option<Asked> {
        let asked: Asked = self.open(SealedFor::AuthorizationAsked, text).ok()?;
        let is_for_request = asked.request == self.digest_of(request).ok()?;
        let is_current = is_current(self.parts.clock.now(), asked.expires_at, LIFETIME);
        (is_for_request && is_current).then_some(asked)
    }

    /// The SHA-256 of what makes a request one of its own, and of what it demands.
    fn digest_of(&self, request: &AuthorizationRequest) -> Result<String, Refusal> {
        let parts = (
            (&request.target.client.id, &request.target.redirect_uri),
            (&request.challenge, &request.nonce, &request.state),
            (&request.prompt, &request.max_age),
        );
        let text = serde_json::to_string(&parts);
        let text = text.map_err(|error| Refusal::Unavailable(Box::new(error)))?;
        Ok(self.parts.secrets.code_challenge(&text))
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
            request: String::new(),
            before,
            at: at(10 * HOUR),
            expires_at: at(11 * HOUR),
        }
    }

    #[test]
    fn a_later_authentication_in_the_same_session_answers() {
        let asked = asked(Some((session(1), at(9 * HOUR))));
        let now = at(9 * HOUR + 2);
        assert!(!asked.is_answered_by(session(1), at(9 * HOUR), now));
        assert!(asked.is_answered_by(session(1), at(9 * HOUR + 1), now));
    }

    #[test]
    fn another_session_answers_only_if_it_is_not_older_than_the_question() {
        for asked in [asked(None), asked(Some((session(1), at(9 * HOUR))))] {
            let is_answered =
                |authenticated| asked.is_answered_by(session(2), at(authenticated), at(10 * HOUR));
            assert!(!is_answered(10 * HOUR - 60_001));
            assert!(is_answered(10 * HOUR - 60_000));
            assert!(is_answered(10 * HOUR + 1));
        }
    }

    #[test]
    fn an_authentication_answers_for_ten_minutes() {
        let asked = asked(None);
        let is_answered = |now| asked.is_answered_by(session(2), at(10 * HOUR), at(now));
        assert!(is_answered(10 * HOUR + 599_999));
        assert!(!is_answered(10 * HOUR + 600_000));
    }
}
