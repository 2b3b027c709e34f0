//! Our own errors: problem details (RFC 9457).

use authlog_application::Refusal;
use authlog_domain::Timestamp;
use axum::Json;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::exchange::{Failure, overloaded, retry_later, unavailable};

/// RFC 9457 §4.2.1: `about:blank` says that there is no more to it than the status.
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

/// A problem.
pub(super) fn problem(status: StatusCode, detail: &str) -> Response {
    let media_type = [(CONTENT_TYPE, "application/problem+json")];
    (status, media_type, Json(ProblemOut::new(status, detail))).into_response()
}

/// The text of a problem, for an answer that has begun as another one.
pub(super) fn problem_text(status: StatusCode, detail: &str) -> String {
    serde_json::json!(ProblemOut::new(status, detail)).to_string()
}

/// The answer to what did not get as far as a use case.
pub(super) fn failed(failure: Failure, _: Timestamp) -> Response {
    problem(failure.status(), detail(failure))
}

/// The answer to a request without a token. RFC 6750 §3.1: to who has not tried, the challenge says nothing of errors.
pub(super) fn unauthenticated() -> Response {
    (
        [(WWW_AUTHENTICATE, "Bearer")],
        problem(StatusCode::UNAUTHORIZED, "An access token is needed."),
    )
        .into_response()
}

/// The answer to what is refused.
pub(super) fn refused(refusal: Refusal) -> Response {
    match refusal {
        // RFC 6750 §3: a challenge says how to authenticate.
        Refusal::InvalidAccessToken => (
            [(WWW_AUTHENTICATE, "Bearer error=\"invalid_token\"")],
            problem(StatusCode::UNAUTHORIZED, "A valid access token is needed."),
        )
            .into_response(),
        Refusal::Forbidden => problem(StatusCode::FORBIDDEN, "The account may not do this."),
        Refusal::Invalid(_) | Refusal::IdentifierTaken(_) => {
            problem(StatusCode::BAD_REQUEST, "The request is not valid.")
        }
        Refusal::WrongCredentials { .. }
        | Refusal::InvalidRefreshToken
        | Refusal::RefreshTokenReused
        | Refusal::InvalidResetToken
        | Refusal::InvalidVerificationToken => {
            problem(StatusCode::UNAUTHORIZED, "What was presented is not valid.")
        }
        Refusal::UnknownAccount => problem(StatusCode::NOT_FOUND, "There is no such account."),
        Refusal::UnknownSession => problem(StatusCode::NOT_FOUND, "There is no such session."),
        Refusal::LastAdministrator => problem(
            StatusCode::CONFLICT,
            "Nobody else is an administrator: this account stays one, and stays unlocked.",
        ),
        Refusal::TooManyAttempts { retry_after } => retry_later(
            problem(StatusCode::TOO_MANY_REQUESTS, "It was tried too often."),
            retry_after,
        ),
        Refusal::Overloaded { retry_after } => overloaded(
            problem(StatusCode::SERVICE_UNAVAILABLE, "Too much is being asked."),
            retry_after,
        ),
        Refusal::Unavailable(cause) => unavailable(
            problem(StatusCode::SERVICE_UNAVAILABLE, "It cannot be done now."),
            &*cause,
        ),
    }
}

const fn detail(failure: Failure) -> &'static str {
    match failure {
        Failure::UnknownPath => "Nothing is at this path.",
        Failure::WrongMethod => "What is at this path takes the methods in the Allow header.",
        Failure::UnreadableBody => "The body of the request cannot be read.",
        Failure::BodyTooLarge => "The body of the request is too large.",
        Failure::WrongMediaType => "The body of the request is of another media type than this.",
        Failure::EncodedBody => {
            "The body of the request is compressed or otherwise encoded (Content-Encoding): send it as it is."
        }
        Failure::BodyTooSlow => "The body of the request took too long to arrive.",
        Failure::Crowded => {
            "Too much is under way or buffered for you, or for all clients together."
        }
        Failure::Unfinished => "The answer was not ready in time.",
        Failure::Broken => "Something went wrong here.",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tests::{body, some_instant};

    #[test]
    fn a_failure_outside_every_contract_is_a_problem() {
        let response = failed(Failure::UnknownPath, some_instant());
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        assert_eq!(
            body(response),
            json!({
                "type": "about:blank",
                "title": "Not Found",
                "status": 404,
                "detail": "Nothing is at this path.",
            })
        );
    }
}
