//! The errors of the native endpoints: problem details (RFC 9457).

use std::time::Duration;

use authlog_application::{ClientRegistryRefusal, PasskeyRefusal, Refusal, SecondFactorRefusal};
use authlog_domain::client::ServiceScope;
use authlog_domain::{AuthenticationLevel, Timestamp};
use axum::Json;
use axum::http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::http::{RequestError, overloaded, retry_later, unavailable};

/// A problem whose type is `about:blank`: it has no meaning beyond its status (RFC 9457 §4.2.1).
#[derive(Serialize)]
struct ProblemOut<'a> {
    r#type: &'static str,
    title: &'a str,
    status: u16,
    detail: &'a str,
}

impl<'a> ProblemOut<'a> {
    fn new(status: StatusCode, detail: &'a str) -> Self {
        Self {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or_default(),
            status: status.as_u16(),
            detail,
        }
    }
}

/// A response with problem details. `detail` is a sentence for the client.
pub(super) fn problem(status: StatusCode, detail: &str) -> Response {
    let media_type = [(CONTENT_TYPE, "application/problem+json")];
    (status, media_type, Json(ProblemOut::new(status, detail))).into_response()
}

/// The text of a problem, for a response whose head has been sent with another status.
pub(super) fn problem_text(status: StatusCode, detail: &str) -> String {
    serde_json::json!(ProblemOut::new(status, detail)).to_string()
}

/// 204 once a command was executed; otherwise its refusal.
pub(super) fn no_content(executed: Result<(), Refusal>) -> Response {
    match executed {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(refusal) => refused(refusal),
    }
}

/// The response to a request that failed before a use case was called.
pub(super) fn failed(failure: RequestError, _: Timestamp) -> Response {
    problem(failure.status(), detail(failure))
}

/// The response to a request without a token. The challenge has no error code then (RFC 6750 §3.1).
pub(super) fn unauthenticated() -> Response {
    (
        [(WWW_AUTHENTICATE, "Bearer")],
        problem(StatusCode::UNAUTHORIZED, "An access token is required."),
    )
        .into_response()
}

/// The response to a refusal.
pub(super) fn refused(refusal: Refusal) -> Response {
    match refusal {
        // RFC 6750 §3: the challenge names the scheme.
        Refusal::InvalidAccessToken => (
            [(WWW_AUTHENTICATE, "Bearer error=\"invalid_token\"")],
            problem(
                StatusCode::UNAUTHORIZED,
                "A valid access token is required.",
            ),
        )
            .into_response(),
        Refusal::RegistrationClosed => problem(StatusCode::FORBIDDEN, "Registration is closed."),
        Refusal::Forbidden => problem(
            StatusCode::FORBIDDEN,
            "The account does not have permission.",
        ),
        Refusal::InsufficientScope(scope) => insufficient_scope(scope),
        Refusal::Invalid(_) | Refusal::IdentifierTaken(_) => {
            problem(StatusCode::BAD_REQUEST, "The request is not valid.")
        }
        Refusal::WrongCredentials { .. }
        | Refusal::InvalidRefreshToken
        | Refusal::RefreshTokenReused
        | Refusal::InvalidResetToken
        | Refusal::InvalidVerificationToken => {
            problem(StatusCode::UNAUTHORIZED, "The credential is not valid.")
        }
        Refusal::UnknownAccount => problem(StatusCode::NOT_FOUND, "There is no such account."),
        Refusal::UnknownSession => problem(StatusCode::NOT_FOUND, "There is no such session."),
        Refusal::SecondFactor(refusal) => second_factor(refusal),
        Refusal::Client(refusal) => client(refusal),
        Refusal::LastAdministrator => problem(
            StatusCode::CONFLICT,
            "This account is the last administrator. It cannot be demoted, locked or erased.",
        ),
        Refusal::TooManyAttempts { retry_after } => retry_later(
            problem(StatusCode::TOO_MANY_REQUESTS, "Too many attempts."),
            retry_after,
        ),
        Refusal::Overloaded { retry_after } => overloaded(
            problem(
                StatusCode::SERVICE_UNAVAILABLE,
                "The service is overloaded.",
            ),
            retry_after,
        ),
        Refusal::Unavailable(cause) => unavailable(
            problem(
                StatusCode::SERVICE_UNAVAILABLE,
                "The service is temporarily unavailable.",
            ),
            &*cause,
        ),
    }
}

