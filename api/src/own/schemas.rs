//! What subscribers are told of the events: an AsyncAPI document, and a JSON Schema each.

use authlog_application::published::{self, schema_names};
use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::problem::problem;

/// The AsyncAPI 3.0 document of the stream.
pub(super) async fn async_api() -> Response {
    Json(published::async_api()).into_response()
}

/// The JSON Schema of one type of event, by its file name.
pub(super) async fn schema(Path(name): Path<String>) -> Response {
    match schema_names().find(|(known, _)| *known == name) {
        Some((_, kind)) => (
            [(CONTENT_TYPE, "application/schema+json")],
            Json(published::schema(kind)),
        )
            .into_response(),
        None => problem(StatusCode::NOT_FOUND, "There is no schema of that name."),
    }
}
