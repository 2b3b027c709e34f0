//! Why requests of applications are refused: closed lists, each with the error codes of its endpoint.

use std::time::Duration;

use crate::Refusal;

/// Why an authorization request is answered with a page, and never with a redirect: it is not known where the client is.
#[derive(Debug, thiserror::Error)]
pub enum TargetRefusal {
    /// The client is unknown, was removed or is locked, or is not registered for the authorization code flow.
    #[error("there is no such application")]
    UnknownClient,
    /// The redirect URI is missing, or the client did not register it.
    #[error("the redirect URI is not registered")]
    UnknownRedirectUri,
    /// A dependency failed.
    #[error("unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why an authorization request is refused with a redirect to the client (RFC 6749 §4.1.2.1, OpenID Connect Core §3.1.2.6).
#[derive(Debug, thiserror::Error)]
pub enum AuthorizationRefusal {
    /// A parameter is missing or malformed. It holds the description.
    #[error("{0}")]
    InvalidRequest(&'static str),
    /// The client is not registered for what it asks for.
    #[error("the client is not registered for this")]
    UnauthorizedClient,
    /// The person, or this service on the person's behalf, denied the request.
    #[error("the request was denied")]
    AccessDenied,
    /// The response type is not `code`.
    #[error("the response type is not supported")]
    UnsupportedResponseType,
    /// None of the scopes can be asked for.
    #[error("the client cannot ask for these scopes")]
    InvalidScope,
    /// The resource is malformed, or the client is not registered for it (RFC 8707).
    #[error("the client cannot ask for this resource")]
    InvalidTarget,
    /// The person would have to sign in, which `prompt=none` forbids.
    #[error("nobody is signed in")]
    LoginRequired,
    /// The person would have to sign in with another factor, which `prompt=none` forbids.
    #[error("a second factor is needed")]
    InteractionRequired,
    /// The person would have to consent, which `prompt=none` forbids.
    #[error("the person has not consented")]
    ConsentRequired,
    /// The account cannot be authenticated at the level that the client demands
    /// (`unmet_authentication_requirements` of OpenID Connect).
    #[error("the level of authentication that is demanded cannot be reached")]
    UnmetAuthenticationRequirements,
    /// `request` is not supported.
    #[error("request objects are not supported")]
    RequestNotSupported,
    /// `request_uri` is not supported.
    #[error("request_uri is not supported")]
    RequestUriNotSupported,
    /// `registration` is not supported.
    #[error("registration is not supported")]
    RegistrationNotSupported,
    /// The account's limit for changes is used up, or the service is overloaded. Nothing was done, and nothing has failed.
    #[error("too many attempts")]
    Busy {
        /// The time until the next attempt is allowed.
        retry_after: Duration,
    },
    /// A dependency failed. Nothing was done.
    #[error("unavailable")]
    TemporarilyUnavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl AuthorizationRefusal {
    /// The value of `error`.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::InvalidRequest(_) => "invalid_request",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::AccessDenied => "access_denied",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::LoginRequired => "login_required",
            Self::InteractionRequired => "interaction_required",
            Self::ConsentRequired => "consent_required",
            Self::UnmetAuthenticationRequirements => "unmet_authentication_requirements",
            Self::RequestNotSupported => "request_not_supported",
            Self::RequestUriNotSupported => "request_uri_not_supported",
            Self::RegistrationNotSupported => "registration_not_supported",
            Self::Busy { .. } | Self::TemporarilyUnavailable(_) => "temporarily_unavailable",
        }
    }
}

/// Why a request at the token endpoint, or a client's authentication, is refused (RFC 6749 §5.2).
#[derive(Debug, thiserror::Error)]
pub enum GrantRefusal {
    /// A parameter is missing or malformed. It holds the description.
    #[error("{0}")]
    InvalidRequest(&'static str),
    /// The client is unknown, removed or locked, its secret is wrong, or it has to authenticate by another method.
    #[error("the client is not authenticated")]
    InvalidClient,
    /// The code or the refresh token is not valid: it has expired, was used, is another client's, or its session has ended.
    #[error("the grant is not valid")]
    InvalidGrant,
    /// The client is not registered for this grant.
    #[error("the client is not registered for this grant")]
    UnauthorizedClient,
    /// The scopes are malformed, or exceed what was granted.
    #[error("the scopes exceed what can be granted")]
    InvalidScope,
    /// The resource is malformed, or was not granted (RFC 8707).
    #[error("the resource was not granted")]
    InvalidTarget,
    /// Tokens of this kind cannot be revoked (RFC 7009 §2.2.1).
    #[error("the token cannot be revoked")]
    UnsupportedTokenType,
    /// Too many attempts. RFC 6749 has no code for it: the answer is 429.
    #[error("too many attempts")]
    TooManyAttempts {
        /// The time until the next attempt is allowed.
        retry_after: Duration,
    },
    /// The service is overloaded. Nothing was done: the answer is 503.
    #[error("overloaded")]
    Overloaded {
        /// The time after which a retry makes sense.
        retry_after: Duration,
    },
    /// A dependency failed: the answer is 503. Nothing was done, unless the store failed after it had received the append.
    #[error("unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl GrantRefusal {
    /// The value of `error`.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::InvalidRequest(_) => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::UnsupportedTokenType => "unsupported_token_type",
            Self::TooManyAttempts { .. } | Self::Overloaded { .. } | Self::Unavailable(_) => {
                "temporarily_unavailable"
            }
        }
    }
}