fn client(refusal: ClientRegistryRefusal) -> Response {
    let (status, detail) = match refusal {
        ClientRegistryRefusal::Unknown => (StatusCode::NOT_FOUND, "There is no such client."),
        ClientRegistryRefusal::UnknownSecret => (
            StatusCode::NOT_FOUND,
            "The client has no such valid secret.",
        ),
        ClientRegistryRefusal::IdTaken => (
            StatusCode::CONFLICT,
            "The id belongs to another client, or to one that was removed, or is the name of a contract.",
        ),
        ClientRegistryRefusal::HasNoSecrets => (
            StatusCode::CONFLICT,
            "The client does not authenticate by a secret.",
        ),
        ClientRegistryRefusal::TooManySecrets => (
            StatusCode::CONFLICT,
            "The client has two valid secrets. Retire one of them first.",
        ),
        // It begins with the name of the member.
        ClientRegistryRefusal::Member { .. }
        | ClientRegistryRefusal::UnknownValue(_)
        | ClientRegistryRefusal::Settings { .. } => {
            return problem(StatusCode::BAD_REQUEST, &format!("{refusal}."));
        }
    };
    problem(status, detail)
}

fn second_factor(refusal: SecondFactorRefusal) -> Response {
    let (status, detail) = match refusal {
        SecondFactorRefusal::Expired => (
            StatusCode::BAD_REQUEST,
            "This is not valid or has expired. Begin again.",
        ),
        SecondFactorRefusal::WrongCode | SecondFactorRefusal::CodeUsed => (
            StatusCode::FORBIDDEN,
            "The code is wrong or was used before.",
        ),
        SecondFactorRefusal::Unknown => (StatusCode::NOT_FOUND, "There is no such second factor."),
        SecondFactorRefusal::TooMany => (
            StatusCode::CONFLICT,
            "The account has as many second factors as it can have.",
        ),
        SecondFactorRefusal::Missing => (StatusCode::CONFLICT, "The account has no second factor."),
        SecondFactorRefusal::Label(_) => (
            StatusCode::BAD_REQUEST,
            "A label has at most 64 characters and no control characters.",
        ),
        SecondFactorRefusal::NotShown => (
            StatusCode::BAD_REQUEST,
            "The account has a second factor: the body must hold code, recovery_code, or challenge and assertion.",
        ),
        SecondFactorRefusal::LevelTooLow { max_age } => return level_too_low(max_age),
        SecondFactorRefusal::OwnAccount => (
            StatusCode::FORBIDDEN,
            "These are your own second factors. Remove them at /account/factors.",
        ),
        SecondFactorRefusal::Passkey(refusal) => return passkey(refusal),
    };
    problem(status, detail)
}

/// 400 for an answer that no authenticator gives, 403 for one that proves nothing.
fn passkey(refusal: PasskeyRefusal) -> Response {
    let (status, detail) = match refusal {
        PasskeyRefusal::Unavailable => (
            StatusCode::CONFLICT,
            "Passkeys are off, because the public URL of the service has an address as its host. They need a host name.",
        ),
        PasskeyRefusal::Malformed(member) => {
            let detail = format!("The member {member} is missing or malformed.");
            return problem(StatusCode::BAD_REQUEST, &detail);
        }
        PasskeyRefusal::WrongType => (
            StatusCode::BAD_REQUEST,
            "The type in clientDataJSON is that of another ceremony.",
        ),
        PasskeyRefusal::UnsupportedKey => (
            StatusCode::BAD_REQUEST,
            "The public key is malformed, or its algorithm was not asked for.",
        ),
        PasskeyRefusal::WrongFlags => (
            StatusCode::BAD_REQUEST,
            "The flags about backups contradict each other, or those of the enrolment.",
        ),
        PasskeyRefusal::WrongChallenge => (
            StatusCode::FORBIDDEN,
            "The passkey signed another challenge.",
        ),
        PasskeyRefusal::WrongOrigin => (
            StatusCode::FORBIDDEN,
            "The passkey was used on a page of another origin.",
        ),
        PasskeyRefusal::CrossOrigin => (
            StatusCode::FORBIDDEN,
            "The passkey was used in a frame of another site.",
        ),
        PasskeyRefusal::WrongRelyingParty => {
            (StatusCode::FORBIDDEN, "The passkey is for another RP ID.")
        }
        PasskeyRefusal::NotPresent => (
            StatusCode::FORBIDDEN,
            "The authenticator did not test that a person is present.",
        ),
        PasskeyRefusal::NotVerified => (
            StatusCode::FORBIDDEN,
            "The authenticator did not verify the person, by a PIN or a fingerprint for example.",
        ),
        PasskeyRefusal::WrongSignature => (StatusCode::FORBIDDEN, "The signature is wrong."),
        PasskeyRefusal::Unknown => (
            StatusCode::FORBIDDEN,
            "No account that can be used here has this passkey.",
        ),
        PasskeyRefusal::WrongUserHandle => (
            StatusCode::FORBIDDEN,
            "The userHandle is missing, or is not that of the passkey's account.",
        ),
        PasskeyRefusal::ChallengeUsed => (
            StatusCode::FORBIDDEN,
            "The passkey signed this challenge or a later one before. Begin again.",
        ),
        PasskeyRefusal::AlreadyEnrolled => {
            (StatusCode::CONFLICT, "The passkey is enrolled already.")
        }
        PasskeyRefusal::None => (StatusCode::CONFLICT, "The account has no passkey."),
    };
    problem(status, detail)
}

