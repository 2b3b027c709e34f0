//! The endpoints of `/api/auth`.

use std::sync::Arc;

use authlog_application::{Refusal, RequestContext, SignedIn};
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
use crate::http::{JsonBody, cookie_values, presented_token, refuse_sign_in};
use crate::{Api, ApiSettings};

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
    Ok(with_cookie(response, &signed_in, &api.settings.cookies))
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
        .map_err(|refusal| refuse_sign_in(refusal, refused))?;
    Ok(signed_in_response(&api, &signed_in))
}

/// The response to a login.
pub(in crate::contracts) fn signed_in_response(api: &Api, signed_in: &SignedIn) -> Response {
    let response = logged_in(signed_in, api.now());
    with_cookie(response, signed_in, &api.settings.cookies)
}

/// Ends the session of the access token. If that token is not valid any more, the refresh token in the cookie
/// identifies the session, so a person can also sign out after their access token has expired.
pub(super) async fn log_out(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let scope = &api.settings.cookies;
    let cookies = cookie_values(&headers, REFRESH_COOKIE);
    let ended = match api.authlog.authenticate(presented_token(&headers)).await {
        Ok(caller) => api.authlog.log_out(caller, &context).await,
        Err(refusal) => Err(refusal),
    };
    match ended {
        Err(Refusal::InvalidAccessToken) if !cookies.is_empty() => {
            if !may_use_cookies(&api, &headers) {
                return Err(refused(Refusal::Forbidden, api.now()));
            }
            let ended = api.authlog.log_out_by_refresh_token(&cookies, &context);
            ended.await.map_err(|refusal| match refusal {
                // The token belongs to no live session, so there is nothing to end.
                Refusal::InvalidRefreshToken => without_cookie(refused(refusal, api.now()), scope),
                other => refused(other, api.now()),
            })?;
        }
        ended => ended.map_err(|refusal| refused(refusal, api.now()))?,
    }
    Ok(without_cookie(logged_out(api.now()), scope))
}

/// If pages of other sites may use the cookie, browsers send it with every POST of every site. Then only pages of the
/// configured origins may use it. Otherwise `SameSite=Strict` keeps other sites out.
fn may_use_cookies(api: &Api, headers: &HeaderMap) -> bool {
    let ApiSettings {
        cookies,
        allowed_origins,
        public_url,
        ..
    } = &api.settings;
    !cookies.cross_site || allowed_origins.admit(headers, public_url)
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
    Ok(with_cookie(response, &signed_in, &api.settings.cookies))
}

pub(super) async fn refresh_by_cookie(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let cookies = cookie_values(&headers, REFRESH_COOKIE);
    let signed_in = if cookies.is_empty() {
        let token = presented_token(&headers);
        api.authlog.refresh(token, &TERMS, true, &context).await
    } else if may_use_cookies(&api, &headers) {
        api.authlog.refresh_any(&cookies, &TERMS, &context).await
    } else {
        Err(Refusal::Forbidden)
    };
    let signed_in = signed_in.map_err(|refusal| refused_by_cookie(refusal, api.now()))?;
    let message = "New accessToken retrieved successfully";
    let response = refreshed(&signed_in, message, api.now());
    Ok(with_cookie(response, &signed_in, &api.settings.cookies))
}
