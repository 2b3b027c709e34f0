//! The responses of `/api`, and its texts for every refusal.

use authlog_application::ports::Account;
use authlog_application::{Field, Refusal, SignedIn, Violation};
use authlog_domain::{Flaw, Timestamp};
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::wire::{AccountIn, ErrorOut, RegisteredOut, RejectedOut, TokenOut};
use crate::http::{RequestError, day_first, overloaded, retry_later, unavailable};

/// The response to a registration.
pub(super) fn registered(account: &Account) -> Response {
    let status = StatusCode::CREATED;
    let out = RegisteredOut::new(status.as_u16(), account);
    (status, Json(out)).into_response()
}

/// The response to a login.
pub(super) fn logged_in(signed_in: &SignedIn) -> Response {
    Json(TokenOut {
        token: &signed_in.access.token,
    })
    .into_response()
}

fn error(
    status: StatusCode,
    message: &str,
    errors: Vec<RejectedOut<'_>>,
    at: Timestamp,
) -> Response {
    let out = ErrorOut {
        status: status.as_u16(),
        timestamp: day_first(at),
        message,
        errors,
    };
    (status, Json(out)).into_response()
}

/// The response to a request that failed before a use case was called.
pub(super) fn failed(failure: RequestError, at: Timestamp) -> Response {
    let message = match failure {
        RequestError::UnknownPath => "Not found",
        RequestError::WrongMethod => "Method not allowed",
        RequestError::UnreadableBody => "Request body must be a JSON object",
        RequestError::BodyTooLarge => "Request body is too large",
        RequestError::WrongMediaType => "Content-Type must be application/json",
        RequestError::EncodedBody => "Content-Encoding is not supported",
        RequestError::BodyTooSlow => "Request timeout",
        RequestError::LimitExceeded | RequestError::TimedOut => "Service unavailable",
        RequestError::Panicked => "Internal server error",
    };
    error(failure.status(), message, Vec::new(), at)
}

/// The response to a refusal of the request `sent`.
pub(super) fn refused(refusal: Refusal, sent: &AccountIn, at: Timestamp) -> Response {
    let plain = |status, message| error(status, message, Vec::new(), at);
    match refusal {
        Refusal::Invalid(violations) => invalid(&violations, sent, at),
        Refusal::IdentifierTaken(_) => plain(StatusCode::CONFLICT, "email already registered"),
        // The contract lists TO_SHORT for the login too. It reveals nothing about the account: no account can have such
        // a password.
        Refusal::WrongCredentials {
            password_too_short: Some(min),
            ..
        } => {
            let flaw = Flaw::TooShort { min };
            let field = Field::Password;
            invalid(&[Violation { field, flaw }], sent, at)
        }
        Refusal::WrongCredentials {
            password_too_short: None,
            ..
        } => plain(StatusCode::UNAUTHORIZED, "email or password is wrong"),
        Refusal::InvalidAccessToken
        | Refusal::InvalidRefreshToken
        | Refusal::RefreshTokenReused
        | Refusal::InvalidResetToken
        | Refusal::InvalidVerificationToken => plain(StatusCode::UNAUTHORIZED, "Unauthorized"),
        Refusal::RegistrationClosed => plain(StatusCode::FORBIDDEN, "registration is closed"),
        Refusal::Forbidden | Refusal::InsufficientScope(_) => {
            plain(StatusCode::FORBIDDEN, "Forbidden")
        }
        Refusal::UnknownAccount
        | Refusal::UnknownSession
        | Refusal::SecondFactor(_)
        | Refusal::Client(_) => plain(StatusCode::NOT_FOUND, "Not found"),
        Refusal::LastAdministrator => plain(StatusCode::CONFLICT, "Conflict"),
        Refusal::TooManyAttempts { retry_after } => retry_later(
            plain(StatusCode::TOO_MANY_REQUESTS, "Too many requests"),
            retry_after,
        ),
        Refusal::Overloaded { retry_after } => overloaded(
            plain(StatusCode::SERVICE_UNAVAILABLE, "Service unavailable"),
            retry_after,
        ),
        Refusal::Unavailable(cause) => unavailable(
            plain(StatusCode::SERVICE_UNAVAILABLE, "Service unavailable"),
            &*cause,
        ),
    }
}

