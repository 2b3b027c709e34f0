//! The decision about an authorization request: a code, or what the person has to do before.

use std::sync::Arc;

use authlog_domain::client::RegisteredClient;
use authlog_domain::{AuthenticationLevel, Scopes};

use super::demand::{Demand, SignedInPerson, demand};
use super::{AuthorizationRefusal, AuthorizationRequest, Prompt};
use crate::Authlog;
use crate::access::BrowserSession;

/// What an authorization request leads to.
pub enum AuthorizationOutcome {
    /// The code for the client.
    Code(String),
    /// The person has to sign in, perhaps again. The request continues when it comes back with `authlog_asked` set to `asked`.
    NeedsLogin {
        /// The value of `authlog_asked`.
        asked: String,
    },
    /// The person has to sign in with a second factor, which the account has. The request continues as for
    /// [`Self::NeedsLogin`].
    NeedsLevel {
        /// The level to reach.
        level: AuthenticationLevel,
        /// The value of `authlog_asked`.
        asked: String,
    },
    /// The person has to consent ([`Authlog::give_consent`]).
    NeedsConsent(ConsentDemand),
}

/// What a person is asked to consent to.
#[derive(Clone)]
pub struct ConsentDemand {
    /// The client.
    pub client: Arc<RegisteredClient>,
    /// Every scope of the request.
    pub scopes: Scopes,
    /// The scopes to which the person has consented before.
    pub given: Scopes,
}

impl Authlog {
    /// Decides about an authorization request of the person in this browser session; without `browser`, no person is signed in. Nothing is
    /// stored: a code is a sealed value, which starts a session once it is redeemed (`docs/adr/0033`).
    ///
    /// # Errors
    /// See [`AuthorizationRefusal`]. With `prompt=none`, a request that needs the person is refused.
    pub fn authorize(
        &self,
        request: &AuthorizationRequest,
        browser: Option<&BrowserSession>,
    ) -> Result<AuthorizationOutcome, AuthorizationRefusal> {
        let Some(browser) = browser else {
            if request.prompts(Prompt::None) {
                return Err(AuthorizationRefusal::LoginRequired);
            }
            let asked = self.ask(request, None)?;
            return Ok(AuthorizationOutcome::NeedsLogin { asked });
        };
        Ok(match self.demand(request, browser)? {
            Demand::Nothing => AuthorizationOutcome::Code(self.code(request, browser)?),
            Demand::Login => AuthorizationOutcome::NeedsLogin {
                asked: self.ask(request, Some(browser))?,
            },
            Demand::Level(level) => AuthorizationOutcome::NeedsLevel {
                level,
                asked: self.ask(request, Some(browser))?,
            },
            Demand::Consent => AuthorizationOutcome::NeedsConsent(demanded(request, browser)),
        })
    }

    /// What the person in this browser session has to do before the client gets a code.
    ///
    /// # Errors
    /// [`AuthorizationRefusal::AccessDenied`] for an account that cannot be signed in to; see [`demand`].
    pub(super) fn demand(
        &self,
        request: &AuthorizationRequest,
        browser: &BrowserSession,
    ) -> Result<Demand, AuthorizationRefusal> {
        let account = browser.account();
        if self.sign_in_block(account).is_some() {
            return Err(AuthorizationRefusal::AccessDenied);
        }
        let (session, authentication) = (
            browser.caller().session(),
            browser.caller().authentication(),
        );
        let (asked, now) = (request.asked.as_ref(), self.parts.clock.now());
        let person = SignedInPerson {
            account,
            authentication,
            for_this_request: asked
                .is_some_and(|asked| asked.is_answered_by(session, authentication.auth_time, now)),
            needs_factor: self.demands_second_factor(account.role),
        };
        demand(request, person, now)
    }
}

fn demanded(request: &AuthorizationRequest, browser: &BrowserSession) -> ConsentDemand {
    let client = &request.target.client;
    let given = browser.account().consents.of(&client.id);
    ConsentDemand {
        client: Arc::clone(client),
        scopes: request.scopes.clone(),
        given: given.map(|it| it.scopes.clone()).unwrap_or_default(),
    }
}
