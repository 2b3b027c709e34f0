//! The decision about an authorization request: a code, or what the person has to do before.

use std::sync::Arc;

use authlog_domain::client::RegisteredClient;
use authlog_domain::{Audience, AuthenticationLevel, Scopes};

use super::claims_parameter::EssentialLevel;
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
    /// The resources of the request.
    pub resources: Vec<Audience>,
}

/// What keeps a request from a code.
pub(super) enum Demand {
    Nothing,
    Login,
    Level(AuthenticationLevel),
    Consent,
}

impl Authlog {
    /// Decides about an authorization request of the person in this browser session; `None` if nobody is signed in. Nothing is
    /// stored: a code is a sealed value, which starts a session once it is redeemed (`docs/adr/0033`).
    ///
    /// # Errors
    /// See [`AuthorizationRefusal`]. With `prompt=none`, whatever needs the person is a refusal.
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

    /// What the person has to do before the client gets a code: to sign in, to show a second factor, to consent, in this order.
    pub(super) fn demand(
        &self,
        request: &AuthorizationRequest,
        browser: &BrowserSession,
    ) -> Result<Demand, AuthorizationRefusal> {
        let account = browser.account();
        if self.sign_in_block(account).is_some() {
            return Err(AuthorizationRefusal::AccessDenied);
        }
        let is_silent = request.prompts(Prompt::None);
        let asked = request.asked.as_ref();
        let signed_in_for_this = asked.is_some_and(|asked| asked.is_answered_by(browser));
        if self.needs_login(request, browser, signed_in_for_this)? {
            return if is_silent {
                Err(AuthorizationRefusal::LoginRequired)
            } else {
                Ok(Demand::Login)
            };
        }
        if let Some(level) = self.level_to_reach(request, browser, signed_in_for_this)? {
            return if is_silent {
                Err(AuthorizationRefusal::InteractionRequired)
            } else {
                Ok(Demand::Level(level))
            };
        }
        if needs_consent(request, browser) {
            return if is_silent {
                Err(AuthorizationRefusal::ConsentRequired)
            } else {
                Ok(Demand::Consent)
            };
        }
        Ok(Demand::Nothing)
    }

    /// Whether the person has to sign in again.
    ///
    /// # Errors
    /// [`AuthorizationRefusal::LoginRequired`]: the person was asked to, and signed in to another account than the client expects.
    fn needs_login(
        &self,
        request: &AuthorizationRequest,
        browser: &BrowserSession,
        signed_in_for_this: bool,
    ) -> Result<bool, AuthorizationRefusal> {
        let is_another = request
            .hint
            .is_some_and(|hint| hint != browser.account().id);
        if signed_in_for_this {
            return if is_another {
                Err(AuthorizationRefusal::LoginRequired)
            } else {
                Ok(false)
            };
        }
        let now = self.parts.clock.now();
        let authenticated = browser.caller().authentication().auth_time;
        let is_too_old = |age| !now.is_within(age, authenticated);
        Ok(is_another
            || request.prompts(Prompt::Login)
            || request.prompts(Prompt::SelectAccount)
            || request.max_age.is_some_and(is_too_old))
    }

    /// The level that the person has to reach first. A level that the client prefers is asked for once, and only if the account
    /// has a second factor.
    ///
    /// # Errors
    /// [`AuthorizationRefusal::UnmetAuthenticationRequirements`]: the level is demanded, and the account cannot reach it.
    fn level_to_reach(
        &self,
        request: &AuthorizationRequest,
        browser: &BrowserSession,
        signed_in_for_this: bool,
    ) -> Result<Option<AuthenticationLevel>, AuthorizationRefusal> {
        let account = browser.account();
        let reached = browser.caller().authentication().acr;
        let of_role = self
            .demands_second_factor(account.role)
            .then_some(AuthenticationLevel::Aal2);
        let of_client = match request.essential_level {
            EssentialLevel::Unknown => {
                return Err(AuthorizationRefusal::UnmetAuthenticationRequirements);
            }
            EssentialLevel::AtLeast(level) => Some(level),
            EssentialLevel::Any => None,
        };
        let essential = of_role.max(of_client).filter(|level| reached < *level);
        let preferred = request.level.filter(|level| reached < *level);
        let can_reach = !account.second_factors.is_empty() && !signed_in_for_this;
        match (essential.max(preferred), essential) {
            (Some(level), _) if can_reach && !is_only_preferred_silently(request, essential) => {
                Ok(Some(level))
            }
            (_, Some(_)) => Err(AuthorizationRefusal::UnmetAuthenticationRequirements),
            (_, None) => Ok(None),
        }
    }
}

/// With `prompt=none`, a level that is only preferred is not asked for.
fn is_only_preferred_silently(
    request: &AuthorizationRequest,
    essential: Option<AuthenticationLevel>,
) -> bool {
    essential.is_none() && request.prompts(Prompt::None)
}

/// A client of the operator's own needs no consent.
fn needs_consent(request: &AuthorizationRequest, browser: &BrowserSession) -> bool {
    let client = &request.target.client;
    let consents = &browser.account().consents;
    !client.settings.first_party
        && (request.prompts(Prompt::Consent) || !consents.cover(&client.id, &request.scopes))
}

fn demanded(request: &AuthorizationRequest, browser: &BrowserSession) -> ConsentDemand {
    let client = &request.target.client;
    let given = browser.account().consents.of(&client.id);
    ConsentDemand {
        client: Arc::clone(client),
        scopes: request.scopes.clone(),
        given: given.map(|it| it.scopes.clone()).unwrap_or_default(),
        resources: request.resources.clone(),
    }
}
