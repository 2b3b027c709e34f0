//! An authorization request (RFC 6749 §4.1.1, OpenID Connect Core §3.1.2.1): its parameters, as sent and as checked.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use authlog_domain::{Audience, AuthenticationLevel, Scopes, Timestamp, UserId};

use crate::ports::RegisteredClient;

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
    /// The client.
    pub client: Arc<RegisteredClient>,
    /// The redirect URI as it was sent.
    pub redirect_uri: String,
}

/// What the person has to be asked (OpenID Connect Core §3.1.2.1, `prompt`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
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

/// The claims that are asked for by name (OpenID Connect Core §5.5).
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RequestedClaims {
    /// Those of the userinfo endpoint.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub userinfo: BTreeSet<ClaimName>,
    /// Those of the ID token.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub id_token: BTreeSet<ClaimName>,
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
    pub(super) prompt: BTreeSet<Prompt>,
    pub(super) max_age: Option<Duration>,
    /// The level that is asked for.
    pub(super) level: Option<AuthenticationLevel>,
    /// Whether a lower level is refused.
    pub(super) is_level_essential: bool,
    pub(super) claims: RequestedClaims,
    /// The account of the ID token hint.
    pub(super) hint: Option<UserId>,
    /// When this service had the person sign in for this request.
    pub(super) asked_at: Option<Timestamp>,
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
}

/// What an authorization request leads to.
pub enum AuthorizationOutcome {
    /// The code for the client.
    Code(String),
    /// The person has to sign in, perhaps again. The request continues when it comes back with `authlog_asked` set to `asked`.
    NeedsLogin {
        /// The value of `authlog_asked`.
        asked: String,
    },
    /// The person has to sign in with a second factor. The request continues as for [`Self::NeedsLogin`].
    NeedsLevel {
        /// The level to reach.
        level: AuthenticationLevel,
        /// The value of `authlog_asked`.
        asked: String,
    },
    /// The person has to consent ([`Authlog::give_consent`](crate::Authlog::give_consent)).
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
