//! The device authorization endpoint (RFC 8628 §3.1).

use std::sync::Arc;

use authlog_application::{DeviceAuthorization, RequestContext};
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::PRAGMA;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use serde::Serialize;

use super::client_request::{authenticated, read_form};
use super::error::{refused, unreadable};
use crate::Api;
use crate::pages::DEVICE;

/// The answer to a device (RFC 8628 §3.2).
#[derive(Serialize)]
struct DeviceAuthorizationOut {
    device_code: String,
    user_code: String,
    verification_uri: String,
    verification_uri_complete: String,
    expires_in: u64,
    interval: u64,
}

/// Gives a device its two codes.
pub(super) async fn authorize(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Response> {
    let form = read_form(&api, request).await?;
    let client = authenticated(&api, &headers, &form).await?;
    let scope = form.optional("scope").map_err(unreadable)?;
    let resources: Vec<&str> = form.repeated("resource").collect();
    let authorized = api
        .authlog
        .authorize_device(&client, scope, &resources, &context);
    let authorized = authorized.await;
    let authorized = authorized.map_err(|refusal| refused(&headers, refusal))?;
    let out = out(authorized, &api.settings.public_url);
    // As at the token endpoint (RFC 6749 §5.1).
    Ok(([(PRAGMA, "no-cache")], Json(out)).into_response())
}

fn out(authorized: DeviceAuthorization, public_url: &str) -> DeviceAuthorizationOut {
    let user_code = authorized.user_code.to_string();
    let verification_uri = format!("{public_url}{DEVICE}");
    DeviceAuthorizationOut {
        device_code: authorized.device_code,
        // A user code needs no encoding.
        verification_uri_complete: format!("{verification_uri}?user_code={user_code}"),
        verification_uri,
        user_code,
        expires_in: authorized.expires_in.as_secs(),
        interval: authorized.interval.as_secs(),
    }
}
