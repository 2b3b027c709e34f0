//! The contract `/v1/auth`: a registration signs in, and each invalid field has one sentence.

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
    contract: ContractName::V1Auth,
    base: "/v1/auth",
    routes,
    failed: envelope::failed,
};

fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/v1/auth/register", post(handlers::register))
        .route("/v1/auth/login", post(handlers::log_in))
}
