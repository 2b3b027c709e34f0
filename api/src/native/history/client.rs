//! The history of a client and its state at any time, for auditors.

use std::sync::Arc;

use authlog_application::history::{Entry, client_state_document};
use authlog_application::{Auditor, ClientHistoryPage, ClientStateAt, RequestContext};
use authlog_domain::ClientId;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use serde_json::json;

use super::query::{HistoryQuery, StateQuery};
use crate::Api;
use crate::native::account::bad_request;
use crate::native::caller::Bearer;
use crate::native::clients::id_of;
use crate::native::page::PageRoom;
use crate::native::problem::{problem, refused};

/// The largest number of events in a page. No filter makes a page read more than these at a time.
const MAX_EVENTS: u32 = ClientHistoryPage::READ_AT_ONCE;

/// A page of a history. Fields are only ever added.
#[derive(Serialize)]
struct HistoryOut {
    client_id: ClientId,
    events: Vec<Entry>,
    /// `after` of the next request; `null` if there are no more events now. Unlike in the history of an account, it is the number
    /// of an event of this client, the last part of its `id`.
    next: Option<u64>,
}

/// `GET /audit/clients/{id}/events`: the history of a client.
pub(in crate::native) async fn events(
    State(api): State<Arc<Api>>,
    Bearer(auditor): Bearer<Auditor>,
    Extension(context): Extension<RequestContext>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Response> {
    let client = id_of(&id).map_err(refused)?;
    let query = HistoryQuery::parse(query.as_deref()).map_err(|detail| bad_request(&detail))?;
    let place = PageRoom::of_client(&api, auditor.actor(), MAX_EVENTS, &context).await?;
    let HistoryQuery {
        after,
        limit,
        filter,
    } = query;
    let page = api
        .authlog
        .client_history(&auditor, &client, after, limit.min(MAX_EVENTS), &filter)
        .await;
    let ClientHistoryPage { events, next } = page.map_err(refused)?;
    Ok(place.answer(&HistoryOut {
        client_id: client,
        events: events.into_iter().map(Entry::of).collect(),
        next,
    }))
}

/// `GET /audit/clients/{id}?at=`: the state of a client at a log index or an instant, or its current state.
pub(in crate::native) async fn state(
    State(api): State<Arc<Api>>,
    Bearer(auditor): Bearer<Auditor>,
    Extension(context): Extension<RequestContext>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Response> {
    let client = id_of(&id).map_err(refused)?;
    let StateQuery { at } =
        StateQuery::parse(query.as_deref()).map_err(|detail| bad_request(&detail))?;
    let _place = PageRoom::of_client(&api, auditor.actor(), MAX_EVENTS, &context).await?;
    let found = api
        .authlog
        .client_state_at(&auditor, &client, at)
        .await
        .map_err(refused)?;
    match found {
        ClientStateAt::Found(found) => {
            let mut out = client_state_document(&found);
            out["client_id"] = json!(client);
            Ok(Json(out).into_response())
        }
        ClientStateAt::NotYetRegistered => Err(problem(
            StatusCode::NOT_FOUND,
            "The client had not been registered then.",
        )),
        ClientStateAt::LogEndsAt(last) => Err(problem(
            StatusCode::NOT_FOUND,
            &format!("The log ends at {last}, before that log index."),
        )),
        ClientStateAt::InTheFuture => Err(bad_request("at must not be in the future.")),
    }
}