fn invalid(violations: &[Violation], sent: &AccountIn, at: Timestamp) -> Response {
    let errors = violations
        .iter()
        .map(|&Violation { field, flaw }| RejectedOut {
            field: field_name(field),
            rejected_value: sent.rejected_value(field),
            message: code(field, flaw),
        })
        .collect();
    error(StatusCode::BAD_REQUEST, "Validation errors", errors, at)
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

/// The contract lists the first four codes. The others follow their style.
const fn code(field: Field, flaw: Flaw) -> &'static str {
    match flaw {
        Flaw::Required => "REQUIRED",
        Flaw::TooLong { .. } => "TO_LONG",
        Flaw::TooShort { .. } => "TO_SHORT",
        Flaw::Malformed if matches!(field, Field::Email) => "EMAIL_FORMAT",
        Flaw::Malformed | Flaw::IdShaped => "FORMAT",
        Flaw::Common | Flaw::Breached => "TO_COMMON",
        Flaw::Guessable => "TO_WEAK",
        Flaw::Mismatch => "MISMATCH",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::tests::{an_account, body, every_refusal, signed_in, some_instant};

    fn sent(json: Value) -> AccountIn {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn every_refusal_has_its_status_and_text() {
        let printed: Vec<(u16, String)> = every_refusal()
            .into_iter()
            .map(|refusal| {
                let response = refused(refusal, &AccountIn::default(), some_instant());
                let status = response.status().as_u16();
                let body = body(response);
                assert_eq!(body["status"], status);
                assert_eq!(body["timestamp"], "24-07-2024 16:34:05");
                (status, body["message"].as_str().unwrap().to_owned())
            })
            .collect();
        let expected = [
            (400, "Validation errors"),
            (403, "registration is closed"),
            (409, "email already registered"),
            (401, "email or password is wrong"),
            (401, "Unauthorized"),
            (403, "Forbidden"),
            (403, "Forbidden"),
            (401, "Unauthorized"),
            (401, "Unauthorized"),
            (401, "Unauthorized"),
            (401, "Unauthorized"),
            (404, "Not found"),
            (404, "Not found"),
            (404, "Not found"),
            (404, "Not found"),
            (409, "Conflict"),
            (429, "Too many requests"),
            (503, "Service unavailable"),
            (503, "Service unavailable"),
        ];
        assert_eq!(
            printed,
            expected.map(|(status, text)| (status, text.to_owned()))
        );
    }

    #[test]
    fn a_rejected_value_is_repeated_unless_it_is_a_password() {
        let violations = [
            (Field::Name, Flaw::Required),
            (Field::Email, Flaw::Malformed),
            (Field::Password, Flaw::TooShort { min: 7 }),
        ]
        .map(|(field, flaw)| Violation { field, flaw });
        let sent = sent(json!({"name": null, "email": "jo", "password": "secret"}));
        let refusal = Refusal::Invalid(violations.to_vec());
        assert_eq!(
            body(refused(refusal, &sent, some_instant())),
            json!({
                "status": 400,
                "timestamp": "24-07-2024 16:34:05",
                "message": "Validation errors",
                "errors": [
                    {"field": "name", "rejected_value": null, "message": "REQUIRED"},
                    {"field": "email", "rejected_value": "jo", "message": "EMAIL_FORMAT"},
                    {"field": "password", "rejected_value": "********", "message": "TO_SHORT"},
                ]
            })
        );
    }

    #[test]
    fn a_login_with_a_password_that_no_account_can_have_is_reported() {
        let sent = sent(json!({"email": "jo@example.com", "password": "short"}));
        let refusal = Refusal::WrongCredentials {
            password_too_short: Some(7),
            challenge: None,
        };
        let response = refused(refusal, &sent, some_instant());
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert_eq!(
            body(response)["errors"],
            json!([{"field": "password", "rejected_value": "********", "message": "TO_SHORT"}])
        );
    }

    #[test]
    fn successes_are_as_the_contract_prints_them() {
        let account = an_account();
        let response = registered(&account);
        assert_eq!(response.status(), StatusCode::CREATED);
        assert_eq!(
            body(response),
            json!({
                "status": 201,
                "data": {
                    "id": account.id,
                    "name": "Ahmad Solih",
                    "email": "ahmadsolih@gmail.com",
                    "password": "********",
                    "created_at": 1_763_933_880,
                }
            })
        );
        assert_eq!(body(logged_in(&signed_in())), json!({"token": "access"}));
    }

    #[test]
    fn errors_before_a_use_case_use_the_same_envelope() {
        for failure in RequestError::ALL {
            let response = failed(failure, some_instant());
            assert_eq!(response.status(), failure.status());
            assert_eq!(body(response)["status"], failure.status().as_u16());
        }
    }
}
