//! The second step of a login: the second factor, for every contract.

use std::sync::Arc;

use authlog_application::{Refusal, RequestContext, SecondFactorProof, SecondFactorRefusal};
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::problem::{problem, refused};
use crate::Api;
use crate::contracts::sign_in_of;
use crate::http::{JsonBody, JsonField};

/// The challenge of a login, and a code of an authenticator app or a recovery code.
#[derive(Deserialize)]
pub(super) struct SecondFactorIn {
    #[serde(default)]
    challenge: JsonField,
    #[serde(default)]
    code: JsonField,
    #[serde(default)]
    recovery_code: JsonField,
}

/// `POST /sign-in/second-factor`: the response to the login of the contract at which it began.
pub(super) async fn finish(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    JsonBody(body): JsonBody<SecondFactorIn>,
) -> Result<Response, Response> {
    let proof = match (body.code.text(), body.recovery_code.text()) {
        (Some(code), None) => SecondFactorProof::Code(code),
        (None, Some(code)) => SecondFactorProof::RecoveryCode(code),
        _ => {
            let detail =
                "The body must hold the challenge and either code or recovery_code, as strings.";
            return Err(problem(StatusCode::BAD_REQUEST, detail));
        }
    };
    let challenge = body.challenge.text().unwrap_or_default();
    let pending = api.authlog.pending_sign_in(challenge).map_err(refused)?;
    let expired = || refused(Refusal::SecondFactor(SecondFactorRefusal::Expired));
    let contract = sign_in_of(pending.contract()).ok_or_else(expired)?;
    let signed_in = api
        .authlog
        .finish_sign_in(&pending, proof, &contract.terms, &context)
        .await
        .map_err(refused)?;
    Ok((contract.response)(&api, &signed_in))
}
