//! An authorization request (RFC 6749 §4.1.1, OpenID Connect Core §3.1.2.1): its parameters, as sent and as checked.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use authlog_domain::client::{ClientAuthMethod, GrantType, RegisteredClient};
use authlog_domain::{Audience, AuthenticationLevel, ClientId, Scopes, UserId};

use super::asked::Asked;
use super::claims_parameter::{ClaimsParameter, EssentialLevel};
use super::pkce;
use super::{AuthorizationRefusal, TargetRefusal};
use crate::Authlog;

/// The longest `nonce`, in bytes. It is part of the code, which is part of a URL.
const MAX_NONCE: usize = 512;

/// The parameters of an authorization request as they were sent; `None` for a missing or empty one. A parameter that is sent
/// twice is refused before, except `resource`. Unknown parameters are ignored.
#[derive(Clone, Default)]
pub struct AuthorizationForm<'a> {
    /// `response_type`
    pub response_type: Option<&'a str>,
    /// `response_mode`
    pub response_mode: Option<&'a str>,
    /// `scope`
    pub scope: Option<&'a str>,
    /// `state`
    pub state: Option<&'a str>,
    /// `nonce`
    pub nonce: Option<&'a str>,
    /// `code_challenge`
    pub code_challenge: Option<&'a str>,
    /// `code_challenge_method`
    pub code_challenge_method: Option<&'a str>,
    /// `prompt`
    pub prompt: Option<&'a str>,
    /// `max_age`
    pub max_age: Option<&'a str>,
    /// `acr_values`
    pub acr_values: Option<&'a str>,
    /// `claims`
    pub claims: Option<&'a str>,
    /// `id_token_hint`
    pub id_token_hint: Option<&'a str>,
    /// `resource`, each time that it was sent (RFC 8707).
    pub resources: Vec<&'a str>,
    /// `request`
    pub request: Option<&'a str>,
    /// `request_uri`
    pub request_uri: Option<&'a str>,
    /// `registration`
    pub registration: Option<&'a str>,
    /// `authlog_asked`: what this service added when it had the person sign in for this request.
    pub asked: Option<&'a str>,
}

/// The client of an authorization request and where it is answered: a redirect URI that the client registered.
#[derive(Clone)]
pub struct AuthorizationTarget {
    pub(super) client: Arc<RegisteredClient>,
    pub(super) redirect_uri: String,
}

impl AuthorizationTarget {
    /// The client.
    pub fn client(&self) -> &RegisteredClient {
        &self.client
    }

    /// The redirect URI as it was sent.
    pub fn redirect_uri(&self) -> &str {
        &self.redirect_uri
    }

    /// Whether no other program can pretend to be the client: it authenticates itself, or is answered at a web site. Any program on
    /// the person's machine can use the id of a public client, and receive what comes back to a port or to a scheme of its own.
    pub(super) fn is_assured(&self) -> bool {
        self.client.settings.auth_method != ClientAuthMethod::None
            || self.redirect_uri.starts_with("https://")
    }
}

/// What the person has to be asked (OpenID Connect Core §3.1.2.1, `prompt`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Prompt {
    /// Nothing: a request that needs an interaction is refused.
    None,
    /// To sign in again.
    Login,
    /// To consent again.
    Consent,
    /// To choose an account, which is to sign in again.
    SelectAccount,
}

/// A claim about a person that can be asked for by name (OpenID Connect Core §5.1).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum ClaimName {
    /// `name`
    Name,
    /// `preferred_username`
    PreferredUsername,
    /// `updated_at`
    UpdatedAt,
    /// `email`
    Email,
    /// `email_verified`
    EmailVerified,
    /// `phone_number`
    PhoneNumber,
}

impl ClaimName {
    /// Every claim.
    pub const ALL: [Self; 6] = [
        Self::Name,
        Self::PreferredUsername,
        Self::UpdatedAt,
        Self::Email,
        Self::EmailVerified,
        Self::PhoneNumber,
    ];

    /// The name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::PreferredUsername => "preferred_username",
            Self::UpdatedAt => "updated_at",
            Self::Email => "email",
            Self::EmailVerified => "email_verified",
            Self::PhoneNumber => "phone_number",
        }
    }

    /// The claim with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|claim| claim.as_str() == name)
    }

    /// The scope that gives it (OpenID Connect Core §5.4).
    pub const fn scope(self) -> &'static str {
        match self {
            Self::Name | Self::PreferredUsername | Self::UpdatedAt => "profile",
            Self::Email | Self::EmailVerified => "email",
            Self::PhoneNumber => "phone",
        }
    }
}

