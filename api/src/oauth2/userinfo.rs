//! The userinfo endpoint (OpenID Connect Core §5.3). Its errors are those of a protected resource (RFC 6750 §3, RFC 9449 §7.1).

use std::sync::Arc;

use authlog_application::ports::ProofRefusal;
use authlog_application::{Refusal, UserInfoRefusal};
use axum::Json;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};

use super::USERINFO;
use super::client_request::read_form;
use super::dpop::{self, proof_for_token};
use super::error::{error, unreadable};
use crate::Api;
use crate::http::{overloaded, retry_later, unavailable};

/// An access token as a request presents it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presented<'a> {
    /// With the scheme `Bearer`, or in a form.
    Bearer(&'a str),
    /// With the scheme `DPoP`, which needs a proof.
    Dpop(&'a str),
}

/// Answers a request with the token in the `Authorization` header.
pub(super) async fn of_header(
    State(api): State<Arc<Api>>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let token = in_header(&headers)
        .map_err(|Several| several_tokens())?
        .ok_or_else(no_token)?;
    answer(&api, &method, &headers, token).await
}

/// Answers a request with the token in the `Authorization` header or in the form (RFC 6750 §2.2).
pub(super) async fn of_form(
    State(api): State<Arc<Api>>,
    method: Method,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Response> {
    let in_header = in_header(&headers).map_err(|Several| several_tokens())?;
    // Some clients send a POST without a body.
    if !headers.contains_key(CONTENT_TYPE) {
        let token = in_header.ok_or_else(no_token)?;
        return answer(&api, &method, &headers, token).await;
    }
    let form = read_form(&api, request).await?;
    let in_form = form.optional("access_token").map_err(unreadable)?;
    let in_form = in_form.map(Presented::Bearer);
    match (in_header, in_form) {
        (Some(token), None) | (None, Some(token)) => answer(&api, &method, &headers, token).await,
        (None, None) => Err(no_token()),
        (Some(_), Some(_)) => Err(several_tokens()),
    }
}

async fn answer(
    api: &Api,
    method: &Method,
    headers: &HeaderMap,
    token: Presented<'_>,
) -> Result<Response, Response> {
    let (token, proof) = match token {
        Presented::Bearer(token) => (token, None),
        Presented::Dpop(token) => {
            let request = (method.as_str(), USERINFO);
            let proof = proof_for_token(api, headers, request, token);
            (token, Some(proof.map_err(wrong_proof)?))
        }
    };
    let scheme = match proof {
        None => "Bearer",
        Some(_) => "DPoP",
    };
    let info = api.authlog.user_info(token, proof.as_ref()).await;
    let info = info.map_err(|refusal| match refusal {
        UserInfoRefusal::Token(refusal) => refused(refusal, scheme),
        UserInfoRefusal::Proof(refusal) => wrong_proof(refusal),
    })?;
    Ok(Json(info.claims).into_response())
}

/// There are several `Authorization` headers, of which a proxy may have checked another one.
#[derive(Debug, PartialEq, Eq)]
struct Several;

/// The token of the `Authorization` header; `None` without one of the scheme `Bearer` or `DPoP`.
///
/// # Errors
/// [`Several`].
fn in_header(headers: &HeaderMap) -> Result<Option<Presented<'_>>, Several> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next();
    if values.next().is_some() {
        return Err(Several);
    }
    let pair = value
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.trim().split_once(' '));
    Ok(pair.and_then(|(scheme, token)| {
        let token = token.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            Some(Presented::Bearer(token))
        } else if scheme.eq_ignore_ascii_case("dpop") {
            Some(Presented::Dpop(token))
        } else {
            None
        }
    }))
}

/// The answer to a request without a token. The challenge has no error code then (RFC 6750 §3.1).
fn no_token() -> Response {
    let response = error(
        StatusCode::UNAUTHORIZED,
        "invalid_token",
        "An access token is required.",
    );
    challenged(response, "Bearer", "")
}

