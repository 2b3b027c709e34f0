//! Endpoints for administrators: the accounts of other people.

use std::sync::Arc;

use authlog_application::ports::Account;
use authlog_application::{Admin, FreshAdmin, Refusal, RequestContext};
use authlog_domain::{AccountNumber, Role, SessionId, UserId};
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};

use super::account::bad_request;
use super::caller::{Bearer, BearerWithBody};
use super::page::PageRoom;
use super::page_query::{SessionsQuery, UsersQuery, Wanted};
use super::problem::{no_content, refused};
use super::profile::{ProfileOut, SessionsOut};
use crate::Api;
use crate::http::JsonField;

/// A page of accounts.
#[derive(Serialize)]
struct UsersOut<'a> {
    users: Vec<ProfileOut<'a>>,
    /// `after` of the next request. `null` on the last page.
    next: Option<AccountNumber>,
}

/// `GET /admin/users`: the account with this identifier, or a page of all accounts.
pub(super) async fn users(
    State(api): State<Arc<Api>>,
    Bearer(admin): Bearer<Admin>,
    RawQuery(query): RawQuery,
) -> Result<Response, Response> {
    let (accounts, next) =
        match UsersQuery::parse(query.as_deref()).map_err(|detail| bad_request(&detail))? {
            UsersQuery::One(wanted) => {
                let found = match wanted {
                    None => Err(Refusal::UnknownAccount),
                    Some(Wanted::Id(user)) => api.authlog.account_of(&admin, user).await,
                    Some(Wanted::Called(name)) => {
                        api.authlog.account_by_identifier(&admin, &name).await
                    }
                };
                match found {
                    Ok(account) => (vec![account], None),
                    Err(Refusal::UnknownAccount) => (vec![], None),
                    Err(refusal) => return Err(refused(refusal)),
                }
            }
            UsersQuery::Page { after, limit } => {
                let page = api.authlog.page_of_accounts(&admin, after, limit).await;
                let page = page.map_err(refused)?;
                let is_full = page.len() as u64 == u64::from(limit);
                let last = page.last().map(|account| account.number);
                (page, last.filter(|_| is_full))
            }
        };
    let users = accounts.iter().map(ProfileOut::of).collect();
    Ok(Json(UsersOut { users, next }).into_response())
}

/// `GET /admin/users/{id}`.
pub(super) async fn user(
    State(api): State<Arc<Api>>,
    Bearer(admin): Bearer<Admin>,
    Path(id): Path<String>,
) -> Result<Response, Response> {
    let user = id_of(&id).map_err(refused)?;
    let account = api.authlog.account_of(&admin, user).await;
    Ok(profile(account))
}

#[derive(Deserialize)]
pub(super) struct RoleIn {
    #[serde(default)]
    role: JsonField,
}

/// `PUT /admin/users/{id}/role`.
pub(super) async fn change_role(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    Path(id): Path<String>,
    BearerWithBody(admin, body): BearerWithBody<FreshAdmin, RoleIn>,
) -> Result<Response, Response> {
    let user = id_of(&id).map_err(refused)?;
    let role = body.role.text().and_then(Role::parse);
    let role = role.ok_or_else(|| bad_request("role must be user, service, auditor or admin."))?;
    let account = api.authlog.change_role(&admin, user, role, &context).await;
    Ok(profile(account))
}

/// `POST /admin/users/{id}/lock`.
pub(super) async fn lock(
    State(api): State<Arc<Api>>,
    Bearer(admin): Bearer<FreshAdmin>,
    Extension(context): Extension<RequestContext>,
    Path(id): Path<String>,
) -> Result<Response, Response> {
    let user = id_of(&id).map_err(refused)?;
    let account = api.authlog.lock(&admin, user, &context).await;
    Ok(profile(account))
}

/// `POST /admin/users/{id}/unlock`.
pub(super) async fn unlock(
    State(api): State<Arc<Api>>,
    Bearer(admin): Bearer<FreshAdmin>,
    Extension(context): Extension<RequestContext>,
    Path(id): Path<String>,
) -> Result<Response, Response> {
    let user = id_of(&id).map_err(refused)?;
    let account = api.authlog.unlock(&admin, user, &context).await;
    Ok(profile(account))
}

/// `GET /admin/users/{id}/sessions`.
pub(super) async fn sessions(
    State(api): State<Arc<Api>>,
    Bearer(admin): Bearer<Admin>,
    Extension(context): Extension<RequestContext>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Response> {
    let user = id_of(&id).map_err(refused)?;
    let SessionsQuery { after, limit } =
        SessionsQuery::parse(query.as_deref()).map_err(|detail| bad_request(&detail))?;
    let place = PageRoom::of(&api, admin.account().id, limit, &context).await?;
    let page = api.authlog.sessions_of(&admin, user, after, limit).await;
    Ok(place.answer(&SessionsOut::of(page.map_err(refused)?, None)))
}

/// `DELETE /admin/users/{id}/sessions`.
pub(super) async fn end_sessions(
    State(api): State<Arc<Api>>,
    Bearer(admin): Bearer<FreshAdmin>,
    Extension(context): Extension<RequestContext>,
    Path(id): Path<String>,
) -> Result<Response, Response> {
    let user = id_of(&id).map_err(refused)?;
    let ended = api.authlog.end_sessions_of(&admin, user, &context).await;
    Ok(no_content(ended))
}

/// `DELETE /admin/users/{id}/sessions/{session}`.
pub(super) async fn end_session(
    State(api): State<Arc<Api>>,
    Bearer(admin): Bearer<FreshAdmin>,
    Extension(context): Extension<RequestContext>,
    Path((id, session)): Path<(String, String)>,
) -> Result<Response, Response> {
    let user = id_of(&id).map_err(refused)?;
    let session = SessionId::parse(&session).ok_or_else(|| refused(Refusal::UnknownSession))?;
    let ended = api
        .authlog
        .end_session_of(&admin, user, session, &context)
        .await;
    Ok(no_content(ended))
}

/// The profile of an account that was found or changed.
fn profile(account: Result<Account, Refusal>) -> Response {
    match account {
        Ok(account) => Json(ProfileOut::of(&account)).into_response(),
        Err(refusal) => refused(refusal),
    }
}

/// The account id in a path.
pub(super) fn id_of(id: &str) -> Result<UserId, Refusal> {
    UserId::parse(id).ok_or(Refusal::UnknownAccount)
}
