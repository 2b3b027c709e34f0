//! The responses of `/v1/auth`, and its texts for every refusal.

use authlog_application::{Field, Refusal, SignedIn, Violation};
use authlog_domain::{Flaw, Timestamp};
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::wire::{ErrorOut, Errors, SignedInOut};
use crate::http::{RequestError, overloaded, retry_later, unavailable};

/// The response to a registration and to a login.
pub(super) fn signed_in(signed_in: &SignedIn) -> Response {
    Json(SignedInOut::new(StatusCode::OK.as_u16(), signed_in)).into_response()
}

/// The contract uses the name of the status as the error: "Bad Request".
fn error(status: StatusCode, errors: Errors) -> Response {
    let out = ErrorOut {
        code: status.as_u16(),
        status: "failed",
        message: status.canonical_reason().unwrap_or_default(),
        errors,
    };
    (status, Json(out)).into_response()
}

fn wrong(field_name: &'static str, sentence: &str) -> Response {
    let errors = Errors::from([(field_name, sentence.to_owned())]);
    error(StatusCode::BAD_REQUEST, errors)
}

/// The response to a request that failed before a use case was called.
pub(super) fn failed(failure: RequestError, _: Timestamp) -> Response {
    error(failure.status(), Errors::new())
}

/// The response to a refusal.
pub(super) fn refused(refusal: Refusal) -> Response {
    let plain = |status| error(status, Errors::new());
    match refusal {
        Refusal::Invalid(violations) => invalid(&violations),
        Refusal::IdentifierTaken(_) => wrong("email", "The email is already exists"),
        Refusal::WrongCredentials { .. } => wrong("password", "The password is not match"),
        Refusal::InvalidAccessToken
        | Refusal::InvalidRefreshToken
        | Refusal::RefreshTokenReused
        | Refusal::InvalidResetToken
        | Refusal::InvalidVerificationToken => plain(StatusCode::UNAUTHORIZED),
        Refusal::RegistrationClosed | Refusal::Forbidden | Refusal::InsufficientScope(_) => {
            plain(StatusCode::FORBIDDEN)
        }
        Refusal::UnknownAccount
        | Refusal::UnknownSession
        | Refusal::SecondFactor(_)
        | Refusal::Client(_) => plain(StatusCode::NOT_FOUND),
        Refusal::LastAdministrator => plain(StatusCode::CONFLICT),
        Refusal::TooManyAttempts { retry_after } => {
            retry_later(plain(StatusCode::TOO_MANY_REQUESTS), retry_after)
        }
        Refusal::Overloaded { retry_after } => {
            overloaded(plain(StatusCode::SERVICE_UNAVAILABLE), retry_after)
        }
        Refusal::Unavailable(cause) => unavailable(plain(StatusCode::SERVICE_UNAVAILABLE), &*cause),
    }
}

/// Each field has one sentence: the first that applies.
fn invalid(violations: &[Violation]) -> Response {
    let mut errors = Errors::new();
    for &Violation { field, flaw } in violations {
        errors
            .entry(field_name(field))
            .or_insert_with(|| sentence(field, flaw));
    }
    error(StatusCode::BAD_REQUEST, errors)
}

const fn field_name(field: Field) -> &'static str {
    match field {
        Field::Username => "username",
        Field::Email => "email",
        Field::Name => "name",
        Field::Phone => "phone",
        Field::Password => "password",
        Field::PasswordConfirmation => "confirm_password",
    }
}

fn sentence(field: Field, flaw: Flaw) -> String {
    let field_name = field_name(field);
    match flaw {
        Flaw::Required => format!("The {field_name} is required"),
        Flaw::TooLong { max } => format!("The {field_name} must be at most {max} characters"),
        Flaw::TooShort { min } => format!("The {field_name} must be at least {min} characters"),
        Flaw::Malformed => format!("The {field_name} is not valid"),
        Flaw::IdShaped => format!("The {field_name} must not be a UUID"),
        Flaw::Common => format!("The {field_name} is too common"),
        Flaw::Guessable => format!("The {field_name} is too easy to guess"),
        Flaw::Breached => format!("The {field_name} is on a list of breached passwords"),
        Flaw::Mismatch => format!("The {field_name} is not match"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tests::{self, body, every_refusal, some_instant};

    #[test]
    fn every_refusal_has_its_status_and_text() {
        let printed: Vec<(u16, String)> = every_refusal()
            .into_iter()
            .map(|refusal| {
                let response = refused(refusal);
                let status = response.status().as_u16();
                let body = body(response);
                assert_eq!(body["code"], status);
                assert_eq!(body["status"], "failed");
                (status, body["message"].as_str().unwrap().to_owned())
            })
            .collect();
        let expected = [
            (400, "Bad Request"),
            (403, "Forbidden"),
            (400, "Bad Request"),
            (400, "Bad Request"),
            (401, "Unauthorized"),
            (403, "Forbidden"),
            (403, "Forbidden"),
            (401, "Unauthorized"),
            (401, "Unauthorized"),
            (401, "Unauthorized"),
            (401, "Unauthorized"),
            (404, "Not Found"),
            (404, "Not Found"),
            (404, "Not Found"),
            (404, "Not Found"),
            (409, "Conflict"),
            (429, "Too Many Requests"),
            (503, "Service Unavailable"),
            (503, "Service Unavailable"),
        ];
        assert_eq!(
            printed,
            expected.map(|(status, text)| (status, text.to_owned()))
        );
    }

    #[test]
    fn errors_are_one_sentence_per_field() {
        let refusal = Refusal::IdentifierTaken(Vec::new());
        assert_eq!(
            body(refused(refusal)),
            json!({
                "code": 400,
                "status": "failed",
                "message": "Bad Request",
                "errors": {"email": "The email is already exists"},
            })
        );
        let refusal = Refusal::WrongCredentials {
            password_too_short: Some(7),
            challenge: None,
        };
        assert_eq!(
            body(refused(refusal))["errors"],
            json!({"password": "The password is not match"})
        );
        let violations = [
            (Field::Email, Flaw::Required),
            (Field::Phone, Flaw::Malformed),
            (Field::Password, Flaw::TooShort { min: 7 }),
        ]
        .map(|(field, flaw)| Violation { field, flaw });
        assert_eq!(
            body(refused(Refusal::Invalid(violations.to_vec())))["errors"],
            json!({
                "email": "The email is required",
                "phone": "The phone is not valid",
                "password": "The password must be at least 7 characters",
            })
        );
    }

    #[test]
    fn a_success_is_as_the_contract_prints_it() {
        assert_eq!(
            body(signed_in(&tests::signed_in())),
            json!({
                "code": 200,
                "status": "success",
                "data": {
                    "token": "access",
                    "expired_at": "2024-07-24T19:39:03.530Z",
                    "user": {
                        "id": 42,
                        "name": "Ahmad Solih",
                        "email": "ahmadsolih@gmail.com",
                        "created_at": "2025-11-23T21:38:00.000Z",
                        "updated_at": "2025-11-23T21:39:00.000Z",
                    }
                }
            })
        );
    }

    #[test]
    fn errors_before_a_use_case_use_the_same_envelope() {
        for failure in RequestError::ALL {
            let response = failed(failure, some_instant());
            assert_eq!(response.status(), failure.status());
            assert_eq!(body(response)["code"], failure.status().as_u16());
        }
    }
}
