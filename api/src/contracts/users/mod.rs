//! The contract `/users`: the body repeats the HTTP status, and every response has the same five fields.

mod envelope;
mod handlers;
mod terms;
mod wire;

use std::sync::Arc;

use authlog_domain::ContractName;
use axum::Router;
use axum::routing::{get, post, put};

use crate::Api;
use crate::http::Surface;

pub(super) use handlers::signed_in_response;
pub(super) use terms::TERMS;

/// The surface of the contract.
pub(crate) static SURFACE: Surface = Surface {
    contract: ContractName::Users,
    base: "/users",
    routes,
    failed: envelope::failed,
};

fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/users", post(handlers::create))
        .route("/users/login", post(handlers::log_in))
        .route("/users/verify-token", get(handlers::verify_token))
        .route("/users/refresh-token", post(handlers::refresh_token))
        .route("/users/reset-password", post(handlers::reset_password))
        .route(
            "/users/reset-password/verify-token",
            get(handlers::verify_reset_token),
        )
        .route(
            "/users/reset-password/update-password",
            put(handlers::update_password),
        )
}
