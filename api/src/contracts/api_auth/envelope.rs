//! The responses of `/api/auth`, and its texts for every refusal.

use std::collections::BTreeMap;

use authlog_application::ports::IdentifierKind;
use authlog_application::{Field, Refusal, SignedIn, Violation};
use authlog_domain::{Flaw, Timestamp};
use axum::Json;
use axum::http::StatusCode;
use axum::http::header::SET_COOKIE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::terms::REFRESH_LIFETIME;
use super::wire::{DataOut, SuccessOut, UserOut};
use crate::http::{Cookie, CookieScope, RequestError, overloaded, retry_later, unavailable};

/// The cookie that holds the refresh token in a browser.
pub(super) const REFRESH_COOKIE: &str = "refreshToken";

/// The sentences about each invalid field.
type Errors = BTreeMap<&'static str, Vec<String>>;

/// The response to a registration, which also signs in.
pub(super) fn registered(signed_in: &SignedIn, message: &str, at: Timestamp) -> Response {
    success(SuccessOut {
        data: Some(DataOut::tokens_and_profile(signed_in)),
        ..bare(StatusCode::CREATED, message, at)
    })
}

/// The response to a login.
pub(super) fn logged_in(signed_in: &SignedIn, at: Timestamp) -> Response {
    success(SuccessOut {
        data: Some(DataOut::tokens(signed_in)),
        user: Some(UserOut::new(&signed_in.account)),
        access_token: Some(&signed_in.access.token),
        ..bare(StatusCode::OK, "User successfully logged in", at)
    })
}

/// The response to a refresh.
pub(super) fn refreshed(signed_in: &SignedIn, message: &str, at: Timestamp) -> Response {
    success(SuccessOut {
        data: Some(DataOut::tokens(signed_in)),
        access_token: Some(&signed_in.access.token),
        ..bare(StatusCode::OK, message, at)
    })
}

/// The response to a logout.
pub(super) fn logged_out(at: Timestamp) -> Response {
    success(bare(StatusCode::OK, "User successfully logged out", at))
}

fn bare(status: StatusCode, message: &str, at: Timestamp) -> SuccessOut<'_> {
    SuccessOut {
        timestamp: at,
        status_code: status.as_u16(),
        status: "success",
        message,
        data: None,
        user: None,
        access_token: None,
    }
}

fn success(out: SuccessOut<'_>) -> Response {
    let status = StatusCode::from_u16(out.status_code).unwrap_or(StatusCode::OK);
    (status, Json(out)).into_response()
}

/// Sets the refresh cookie on `response`.
pub(super) fn with_cookie(
    response: Response,
    signed_in: &SignedIn,
    scope: &CookieScope,
) -> Response {
    match &signed_in.refresh {
        Some(refresh) => {
            let cookie = Cookie {
                max_age: REFRESH_LIFETIME,
                ..refresh_cookie(&refresh.token, scope)
            };
            ([(SET_COOKIE, cookie.to_string())], response).into_response()
        }
        None => response,
    }
}

/// Deletes the refresh cookie with `response`.
pub(super) fn without_cookie(response: Response, scope: &CookieScope) -> Response {
    let cookie = refresh_cookie("", scope);
    ([(SET_COOKIE, cookie.to_string())], response).into_response()
}

fn refresh_cookie<'a>(value: &'a str, scope: &'a CookieScope) -> Cookie<'a> {
    Cookie {
        name: REFRESH_COOKIE,
        value,
        path: super::SURFACE.base,
        max_age: std::time::Duration::ZERO,
        scope,
    }
}

#[derive(Serialize)]
struct ErrorOut<'a> {
    timestamp: Timestamp,
    #[serde(rename = "statusCode")]
    status_code: u16,
    status: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Errors::is_empty")]
    errors: Errors,
}

fn error(status: StatusCode, message: &str, errors: Errors, at: Timestamp) -> Response {
    let out = ErrorOut {
        timestamp: at,
        status_code: status.as_u16(),
        status: "error",
        message,
        errors,
    };
    (status, Json(out)).into_response()
}

/// The contract uses the name of the status as the error: "Bad Request", "Not Found".
fn plain_error(status: StatusCode, at: Timestamp) -> Response {
    let message = status.canonical_reason().unwrap_or_default();
    error(status, message, Errors::new(), at)
}

/// The response to a request that failed before a use case was called.
pub(super) fn failed(failure: RequestError, at: Timestamp) -> Response {
    plain_error(failure.status(), at)
}

