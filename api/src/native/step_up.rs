//! Authenticating again in a session, and what a person shows to change the own account.

use std::sync::Arc;

use authlog_application::{Caller, OwnerProof, Refusal, RequestContext, SteppedUpSession};
use authlog_domain::{
    AuthenticationLevel, AuthenticationMethods, ContractName, FactorId, Timestamp,
};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};

use super::account::{bad_request, explain};
use super::caller::{Bearer, BearerWithBody};
use super::factors::shown_once;
use super::passkey_options::AssertionOptionsOut;
use super::problem::{problem, refused};
use super::second_factor::{SecondFactorIn, UnclearFactor};
use crate::Api;
use crate::contracts::sign_in_of;
use crate::http::{JsonField, presented_token};

/// The current password and the second factor, which confirm a request. They are not in the URL, because URLs are logged. A
/// proxy may drop the body of a DELETE, which has no defined semantics (RFC 9110 §9.3.5); behind one, clients use the POST
/// that does the same.
#[derive(Deserialize)]
pub(super) struct OwnerProofIn {
    #[serde(default)]
    password: JsonField,
    #[serde(flatten)]
    factor: SecondFactorIn,
}

impl OwnerProofIn {
    /// What the person shows.
    ///
    /// # Errors
    /// As for [`owner_proof`].
    pub(super) fn proof(&self) -> Result<OwnerProof<'_>, UnclearFactor> {
        owner_proof(&self.password, &self.factor)
    }
}

/// The password together with the second factor, if there is one.
///
/// # Errors
/// As for [`SecondFactorIn::proof`].
pub(super) fn owner_proof<'a>(
    password: &'a JsonField,
    factor: &'a SecondFactorIn,
) -> Result<OwnerProof<'a>, UnclearFactor> {
    Ok(OwnerProof {
        password: password.text(),
        second_factor: factor.proof()?,
    })
}

/// A session at its new level. The names are those of OAuth 2.0 (RFC 6749 §5.1) and of the claims of tokens.
#[derive(Serialize)]
pub(super) struct SteppedUpOut<'a> {
    access_token: &'a str,
    token_type: &'static str,
    /// When the access token expires; `null` for an opaque one, which is the presented token.
    expires_at: Option<Timestamp>,
    amr: AuthenticationMethods,
    acr: AuthenticationLevel,
    auth_time: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    factor: Option<FactorId>,
}

impl<'a> SteppedUpOut<'a> {
    /// `presented` is the access token of the request.
    pub(super) fn of(session: &'a SteppedUpSession, presented: &'a str) -> Self {
        let access = session.access.as_ref();
        let authentication = session.authentication;
        Self {
            access_token: access.map_or(presented, |access| &access.token),
            token_type: "Bearer",
            expires_at: access.map(|access| access.expires_at),
            amr: authentication.amr,
            acr: authentication.acr,
            auth_time: authentication.auth_time.unix_seconds(),
            factor: authentication.factor,
        }
    }
}

/// The terms of the sessions of a contract.
pub(super) fn terms_of(contract: ContractName) -> Option<authlog_application::SessionTerms> {
    sign_in_of(contract).map(|it| it.terms)
}

/// `POST /account/step-up/options`: what a browser needs to have a passkey of the account sign a challenge for this session.
pub(super) async fn options(
    State(api): State<Arc<Api>>,
    Bearer(caller): Bearer<Caller>,
) -> Result<Response, Response> {
    let begun = api.authlog.begin_passkey_step_up(caller).await;
    let begun = begun.map_err(refused)?;
    Ok(shown_once(
        StatusCode::OK,
        &AssertionOptionsOut::verifying(&begun),
    ))
}

/// `POST /account/step-up`: authenticates the person in the session again.
pub(super) async fn step_up(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    headers: HeaderMap,
    BearerWithBody(caller, body): BearerWithBody<Caller, OwnerProofIn>,
) -> Result<Response, Response> {
    let proof = body.proof()?;
    if proof.password.is_none() && proof.second_factor.is_none() {
        let detail = "The body must hold password, code, recovery_code, or challenge and assertion. All but the last are strings.";
        return Err(problem(StatusCode::BAD_REQUEST, detail));
    }
    let stepped_up = api
        .authlog
        .step_up(caller, proof, terms_of, &context)
        .await
        .map_err(|refusal| match refusal {
            Refusal::Invalid(_) => bad_request("This is not a password."),
            other => explain(other),
        })?;
    let out = SteppedUpOut::of(&stepped_up, presented_token(&headers));
    Ok(Json(out).into_response())
}
