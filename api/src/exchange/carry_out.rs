//! The frame around every request: it is named, logged and answered, whatever its handler does.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CACHE_CONTROL, HeaderName, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use tokio::time::{Instant, timeout};
use tracing::Instrument;
use uuid::Uuid;

use super::request_context::request_context;
use super::{Failure, Surface};
use crate::Api;

/// Names the request, so that a client can say which one it means.
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Carries out a request in a task of its own: what has begun is finished even if the client has gone or the time is up
/// (a session that was ended in the log must also be ended in memory), and a panic ends no more than that task.
pub(crate) async fn carry_out(
    State(api): State<Arc<Api>>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let surface = Surface::of(request.uri().path());
    let context = request_context(&api, surface, &request);
    let id = context.request;
    let span = tracing::info_span!(
        "request",
        %id,
        contract = surface.contract.as_str(),
        method = known_name(request.method()),
        route = route(&request),
    );
    request.extensions_mut().insert(context);

    let work = tokio::spawn(next.run(request).instrument(span.clone()));
    let answer = timeout(api.settings.request_timeout * 2, work).await;
    let response = match answer {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => {
            tracing::error!(parent: &span, "a handler panicked");
            surface.fail(Failure::Broken, api.now())
        }
        Err(_) => {
            tracing::error!(parent: &span, "an answer was not ready in time");
            surface.fail(Failure::Unfinished, api.now())
        }
    };
    tracing::info!(
        parent: &span,
        status = response.status().as_u16(),
        latency_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
        "answered"
    );
    with_headers_of_every_answer(response, id)
}

/// Nothing here may be stored on the way unless its handler says otherwise, and nothing is what it does not say it is.
fn with_headers_of_every_answer(mut response: Response, id: Uuid) -> Response {
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
        headers.insert(X_REQUEST_ID, id);
    }
    response
}

/// The route as we wrote it: a path as the client wrote it could hold anything.
fn route(request: &Request) -> &str {
    request
        .extensions()
        .get::<MatchedPath>()
        .map_or("none", MatchedPath::as_str)
}

/// The method, unless the client made it up.
fn known_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
