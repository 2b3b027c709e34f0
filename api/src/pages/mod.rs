//! The hosted pages: what people see of this service in a browser.
//!
//! They are made on the server and work without script; only passkeys need it. A person who signs in here has a session like any
//! other, whose secret is a cookie (`docs/adr/0029`).
//!
//! | module | contents |
//! |---|---|
//! | `home`, `sign_in`, `second_step`, `sign_up`, `sign_out`, `security` | the pages |
//! | `authorize`, `consent`, `application` | the authorization endpoint, its consent page, and the application that sent a person |
//! | `device_sign_in` | the page on which a person lets a device sign in |
//! | `end_session` | the logout endpoint of applications |
//! | `forgotten_password`, `reset_password`, `verify_email` | the pages around mailed links |
//! | `frame`, `html`, `style.css` | the look and the headers that all pages share |
//! | `passkey`, `script`, `passkey.js` | what a form takes from a passkey, and the script that asks the browser for it |
//! | `session`, `cookie`, `cross_site`, `form`, `next` | what a request says: who sent it, from where, with which form |
//! | `trouble` | the sentences for refusals |
//! | `device`, `qr_code` | what the page `/security` shows |

mod application;
mod authorize;
mod consent;
mod cookie;
mod cross_site;
mod device;
mod device_sign_in;
mod end_session;
mod forgotten_password;
mod form;
mod frame;
mod home;
mod html;
mod next;
mod passkey;
mod qr_code;
mod requested;
mod reset_password;
mod script;
mod second_step;
mod security;
mod session;
mod sign_in;
mod sign_out;
mod sign_up;
mod trouble;
mod verify_email;

use std::sync::Arc;

use authlog_domain::{ContractName, Timestamp};
use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};

use crate::Api;
use crate::http::Surface;
pub(crate) use authorize::AUTHORIZE;
pub(crate) use device_sign_in::DEVICE;
pub(crate) use end_session::END_SESSION;

/// The surface of the pages.
pub(crate) static SURFACE: Surface = Surface {
    contract: ContractName::Authlog,
    base: "",
    routes,
    failed: trouble::failed,
};

/// The paths of the pages. Below the last one, every path is a page.
const PATHS: [&str; 14] = [
    "/",
    authorize::AUTHORIZE,
    consent::CONSENT,
    DEVICE,
    device_sign_in::DECISION,
    "/sign-in",
    "/sign-in/code",
    "/sign-up",
    sign_out::SIGN_OUT,
    END_SESSION,
    "/forgotten-password",
    "/reset-password",
    "/verify-email",
    "/security",
];

/// Whether a request for `path` is answered with a page, also if it fails.
pub(crate) fn is_page(path: &str) -> bool {
    PATHS.contains(&path) || path.starts_with("/security/")
}

fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/", get(home::show))
        .route("/favicon.ico", get(icon))
        .route(script::PATH, get(script::show))
        .route("/sign-in", get(sign_in::show).post(sign_in::submit))
        .route("/sign-in/code", post(second_step::submit))
        .route(
            authorize::AUTHORIZE,
            get(authorize::show).post(authorize::submit),
        )
        .route(consent::CONSENT, post(consent::submit))
        .route(
            DEVICE,
            get(device_sign_in::show).post(device_sign_in::submit),
        )
        .route(device_sign_in::DECISION, post(device_sign_in::decide))
        .route("/sign-up", get(sign_up::show).post(sign_up::submit))
        .route(
            sign_out::SIGN_OUT,
            get(sign_out::show).post(sign_out::submit),
        )
        .route(
            END_SESSION,
            get(end_session::show).post(end_session::submit),
        )
        .route(
            "/forgotten-password",
            get(forgotten_password::show).post(forgotten_password::submit),
        )
        .route(
            "/reset-password",
            get(reset_password::show).post(reset_password::submit),
        )
        .route(
            "/verify-email",
            get(verify_email::show).post(verify_email::submit),
        )
        .route("/security", get(security::show))
        .route(
            "/security/password",
            get(security::password::show).post(security::password::submit),
        )
        .route(
            "/security/authenticator",
            get(security::authenticator::show).post(security::authenticator::begin),
        )
        .route(
            "/security/authenticator/confirm",
            post(security::authenticator::confirm),
        )
        .route(
            "/security/passkey",
            get(security::passkey::show).post(security::passkey::begin),
        )
        .route(
            "/security/passkey/confirm",
            post(security::passkey::confirm),
        )
        .route(
            "/security/passkey/options",
            post(security::passkey::options),
        )
        .route(
            "/security/factors/{id}/label",
            get(security::factors::show_label).post(security::factors::rename),
        )
        .route(
            "/security/factors/{id}/removal",
            get(security::factors::show_removal).post(security::factors::remove),
        )
        .route(
            "/security/recovery-codes",
            get(security::recovery_codes::show).post(security::recovery_codes::submit),
        )
        .route(
            "/security/sessions/end-others",
            post(security::sessions::end_others),
        )
        .route(
            "/security/applications/{id}/withdraw",
            post(security::applications::withdraw),
        )
        .route("/security/sessions/{id}/end", post(security::sessions::end))
}

/// An empty icon, because browsers request one with each page.
async fn icon() -> Response {
    let kept = [(CACHE_CONTROL, "public, max-age=86400")];
    (StatusCode::NO_CONTENT, kept).into_response()
}

/// An instant, to the minute.
fn time_element(at: Timestamp) -> String {
    format!("<time datetime=\"{at}\">{}</time>", at.to_the_minute())
}