/// An authorization request whose parameters are valid for its client.
#[derive(Clone)]
pub struct AuthorizationRequest {
    pub(super) target: AuthorizationTarget,
    pub(super) scopes: Scopes,
    pub(super) resources: Vec<Audience>,
    /// The PKCE challenge, by S256 (RFC 7636).
    pub(super) challenge: Option<String>,
    pub(super) nonce: Option<String>,
    pub(super) state: Option<String>,
    pub(super) prompt: BTreeSet<Prompt>,
    pub(super) max_age: Option<Duration>,
    /// The level that is preferred.
    pub(super) level: Option<AuthenticationLevel>,
    /// The level without which the request is refused.
    pub(super) essential_level: EssentialLevel,
    /// The claims that the ID token has in addition to those about the authentication.
    pub(super) id_token_claims: BTreeSet<ClaimName>,
    /// The account that has to be signed in.
    pub(super) hint: Option<UserId>,
    /// For which session this service had the person sign in again.
    pub(super) asked: Option<Asked>,
}

impl AuthorizationRequest {
    /// The client and where it is answered.
    pub fn target(&self) -> &AuthorizationTarget {
        &self.target
    }

    /// The scopes.
    pub fn scopes(&self) -> &Scopes {
        &self.scopes
    }

    pub(super) fn prompts(&self, prompt: Prompt) -> bool {
        self.prompt.contains(&prompt)
    }
}

impl Authlog {
    /// The client of an authorization request, and where the request is answered. A refusal is shown on a page: a redirect would
    /// send the person to a place that nobody registered.
    ///
    /// # Errors
    /// See [`TargetRefusal`].
    pub async fn authorization_target(
        &self,
        client_id: Option<&str>,
        redirect_uri: Option<&str>,
    ) -> Result<AuthorizationTarget, TargetRefusal> {
        let id = client_id.and_then(|it| ClientId::parse(it).ok());
        let id = id.ok_or(TargetRefusal::UnknownClient)?;
        let client = self.client(&id).await?;
        let client = client.filter(|client| !client.locked);
        let client = client.ok_or(TargetRefusal::UnknownClient)?;
        let registered = &client.settings.redirect_uris;
        let redirect_uri = redirect_uri
            .filter(|requested| registered.iter().any(|it| it.matches(requested)))
            .ok_or(TargetRefusal::UnknownRedirectUri)?
            .to_owned();
        Ok(AuthorizationTarget {
            client,
            redirect_uri,
        })
    }

    /// Checks the parameters of an authorization request.
    ///
    /// Scopes for which the client is not registered, or that no person can grant, are left out (RFC 6749 §3.3). Without `scope`,
    /// the request is for all others of the client. A claim that is asked for by name is asked for by its scope, so that the person sees it.
    ///
    /// # Errors
    /// See [`AuthorizationRefusal`].
    pub fn check_authorization(
        &self,
        target: AuthorizationTarget,
        form: &AuthorizationForm<'_>,
    ) -> Result<AuthorizationRequest, AuthorizationRefusal> {
        refuse_unsupported(form)?;
        let settings = &target.client.settings;
        if !settings.grants.contains(&GrantType::AuthorizationCode) {
            return Err(AuthorizationRefusal::UnauthorizedClient);
        }
        let challenge = pkce::challenge(form, settings.require_pkce)?;
        let claims = match form.claims {
            None => ClaimsParameter::default(),
            Some(text) => {
                ClaimsParameter::parse(text).ok_or(invalid("the parameter claims is malformed"))?
            }
        };
        let grantable = settings.grantable_scopes();
        let scopes = match form.scope {
            None => grantable,
            Some(text) => {
                let asked = Scopes::parse(text).map_err(|_| AuthorizationRefusal::InvalidScope)?;
                let known = asked.union(&claims.scopes()).intersection(&grantable);
                if known.is_empty() {
                    return Err(AuthorizationRefusal::InvalidScope);
                }
                known
            }
        };
        let granted = |claim: &ClaimName| scopes.contains(claim.scope());
        let id_token_claims = claims.id_token.iter().copied().filter(granted).collect();
        let hint = match form.id_token_hint {
            None => claims.subject,
            Some(token) => {
                let user = self.user_of_hint(token, &target.client.id);
                Some(user.ok_or(invalid("the ID token hint is not valid"))?)
            }
        };
        let preferred = form.acr_values.and_then(|values| {
            let mut values = values.split(' ');
            values.find_map(AuthenticationLevel::parse)
        });
        let max_age = form.max_age.map(str::parse).transpose();
        let max_age = max_age.map_err(|_| invalid("the parameter max_age is no number of seconds"));
        let request = AuthorizationRequest {
            resources: resources(&form.resources, &target.client)?,
            challenge,
            nonce: nonce(form)?,
            state: form.state.map(str::to_owned),
            prompt: prompts(form.prompt)?,
            max_age: max_age?.map(Duration::from_secs),
            level: preferred.or(claims.level),
            essential_level: claims.essential_level,
            id_token_claims,
            hint,
            asked: None,
            scopes,
            target,
        };
        let asked = form.asked;
        let asked = asked.and_then(|text| self.open_asked(text, &request));
        Ok(AuthorizationRequest { asked, ..request })
    }

