//! The authorization server metadata (RFC 8414).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::keys::KEEP;
use crate::Api;

/// The metadata of RFC 8414 §2. Tokens are issued through the contracts, so there is no authorization endpoint, no
/// token endpoint, and no response type, grant or scope. Fields without a value are left out, as §3.2 requires. That
/// includes `response_types_supported`, which §2 requires of a server that has one.
#[derive(Serialize)]
struct MetadataOut<'a> {
    issuer: &'a str,
    jwks_uri: String,
    introspection_endpoint: String,
    introspection_endpoint_auth_methods_supported: [&'static str; 1],
    revocation_endpoint: String,
    revocation_endpoint_auth_methods_supported: [&'static str; 1],
}

/// Returns the metadata.
pub(super) async fn metadata(State(api): State<Arc<Api>>) -> Response {
    let at = |path: &str| format!("{}{path}", api.settings.public_url);
    let out = MetadataOut {
        issuer: api.authlog.issuer_and_audience().0,
        jwks_uri: at("/.well-known/jwks.json"),
        introspection_endpoint: at("/oauth2/introspect"),
        introspection_endpoint_auth_methods_supported: ["Bearer"],
        revocation_endpoint: at("/oauth2/revoke"),
        revocation_endpoint_auth_methods_supported: ["none"],
    };
    ([(CACHE_CONTROL, KEEP)], Json(out)).into_response()
}
