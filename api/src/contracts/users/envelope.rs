//! The responses of `/users`, and its texts for every refusal.

use authlog_application::ports::Account;
use authlog_application::{Field, Refusal, SignedIn, Violation};
use authlog_domain::{Flaw, Timestamp};
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::wire::{AnswerOut, TokensOut, UserOut};
use crate::http::{RequestError, overloaded, retry_later, unavailable};

/// The response to a registration.
pub(super) fn created(account: &Account) -> Response {
    let data = UserOut {
        username: account.sign_in_name(),
    };
    success("successfully created", Some(data))
}

/// The response to a login and to a refresh.
pub(super) fn tokens(signed_in: &SignedIn, message: &str) -> Response {
    let refresh_token = signed_in.refresh.as_ref();
    let data = TokensOut {
        access_token: &signed_in.access.token,
        refresh_token: refresh_token.map(|refresh| refresh.token.as_str()),
    };
    success(message, Some(data))
}

/// A successful response without data.
pub(super) fn done(message: &str) -> Response {
    success(message, None::<()>)
}

fn success<D: Serialize>(message: &str, data: Option<D>) -> Response {
    Json(AnswerOut {
        status: StatusCode::OK.as_u16(),
        message,
        data,
        refrence: None,
        error: false,
    })
    .into_response()
}

fn error(status: StatusCode, message: &str) -> Response {
    let out = AnswerOut {
        status: status.as_u16(),
        message,
        data: None::<()>,
        refrence: None,
        error: true,
    };
    (status, Json(out)).into_response()
}

fn bad_request(message: &str) -> Response {
    error(StatusCode::BAD_REQUEST, message)
}

/// The response to a request that failed before a use case was called.
pub(super) fn failed(failure: RequestError, _: Timestamp) -> Response {
    let message = match failure {
        RequestError::UnknownPath => "not found",
        RequestError::WrongMethod => "method not allowed",
        RequestError::UnreadableBody => "request body must be a JSON object",
        RequestError::BodyTooLarge => "request body is too large",
        RequestError::WrongMediaType => "content-type must be application/json",
        RequestError::EncodedBody => "content-encoding is not supported",
        RequestError::BodyTooSlow => "request timeout",
        RequestError::LimitExceeded | RequestError::TimedOut => "service unavailable",
        RequestError::Panicked => "internal server error",
    };
    error(failure.status(), message)
}

/// The response to a refusal.
pub(super) fn refused(refusal: Refusal) -> Response {
    match refusal {
        Refusal::Invalid(violations) => bad_request(&first_sentence(&violations)),
        // In this contract the username is the e-mail address, so one text covers both.
        Refusal::IdentifierTaken(_) => bad_request("username already exist"),
        Refusal::WrongCredentials { .. } => bad_request("username and password not match"),
        Refusal::InvalidAccessToken => bad_request("please provided a valid access_token!"),
        Refusal::InvalidRefreshToken | Refusal::RefreshTokenReused => {
            bad_request("please provided a valid refresh_token!")
        }
        Refusal::InvalidResetToken => bad_request("please provided a valid reset_password_token!"),
        Refusal::InvalidVerificationToken => bad_request("please provided a valid token!"),
        Refusal::RegistrationClosed => error(StatusCode::FORBIDDEN, "registration is closed"),
        Refusal::Forbidden | Refusal::InsufficientScope(_) => {
            error(StatusCode::FORBIDDEN, "forbidden")
        }
        Refusal::UnknownAccount
        | Refusal::UnknownSession
        | Refusal::SecondFactor(_)
        | Refusal::Client(_) => error(StatusCode::NOT_FOUND, "not found"),
        Refusal::LastAdministrator => error(StatusCode::CONFLICT, "conflict"),
        Refusal::TooManyAttempts { retry_after } => retry_later(
            error(StatusCode::TOO_MANY_REQUESTS, "too many requests"),
            retry_after,
        ),
        Refusal::Overloaded { retry_after } => overloaded(out_of_service(), retry_after),
        Refusal::Unavailable(cause) => unavailable(out_of_service(), &*cause),
    }
}

