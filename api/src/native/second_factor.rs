//! The second step of a login: the second factor, for every contract.

use std::sync::Arc;

use authlog_application::{Refusal, RequestContext, SecondFactorRefusal, SecondStep};
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::Value;

use super::factors::shown_once;
use super::passkey_in::assertion;
use super::passkey_options::AssertionOptionsOut;
use super::problem::{problem, refused};
use crate::Api;
use crate::contracts::sign_in_of;
use crate::http::{JsonBody, JsonField};

/// The challenge of a login, and a code of an authenticator app, a recovery code or the signature of a passkey.
#[derive(Deserialize)]
pub(super) struct SecondFactorIn {
    #[serde(default)]
    challenge: JsonField,
    #[serde(default)]
    code: JsonField,
    #[serde(default)]
    recovery_code: JsonField,
    #[serde(default)]
    assertion: Value,
}

/// `POST /sign-in/second-factor`: the response to the login of the contract at which it began.
pub(super) async fn finish(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    JsonBody(body): JsonBody<SecondFactorIn>,
) -> Result<Response, Response> {
    let assertion = match &body.assertion {
        Value::Null => None,
        sent => Some(assertion(sent).map_err(|refusal| refused(refusal.into()))?),
    };
    let step = match (body.code.text(), body.recovery_code.text(), &assertion) {
        (Some(code), None, None) => SecondStep::Code(code),
        (None, Some(code), None) => SecondStep::RecoveryCode(code),
        (None, None, Some(assertion)) => SecondStep::Passkey(assertion),
        _ => {
            let detail = "The body must hold the challenge and one of code, recovery_code and assertion. All but the last are \
                          strings.";
            return Err(problem(StatusCode::BAD_REQUEST, detail));
        }
    };
    let challenge = body.challenge.text().unwrap_or_default();
    let pending = api.authlog.pending_sign_in(challenge).map_err(refused)?;
    let expired = || refused(Refusal::SecondFactor(SecondFactorRefusal::Expired));
    let contract = sign_in_of(pending.contract()).ok_or_else(expired)?;
    let signed_in = api
        .authlog
        .finish_sign_in(&pending, step, &contract.terms, &context)
        .await
        .map_err(refused)?;
    Ok((contract.response)(&api, &signed_in))
}

#[derive(Deserialize)]
pub(super) struct ChallengeIn {
    #[serde(default)]
    challenge: JsonField,
}

/// `POST /sign-in/second-factor/options`: what a browser needs to have a passkey of the account sign the challenge.
pub(super) async fn options(
    State(api): State<Arc<Api>>,
    JsonBody(body): JsonBody<ChallengeIn>,
) -> Result<Response, Response> {
    let challenge = body.challenge.text().unwrap_or_default();
    let pending = api.authlog.pending_sign_in(challenge).map_err(refused)?;
    let passkeys = api.authlog.passkeys_to_finish(&pending).await;
    let passkeys = passkeys.map_err(refused)?;
    let out = AssertionOptionsOut::second_step(&passkeys);
    Ok(shown_once(StatusCode::OK, &out))
}
