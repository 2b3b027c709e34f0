//! Answers for requests that no route takes.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;

use super::{Failure, Surface};
use crate::Api;

/// 404, in the form of the surface that the path belongs to.
pub(crate) async fn unknown_path(State(api): State<Arc<Api>>, uri: Uri) -> Response {
    Surface::of(uri.path()).fail(Failure::UnknownPath, api.now())
}

/// 405, in the form of the surface that the path belongs to. The router adds `Allow`.
pub(crate) async fn wrong_method(State(api): State<Arc<Api>>, uri: Uri) -> Response {
    Surface::of(uri.path()).fail(Failure::WrongMethod, api.now())
}
