//! Errors of the token endpoint and its neighbours, in the form of RFC 6749 §5.2.

use authlog_application::GrantRefusal;
use authlog_domain::Timestamp;
use axum::Json;
use axum::http::header::WWW_AUTHENTICATE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;

use super::credentials::{CredentialsError, uses_basic};
use super::dpop;
use super::parameters::Unreadable;
use crate::http::{RequestError, overloaded, retry_later, unavailable};

/// The challenge to a client whose credentials in the `Authorization` header are not valid.
const CHALLENGE: &str = "Basic realm=\"OAuth clients\", charset=\"UTF-8\"";

/// The body of an error.
#[derive(Serialize)]
struct ErrorOut<'a> {
    error: &'a str,
    error_description: &'a str,
}

/// An error with this code. `description` is a sentence for the developer of the client.
pub(crate) fn error(status: StatusCode, code: &str, description: &str) -> Response {
    let out = ErrorOut {
        error: code,
        error_description: description,
    };
    (status, Json(out)).into_response()
}

/// The answer to a request whose parameters cannot be read.
pub(crate) fn unreadable(unreadable: Unreadable) -> Response {
    invalid_request(&unreadable.sentence())
}

/// The answer to a malformed request.
pub(crate) fn invalid_request(description: &str) -> Response {
    error(StatusCode::BAD_REQUEST, "invalid_request", description)
}

/// The answer to a client that is not authenticated. The status is 401 if it used the `Authorization` header
/// (RFC 6749 §5.2); with any other method it is 400, because a 401 needs a challenge, and browsers would ask their people
/// for a password then.
pub(crate) fn invalid_client(headers: &HeaderMap, description: &str) -> Response {
    let code = "invalid_client";
    if uses_basic(headers) {
        let challenge = [(WWW_AUTHENTICATE, CHALLENGE)];
        let response = error(StatusCode::UNAUTHORIZED, code, description);
        (challenge, response).into_response()
    } else {
        error(StatusCode::BAD_REQUEST, code, description)
    }
}

/// The answer to a request without credentials that can be checked.
pub(crate) fn bad_credentials(headers: &HeaderMap, failure: CredentialsError) -> Response {
    match failure {
        CredentialsError::Parameter(parameter) => unreadable(parameter),
        CredentialsError::SeveralMethods => {
            invalid_request("The client authenticates itself in more than one way.")
        }
        CredentialsError::DifferentClients => invalid_request(
            "The parameter client_id is not the client of the Authorization header.",
        ),
        CredentialsError::MalformedHeader => invalid_client(
            headers,
            "The Authorization header must have the scheme Basic, with the form-encoded client id and secret.",
        ),
        CredentialsError::UnknownAssertionType => {
            invalid_client(headers, "The parameter client_assertion_type is not known.")
        }
        CredentialsError::None => invalid_client(headers, "The request does not name its client."),
    }
}

/// The sentence about an outage.
const OUTAGE: &str = "The service is temporarily unavailable.";

/// The answer while a dependency fails, without its `Retry-After`.
pub(super) fn temporarily_unavailable() -> Response {
    error(
        StatusCode::SERVICE_UNAVAILABLE,
        TEMPORARILY_UNAVAILABLE,
        OUTAGE,
    )
}

/// The answer to a refusal of the token endpoint and its neighbours.
pub(crate) fn refused(headers: &HeaderMap, refusal: GrantRefusal) -> Response {
    let (code, description) = (refusal.code(), sentence(&refusal));
    match refusal {
        GrantRefusal::InvalidClient => invalid_client(headers, description),
        GrantRefusal::InvalidRequest(_)
        | GrantRefusal::InvalidGrant
        | GrantRefusal::UnauthorizedClient
        | GrantRefusal::InvalidScope
        | GrantRefusal::InvalidTarget
        | GrantRefusal::InvalidProof(_)
        | GrantRefusal::AuthorizationPending
        | GrantRefusal::SlowDown
        | GrantRefusal::AccessDenied
        | GrantRefusal::ExpiredToken
        | GrantRefusal::UnsupportedTokenType => error(StatusCode::BAD_REQUEST, code, description),
        GrantRefusal::TooManyAttempts { retry_after } => {
            let response = error(StatusCode::TOO_MANY_REQUESTS, code, description);
            retry_later(response, retry_after)
        }
        GrantRefusal::Overloaded { retry_after } => {
            let response = error(StatusCode::SERVICE_UNAVAILABLE, code, description);
            overloaded(response, retry_after)
        }
        GrantRefusal::Unavailable(cause) => unavailable(temporarily_unavailable(), &*cause),
    }
}

