//! What this service can do, for programs that speak OAuth 2.0 (RFC 8414).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::Api;

/// As long as the keys.
const KEEP: &str = "public, max-age=300";

/// RFC 8414 §2. Nobody gets a token here by OAuth: there is no authorization and no token endpoint, so that no response
/// type, grant or scope is supported, and the lists of them are empty.
#[derive(Serialize)]
struct MetadataOut<'a> {
    issuer: &'a str,
    jwks_uri: String,
    introspection_endpoint: String,
    introspection_endpoint_auth_methods_supported: [&'static str; 1],
    revocation_endpoint: String,
    revocation_endpoint_auth_methods_supported: [&'static str; 1],
    response_types_supported: [&'static str; 0],
    grant_types_supported: [&'static str; 0],
    scopes_supported: [&'static str; 0],
    token_endpoint_auth_methods_supported: [&'static str; 0],
}

/// The metadata.
pub(super) async fn metadata(State(api): State<Arc<Api>>) -> Response {
    let at = |path: &str| format!("{}{path}", api.settings.public_url);
    let out = MetadataOut {
        issuer: api.authlog.issuer_and_audience().0,
        jwks_uri: at("/.well-known/jwks.json"),
        introspection_endpoint: at("/oauth2/introspect"),
        introspection_endpoint_auth_methods_supported: ["Bearer"],
        revocation_endpoint: at("/oauth2/revoke"),
        revocation_endpoint_auth_methods_supported: ["none"],
        response_types_supported: [],
        grant_types_supported: [],
        scopes_supported: [],
        token_endpoint_auth_methods_supported: [],
    };
    ([(CACHE_CONTROL, KEEP)], Json(out)).into_response()
}
