//! Whether the program runs, and whether it can be sent requests.

use std::error::Error;
use std::sync::Arc;

use authlog_application::{Behind, Lag};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::problem::problem;
use crate::Api;
use crate::exchange::unavailable;

/// 200: the program answers. An outage of the store must not get it restarted, so the store is not asked.
pub(super) async fn live() -> Response {
    Json(json!({ "status": "ok" })).into_response()
}

/// 200 if requests can be served, else 503. How far the log and the stream are behind is told and does not count: events
/// that wait are not lost, and sending requests elsewhere would not make them wait less. Nor does a log that was tampered
/// with: the service goes on, and an operator has to decide.
pub(super) async fn ready(State(api): State<Arc<Api>>) -> Response {
    match api.authlog.ready().await {
        Ok(()) => {
            let lag = api.authlog.lag().await.ok();
            let integrity = api.authlog.log_integrity();
            Json(json!({
                "status": "ready",
                "lag": lag.as_ref().map(told),
                "log": { "tampered": integrity.tampered, "waiting_for": integrity.waiting_for },
            }))
            .into_response()
        }
        Err(refusal) => unavailable(
            problem(
                StatusCode::SERVICE_UNAVAILABLE,
                "The store cannot be used now.",
            ),
            refusal.source().unwrap_or(&refusal),
        ),
    }
}

fn told(lag: &Lag) -> Value {
    json!({
        "log_index": lag.log_index,
        "sequencer": behind(lag.sequencer),
        "publisher": lag.publisher.map(|publisher| {
            let mut told = behind(publisher);
            told["trouble"] = json!(lag.trouble);
            told
        }),
    })
}

fn behind(behind: Behind) -> Value {
    json!({ "events": behind.events, "seconds": behind.age.as_secs_f64() })
}
