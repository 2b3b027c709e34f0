//! Our own errors: problem details (RFC 9457).

use authlog_domain::Timestamp;
use axum::Json;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::exchange::Failure;

/// RFC 9457 §4.2.1: `about:blank` says that there is no more to it than the status.
#[derive(Serialize)]
struct ProblemOut<'a> {
    r#type: &'static str,
    title: &'a str,
    status: u16,
    detail: &'a str,
}

/// A problem.
pub(super) fn problem(status: StatusCode, detail: &str) -> Response {
    let out = ProblemOut {
        r#type: "about:blank",
        title: status.canonical_reason().unwrap_or_default(),
        status: status.as_u16(),
        detail,
    };
    let media_type = [(CONTENT_TYPE, "application/problem+json")];
    (status, media_type, Json(out)).into_response()
}

/// The answer to what did not get as far as a use case.
pub(super) fn failed(failure: Failure, _: Timestamp) -> Response {
    problem(failure.status(), detail(failure))
}

const fn detail(failure: Failure) -> &'static str {
    match failure {
        Failure::UnknownPath => "Nothing is at this path.",
        Failure::WrongMethod => "What is at this path takes the methods in the Allow header.",
        Failure::UnreadableBody => "The body of the request cannot be read.",
        Failure::BodyTooLarge => "The body of the request is too large.",
        Failure::WrongMediaType => "The body of the request is of another media type than this.",
        Failure::BodyTooSlow => "The body of the request took too long to arrive.",
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