fn out_of_service() -> Response {
    error(StatusCode::SERVICE_UNAVAILABLE, "service unavailable")
}

/// The contract has one message for all invalid fields. It reports the first.
fn first_sentence(violations: &[Violation]) -> String {
    violations
        .first()
        .map_or_else(|| "bad request".to_owned(), |wrong| sentence(*wrong))
}

fn sentence(Violation { field, flaw }: Violation) -> String {
    let field_name = field_name(field);
    match flaw {
        Flaw::Required => format!("{field_name} is required"),
        Flaw::TooLong { max } => format!("{field_name} must be at most {max} characters"),
        Flaw::TooShort { min } => format!("{field_name} must be at least {min} characters"),
        Flaw::Malformed => format!("{field_name} is not valid"),
        Flaw::IdShaped => format!("{field_name} must not be a UUID"),
        Flaw::Common => format!("{field_name} is too common"),
        Flaw::Guessable => format!("{field_name} is too easy to guess"),
        Flaw::Breached => format!("{field_name} is on a list of breached passwords"),
        Flaw::Mismatch => format!("{field_name} does not match"),
    }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tests::{an_account, body, every_refusal, signed_in, some_instant};

    #[test]
    fn every_refusal_has_its_status_and_text() {
        let printed: Vec<(u16, String)> = every_refusal()
            .into_iter()
            .map(|refusal| {
                let response = refused(refusal);
                let status = response.status().as_u16();
                let body = body(response);
                assert_eq!(body["status"], status);
                assert_eq!(body["error"], true);
                (status, body["message"].as_str().unwrap().to_owned())
            })
            .collect();
        let expected = [
            (400, "username is required"),
            (403, "registration is closed"),
            (400, "username already exist"),
            (400, "username and password not match"),
            (400, "please provided a valid access_token!"),
            (403, "forbidden"),
            (403, "forbidden"),
            (400, "please provided a valid refresh_token!"),
            (400, "please provided a valid refresh_token!"),
            (400, "please provided a valid reset_password_token!"),
            (400, "please provided a valid token!"),
            (404, "not found"),
            (404, "not found"),
            (404, "not found"),
            (404, "not found"),
            (409, "conflict"),
            (429, "too many requests"),
            (503, "service unavailable"),
            (503, "service unavailable"),
        ];
        assert_eq!(
            printed,
            expected.map(|(status, text)| (status, text.to_owned()))
        );
    }

    #[test]
    fn an_error_has_the_five_fields_of_the_contract() {
        let refusal = Refusal::Invalid(vec![
            Violation {
                field: Field::Password,
                flaw: Flaw::TooShort { min: 7 },
            },
            Violation {
                field: Field::Username,
                flaw: Flaw::Malformed,
            },
        ]);
        assert_eq!(
            body(refused(refusal)),
            json!({
                "status": 400,
                "message": "password must be at least 7 characters",
                "data": null,
                "refrence": null,
                "error": true,
            })
        );
    }

    #[test]
    fn successes_are_as_the_contract_prints_them() {
        let response = created(&an_account());
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(
            body(response),
            json!({
                "status": 200,
                "message": "successfully created",
                "data": {"username": "ahmadsolih"},
                "refrence": null,
                "error": false,
            })
        );
        let printed = body(tokens(&signed_in(), "successfully login"));
        assert_eq!(
            printed["data"],
            json!({"access_token": "access", "refresh_token": "refresh"})
        );
        let mut only_access = signed_in();
        only_access.refresh = None;
        let printed = body(tokens(&only_access, "successfully refresh access_token"));
        assert_eq!(printed["data"], json!({"access_token": "access"}));
        assert_eq!(body(done("token verified"))["data"], json!(null));
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
