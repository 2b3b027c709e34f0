//! What a person has to do before an application gets a code: a pure decision.

use authlog_domain::{Authentication, AuthenticationLevel, Timestamp};

use super::claims_parameter::EssentialLevel;
use super::{AuthorizationRefusal, AuthorizationRequest, Prompt};
use crate::ports::Account;

/// What keeps a request from a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Demand {
    /// Nothing.
    Nothing,
    /// The person has to sign in again.
    Login,
    /// The person has to sign in at this level.
    Level(AuthenticationLevel),
    /// The person has to consent.
    Consent,
}

/// The person who is signed in.
#[derive(Clone, Copy)]
pub(super) struct SignedInPerson<'a> {
    pub(super) account: &'a Account,
    pub(super) authentication: Authentication,
    /// Whether they signed in after this service had asked them to, for this request.
    pub(super) for_this_request: bool,
    /// Whether the settings demand a second factor of the account's role.
    pub(super) needs_factor: bool,
}

/// What the person has to do: sign in, show a second factor, consent, in this order.
///
/// # Errors
/// With `prompt=none`, a request that needs the person is refused.
pub(super) fn demand(
    request: &AuthorizationRequest,
    person: SignedInPerson<'_>,
    now: Timestamp,
) -> Result<Demand, AuthorizationRefusal> {
    let needs_consent = needs_consent(request, person.account);
    // A client that the person never allowed must not learn by a hint whether it is them, so both answers are the same one.
    if request.prompts(Prompt::None) && request.hint.is_some() && needs_consent {
        return Err(AuthorizationRefusal::LoginRequired);
    }
    let (demand, if_silent) = if needs_login(request, person, now)? {
        (Demand::Login, AuthorizationRefusal::LoginRequired)
    } else if let Some(level) = level_to_reach(request, person)? {
        let refusal = AuthorizationRefusal::InteractionRequired;
        (Demand::Level(level), refusal)
    } else if needs_consent {
        (Demand::Consent, AuthorizationRefusal::ConsentRequired)
    } else {
        return Ok(Demand::Nothing);
    };
    if request.prompts(Prompt::None) {
        Err(if_silent)
    } else {
        Ok(demand)
    }
}

/// Whether the person has to sign in again.
///
/// # Errors
/// [`AuthorizationRefusal::LoginRequired`]: the person was asked to, and signed in to another account than the client expects.
fn needs_login(
    request: &AuthorizationRequest,
    person: SignedInPerson<'_>,
    now: Timestamp,
) -> Result<bool, AuthorizationRefusal> {
    let is_another = request.hint.is_some_and(|hint| hint != person.account.id);
    if person.for_this_request {
        return if is_another {
            Err(AuthorizationRefusal::LoginRequired)
        } else {
            Ok(false)
        };
    }
    let is_too_old = |age| !now.is_within(age, person.authentication.auth_time);
    Ok(is_another
        || request.prompts(Prompt::Login)
        || request.prompts(Prompt::SelectAccount)
        || request.max_age.is_some_and(is_too_old))
}

/// The level that the person has to reach first. A level that the client only prefers is asked for once, if the account has a
/// second factor, and never with `prompt=none`.
///
/// # Errors
/// [`AuthorizationRefusal::UnmetAuthenticationRequirements`]: the level is demanded, and the account cannot reach it.
fn level_to_reach(
    request: &AuthorizationRequest,
    person: SignedInPerson<'_>,
) -> Result<Option<AuthenticationLevel>, AuthorizationRefusal> {
    let is_higher = |level: &AuthenticationLevel| person.authentication.acr < *level;
    let of_role = person.needs_factor.then_some(AuthenticationLevel::Aal2);
    let of_client = match request.essential_level {
        EssentialLevel::Any => None,
        EssentialLevel::AtLeast(level) => Some(level),
        EssentialLevel::Unknown => {
            return Err(AuthorizationRefusal::UnmetAuthenticationRequirements);
        }
    };
    let can_reach = !person.account.second_factors.is_empty() && !person.for_this_request;
    if let Some(level) = of_role.max(of_client).filter(is_higher) {
        return if can_reach {
            Ok(Some(level))
        } else {
            Err(AuthorizationRefusal::UnmetAuthenticationRequirements)
        };
    }
    let may_ask = can_reach && !request.prompts(Prompt::None);
    Ok(request.level.filter(is_higher).filter(|_| may_ask))
}

