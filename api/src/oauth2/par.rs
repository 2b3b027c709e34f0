//! The endpoint for pushed authorization requests (RFC 9126).

use std::sync::Arc;

use authlog_application::{
    AuthenticatedClient, AuthorizationRefusal, AuthorizationRequest, PushRefusal, PushedRequest,
    TargetRefusal,
};
use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;

use super::PAR;
use super::authorization_form::{Flaw, check_request};
use super::client_request::{authenticated, read_form};
use super::dpop::proof_of_post;
use super::error::{error, invalid_request, refused, temporarily_unavailable, unreadable};
use super::parameters::Parameters;
use crate::Api;
use crate::http::{retry_later, unavailable};

/// The parameters of an authorization request that are kept. Others, such as the credentials of the client, are not.
const KEPT: [&str; 16] = [
    "response_type",
    "response_mode",
    "redirect_uri",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "prompt",
    "max_age",
    "acr_values",
    "claims",
    "id_token_hint",
    "login_hint",
    "resource",
    DPOP_JKT,
];

/// The parameter with the thumbprint of the key to which the code is bound (RFC 9449 §10).
const DPOP_JKT: &str = "dpop_jkt";

/// The answer (RFC 9126 §2.2).
#[derive(Serialize)]
struct PushedOut {
    request_uri: String,
    expires_in: u64,
}

/// Checks a request as the authorization endpoint does, and keeps it for the browser of the person.
pub(super) async fn push(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Response> {
    let form = read_form(&api, request).await?;
    let client = authenticated(&api, &headers, &form).await?;
    if form.repeated("request_uri").next().is_some() {
        return Err(invalid_request(
            "The parameter request_uri is not allowed here.",
        ));
    }
    let kept = kept(&api, &headers, &form).map_err(|answer| *answer)?;
    let request = checked(&api, &client, &kept, &form).await?;
    let pushed = api
        .authlog
        .push_authorization(&client, &request, kept.into_pairs());
    let PushedRequest {
        request_uri,
        expires_in,
    } = pushed.map_err(not_pushed)?;
    let out = PushedOut {
        request_uri,
        expires_in: expires_in.as_secs(),
    };
    Ok((StatusCode::CREATED, Json(out)).into_response())
}

/// The parameters of the request, with the key of its proof as `dpop_jkt` (RFC 9449 §10.1). The proof is not remembered as used: a
/// thief could push any request with it, but the code would be bound to a key that the thief does not have.
fn kept(api: &Api, headers: &HeaderMap, form: &Parameters) -> Result<Parameters, Box<Response>> {
    let named = form.optional(DPOP_JKT);
    let named = named.map_err(|parameter| Box::new(unreadable(parameter)))?;
    let proof = proof_of_post(api, headers, PAR);
    let proof = proof.map_err(|refusal| Box::new(refused(headers, refusal.into())))?;
    let key = proof.as_ref().map(|proof| proof.key().as_str());
    let mut kept = form.only(&KEPT);
    match (named, key) {
        (Some(named), Some(key)) if named != key => Err(Box::new(invalid_request(
            "The parameter dpop_jkt is not the thumbprint of the key in the DPoP proof.",
        ))),
        (None, Some(key)) => {
            kept.set(DPOP_JKT, key);
            Ok(kept)
        }
        (_, None) | (Some(_), Some(_)) => Ok(kept),
    }
}

/// The request of this client in the parameters.
async fn checked(
    api: &Api,
    client: &AuthenticatedClient,
    kept: &Parameters,
    form: &Parameters,
) -> Result<AuthorizationRequest, Response> {
    let redirect_uri = kept.optional("redirect_uri").map_err(unreadable)?;
    let id = client.id().as_str();
    let target = api.authlog.authorization_target(Some(id), redirect_uri);
    let target = target.await.map_err(unknown_target)?;
    let checked = check_request(api, target, form, true);
    checked.map_err(|flaw| match flaw {
        Flaw::Unreadable(parameter) => unreadable(parameter),
        Flaw::Refused(refusal) => not_authorized(refusal),
    })
}

fn unknown_target(refusal: TargetRefusal) -> Response {
    match refusal {
        // The client was removed or locked a moment ago.
        TargetRefusal::UnknownClient => error(
            StatusCode::BAD_REQUEST,
            "invalid_client",
            "The client is unknown or locked.",
        ),
        TargetRefusal::UnknownRedirectUri => invalid_request(
            "The parameter redirect_uri is missing, or not registered for the client.",
        ),
        TargetRefusal::Unavailable(cause) => unavailable(temporarily_unavailable(), &*cause),
    }
}

/// The codes are those of the authorization endpoint (RFC 9126 §2.3).
fn not_authorized(refusal: AuthorizationRefusal) -> Response {
    let sentence = sentence_of(&refusal);
    let response = error(StatusCode::BAD_REQUEST, refusal.code(), &sentence);
    match refusal {
        AuthorizationRefusal::TemporarilyUnavailable(cause) => {
            unavailable(temporarily_unavailable(), &*cause)
        }
        AuthorizationRefusal::Busy { retry_after } => {
            retry_later(temporarily_unavailable(), retry_after)
        }
        _ => response,
    }
}

fn not_pushed(refusal: PushRefusal) -> Response {
    match refusal {
        PushRefusal::TooLong => error(
            StatusCode::PAYLOAD_TOO_LARGE,
            "invalid_request",
            "The request is too long: the URL with which it is used would exceed what proxies accept.",
        ),
        PushRefusal::Unavailable(cause) => unavailable(temporarily_unavailable(), &cause),
    }
}

/// The text of a refusal as a sentence.
fn sentence_of(refusal: &AuthorizationRefusal) -> String {
    let text = refusal.to_string();
    let mut letters = text.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).chain(['.']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::body;

    #[test]
    fn an_error_has_the_code_of_the_authorization_endpoint() {
        let response = not_authorized(AuthorizationRefusal::RequestNotSupported);
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        let body = body(response);
        assert_eq!(body["error"], "request_not_supported");
        assert_eq!(
            body["error_description"],
            "Request objects are not supported."
        );
    }

    #[test]
    fn credentials_are_not_kept() {
        for name in KEPT {
            assert!(!name.starts_with("client_"), "{name}");
        }
    }
}
