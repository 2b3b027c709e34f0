//! The history of an account and its state at any time, for auditors and for the account's owner.

pub(super) mod client;
mod query;

use std::sync::Arc;

use authlog_application::history::{Entry, state_document};
use authlog_application::ports::HistoryPage;
use authlog_application::{Auditor, Caller, RequestContext, StateAt};
use authlog_domain::UserId;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use serde_json::json;

use super::account::bad_request;
use super::admin::id_of;
use super::caller::Bearer;
use super::page::PageRoom;
use super::problem::{problem, refused};
use crate::Api;
use query::{HistoryQuery, MAX_LIMIT, StateQuery};

/// A page of a history. Fields are only ever added. `Entry` has the fields of an event.
#[derive(Serialize)]
struct HistoryOut {
    user: UserId,
    events: Vec<Entry>,
    /// `after` of the next request; `null` if there are no more events now. To read later events, continue after the
    /// last event that has a `log_index`.
    next: Option<u64>,
}

impl HistoryOut {
    fn of(user: UserId, page: HistoryPage) -> Self {
        Self {
            user,
            events: page.events.into_iter().map(Entry::of).collect(),
            next: page.next,
        }
    }
}

/// `GET /audit/users/{id}/events`: the history of an account.
pub(super) async fn events(
    State(api): State<Arc<Api>>,
    Bearer(auditor): Bearer<Auditor>,
    Extension(context): Extension<RequestContext>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Response> {
    let user = id_of(&id).map_err(refused)?;
    let query = HistoryQuery::parse(query.as_deref()).map_err(|detail| bad_request(&detail))?;
    let place = PageRoom::of(&api, auditor.actor(), query.charged(), &context).await?;
    let HistoryQuery {
        after,
        limit,
        filter,
    } = query;
    let page = api
        .authlog
        .history(&auditor, user, after, limit, &filter)
        .await;
    Ok(place.answer(&HistoryOut::of(user, page.map_err(refused)?)))
}

/// `GET /account/history`: the history of the caller's own account.
pub(super) async fn own_history(
    State(api): State<Arc<Api>>,
    Bearer(caller): Bearer<Caller>,
    Extension(context): Extension<RequestContext>,
    RawQuery(query): RawQuery,
) -> Result<Response, Response> {
    let query = HistoryQuery::parse(query.as_deref()).map_err(|detail| bad_request(&detail))?;
    let place = PageRoom::of(&api, caller.user(), query.charged(), &context).await?;
    let HistoryQuery {
        after,
        limit,
        filter,
    } = query;
    let page = api.authlog.own_history(caller, after, limit, &filter).await;
    Ok(place.answer(&HistoryOut::of(caller.user(), page.map_err(refused)?)))
}

/// `GET /audit/users/{id}?at=`: the state of an account at a log index or an instant, or its current state.
pub(super) async fn state(
    State(api): State<Arc<Api>>,
    Bearer(auditor): Bearer<Auditor>,
    Extension(context): Extension<RequestContext>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Response> {
    let user = id_of(&id).map_err(refused)?;
    let StateQuery { at } =
        StateQuery::parse(query.as_deref()).map_err(|detail| bad_request(&detail))?;
    let _place = PageRoom::of(&api, auditor.actor(), MAX_LIMIT, &context).await?;
    let found = api
        .authlog
        .state_at(&auditor, user, at)
        .await
        .map_err(refused)?;
    match found {
        StateAt::Found(found) => {
            let mut out = state_document(&found.state, found.evaluated_at);
            out["user"] = json!(user);
            Ok(Json(out).into_response())
        }
        StateAt::NotYetRegistered => Err(problem(
            StatusCode::NOT_FOUND,
            "The account had not been registered then.",
        )),
        StateAt::LogEndsAt(last) => Err(problem(
            StatusCode::NOT_FOUND,
            &format!("The log ends at {last}, before that log index."),
        )),
        StateAt::InTheFuture => Err(bad_request("at must not be in the future.")),
    }
}
