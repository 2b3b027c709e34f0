//! Erasure of an account, by its owner or by an administrator.

use std::sync::Arc;

use authlog_application::{Caller, FreshAdmin, Refusal, RequestContext};
use axum::Extension;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::admin::id_of;
use super::caller::{Bearer, BearerWithBody};
use super::problem::{no_content, problem, refused};
use super::step_up::OwnerProofIn;
use crate::Api;

/// `DELETE /account` and `POST /account/erase`: erases the caller's account. 204 on success.
pub(super) async fn erase_own(
    State(api): State<Arc<Api>>,
    Extension(context): Extension<RequestContext>,
    BearerWithBody(caller, body): BearerWithBody<Caller, OwnerProofIn>,
) -> Result<Response, Response> {
    let proof = body.proof()?;
    api.authlog
        .erase_own_account(caller, proof, &context)
        .await
        .map_err(|refusal| match refusal {
            // The token is valid, so 401 would be wrong: another token would not help.
            Refusal::WrongCredentials { .. } => {
                problem(StatusCode::FORBIDDEN, "The password is wrong.")
            }
            Refusal::Invalid(_) => problem(
                StatusCode::BAD_REQUEST,
                "The body must hold the account's password: {\"password\": \"…\"}.",
            ),
            other => refused(other),
        })?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Erases an account. 204 also for an account that is erased already, so that a client can repeat the request after a
/// lost response.
pub(super) async fn erase_other(
    State(api): State<Arc<Api>>,
    Bearer(admin): Bearer<FreshAdmin>,
    Extension(context): Extension<RequestContext>,
    Path(id): Path<String>,
) -> Result<Response, Response> {
    let user = id_of(&id).map_err(refused)?;
    let erased = api.authlog.erase_account(&admin, user, &context).await;
    Ok(no_content(erased))
}