/// The answer to a proof that is missing or not valid.
fn wrong_proof(refusal: ProofRefusal) -> Response {
    let description = dpop::sentence(refusal);
    if refusal == ProofRefusal::TooMany {
        let status = StatusCode::TOO_MANY_REQUESTS;
        let response = error(status, "temporarily_unavailable", description);
        return retry_later(response, ProofRefusal::RETRY_AFTER);
    }
    let response = error(StatusCode::UNAUTHORIZED, "invalid_dpop_proof", description);
    challenged(response, "DPoP", "error=\"invalid_dpop_proof\"")
}

fn several_tokens() -> Response {
    let response = error(
        StatusCode::BAD_REQUEST,
        "invalid_request",
        "The access token is sent more than once.",
    );
    challenged(response, "Bearer", "error=\"invalid_request\"")
}

/// The answer to a token that was presented with this scheme.
fn refused(refusal: Refusal, scheme: &'static str) -> Response {
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
                scheme,
                "error=\"insufficient_scope\", scope=\"openid\"",
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
            challenged(response, scheme, "error=\"invalid_token\"")
        }
    }
}

/// The response with a challenge for each scheme, of which one has these parameters (RFC 9449 §7.1).
fn challenged(mut response: Response, scheme: &'static str, parameters: &str) -> Response {
    let of_dpop = format!("DPoP algs=\"{}\"", dpop::ALGORITHMS.join(" "));
    let (bearer, of_dpop) = match (scheme, parameters) {
        ("DPoP", parameters) => ("Bearer".to_owned(), format!("{of_dpop}, {parameters}")),
        (scheme, "") => (scheme.to_owned(), of_dpop),
        (scheme, parameters) => (format!("{scheme} {parameters}"), of_dpop),
    };
    for challenge in [bearer, of_dpop] {
        // The parameters are printable ASCII.
        if let Ok(challenge) = HeaderValue::try_from(challenge) {
            response.headers_mut().append(WWW_AUTHENTICATE, challenge);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_header_of_a_known_scheme_has_a_token() {
        let headers = |values: &[&'static str]| -> HeaderMap {
            let values = values.iter();
            let values = values.map(|it| (AUTHORIZATION, HeaderValue::from_static(it)));
            values.collect()
        };
        for (value, expected) in [
            ("Bearer abc", Some(Presented::Bearer("abc"))),
            ("bearer  abc", Some(Presented::Bearer("abc"))),
            ("DPoP abc", Some(Presented::Dpop("abc"))),
            ("dpop abc", Some(Presented::Dpop("abc"))),
            ("abc", None),
            ("Basic abc", None),
            ("Bearer", None),
            ("DPoP", None),
        ] {
            assert_eq!(in_header(&headers(&[value])), Ok(expected), "{value}");
        }
        assert_eq!(in_header(&headers(&[])), Ok(None));
        for twice in [["Bearer a", "Bearer a"], ["DPoP a", "Bearer a"]] {
            assert_eq!(in_header(&headers(&twice)), Err(Several));
        }
    }

    #[test]
    fn a_refusal_is_answered_as_in_rfc_6750_and_rfc_9449() {
        let algs = "DPoP algs=\"ES256 EdDSA RS256\"";
        let invalid_token = || Refusal::InvalidAccessToken;
        for (response, status, challenges) in [
            (no_token(), 401, ["Bearer", algs].map(str::to_owned)),
            (
                refused(invalid_token(), "Bearer"),
                401,
                ["Bearer error=\"invalid_token\"", algs].map(str::to_owned),
            ),
            (
                refused(invalid_token(), "DPoP"),
                401,
                [
                    "Bearer".to_owned(),
                    format!("{algs}, error=\"invalid_token\""),
                ],
            ),
            (
                refused(Refusal::Forbidden, "Bearer"),
                403,
                [
                    "Bearer error=\"insufficient_scope\", scope=\"openid\"",
                    algs,
                ]
                .map(str::to_owned),
            ),
            (
                several_tokens(),
                400,
                ["Bearer error=\"invalid_request\"", algs].map(str::to_owned),
            ),
            (
                wrong_proof(ProofRefusal::Used),
                401,
                [
                    "Bearer".to_owned(),
                    format!("{algs}, error=\"invalid_dpop_proof\""),
                ],
            ),
        ] {
            assert_eq!(response.status().as_u16(), status);
            let found = response.headers().get_all(WWW_AUTHENTICATE).iter();
            assert!(found.eq(challenges.iter()), "{response:?}");
        }
    }
}