/// A client of the operator's own needs no consent, and a consent is asked for once; but another program can pretend to be a client
/// whose identity is not assured, so its requests are never answered without the person (RFC 8252 §8.6).
fn needs_consent(request: &AuthorizationRequest, account: &Account) -> bool {
    if !request.target.is_assured() {
        return true;
    }
    let client = &request.target.client;
    let is_covered = account.consents.cover(&client.id, &request.scopes);
    !client.settings.first_party && (request.prompts(Prompt::Consent) || !is_covered)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;
    use std::time::Duration;

    use authlog_domain::client::{ClientAuthMethod, ClientSettings, IdTokenAlg, RegisteredClient};
    use authlog_domain::user::{ConsentGiven, Consents, SecondFactors, TotpEnrolled, UserEvent};
    use authlog_domain::{
        AccountNumber, ClientId, ClientName, CredentialId, FactorId, Role, Scopes, TotpAlgorithm,
        UserId,
    };
    use uuid::Uuid;

    use super::*;
    use crate::AuthorizationTarget;

    const MINUTE: Duration = Duration::from_secs(60);

    fn now() -> Timestamp {
        Timestamp::from_unix_millis(1_700_000_000_000)
    }

    fn account(consented: &str) -> Account {
        let mut consents = Consents::default();
        if !consented.is_empty() {
            consents.apply(&UserEvent::ConsentGiven(ConsentGiven {
                at: now(),
                client: ClientId::from_stored("shop"),
                scopes: Scopes::from_stored(consented),
            }));
        }
        Account {
            id: UserId::new(Uuid::from_u128(1)),
            version: 1,
            number: AccountNumber::new(1),
            username: None,
            email: None,
            email_verified: false,
            name: None,
            phone: None,
            role: Role::User,
            credential: CredentialId::new(Uuid::from_u128(2)),
            locked: false,
            session_epoch: 0,
            kept_session: None,
            pending_reset: None,
            pending_verification: None,
            recent_requests: None,
            second_factors: SecondFactors::default(),
            consents,
            created_at: now(),
            updated_at: now(),
        }
    }

    fn with_factor(mut account: Account) -> Account {
        let enrolled = UserEvent::TotpEnrolled(TotpEnrolled {
            at: now(),
            factor: FactorId::new(Uuid::from_u128(3)),
            algorithm: TotpAlgorithm::Sha1,
            digits: 6,
            period: 30,
        });
        let mut state = account.state();
        state.apply(enrolled);
        account.set_state(state);
        account
    }

    /// A request for the scopes `openid email`.
    fn request(is_first_party: bool) -> AuthorizationRequest {
        let client = RegisteredClient {
            id: ClientId::from_stored("shop"),
            settings: ClientSettings {
                name: ClientName::from_stored("Shop"),
                redirect_uris: vec![],
                post_logout_redirect_uris: vec![],
                backchannel_logout_uri: None,
                grants: BTreeSet::new(),
                scopes: Scopes::default(),
                audiences: vec![],
                auth_method: ClientAuthMethod::None,
                jwks: None,
                require_pkce: true,
                dpop_bound: false,
                require_pushed_requests: false,
                id_token_alg: IdTokenAlg::Rs256,
                first_party: is_first_party,
            },
            secrets: vec![],
            locked: false,
        };
        AuthorizationRequest {
            target: AuthorizationTarget {
                client: Arc::new(client),
                redirect_uri: "https://shop.example/callback".to_owned(),
            },
            scopes: Scopes::from_stored("openid email"),
            resources: vec![],
            challenge: None,
            nonce: None,
            state: None,
            prompt: BTreeSet::new(),
            max_age: None,
            level: None,
            essential_level: EssentialLevel::Any,
            id_token_claims: BTreeSet::new(),
            hint: None,
            asked: None,
            dpop_jkt: None,
        }
    }

    fn prompting(prompt: Prompt) -> AuthorizationRequest {
        AuthorizationRequest {
            prompt: [prompt].into(),
            ..request(true)
        }
    }

    /// A person who signed in five minutes ago with a password.
    fn signed_in(account: &Account) -> SignedInPerson<'_> {
        SignedInPerson {
            account,
            authentication: Authentication::by_password(now().minus(MINUTE * 5)),
            for_this_request: false,
            needs_factor: false,
        }
    }

    fn decided(
        request: &AuthorizationRequest,
        person: SignedInPerson<'_>,
    ) -> Result<Demand, &'static str> {
        demand(request, person, now()).map_err(|refusal| refusal.code())
    }

    #[test]
    fn a_client_needs_consent_to_all_scopes_unless_it_is_the_operators_own() {
        for (consented, is_first_party, expected) in [
            ("", false, Demand::Consent),
            ("openid", false, Demand::Consent),
            ("openid email profile", false, Demand::Nothing),
            ("", true, Demand::Nothing),
        ] {
            let account = account(consented);
            let decided = decided(&request(is_first_party), signed_in(&account));
            assert_eq!(decided, Ok(expected), "{consented}");
        }
        let again = AuthorizationRequest {
            prompt: [Prompt::Consent].into(),
            ..request(false)
        };
        let account = account("openid email");
        assert_eq!(decided(&again, signed_in(&account)), Ok(Demand::Consent));
    }

    #[test]
    fn a_client_whose_identity_is_not_assured_needs_consent_each_time() {
        let at = |redirect_uri: &str, auth_method, is_first_party| {
            let mut request = request(is_first_party);
            let mut client = (*request.target.client).clone();
            client.settings.auth_method = auth_method;
            request.target.client = Arc::new(client);
            request.target.redirect_uri = redirect_uri.to_owned();
            request
        };
        let (public, secret) = (ClientAuthMethod::None, ClientAuthMethod::ClientSecretBasic);
        let account = account("openid email");
        for (redirect_uri, auth_method, expected) in [
            ("https://shop.example/callback", public, Demand::Nothing),
            ("http://127.0.0.1:4000/callback", public, Demand::Consent),
            ("http://localhost/callback", public, Demand::Consent),
            ("com.example.shop:/callback", public, Demand::Consent),
            ("http://127.0.0.1:4000/callback", secret, Demand::Nothing),
        ] {
            for is_first_party in [false, true] {
                let request = at(redirect_uri, auth_method, is_first_party);
                let decided_now = decided(&request, signed_in(&account));
                assert_eq!(decided_now, Ok(expected), "{redirect_uri}");
                let silent = AuthorizationRequest {
                    prompt: [Prompt::None].into(),
                    ..request
                };
                let expected = match expected {
                    Demand::Consent => Err("consent_required"),
                    _ => Ok(Demand::Nothing),
                };
                assert_eq!(decided(&silent, signed_in(&account)), expected);
            }
        }
    }

    #[test]
    fn a_person_signs_in_again_once_for_each_request_that_asks_for_it() {
        let account = account("");
        let old = |age| AuthorizationRequest {
            max_age: Some(age),
            ..request(true)
        };
        for (request, expected) in [
            (prompting(Prompt::Login), Demand::Login),
            (prompting(Prompt::SelectAccount), Demand::Login),
            (old(MINUTE * 4), Demand::Login),
            (old(MINUTE * 6), Demand::Nothing),
            (old(Duration::ZERO), Demand::Login),
        ] {
            let person = signed_in(&account);
            assert_eq!(decided(&request, person), Ok(expected));
            let again = SignedInPerson {
                for_this_request: true,
                ..person
            };
            assert_eq!(decided(&request, again), Ok(Demand::Nothing));
        }
    }

    #[test]
    fn a_hint_of_another_account_asks_once_and_is_then_refused() {
        let account = account("");
        let of = |user| AuthorizationRequest {
            hint: Some(UserId::new(Uuid::from_u128(user))),
            ..request(true)
        };
        let person = signed_in(&account);
        assert_eq!(decided(&of(1), person), Ok(Demand::Nothing));
        assert_eq!(decided(&of(2), person), Ok(Demand::Login));
        let again = SignedInPerson {
            for_this_request: true,
            ..person
        };
        assert_eq!(decided(&of(2), again), Err("login_required"));
    }

    #[test]
    fn a_client_without_consent_learns_nothing_by_a_hint() {
        let account = account("");
        for user in [1, 2] {
            let request = AuthorizationRequest {
                hint: Some(UserId::new(Uuid::from_u128(user))),
                prompt: [Prompt::None].into(),
                ..request(false)
            };
            let decided = decided(&request, signed_in(&account));
            assert_eq!(decided, Err("login_required"));
        }
    }

    #[test]
    fn a_silent_request_needs_nobody() {
        let silent = |request: AuthorizationRequest| AuthorizationRequest {
            prompt: [Prompt::None].into(),
            ..request
        };
        let without = account("");
        let person = signed_in(&without);
        assert_eq!(decided(&silent(request(true)), person), Ok(Demand::Nothing));
        assert_eq!(
            decided(&silent(request(false)), person),
            Err("consent_required")
        );
        let recent = AuthorizationRequest {
            max_age: Some(MINUTE),
            ..request(true)
        };
        assert_eq!(decided(&silent(recent), person), Err("login_required"));
        let level = AuthorizationRequest {
            essential_level: EssentialLevel::AtLeast(AuthenticationLevel::Aal2),
            ..request(true)
        };
        let with = with_factor(without.clone());
        assert_eq!(
            decided(&silent(level), signed_in(&with)),
            Err("interaction_required")
        );
        let preferred = AuthorizationRequest {
            level: Some(AuthenticationLevel::Aal2),
            ..request(true)
        };
        assert_eq!(
            decided(&silent(preferred), signed_in(&with)),
            Ok(Demand::Nothing)
        );
    }

    #[test]
    fn a_level_is_asked_for_if_the_account_can_reach_it_and_refused_if_it_is_demanded() {
        let level = AuthenticationLevel::Aal2;
        let preferred = AuthorizationRequest {
            level: Some(level),
            ..request(true)
        };
        let essential = AuthorizationRequest {
            essential_level: EssentialLevel::AtLeast(level),
            ..request(true)
        };
        let (without, with) = (account(""), with_factor(account("")));
        let unmet = Err("unmet_authentication_requirements");
        for (request, account, for_this_request, expected) in [
            (&preferred, &without, false, Ok(Demand::Nothing)),
            (&preferred, &with, false, Ok(Demand::Level(level))),
            (&preferred, &with, true, Ok(Demand::Nothing)),
            (&essential, &without, false, unmet),
            (&essential, &with, false, Ok(Demand::Level(level))),
            (&essential, &with, true, unmet),
        ] {
            let person = SignedInPerson {
                for_this_request,
                ..signed_in(account)
            };
            assert_eq!(decided(request, person), expected);
        }
        let reached = SignedInPerson {
            authentication: Authentication::by_password_and_code(now(), None),
            ..signed_in(&with)
        };
        assert_eq!(decided(&essential, reached), Ok(Demand::Nothing));
        let unknown = AuthorizationRequest {
            essential_level: EssentialLevel::Unknown,
            ..request(true)
        };
        assert_eq!(decided(&unknown, reached), unmet);
        let of_role = SignedInPerson {
            needs_factor: true,
            ..signed_in(&without)
        };
        assert_eq!(decided(&request(true), of_role), unmet);
    }
}
