//! The endpoints of `/users`.

use std::sync::Arc;

use authlog_application::{RequestContext, SignedIn};
use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use super::envelope::{created, done, refused, tokens};
use super::terms::TERMS;
use super::wire::{CredentialsIn, ResetPasswordIn, UpdatePasswordIn};
use crate::Api;
use crate::http::{JsonBody, presented_token, refuse_sign_in};

/// The contract's sentence, which ends in a comma.
const RESET_REQUESTED: &str = "If the account is already registered, we have sent a password reset link to your email \
                               so you can change the new password,";

pub(super) async fn create(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    JsonBody(body): JsonBody<CredentialsIn>,
) -> Result<Response, Response> {
    let form = body.registration().map_err(refused)?;
    let account = api
        .authlog
        .register(form, &context)
        .await
        .map_err(refused)?;
    Ok(created(&account))
}

pub(super) async fn log_in(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    JsonBody(body): JsonBody<CredentialsIn>,
) -> Result<Response, Response> {
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
    tokens(signed_in, "successfully login")
}

pub(super) async fn verify_token(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
) -> Result<Response, Response> {
    api.authlog
        .authenticate(presented_token(&headers))
        .await
        .map_err(refused)?;
    Ok(done("token verified"))
}

pub(super) async fn refresh_token(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let signed_in = api
        .authlog
        .refresh(presented_token(&headers), &TERMS, false, &context)
        .await
        .map_err(refused)?;
    Ok(tokens(&signed_in, "successfully refresh access_token"))
}

pub(super) async fn reset_password(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    JsonBody(body): JsonBody<ResetPasswordIn>,
) -> Result<Response, Response> {
    let identifier = body.identifier().map_err(refused)?;
    api.authlog
        .request_password_reset(identifier, &context)
        .await
        .map_err(refused)?;
    Ok(done(RESET_REQUESTED))
}

pub(super) async fn verify_reset_token(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
) -> Result<Response, Response> {
    api.authlog
        .verify_reset_token(presented_token(&headers))
        .await
        .map_err(refused)?;
    Ok(done("token verified"))
}

pub(super) async fn update_password(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    headers: HeaderMap,
    JsonBody(body): JsonBody<UpdatePasswordIn>,
) -> Result<Response, Response> {
    api.authlog
        .reset_password(presented_token(&headers), body.password(), &context)
        .await
        .map_err(refused)?;
    Ok(done("password successfully updated"))
}
