//! Passkeys: their enrolment by the caller, and signing in with them.

use std::sync::Arc;

use authlog_application::{Caller, RequestContext};
use authlog_domain::ContractName;
use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use serde_json::Value;

use super::account::explain;
use super::caller::BearerWithBody;
use super::factors::{FactorOut, enrolled_response, shown_once};
use super::passkey_in::{assertion, attestation};
use super::passkey_options::{AssertionOptionsOut, CreationOptionsOut};
use super::problem::{problem, refused};
use super::step_up::{OwnerProofIn, terms_of};
use crate::Api;
use crate::contracts::{by_base, sign_in_of};
use crate::http::{JsonBody, JsonField};

/// `POST /account/factors/passkeys/options`: what a browser needs to create a passkey. Nothing is stored.
pub(super) async fn begin_enrolment(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    BearerWithBody(caller, body): BearerWithBody<Caller, OwnerProofIn>,
) -> Result<Response, Response> {
    let proof = body.proof()?;
    let begun = api
        .authlog
        .begin_passkey(caller, proof, &context)
        .await
        .map_err(explain)?;
    Ok(shown_once(StatusCode::OK, &CreationOptionsOut::new(&begun)))
}

/// The enrolment, and what the authenticator answered.
#[derive(Deserialize)]
pub(super) struct EnrolmentIn {
    #[serde(default)]
    enrolment: JsonField,
    #[serde(default)]
    credential: Value,
}

/// `POST /account/factors/passkeys`: enrols the passkey.
pub(super) async fn enrol(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    headers: HeaderMap,
    BearerWithBody(caller, body): BearerWithBody<Caller, EnrolmentIn>,
) -> Result<Response, Response> {
    let response = attestation(&body.credential).map_err(|refusal| refused(refusal.into()))?;
    let enrolment = body.enrolment.text().unwrap_or_default();
    let enrolled = api
        .authlog
        .enrol_passkey(caller, enrolment, &response, terms_of, &context)
        .await
        .map_err(refused)?;
    let factor = FactorOut::of_passkey(enrolled.factor, None);
    Ok(enrolled_response(
        factor,
        enrolled.stepped_up.as_ref(),
        &headers,
    ))
}

/// `POST /sign-in/passkey/options`: what a browser needs to sign in with any passkey. It is the same for everyone, so that it
/// does not tell who has one.
pub(super) async fn begin_sign_in(State(api): State<Arc<Api>>) -> Result<Response, Response> {
    let begun = api.authlog.begin_passkey_sign_in().map_err(refused)?;
    Ok(shown_once(
        StatusCode::OK,
        &AssertionOptionsOut::verifying(&begun),
    ))
}

/// The challenge, what the authenticator answered, and the contract whose response is wanted.
#[derive(Deserialize)]
pub(super) struct SignInIn {
    #[serde(default)]
    challenge: JsonField,
    #[serde(default)]
    credential: Value,
    #[serde(default)]
    contract: JsonField,
}

impl SignInIn {
    /// The contract whose base path was sent. Without one it is `/api/auth`, which has an access and a refresh token.
    fn contract(&self) -> Option<ContractName> {
        match &self.contract {
            JsonField::Absent => Some(ContractName::ApiAuth),
            JsonField::Text(base) => by_base(base),
            JsonField::NotString => None,
        }
    }
}

/// `POST /sign-in/passkey`: the response to a login of the contract.
pub(super) async fn sign_in(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    JsonBody(body): JsonBody<SignInIn>,
) -> Result<Response, Response> {
    let contract = body.contract().and_then(sign_in_of).ok_or_else(|| {
        let detail = "The member contract must be the base path of a contract, such as /api/auth.";
        problem(StatusCode::BAD_REQUEST, detail)
    })?;
    let response = assertion(&body.credential).map_err(|refusal| refused(refusal.into()))?;
    let challenge = body.challenge.text().unwrap_or_default();
    let signed_in = api
        .authlog
        .sign_in_with_passkey(challenge, &response, &contract.terms, &context)
        .await
        .map_err(refused)?;
    Ok((contract.response)(&api, &signed_in))
}
