//! The contract `/api`: opaque tokens, and a code for each invalid field.

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
    contract: ContractName::Api,
    base: "/api",
    routes,
    failed: envelope::failed,
};

fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/api/register", post(handlers::register))
        .route("/api/login", post(handlers::log_in))
}
