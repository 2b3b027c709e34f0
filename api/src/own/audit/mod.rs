//! The log over HTTP, for services without NATS and for auditors.

pub(super) mod proof;
mod query;
mod stream;

use std::sync::Arc;

use authlog_application::Refusal;
use authlog_domain::Role;
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;

use super::problem::{problem, refused};
use crate::Api;
use crate::exchange::{presented_token, retry_later};
use query::FeedQuery;

/// Who may read the whole log.
pub(super) const READERS: [Role; 3] = [Role::Service, Role::Auditor, Role::Admin];

/// When it is worth asking for a place among the followers again.
const AFTER_CROWDING: std::time::Duration = std::time::Duration::from_secs(5);

/// The events after a place in the log, as NDJSON or as server-sent events.
pub(super) async fn events(
    State(api): State<Arc<Api>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let token = presented_token(&headers).to_owned();
    authorize(&api, &token).await.map_err(refused)?;
    let query = FeedQuery::parse(query.as_deref().unwrap_or_default(), &headers)
        .map_err(|detail| problem(axum::http::StatusCode::BAD_REQUEST, &detail))?;
    let Ok(place) = Arc::clone(&api.followers).try_acquire_owned() else {
        let crowded = problem(
            axum::http::StatusCode::SERVICE_UNAVAILABLE,
            "As many readers as this node serves are reading the log.",
        );
        return Err(retry_later(crowded, AFTER_CROWDING));
    };
    Ok(stream::respond(api, token, query, place))
}

async fn authorize(api: &Api, token: &str) -> Result<(), Refusal> {
    api.authlog.authorize(token, &READERS).await.map(|_| ())
}
