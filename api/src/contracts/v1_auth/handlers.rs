//! The endpoints of `/v1/auth`.

use std::sync::Arc;

use authlog_application::{RequestContext, SignedIn};
use axum::Extension;
use axum::extract::State;
use axum::response::Response;

use super::envelope::{refused, signed_in};
use super::terms::TERMS;
use super::wire::AccountIn;
use crate::Api;
use crate::http::{JsonBody, refuse_sign_in};

pub(super) async fn register(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    JsonBody(body): JsonBody<AccountIn>,
) -> Result<Response, Response> {
    let form = body.registration().map_err(refused)?;
    let outcome = api
        .authlog
        .register_and_sign_in(form, &TERMS, &context)
        .await
        .map_err(refused)?;
    Ok(signed_in(&outcome))
}

pub(super) async fn log_in(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    JsonBody(body): JsonBody<AccountIn>,
) -> Result<Response, Response> {
    let form = body.sign_in().map_err(refused)?;
    let outcome = api
        .authlog
        .sign_in(form, &TERMS, &context)
        .await
        .map_err(|refusal| refuse_sign_in(refusal, refused))?;
    Ok(signed_in_response(&api, &outcome))
}

/// The response to a login.
pub(in crate::contracts) fn signed_in_response(_: &Api, outcome: &SignedIn) -> Response {
    signed_in(outcome)
}