    /// The account that an ID token of this service names, however old it is. It has to be one that the client got itself.
    fn user_of_hint(&self, token: &str, client: &ClientId) -> Option<UserId> {
        let claims = self.parts.tokens.verify_id_token_hint(token)?;
        if claims.get("aud")?.as_str()? != client.as_str() {
            return None;
        }
        UserId::parse(claims.get("sub")?.as_str()?)
    }
}

pub(super) const fn invalid(description: &'static str) -> AuthorizationRefusal {
    AuthorizationRefusal::InvalidRequest(description)
}

fn refuse_unsupported(form: &AuthorizationForm<'_>) -> Result<(), AuthorizationRefusal> {
    if form.request.is_some() {
        return Err(AuthorizationRefusal::RequestNotSupported);
    }
    if form.request_uri.is_some() {
        return Err(AuthorizationRefusal::RequestUriNotSupported);
    }
    if form.registration.is_some() {
        return Err(AuthorizationRefusal::RegistrationNotSupported);
    }
    match form.response_type {
        None => return Err(invalid("the parameter response_type is missing")),
        Some("code") => {}
        Some(_) => return Err(AuthorizationRefusal::UnsupportedResponseType),
    }
    match form.response_mode {
        None | Some("query") => Ok(()),
        Some(_) => Err(invalid("only the response mode query is supported")),
    }
}

fn nonce(form: &AuthorizationForm<'_>) -> Result<Option<String>, AuthorizationRefusal> {
    match form.nonce {
        Some(nonce) if nonce.len() > MAX_NONCE => {
            Err(invalid("the nonce is longer than 512 bytes"))
        }
        nonce => Ok(nonce.map(str::to_owned)),
    }
}

fn prompts(text: Option<&str>) -> Result<BTreeSet<Prompt>, AuthorizationRefusal> {
    let words = text.unwrap_or_default().split(' ');
    let prompts = words.filter(|word| !word.is_empty()).map(|word| {
        Ok(match word {
            "none" => Prompt::None,
            "login" => Prompt::Login,
            "consent" => Prompt::Consent,
            "select_account" => Prompt::SelectAccount,
            _ => return Err(invalid("the parameter prompt has an unknown value")),
        })
    });
    let prompts: BTreeSet<_> = prompts.collect::<Result<_, _>>()?;
    if prompts.contains(&Prompt::None) && prompts.len() > 1 {
        return Err(invalid("prompt=none cannot be combined with other values"));
    }
    Ok(prompts)
}

/// The resources, each once, for which the client is registered.
fn resources(
    texts: &[&str],
    client: &RegisteredClient,
) -> Result<Vec<Audience>, AuthorizationRefusal> {
    super::resources::registered(texts, client).ok_or(AuthorizationRefusal::InvalidTarget)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_are_a_set_and_none_stands_alone() {
        assert!(prompts(None).unwrap().is_empty());
        let both = prompts(Some("login consent")).unwrap();
        assert_eq!(both, BTreeSet::from([Prompt::Login, Prompt::Consent]));
        assert!(prompts(Some("none")).is_ok());
        for text in ["none login", "create", "LOGIN"] {
            let refused = prompts(Some(text)).unwrap_err();
            assert_eq!(refused.code(), "invalid_request", "{text}");
        }
    }

    #[test]
    fn what_is_not_supported_is_refused_with_its_code() {
        let code = AuthorizationForm {
            response_type: Some("code"),
            ..AuthorizationForm::default()
        };
        assert!(refuse_unsupported(&code).is_ok());
        let some = Some("x");
        for (form, expected) in [
            (AuthorizationForm::default(), "invalid_request"),
            (
                AuthorizationForm {
                    response_type: Some("token"),
                    ..code.clone()
                },
                "unsupported_response_type",
            ),
            (
                AuthorizationForm {
                    response_mode: Some("fragment"),
                    ..code.clone()
                },
                "invalid_request",
            ),
            (
                AuthorizationForm {
                    request: some,
                    ..code.clone()
                },
                "request_not_supported",
            ),
            (
                AuthorizationForm {
                    request_uri: some,
                    ..code.clone()
                },
                "request_uri_not_supported",
            ),
            (
                AuthorizationForm {
                    registration: some,
                    ..code.clone()
                },
                "registration_not_supported",
            ),
        ] {
            assert_eq!(refuse_unsupported(&form).unwrap_err().code(), expected);
        }
    }
}
