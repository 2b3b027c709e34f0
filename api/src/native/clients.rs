//! Endpoints for administrators: the registered clients.

use std::sync::Arc;

use authlog_application::history::client_document;
use authlog_application::{
    Admin, ClientRegistryRefusal, FreshAdmin, IssuedSecret, Refusal, RequestContext,
};
use authlog_domain::client::RegisteredClient;
use authlog_domain::{ClientId, ClientSecretId};
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::{Value, json};

use super::account::bad_request;
use super::caller::{Bearer, BearerWithBody};
use super::client_in::{ClientIn, form, registration};
use super::factors::shown_once;
use super::page_query::ClientsQuery;
use super::problem::{no_content, refused};
use crate::Api;

/// `GET /admin/clients`: a page of all clients, in the order of their ids.
pub(super) async fn clients(
    State(api): State<Arc<Api>>,
    Bearer(admin): Bearer<Admin>,
    RawQuery(query): RawQuery,
) -> Result<Response, Response> {
    let ClientsQuery { after, limit } =
        ClientsQuery::parse(query.as_deref()).map_err(|detail| bad_request(&detail))?;
    let page = api
        .authlog
        .page_of_clients(&admin, after.as_ref(), limit)
        .await;
    let page = page.map_err(refused)?;
    let clients: Vec<Value> = page.clients.iter().map(client_document).collect();
    Ok(Json(json!({ "clients": clients, "next": page.next })).into_response())
}

/// `POST /admin/clients`: registers a client. The answer is the only one with its secret.
pub(super) async fn register(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    BearerWithBody(admin, body): BearerWithBody<FreshAdmin, ClientIn>,
) -> Result<Response, Response> {
    let (id, form) = registration(&body).map_err(|detail| bad_request(&detail))?;
    let new = api
        .authlog
        .register_client(&admin, id.as_deref(), &form, &context)
        .await
        .map_err(refused)?;
    let mut out = client_document(&new.client);
    if let Some(issued) = &new.secret {
        out["secret"] = Value::from(issued.secret.as_str());
    }
    Ok(shown_once(StatusCode::CREATED, &out))
}

/// `GET /admin/clients/{id}`.
pub(super) async fn client(
    State(api): State<Arc<Api>>,
    Bearer(admin): Bearer<Admin>,
    Path(id): Path<String>,
) -> Result<Response, Response> {
    let id = id_of(&id).map_err(refused)?;
    Ok(document(api.authlog.client_of(&admin, &id).await))
}

/// `PATCH /admin/clients/{id}`: replaces the members that the body names.
pub(super) async fn change(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    Path(id): Path<String>,
    BearerWithBody(admin, body): BearerWithBody<FreshAdmin, ClientIn>,
) -> Result<Response, Response> {
    let id = id_of(&id).map_err(refused)?;
    let form = form(&body).map_err(|detail| bad_request(&detail))?;
    let changed = api
        .authlog
        .change_client(&admin, &id, &form, &context)
        .await;
    Ok(document(changed))
}

/// `DELETE /admin/clients/{id}`.
pub(super) async fn remove(
    State(api): State<Arc<Api>>,
    Bearer(admin): Bearer<FreshAdmin>,
    Extension(context): Extension<RequestContext>,
    Path(id): Path<String>,
) -> Result<Response, Response> {
    let id = id_of(&id).map_err(refused)?;
    Ok(no_content(
        api.authlog.remove_client(&admin, &id, &context).await,
    ))
}

/// `POST /admin/clients/{id}/secrets`: issues one more secret. The answer is the only one with it.
pub(super) async fn issue_secret(
    State(api): State<Arc<Api>>,
    Bearer(admin): Bearer<FreshAdmin>,
    Extension(context): Extension<RequestContext>,
    Path(id): Path<String>,
) -> Result<Response, Response> {
    let id = id_of(&id).map_err(refused)?;
    let issued = api
        .authlog
        .issue_client_secret(&admin, &id, &context)
        .await
        .map_err(refused)?;
    let IssuedSecret { id, secret } = &issued;
    Ok(shown_once(
        StatusCode::CREATED,
        &json!({ "id": id, "secret": secret.as_str() }),
    ))
}

/// `DELETE /admin/clients/{id}/secrets/{secret}`.
pub(super) async fn retire_secret(
    State(api): State<Arc<Api>>,
    Bearer(admin): Bearer<FreshAdmin>,
    Extension(context): Extension<RequestContext>,
    Path((id, secret)): Path<(String, String)>,
) -> Result<Response, Response> {
    let id = id_of(&id).map_err(refused)?;
    let secret = ClientSecretId::parse(&secret)
        .ok_or_else(|| refused(ClientRegistryRefusal::UnknownSecret.into()))?;
    let changed = api
        .authlog
        .retire_client_secret(&admin, &id, secret, &context)
        .await;
    Ok(document(changed))
}

/// `POST /admin/clients/{id}/lock`.
pub(super) async fn lock(
    State(api): State<Arc<Api>>,
    Bearer(admin): Bearer<FreshAdmin>,
    Extension(context): Extension<RequestContext>,
    Path(id): Path<String>,
) -> Result<Response, Response> {
    let id = id_of(&id).map_err(refused)?;
    Ok(document(
        api.authlog.lock_client(&admin, &id, &context).await,
    ))
}

/// `POST /admin/clients/{id}/unlock`.
pub(super) async fn unlock(
    State(api): State<Arc<Api>>,
    Bearer(admin): Bearer<FreshAdmin>,
    Extension(context): Extension<RequestContext>,
    Path(id): Path<String>,
) -> Result<Response, Response> {
    let id = id_of(&id).map_err(refused)?;
    Ok(document(
        api.authlog.unlock_client(&admin, &id, &context).await,
    ))
}

/// The document of a client that was found or changed.
fn document(client: Result<RegisteredClient, Refusal>) -> Response {
    match client {
        Ok(client) => Json(client_document(&client)).into_response(),
        Err(refusal) => refused(refusal),
    }
}

/// The client id in a path.
pub(super) fn id_of(id: &str) -> Result<ClientId, Refusal> {
    ClientId::parse(id).map_err(|_| ClientRegistryRefusal::Unknown.into())
}
