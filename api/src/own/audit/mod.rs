//! The log over HTTP, for services without NATS and for auditors.

pub(super) mod proof;
mod query;
mod stream;

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::problem::{problem, refused, unauthenticated};
use crate::Api;
use crate::capacity::NoPlace;
use crate::exchange::{presented_token, retry_later};
use query::FeedQuery;

/// When it is worth asking for a place among the followers again.
const AFTER_CROWDING: std::time::Duration = std::time::Duration::from_secs(5);

/// The events after a place in the log, as NDJSON or as server-sent events.
pub(super) async fn events(
    State(api): State<Arc<Api>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let token = presented_token(&headers);
    if token.is_empty() {
        return Err(unauthenticated());
    }
    let (reader, right) = api.authlog.entitle(token).await.map_err(refused)?;
    let query = FeedQuery::parse(query.as_deref().unwrap_or_default(), &headers)
        .map_err(|detail| problem(StatusCode::BAD_REQUEST, &detail))?;
    let place = api.capacity.readers.take(right.account());
    let place = place.map_err(crowded)?;
    let follower = api
        .authlog
        .read_log(&reader, query.after, query.filter.clone(), query.follow)
        .await
        .map_err(|error| refused(error.into()))?;
    if query.after > follower.log_end() {
        return Err(beyond_the_end(query.after, follower.log_end()));
    }
    Ok(stream::respond(api, right, &query, follower, place))
}

/// There is no place among the readers.
fn crowded(reason: NoPlace) -> Response {
    let response = match reason {
        NoPlace::Account => problem(
            StatusCode::TOO_MANY_REQUESTS,
            "This account already reads the log over as many requests as one account may.",
        ),
        NoPlace::Node => problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "As many readers as this node serves are reading the log.",
        ),
    };
    retry_later(response, AFTER_CROWDING)
}

/// Whoever read on from there would wait for events that are not theirs: the log was restored from a backup, or it is
/// another one.
fn beyond_the_end(after: u64, end: u64) -> Response {
    let detail = format!(
        "The log ends at {end}, so nobody can have read it up to {after}: after or Last-Event-ID is of another log, or of this one before it was restored from a backup."
    );
    problem(StatusCode::CONFLICT, &detail)
}
