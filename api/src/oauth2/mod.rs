//! OAuth 2.1 and OpenID Connect over HTTP, apart from the pages.
//!
//! | module | contents |
//! |---|---|
//! | `token`, `device_authorization`, `userinfo`, `par` | the endpoints; that for authorization is `pages::authorize`, the metadata are in `native` |
//! | `parameters`, `credentials`, `client_request`, `dpop` | what a request says: its parameters, which client sent it, and who holds which key |
//! | `authorization_form` | the parameters of an authorization request, in the URL or pushed |
//! | `error`, `response` | how the token endpoint and the authorization endpoint answer |

mod authorization_form;
mod client_request;
mod credentials;
mod device_authorization;
mod dpop;
mod error;
mod par;
mod parameters;
mod response;
mod token;
mod userinfo;

use std::sync::Arc;

use authlog_domain::ContractName;
use axum::Router;
use axum::routing::{get, post};

use crate::Api;
use crate::http::Surface;
pub(crate) use authorization_form::{ASKED, Flaw, check_request};
pub(crate) use client_request::{authenticated, read_form};
pub(crate) use credentials::uses_basic;
pub(crate) use dpop::ALGORITHMS as DPOP_ALGORITHMS;
pub(crate) use error::{invalid_request, refused as grant_refused, unreadable};
pub(crate) use parameters::{Parameters, Unreadable};
pub(crate) use response::{KEEPS_OPENER, OPENER_POLICY, ResponseTarget};
pub(crate) use token::DEVICE_CODE;

/// The path of the token endpoint.
pub(crate) const TOKEN: &str = "/oauth2/token";

/// The path of the device authorization endpoint.
pub(crate) const DEVICE_AUTHORIZATION: &str = "/oauth2/device_authorization";

/// The path of the userinfo endpoint.
pub(crate) const USERINFO: &str = "/oauth2/userinfo";

/// The path of the endpoint for pushed authorization requests.
pub(crate) const PAR: &str = "/oauth2/par";

/// The surfaces of the endpoints that answer in the form of RFC 6749.
pub(crate) static SURFACES: [&Surface; 4] = [
    &Surface {
        contract: ContractName::OAuth,
        base: TOKEN,
        routes: token_routes,
        failed: error::failed,
    },
    &Surface {
        contract: ContractName::OAuth,
        base: DEVICE_AUTHORIZATION,
        routes: device_authorization_routes,
        failed: error::failed,
    },
    &Surface {
        contract: ContractName::OAuth,
        base: USERINFO,
        routes: userinfo_routes,
        failed: error::failed,
    },
    &Surface {
        contract: ContractName::OAuth,
        base: PAR,
        routes: par_routes,
        failed: error::failed,
    },
];

fn token_routes() -> Router<Arc<Api>> {
    Router::new().route(TOKEN, post(token::token))
}

fn par_routes() -> Router<Arc<Api>> {
    Router::new().route(PAR, post(par::push))
}

fn device_authorization_routes() -> Router<Arc<Api>> {
    Router::new().route(DEVICE_AUTHORIZATION, post(device_authorization::authorize))
}

fn userinfo_routes() -> Router<Arc<Api>> {
    Router::new().route(USERINFO, get(userinfo::of_header).post(userinfo::of_form))
}
