//! Second factors that a client sends, and the second step of a login for every contract.

use std::sync::Arc;

use authlog_application::{
    PasskeyRefusal, Refusal, RequestContext, SecondFactorProof, SecondFactorRefusal, SecondStep,
};
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::factors::shown_once;
use super::passkey_in::AssertionIn;
use super::passkey_options::AssertionOptionsOut;
use super::problem::{problem, refused};
use crate::Api;
use crate::contracts::sign_in_of;
use crate::http::{JsonBody, JsonField};

/// A second factor: a code of an authenticator app, a recovery code, or a challenge and what a passkey signed.
#[derive(Deserialize)]
pub(super) struct SecondFactorIn {
    #[serde(default)]
    challenge: JsonField,
    #[serde(default)]
    code: JsonField,
    #[serde(default)]
    recovery_code: JsonField,
    #[serde(default)]
    assertion: AssertionIn,
}

/// Why a second factor that was sent is not even checked.
pub(super) enum UnclearFactor {
    /// What is wrong with the body, as a sentence for the client.
    Body(&'static str),
    /// What is wrong with the assertion.
    Assertion(PasskeyRefusal),
}

impl From<UnclearFactor> for Response {
    fn from(unclear: UnclearFactor) -> Self {
        match unclear {
            UnclearFactor::Body(detail) => problem(StatusCode::BAD_REQUEST, detail),
            UnclearFactor::Assertion(refusal) => refused(refusal.into()),
        }
    }
}

impl SecondFactorIn {
    /// What was sent, without the challenge.
    ///
    /// # Errors
    /// The client sends more than one, or one that cannot be read.
    fn step(&self) -> Result<Option<SecondStep<'_>>, UnclearFactor> {
        let codes = [&self.code, &self.recovery_code];
        let codes_sent = codes.iter().filter(|code| code.was_sent()).count();
        if codes_sent + usize::from(self.assertion.was_sent()) > 1 {
            let detail = "The body must hold only one of code, recovery_code and assertion.";
            return Err(UnclearFactor::Body(detail));
        }
        let response = self.assertion.response();
        let response = response.map_err(UnclearFactor::Assertion)?;
        if codes
            .iter()
            .any(|code| matches!(code, JsonField::NotString))
        {
            let detail = "The members code and recovery_code must be strings.";
            return Err(UnclearFactor::Body(detail));
        }
        let [code, recovery_code] = codes.map(JsonField::text);
        Ok(code
            .map(SecondStep::Code)
            .or(recovery_code.map(SecondStep::RecoveryCode))
            .or(response.map(SecondStep::Passkey)))
    }

    /// The second factor that steps a session up.
    ///
    /// # Errors
    /// The client sends more than one, one that cannot be read, or an assertion without its challenge.
    pub(super) fn proof(&self) -> Result<Option<SecondFactorProof<'_>>, UnclearFactor> {
        Ok(match self.step()? {
            None => None,
            Some(SecondStep::Code(code)) => Some(SecondFactorProof::Code(code)),
            Some(SecondStep::RecoveryCode(code)) => Some(SecondFactorProof::RecoveryCode(code)),
            Some(SecondStep::Passkey(response)) => {
                let challenge = self.challenge.text().ok_or(UnclearFactor::Body(
                    "The body must hold the challenge that the passkey signed, as a string.",
                ))?;
                Some(SecondFactorProof::Passkey {
                    challenge,
                    response,
                })
            }
        })
    }
}

/// `POST /sign-in/second-factor`: the response to the login of the contract at which it began.
pub(super) async fn finish(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    JsonBody(body): JsonBody<SecondFactorIn>,
) -> Result<Response, Response> {
    let step = body.step()?.ok_or(UnclearFactor::Body(
        "The body must hold the challenge, and code, recovery_code or assertion.",
    ))?;
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
