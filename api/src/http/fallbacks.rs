//! Responses to requests that match no route.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;

use super::{RequestError, Surface};
use crate::Api;

/// 404, in the format of the surface that the path belongs to.
pub(crate) async fn unknown_path(
    State(api): State<Arc<Api>>,
    Extension(surface): Extension<&'static Surface>,
) -> Response {
    surface.fail(RequestError::UnknownPath, api.now())
}

/// 405, in the format of the surface that the path belongs to. The router adds `Allow`.
pub(crate) async fn wrong_method(
    State(api): State<Arc<Api>>,
    Extension(surface): Extension<&'static Surface>,
) -> Response {
    surface.fail(RequestError::WrongMethod, api.now())
}
