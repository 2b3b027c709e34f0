//! Whether the program runs, and whether it can be sent requests.

use std::error::Error;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::problem::problem;
use crate::Api;
use crate::exchange::unavailable;

/// 200: the program answers. An outage of the store must not get it restarted, so the store is not asked.
pub(super) async fn live() -> Response {
    Json(json!({ "status": "ok" })).into_response()
}

/// 200 if requests can be served, else 503.
pub(super) async fn ready(State(api): State<Arc<Api>>) -> Response {
    match api.authlog.ready().await {
        Ok(()) => Json(json!({ "status": "ready" })).into_response(),
        Err(refusal) => unavailable(
            problem(
                StatusCode::SERVICE_UNAVAILABLE,
                "The store cannot be used now.",
            ),
            refusal.source().unwrap_or(&refusal),
        ),
    }
}