/// The response to a refusal.
pub(super) fn refused(refusal: Refusal, at: Timestamp) -> Response {
    match refusal {
        Refusal::Invalid(violations) => invalid(&violations, at),
        Refusal::IdentifierTaken(kinds) => taken(&kinds, at),
        Refusal::WrongCredentials { .. } => error(
            StatusCode::FORBIDDEN,
            "Username or Password is wrong",
            Errors::new(),
            at,
        ),
        Refusal::InvalidAccessToken
        | Refusal::InvalidRefreshToken
        | Refusal::RefreshTokenReused
        | Refusal::InvalidResetToken
        | Refusal::InvalidVerificationToken => plain_error(StatusCode::UNAUTHORIZED, at),
        Refusal::RegistrationClosed => error(
            StatusCode::FORBIDDEN,
            "Registration is closed",
            Errors::new(),
            at,
        ),
        Refusal::Forbidden | Refusal::InsufficientScope(_) => {
            plain_error(StatusCode::FORBIDDEN, at)
        }
        Refusal::UnknownAccount
        | Refusal::UnknownSession
        | Refusal::SecondFactor(_)
        | Refusal::Client(_) => plain_error(StatusCode::NOT_FOUND, at),
        Refusal::LastAdministrator => plain_error(StatusCode::CONFLICT, at),
        Refusal::TooManyAttempts { retry_after } => {
            retry_later(plain_error(StatusCode::TOO_MANY_REQUESTS, at), retry_after)
        }
        Refusal::Overloaded { retry_after } => overloaded(
            plain_error(StatusCode::SERVICE_UNAVAILABLE, at),
            retry_after,
        ),
        Refusal::Unavailable(cause) => {
            unavailable(plain_error(StatusCode::SERVICE_UNAVAILABLE, at), &*cause)
        }
    }
}

/// The response to a refused refresh by cookie. The second document has a sentence of its own for an invalid token.
pub(super) fn refused_by_cookie(refusal: Refusal, at: Timestamp) -> Response {
    match refusal {
        Refusal::InvalidRefreshToken | Refusal::RefreshTokenReused => error(
            StatusCode::UNAUTHORIZED,
            "Invalid or expired refresh token",
            Errors::new(),
            at,
        ),
        refusal => refused(refusal, at),
    }
}

fn invalid(violations: &[Violation], at: Timestamp) -> Response {
    let mut errors = Errors::new();
    for &Violation { field, flaw } in violations {
        errors
            .entry(field_name(field))
            .or_default()
            .push(sentence(field, flaw));
    }
    error(StatusCode::BAD_REQUEST, "Bad Request", errors, at)
}

/// `message` names one identifier, the username first. `errors` names all.
fn taken(kinds: &[IdentifierKind], at: Timestamp) -> Response {
    let field_name = |kind: &IdentifierKind| kind.as_str();
    let first = kinds.iter().min().map_or("username", field_name);
    let message = format!("{first} already exist, try another");
    let errors = kinds
        .iter()
        .map(field_name)
        .map(|field_name| {
            (
                field_name,
                vec![format!("The {field_name} has already been taken.")],
            )
        })
        .collect();
    error(StatusCode::BAD_REQUEST, &message, errors, at)
}

const fn field_name(field: Field) -> &'static str {
    match field {
        Field::Username => "username",
        Field::Email => "email",
        Field::Name => "fullname",
        Field::Phone => "phone",
        Field::Password => "password",
        Field::PasswordConfirmation => "confirm_password",
    }
}

/// The documents print one of Laravel's sentences, "The username field is required."; the others are also Laravel's.
fn sentence(field: Field, flaw: Flaw) -> String {
    let field_name = field_name(field);
    match flaw {
        Flaw::Required => format!("The {field_name} field is required."),
        Flaw::TooLong { max } => {
            format!("The {field_name} field must not be greater than {max} characters.")
        }
        Flaw::TooShort { min } => {
            format!("The {field_name} field must be at least {min} characters.")
        }
        Flaw::Malformed if field == Field::Email => {
            format!("The {field_name} field must be a valid email address.")
        }
        Flaw::Malformed => format!("The {field_name} field format is invalid."),
        Flaw::IdShaped => format!("The {field_name} field must not be a UUID."),
        Flaw::Common => format!("The {field_name} field is too common."),
        Flaw::Guessable => format!("The {field_name} field is too easy to guess."),
        Flaw::Breached => {
            format!("The {field_name} field is on a list of breached passwords.")
        }
        Flaw::Mismatch => format!("The {field_name} field must match password."),
    }
}

#[cfg(test)]
mod tests;
