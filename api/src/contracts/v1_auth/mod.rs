//! Contract E, `/v1/auth`: registering signs in, and wrong members are told by one sentence each.

mod envelope;
mod handlers;
mod terms;
mod wire;

use std::sync::Arc;

use authlog_domain::ContractName;
use axum::Router;
use axum::routing::post;

use crate::Api;
use crate::exchange::Surface;

/// The contract.
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