const fn sentence(refusal: &GrantRefusal) -> &'static str {
    match refusal {
        GrantRefusal::InvalidRequest(description) => description,
        GrantRefusal::InvalidClient => {
            "The client is unknown or locked, its secret or assertion is wrong, or it must authenticate itself in another way."
        }
        GrantRefusal::InvalidGrant => {
            "The code or the refresh token is wrong, has expired, was used before or belongs to another client or another key, or its session has ended."
        }
        GrantRefusal::UnauthorizedClient => "The client is not registered for this grant type.",
        GrantRefusal::InvalidScope => {
            "A scope is malformed, or exceeds what was granted or what the client is registered for."
        }
        GrantRefusal::InvalidTarget => {
            "A resource is malformed, was not granted, or the client is not registered for it. A token with a scope at this service has no other resource."
        }
        GrantRefusal::InvalidProof(refusal) => dpop::sentence(*refusal),
        GrantRefusal::AuthorizationPending => {
            "The person has not decided yet. Ask again after the interval."
        }
        GrantRefusal::SlowDown => {
            "The device asks too often. Wait five seconds longer before each request from now on."
        }
        GrantRefusal::AccessDenied => "The person denied the request of the device.",
        GrantRefusal::ExpiredToken => "The device code has expired. Ask for a new one.",
        GrantRefusal::UnsupportedTokenType => {
            "The access token of a client itself cannot be revoked. It expires within minutes."
        }
        GrantRefusal::TooManyAttempts { .. } => {
            "Too many attempts. The Retry-After header says how many seconds to wait."
        }
        GrantRefusal::Overloaded { .. } => "The service is overloaded.",
        GrantRefusal::Unavailable(_) => OUTAGE,
    }
}

/// The answer to a request that failed before a use case was called.
pub(crate) fn failed(failure: RequestError, _: Timestamp) -> Response {
    let (code, description) = match failure {
        RequestError::UnknownPath => ("invalid_request", "There is no endpoint at this path."),
        RequestError::WrongMethod => ("invalid_request", "The method is not allowed."),
        RequestError::UnreadableBody => ("invalid_request", "The request body cannot be read."),
        RequestError::BodyTooLarge => ("invalid_request", "The request body is too large."),
        RequestError::WrongMediaType => (
            "invalid_request",
            "The request body must be of the type application/x-www-form-urlencoded.",
        ),
        RequestError::EncodedBody => (
            "invalid_request",
            "The request body has a Content-Encoding, which is not supported.",
        ),
        RequestError::BodyTooSlow => (
            "invalid_request",
            "The request body took too long to arrive.",
        ),
        RequestError::LimitExceeded => (
            TEMPORARILY_UNAVAILABLE,
            "Too many requests are in progress.",
        ),
        RequestError::TimedOut => (
            TEMPORARILY_UNAVAILABLE,
            "The response was not ready in time.",
        ),
        RequestError::Panicked => ("server_error", "An internal error occurred."),
    };
    error(failure.status(), code, description)
}

/// The code of a failure that a retry can overcome. RFC 6749 §5.2 has none for the token endpoint; this is that of the
/// authorization endpoint.
const TEMPORARILY_UNAVAILABLE: &str = "temporarily_unavailable";

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use axum::http::header::AUTHORIZATION;
    use serde_json::json;

    use super::*;
    use crate::tests::{body, some_instant};

    #[test]
    fn an_error_has_a_code_and_a_sentence_that_the_rfc_allows() {
        for failure in RequestError::ALL {
            let response = failed(failure, some_instant());
            assert_eq!(response.status(), failure.status());
            let body = body(response);
            let sentence = body["error_description"].as_str().unwrap();
            let is_allowed = |letter: char| matches!(letter, ' '..='~') && !"\"\\".contains(letter);
            assert!(sentence.chars().all(is_allowed), "{sentence}");
        }
        let response = unreadable(Unreadable::Repeated("code"));
        assert_eq!(
            body(response),
            json!({
                "error": "invalid_request",
                "error_description": "The parameter code occurs more than once.",
            })
        );
    }

    #[test]
    fn a_client_is_challenged_only_if_it_used_the_header() {
        let response = invalid_client(&HeaderMap::new(), "Wrong.");
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert_eq!(response.headers().get(WWW_AUTHENTICATE), None);
        let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static("Basic e"))]);
        let response = bad_credentials(&headers, CredentialsError::MalformedHeader);
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(response.headers()[WWW_AUTHENTICATE], CHALLENGE);
    }
}
