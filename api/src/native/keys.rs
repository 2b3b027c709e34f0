//! The public keys that verify access tokens.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};

use crate::Api;

/// The path of the keys.
pub(super) const KEY_SET: &str = "/.well-known/jwks.json";

/// `Cache-Control` of the keys: verifiers may cache them for five minutes. A new key is published for longer than that before
/// it signs.
pub(super) const KEEP: &str = "public, max-age=300";

/// The keys as a JSON Web Key Set (RFC 7517).
pub(super) async fn key_set(State(api): State<Arc<Api>>) -> Response {
    ([(CACHE_CONTROL, KEEP)], Json(api.authlog.key_set())).into_response()
}
