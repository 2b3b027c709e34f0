//! The documentation of the event stream: an AsyncAPI document and JSON Schemas.

use std::sync::LazyLock;

use authlog_application::published::{self, schema_names};
use axum::Json;
use axum::body::Bytes;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::problem::problem;

/// The AsyncAPI 3.0 document. It is serialised once, and all responses share it.
static ASYNC_API: LazyLock<Bytes> = LazyLock::new(|| published::async_api().to_string().into());

/// The AsyncAPI 3.0 document of the stream.
pub(super) async fn async_api() -> Response {
    ([(CONTENT_TYPE, "application/json")], ASYNC_API.clone()).into_response()
}

/// The JSON Schema of a type of event, or of their common envelope, by its file name.
pub(super) async fn schema(Path(name): Path<String>) -> Response {
    let schema = match schema_names().find(|(known, _)| *known == name) {
        Some((_, kind)) => published::schema(kind),
        None if name == published::ENVELOPE => published::envelope(),
        None if name == published::ANY_EVENT => published::any_event(),
        None => return problem(StatusCode::NOT_FOUND, "There is no schema with that name."),
    };
    ([(CONTENT_TYPE, "application/schema+json")], Json(schema)).into_response()
}
