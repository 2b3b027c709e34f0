//! An account's past over HTTP: what happened to it and how it stood, for auditors and for the person.

mod query;

use std::sync::Arc;

use authlog_application::history::{Entry, portrait};
use authlog_application::{Refusal, RequestContext, StoodThen};
use authlog_domain::{Role, UserId};
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use serde_json::json;

use super::page::Page;
use super::problem::{problem, refused};
use crate::Api;
use crate::exchange::presented_token;
use query::{HistoryQuery, MAX_LIMIT, StateQuery};

/// Who may read other people's past, personal fields included.
const READERS: [Role; 2] = [Role::Auditor, Role::Admin];

/// A piece of a history. Members are only ever added; those of an event are told in `Entry`.
#[derive(Serialize)]
struct HistoryOut {
    user: UserId,
    events: Vec<Entry>,
    /// `after` of the next request; null when there is nothing more now. To read later events, go on after the last event
    /// that has a `log_index`.
    next: Option<u64>,
}

/// `GET /audit/users/{id}/events`: the history of an account.
pub(super) async fn events(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let token = presented_token(&headers);
    let reader = api.authlog.authorize(token, &READERS).await;
    let reader = reader.map_err(refused)?;
    let user = UserId::parse(&id).ok_or_else(|| refused(Refusal::UnknownAccount))?;
    history(&api, reader.id, user, query.as_deref(), &context).await
}

/// `GET /account/history`: one's own.
pub(super) async fn own_history(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let token = presented_token(&headers);
    let caller = api.authlog.authenticate(token).await.map_err(refused)?;
    history(&api, caller.user, caller.user, query.as_deref(), &context).await
}

async fn history(
    api: &Api,
    reader: UserId,
    user: UserId,
    query: Option<&str>,
    context: &RequestContext,
) -> Result<Response, Response> {
    let HistoryQuery {
        after,
        limit,
        filter,
    } = HistoryQuery::parse(query.unwrap_or_default()).map_err(|detail| bad_request(&detail))?;
    let place = Page::of(api, reader, limit, context).await?;
    let page = api
        .authlog
        .history(user, after, limit, &filter)
        .await
        .map_err(refused)?;
    let next = page.next;
    let events = page.events.into_iter().map(Entry::of).collect();
    Ok(place.answer(&HistoryOut { user, events, next }))
}

/// `GET /audit/users/{id}?at=`: an account as it stood, or stands.
pub(super) async fn state(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let token = presented_token(&headers);
    let reader = api.authlog.authorize(token, &READERS).await;
    let reader = reader.map_err(refused)?;
    let user = UserId::parse(&id).ok_or_else(|| refused(Refusal::UnknownAccount))?;
    let StateQuery { at } = StateQuery::parse(query.as_deref().unwrap_or_default())
        .map_err(|detail| bad_request(&detail))?;
    let _place = Page::of(&api, reader.id, MAX_LIMIT, &context).await?;
    let stood = api.authlog.state_at(user, at).await.map_err(refused)?;
    match stood {
        StoodThen::So(stood) => {
            let mut out = portrait(&stood.state, stood.told_at);
            out["user"] = json!(user);
            Ok(Json(out).into_response())
        }
        StoodThen::NotYetRegistered => Err(problem(
            StatusCode::NOT_FOUND,
            "The account had not been registered then.",
        )),
        StoodThen::LogEndsAt(last) => Err(problem(
            StatusCode::NOT_FOUND,
            &format!("The log does not reach so far: it ends at {last}."),
        )),
        StoodThen::StillToCome => Err(bad_request("at has to be an instant that has come.")),
    }
}

fn bad_request(detail: &str) -> Response {
    problem(StatusCode::BAD_REQUEST, detail)
}
