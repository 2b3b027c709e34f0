//! Authlog's own endpoints: everything outside of the contracts and the hosted pages.

mod account;
mod admin;
mod audit;
mod caller;
mod client_in;
mod clients;
mod erasure;
mod factors;
pub(crate) mod forward_auth;
mod health;
mod history;
mod keys;
mod metadata;
mod metrics;
mod oauth;
mod page;
mod page_query;
mod passkey_in;
mod passkey_options;
mod passkeys;
mod problem;
mod profile;
mod query;
mod schemas;
mod second_factor;
mod step_up;

use std::sync::Arc;

use authlog_domain::ContractName;
use axum::Router;
use axum::routing::{delete, get, post, put};

use crate::Api;
use crate::http::Surface;
use crate::oauth2::{DEVICE_AUTHORIZATION, PAR, TOKEN, USERINFO};
use crate::pages::{AUTHORIZE, END_SESSION};
pub(crate) use factors::key_uri;
pub(crate) use page::{NoRoom, PageRoom};
pub(crate) use passkey_in::{assertion, attestation};
pub(crate) use passkey_options::{AssertionOptionsOut, CreationOptionsOut};

/// The introspection endpoint (RFC 7662).
const INTROSPECT: &str = "/oauth2/introspect";

/// The revocation endpoint (RFC 7009).
const REVOKE: &str = "/oauth2/revoke";

/// Routes that change nothing, although their method is POST.
pub(crate) const READ_ONLY: [&str; 8] = [
    INTROSPECT,
    AUTHORIZE,
    END_SESSION,
    PAR,
    USERINFO,
    PASSKEY_OPTIONS,
    SECOND_STEP_OPTIONS,
    STEP_UP_OPTIONS,
];

const PASSKEY_OPTIONS: &str = "/sign-in/passkey/options";
const SECOND_STEP_OPTIONS: &str = "/sign-in/second-factor/options";
const STEP_UP_OPTIONS: &str = "/account/step-up/options";

/// Routes that pages of every site may read: they read no cookie, and without a token they return public data only.
pub(crate) const PUBLIC: [&str; 8] = [
    keys::KEY_SET,
    metadata::OF_SERVER,
    metadata::OF_PROVIDER,
    TOKEN,
    DEVICE_AUTHORIZATION,
    USERINFO,
    PAR,
    REVOKE,
];

/// Routes that monitoring requests every few seconds.
pub(crate) const PROBES: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// The surface of Authlog's own endpoints.
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
        .route("/account", get(account::profile).delete(erasure::erase_own))
        .route("/account/erase", post(erasure::erase_own))
        .route(
            "/account/sessions",
            get(account::sessions).delete(account::end_other_sessions),
        )
        .route("/account/sessions/{id}", delete(account::end_session))
        .route("/account/password", post(account::change_password))
        .route("/account/email", post(account::change_email))
        .route(
            "/account/email/verification",
            post(account::request_verification),
        )
        .route("/account/factors", get(factors::factors))
        .route("/account/factors/totp", post(factors::begin_totp))
        .route(
            "/account/factors/totp/{id}/confirm",
            post(factors::confirm_totp),
        )
        .route(
            "/account/factors/passkeys/options",
            post(passkeys::begin_enrolment),
        )
        .route("/account/factors/passkeys", post(passkeys::enrol))
        .route(
            "/account/factors/{id}",
            delete(factors::remove).patch(factors::rename),
        )
        .route("/account/factors/{id}/remove", post(factors::remove))
        .route(
            "/account/recovery-codes",
            post(factors::issue_recovery_codes),
        )
        .route("/account/step-up", post(step_up::step_up))
        .route(STEP_UP_OPTIONS, post(step_up::options))
        .route("/sign-in/second-factor", post(second_factor::finish))
        .route(SECOND_STEP_OPTIONS, post(second_factor::options))
        .route(PASSKEY_OPTIONS, post(passkeys::begin_sign_in))
        .route("/sign-in/passkey", post(passkeys::sign_in))
        .route("/admin/users", get(admin::users))
        .route(
            "/admin/users/{id}",
            get(admin::user).delete(erasure::erase_other),
        )
        .route("/admin/users/{id}/role", put(admin::change_role))
        .route("/admin/users/{id}/lock", post(admin::lock))
        .route("/admin/users/{id}/unlock", post(admin::unlock))
        .route("/admin/users/{id}/factors", delete(factors::remove_all))
        .route(
            "/admin/users/{id}/sessions",
            get(admin::sessions).delete(admin::end_sessions),
        )
        .route(
            "/admin/users/{id}/sessions/{session}",
            delete(admin::end_session),
        )
        .route(
            "/admin/clients",
            get(clients::clients).post(clients::register),
        )
        .route(
            "/admin/clients/{id}",
            get(clients::client)
                .patch(clients::change)
                .delete(clients::remove),
        )
        .route("/admin/clients/{id}/lock", post(clients::lock))
        .route("/admin/clients/{id}/unlock", post(clients::unlock))
        .route("/admin/clients/{id}/secrets", post(clients::issue_secret))
        .route(
            "/admin/clients/{id}/secrets/{secret}",
            delete(clients::retire_secret),
        )
        .route("/audit/clients/{id}", get(history::client::state))
        .route("/audit/clients/{id}/events", get(history::client::events))
        .route("/audit/users/{id}", get(history::state))
        .route("/audit/users/{id}/events", get(history::events))
        .route("/account/history", get(history::own_history))
        .route(keys::KEY_SET, get(keys::key_set))
        .route(metadata::OF_SERVER, get(metadata::metadata))
        .route(metadata::OF_PROVIDER, get(metadata::metadata))
        .route(INTROSPECT, post(oauth::introspect))
        .route(REVOKE, post(oauth::revoke))
}