/// The response to a client whose token lacks a scope (RFC 6750 §3.1).
fn insufficient_scope(scope: ServiceScope) -> Response {
    let scope = scope.as_str();
    let detail = format!(
        "This needs the scope {scope}. The client has to be registered for it, and to ask for it at the token endpoint."
    );
    let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"");
    challenged(problem(StatusCode::FORBIDDEN, &detail), &challenge)
}

/// The response to a caller who has to show a second factor (RFC 9470 §3): in this session, or by signing in again.
fn level_too_low(max_age: Option<Duration>) -> Response {
    let (acr, description) = (
        AuthenticationLevel::Aal2.as_str(),
        "A second factor is required",
    );
    let age = max_age.map_or_else(String::new, |age| {
        format!(", max_age=\"{}\"", age.as_secs())
    });
    let challenge = format!(
        "Bearer error=\"insufficient_user_authentication\", error_description=\"{description}\", acr_values=\"{acr}\"{age}"
    );
    let within = max_age.map_or_else(String::new, |age| {
        format!(" that was shown in the last {} minutes", age.as_secs() / 60)
    });
    let detail = format!(
        "This needs a second factor{within}. Show it at /account/step-up, or enrol one at /account/factors/totp."
    );
    challenged(problem(StatusCode::UNAUTHORIZED, &detail), &challenge)
}

fn challenged(mut response: Response, challenge: &str) -> Response {
    if let Ok(challenge) = HeaderValue::from_str(challenge) {
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

const fn detail(failure: RequestError) -> &'static str {
    match failure {
        RequestError::UnknownPath => "There is no resource at this path.",
        RequestError::WrongMethod => {
            "The method is not allowed. The Allow header lists the allowed methods."
        }
        RequestError::UnreadableBody => "The request body cannot be read.",
        RequestError::BodyTooLarge => "The request body is too large.",
        RequestError::WrongMediaType => "The media type of the request body is not supported.",
        RequestError::EncodedBody => {
            "The request body has a Content-Encoding, which is not supported. Send it without."
        }
        RequestError::BodyTooSlow => "The request body took too long to arrive.",
        RequestError::LimitExceeded => {
            "Too many requests are in progress or buffered, from this client or from all clients together."
        }
        RequestError::TimedOut => "The response was not ready in time.",
        RequestError::Panicked => "An internal error occurred.",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tests::{body, some_instant};

    #[test]
    fn a_missing_level_is_answered_as_in_rfc_9470() {
        let refusal = |max_age| Refusal::SecondFactor(SecondFactorRefusal::LevelTooLow { max_age });
        let response = refused(refusal(Some(Duration::from_secs(600))));
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(
            response.headers()[WWW_AUTHENTICATE],
            "Bearer error=\"insufficient_user_authentication\", error_description=\"A second factor is required\", \
             acr_values=\"urn:authlog:aal2\", max_age=\"600\""
        );
        let detail = body(response)["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("in the last 10 minutes"), "{detail}");
        let response = refused(refusal(None));
        let challenge = response.headers()[WWW_AUTHENTICATE].to_str().unwrap();
        assert!(
            challenge.ends_with("acr_values=\"urn:authlog:aal2\""),
            "{challenge}"
        );
    }

    #[test]
    fn an_error_outside_of_the_contracts_is_a_problem() {
        let response = failed(RequestError::UnknownPath, some_instant());
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        assert_eq!(
            body(response),
            json!({
                "type": "about:blank",
                "title": "Not Found",
                "status": 404,
                "detail": "There is no resource at this path.",
            })
        );
    }
}
