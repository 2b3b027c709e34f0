//! The endpoints of `/api`.

use std::sync::Arc;

use authlog_application::{RequestContext, SignedIn};
use axum::Extension;
use axum::extract::State;
use axum::response::Response;

use super::envelope::{logged_in, refused, registered};
use super::terms::TERMS;
use super::wire::AccountIn;
use crate::Api;
use crate::http::{JsonBody, refuse_sign_in};

pub(super) async fn register(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    JsonBody(body): JsonBody<AccountIn>,
) -> Result<Response, Response> {
    let refused = |refusal| refused(refusal, &body, api.now());
    let form = body.registration().map_err(refused)?;
    let account = api
        .authlog
        .register(form, &context)
        .await
        .map_err(refused)?;
    Ok(registered(&account))
}

pub(super) async fn log_in(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    JsonBody(body): JsonBody<AccountIn>,
) -> Result<Response, Response> {
    let refused = |refusal| refused(refusal, &body, api.now());
    let form = body.sign_in().map_err(refused)?;
    let signed_in = api
        .authlog
        .sign_in(form, &TERMS, &context)
        .await
        .map_err(|refusal| refuse_sign_in(refusal, refused))?;
    Ok(signed_in_response(&api, &signed_in))
}

/// The response to a login.
pub(in crate::contracts) fn signed_in_response(_: &Api, signed_in: &SignedIn) -> Response {
    logged_in(signed_in)
}
