//! The contract `/api/auth`: two documents for the same paths, answered with the fields of both.

mod envelope;
mod handlers;
mod terms;
mod wire;

use std::sync::Arc;

use authlog_domain::ContractName;
use axum::Router;
use axum::routing::post;

use crate::Api;
use crate::http::Surface;

pub(super) use handlers::signed_in_response;
pub(super) use terms::TERMS;

/// The surface of the contract.
pub(crate) static SURFACE: Surface = Surface {
    contract: ContractName::ApiAuth,
    base: "/api/auth",
    routes,
    failed: envelope::failed,
};

fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/api/auth/register", post(handlers::register))
        .route("/api/auth/login", post(handlers::log_in))
        .route("/api/auth/logout", post(handlers::log_out))
        .route("/api/auth/refresh", post(handlers::refresh))
        .route("/api/auth/refresh-token", post(handlers::refresh_by_cookie))
}
