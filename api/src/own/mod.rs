//! Authlog's own endpoints: everything outside the contracts.

mod audit;
mod erasure;
mod health;
mod keys;
mod metadata;
mod metrics;
mod oauth;
mod past;
mod problem;
mod reset_page;
mod schemas;

use std::sync::Arc;

use authlog_domain::ContractName;
use axum::Router;
use axum::routing::{delete, get, post};

use crate::Api;
use crate::exchange::Surface;

/// Our own surface.
pub(crate) static SURFACE: Surface = Surface {
    contract: ContractName::Authlog,
    base: "",
    routes,
    failed: problem::failed,
};

fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::metrics))
        .route("/asyncapi.json", get(schemas::async_api))
        .route("/schemas/{name}", get(schemas::schema))
        .route("/audit/events", get(audit::events))
        .merge(audit::proof::routes())
        .route("/account", delete(erasure::erase_own))
        .route("/admin/users/{id}", delete(erasure::erase_other))
        .route("/audit/users/{id}", get(past::state))
        .route("/audit/users/{id}/events", get(past::events))
        .route("/account/history", get(past::own_history))
        .route("/.well-known/jwks.json", get(keys::key_set))
        .route(
            "/.well-known/oauth-authorization-server",
            get(metadata::metadata),
        )
        .route("/oauth2/introspect", post(oauth::introspect))
        .route("/oauth2/revoke", post(oauth::revoke))
        .route(
            "/reset-password",
            get(reset_page::show).post(reset_page::submit),
        )
}
