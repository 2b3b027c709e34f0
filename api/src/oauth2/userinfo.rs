//! The userinfo endpoint (OpenID Connect Core §5.3). Its errors are those of a protected resource (RFC 6750 §3).

use std::sync::Arc;

use authlog_application::Refusal;
use axum::Json;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};

use super::client_request::read_form;
use super::error::{error, unreadable};
use crate::Api;
use crate::http::{overloaded, retry_later, unavailable};

/// Answers a request with the token in the `Authorization` header.
pub(super) async fn of_header(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let token = in_header(&headers)
        .map_err(|Several| several_tokens())?
        .ok_or_else(no_token)?;
    answer(&api, token).await
}

/// Answers a request with the token in the `Authorization` header or in the form (RFC 6750 §2.2).
pub(super) async fn of_form(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Response> {
    let in_header = in_header(&headers).map_err(|Several| several_tokens())?;
    // Some clients send a POST without a body.
    if !headers.contains_key(CONTENT_TYPE) {
        return answer(&api, in_header.ok_or_else(no_token)?).await;
    }
    let form = read_form(&api, request).await?;
    let in_form = form.optional("access_token").map_err(unreadable)?;
    match (in_header, in_form) {
        (Some(token), None) | (None, Some(token)) => answer(&api, token).await,
        (None, None) => Err(no_token()),
        (Some(_), Some(_)) => Err(several_tokens()),
    }
}

async fn answer(api: &Api, token: &str) -> Result<Response, Response> {
    let info = api.authlog.user_info(token).await.map_err(refused)?;
    Ok(Json(info.claims).into_response())
}

/// There are several `Authorization` headers, of which a proxy may have checked another one.
#[derive(Debug, PartialEq, Eq)]
struct Several;

/// The token of the `Authorization` header; `None` without one of the scheme `Bearer`.
///
/// # Errors
/// [`Several`].
fn in_header(headers: &HeaderMap) -> Result<Option<&str>, Several> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next();
    if values.next().is_some() {
        return Err(Several);
    }
    let pair = value
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.trim().split_once(' '));
    let token = pair.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    Ok(token.map(|(_, token)| token.trim()))
}

/// The answer to a request without a token. The challenge has no error code then (RFC 6750 §3.1).
fn no_token() -> Response {
    let response = error(
        StatusCode::UNAUTHORIZED,
        "invalid_token",
        "An access token is required.",
    );
    challenged(response, "Bearer")
}

fn several_tokens() -> Response {
    let response = error(
        StatusCode::BAD_REQUEST,
        "invalid_request",
        "The access token is sent more than once.",
    );
    challenged(response, "Bearer error=\"invalid_request\"")
}

fn refused(refusal: Refusal) -> Response {
    let failed = |description| {
        let code = "temporarily_unavailable";
        error(StatusCode::SERVICE_UNAVAILABLE, code, description)
    };
    match refusal {
        Refusal::Forbidden => {
            let description = "The access token needs the scope openid.";
            let response = error(StatusCode::FORBIDDEN, "insufficient_scope", description);
            challenged(
                response,
                "Bearer error=\"insufficient_scope\", scope=\"openid\"",
            )
        }
        Refusal::Overloaded { retry_after } => {
            overloaded(failed("The service is overloaded."), retry_after)
        }
        Refusal::TooManyAttempts { retry_after } => {
            retry_later(failed("Too many attempts."), retry_after)
        }
        Refusal::Unavailable(cause) => {
            unavailable(failed("The service is temporarily unavailable."), &*cause)
        }
        Refusal::InvalidAccessToken
        | Refusal::InsufficientScope(_)
        | Refusal::Invalid(_)
        | Refusal::RegistrationClosed
        | Refusal::IdentifierTaken(_)
        | Refusal::WrongCredentials { .. }
        | Refusal::InvalidRefreshToken
        | Refusal::RefreshTokenReused
        | Refusal::InvalidResetToken
        | Refusal::InvalidVerificationToken
        | Refusal::UnknownAccount
        | Refusal::UnknownSession
        | Refusal::SecondFactor(_)
        | Refusal::Client(_)
        | Refusal::LastAdministrator => {
            let description = "The access token is not valid, or its session has ended.";
            let response = error(StatusCode::UNAUTHORIZED, "invalid_token", description);
            challenged(response, "Bearer error=\"invalid_token\"")
        }
    }
}

fn challenged(mut response: Response, challenge: &'static str) -> Response {
    let challenge = HeaderValue::from_static(challenge);
    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_header_of_the_scheme_bearer_has_a_token() {
        let found = |values: &[&'static str]| {
            let values = values
                .iter()
                .map(|it| (AUTHORIZATION, HeaderValue::from_static(it)));
            let headers: HeaderMap = values.collect();
            in_header(&headers).map(|token| token.map(str::to_owned))
        };
        assert_eq!(found(&["Bearer abc"]), Ok(Some("abc".to_owned())));
        assert_eq!(found(&["bearer  abc"]), Ok(Some("abc".to_owned())));
        for none in [&[][..], &["abc"], &["Basic abc"], &["Bearer"]] {
            assert_eq!(found(none), Ok(None));
        }
        assert_eq!(found(&["Bearer a", "Bearer a"]), Err(Several));
    }

    #[test]
    fn a_refusal_is_answered_as_in_rfc_6750() {
        for (response, status, challenge) in [
            (no_token(), 401, "Bearer"),
            (
                refused(Refusal::InvalidAccessToken),
                401,
                "Bearer error=\"invalid_token\"",
            ),
            (
                refused(Refusal::Forbidden),
                403,
                "Bearer error=\"insufficient_scope\", scope=\"openid\"",
            ),
            (several_tokens(), 400, "Bearer error=\"invalid_request\""),
        ] {
            assert_eq!(response.status().as_u16(), status);
            assert_eq!(response.headers()[WWW_AUTHENTICATE], challenge);
        }
    }
}
