//! The log over HTTP, for services without NATS and for auditors.

pub(super) mod proof;
mod query;
mod stream;

use std::sync::Arc;

use authlog_application::ports::StoreError;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::problem::{problem, refused, unauthenticated};
use crate::Api;
use crate::capacity::NoPlace;
use crate::http::{presented_token, retry_later};
use query::{FeedQuery, Start};
use tokio::time::Instant;

/// `Retry-After` of a reader that found no place.
const AFTER_CROWDING: std::time::Duration = std::time::Duration::from_secs(5);

/// `GET /audit/events`: the events after a log index, as NDJSON or as server-sent events.
pub(super) async fn events(
    State(api): State<Arc<Api>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Response> {
    // The client has sent the request earlier, so what is known of this instant is known of that one.
    let arrived = Instant::now();
    let token = presented_token(&headers);
    if token.is_empty() {
        return Err(unauthenticated());
    }
    let (reader, right) = api.authlog.entitle(token).await.map_err(refused)?;
    let query = FeedQuery::parse(query.as_deref(), &headers)
        .map_err(|detail| problem(StatusCode::BAD_REQUEST, &detail))?;
    let place = api.capacity.readers.take(right.actor());
    let place = place.map_err(crowded)?;
    let unread = |error: StoreError| refused(error.into());
    let after = match query.start {
        Start::After(index) => index,
        Start::Since(since) => {
            let before = api.authlog.log_index_before(&reader, since).await;
            before.map_err(unread)?
        }
    };
    let follower = api
        .authlog
        .read_log(&reader, after, query.filter.clone(), query.follow)
        .await
        .map_err(unread)?;
    if after > follower.log_end() {
        return Err(beyond_the_end(after, follower.log_end()));
    }
    Ok(stream::respond(
        api, right, &query, arrived, follower, place,
    ))
}

/// The response to a reader for which there is no place.
fn crowded(reason: NoPlace) -> Response {
    let response = match reason {
        NoPlace::Actor => problem(
            StatusCode::TOO_MANY_REQUESTS,
            "This account or client has reached its limit of concurrent readers of the log.",
        ),
        NoPlace::Node => problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "This node has reached its limit of concurrent readers of the log.",
        ),
    };
    retry_later(response, AFTER_CROWDING)
}

/// The response to a reader whose position is beyond the end of the log. If it waited there, it would miss events: the
/// log was restored from a backup, or is another log.
fn beyond_the_end(after: u64, end: u64) -> Response {
    let detail = format!(
        "The log ends at {end}, and after or Last-Event-ID is {after}. That position belongs to another log, or to this log before it was restored from a backup."
    );
    problem(StatusCode::CONFLICT, &detail)
}
