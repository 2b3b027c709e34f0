//! Contract A's endpoints.

use std::sync::Arc;

use authlog_application::RequestContext;
use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use super::envelope::{
    REFRESH_COOKIE, logged_in, logged_out, refreshed, refused, refused_by_cookie, registered,
    with_cookie, without_cookie,
};
use super::terms::TERMS;
use super::wire::AccountIn;
use crate::Api;
use crate::exchange::{JsonBody, cookie_value, presented_token};

pub(super) async fn register(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    JsonBody(body): JsonBody<AccountIn>,
) -> Result<Response, Response> {
    let refused = |refusal| refused(refusal, api.now());
    let form = body.registration().map_err(refused)?;
    let signed_in = api
        .authlog
        .register_and_sign_in(form, &TERMS, &context)
        .await
        .map_err(refused)?;
    let response = registered(&signed_in, body.registered_message(), api.now());
    Ok(with_cookie(
        response,
        &signed_in,
        api.settings.secure_cookies,
    ))
}

pub(super) async fn log_in(
    api: State<Arc<Api>>,
    context: Extension<RequestContext>,
    JsonBody(body): JsonBody<AccountIn>,
) -> Result<Response, Response> {
    if body.names_a_person() {
        return register(api, context, JsonBody(body)).await;
    }
    let refused = |refusal| refused(refusal, api.now());
    let form = body.sign_in().map_err(refused)?;
    let signed_in = api
        .authlog
        .sign_in(form, &TERMS, &context)
        .await
        .map_err(refused)?;
    let response = logged_in(&signed_in, api.now());
    Ok(with_cookie(
        response,
        &signed_in,
        api.settings.secure_cookies,
    ))
}

pub(super) async fn log_out(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    headers: HeaderMap,
) -> Result<Response, Response> {
    api.authlog
        .log_out(presented_token(&headers), &context)
        .await
        .map_err(|refusal| refused(refusal, api.now()))?;
    Ok(without_cookie(
        logged_out(api.now()),
        api.settings.secure_cookies,
    ))
}

pub(super) async fn refresh(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let signed_in = api
        .authlog
        .refresh(presented_token(&headers), &TERMS, true, &context)
        .await
        .map_err(|refusal| refused(refusal, api.now()))?;
    let response = refreshed(&signed_in, "Token successfully refreshed", api.now());
    Ok(with_cookie(
        response,
        &signed_in,
        api.settings.secure_cookies,
    ))
}

pub(super) async fn refresh_by_cookie(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let token = cookie_value(&headers, REFRESH_COOKIE).unwrap_or_else(|| presented_token(&headers));
    let signed_in = api
        .authlog
        .refresh(token, &TERMS, true, &context)
        .await
        .map_err(|refusal| refused_by_cookie(refusal, api.now()))?;
    let message = "New accessToken retrieved successfully";
    let response = refreshed(&signed_in, message, api.now());
    Ok(with_cookie(
        response,
        &signed_in,
        api.settings.secure_cookies,
    ))
}