impl From<Refusal> for TargetRefusal {
    /// The refusals of looking the client up.
    fn from(refusal: Refusal) -> Self {
        Self::Unavailable(Box::new(refusal))
    }
}

impl From<Refusal> for AuthorizationRefusal {
    /// The refusals of sealing a value and of changing the account. Only a dependency that failed is an outage: a person can use
    /// up a limit.
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::TooManyAttempts { retry_after } | Refusal::Overloaded { retry_after } => {
                Self::Busy { retry_after }
            }
            Refusal::Unavailable(source) => Self::TemporarilyUnavailable(source),
            Refusal::Invalid(_)
            | Refusal::RegistrationClosed
            | Refusal::IdentifierTaken(_)
            | Refusal::WrongCredentials { .. }
            | Refusal::InvalidAccessToken
            | Refusal::Forbidden
            | Refusal::InsufficientScope(_)
            | Refusal::InvalidRefreshToken
            | Refusal::RefreshTokenReused
            | Refusal::InvalidResetToken
            | Refusal::InvalidVerificationToken
            | Refusal::UnknownAccount
            | Refusal::UnknownSession
            | Refusal::SecondFactor(_)
            | Refusal::Client(_)
            | Refusal::LastAdministrator => Self::AccessDenied,
        }
    }
}

impl From<Refusal> for GrantRefusal {
    /// A refusal of the use cases that the exchange of a grant consists of. A refusal that concerns the session or the account
    /// makes the grant invalid.
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::TooManyAttempts { retry_after } => Self::TooManyAttempts { retry_after },
            Refusal::Overloaded { retry_after } => Self::Overloaded { retry_after },
            Refusal::Unavailable(source) => Self::Unavailable(source),
            Refusal::Invalid(_)
            | Refusal::RegistrationClosed
            | Refusal::IdentifierTaken(_)
            | Refusal::WrongCredentials { .. }
            | Refusal::InvalidAccessToken
            | Refusal::Forbidden
            | Refusal::InsufficientScope(_)
            | Refusal::InvalidRefreshToken
            | Refusal::RefreshTokenReused
            | Refusal::InvalidResetToken
            | Refusal::InvalidVerificationToken
            | Refusal::UnknownAccount
            | Refusal::UnknownSession
            | Refusal::SecondFactor(_)
            | Refusal::Client(_)
            | Refusal::LastAdministrator => Self::InvalidGrant,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_a_person_used_up_is_no_outage() {
        let retry_after = Duration::from_secs(60);
        for refusal in [
            Refusal::TooManyAttempts { retry_after },
            Refusal::Overloaded { retry_after },
        ] {
            let refusal = AuthorizationRefusal::from(refusal);
            assert_eq!(refusal.code(), "temporarily_unavailable");
            assert!(matches!(refusal, AuthorizationRefusal::Busy { .. }));
        }
        let failed = Refusal::Unavailable("the store is gone".into());
        let refusal = AuthorizationRefusal::from(failed);
        assert!(matches!(
            refusal,
            AuthorizationRefusal::TemporarilyUnavailable(_)
        ));
    }
}
