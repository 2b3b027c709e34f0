//! The published contracts and Authlog's own endpoints over HTTP.
//!
//! The routes under one base path are a surface. `contracts` has a folder for each published contract, `pages` has the pages for
//! people, `native` has all other endpoints, and `http` is what they share.

#![cfg_attr(
    not(test),
    warn(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::large_stack_arrays,
        clippy::unchecked_time_subtraction
    )
)]

mod capacity;
mod connection;
mod contracts;
mod http;
mod http2;
mod native;
mod oauth2;
mod pages;
mod poll_twice;
mod serving;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use authlog_application::Authlog;
use authlog_application::ports::{Clock, Entropy};
use authlog_application::supervisor::Workers;
use authlog_domain::Timestamp;
use axum::Router;
use axum::middleware::from_fn_with_state;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use http::Endpoints;

pub use capacity::Capacity;
pub use http::{AllowedOrigins, CookieScope, StrictTransport, TrustedProxies};

/// What the endpoints need.
#[derive(Clone)]
pub struct Api {
    /// The use cases.
    pub authlog: Authlog,
    /// The clock of the dates and times in responses.
    pub clock: Arc<dyn Clock>,
    /// The source of request ids.
    pub entropy: Arc<dyn Entropy>,
    /// The settings of the HTTP server.
    pub settings: ApiSettings,
    /// Returns the metrics in Prometheus' text format.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// The states of the background workers.
    pub workers: Workers,
    /// Cancelled when the program is about to stop. From then on `/readyz` is 503, so that requests go to other nodes.
    pub draining: CancellationToken,
    /// Cancelled when the program stops. Responses that follow the log end then.
    pub stopping: CancellationToken,
    /// What clients may use of this node at a time.
    pub capacity: Capacity,
}

/// The settings of the HTTP server.
#[derive(Clone, Debug)]
pub struct ApiSettings {
    /// Which requests cookies are sent with.
    pub cookies: CookieScope,
    /// The `source` of published events: a URI reference that names this service.
    pub event_source: String,
    /// The URL at which people and programs reach the service, without a slash at its end.
    pub public_url: String,
    /// The largest request body, in bytes.
    pub body_limit: usize,
    /// How long a client may take to send a body (then the answer is 408), and how long the response may take after
    /// that (then it is 503).
    pub request_timeout: Duration,
    /// The largest number of open connections. One client may have a quarter of them.
    pub connections: usize,
    /// Proxies whose `Forwarded` and `X-Forwarded-For` headers are trusted.
    pub trusted_proxies: TrustedProxies,
    /// Sites whose pages may call the service from a browser.
    pub allowed_origins: AllowedOrigins,
    /// The policy for `Strict-Transport-Security`.
    pub strict_transport: StrictTransport,
}

impl Default for ApiSettings {
    /// Request bodies are a few short strings, so 64 KiB is generous. Clients commonly give up after ten seconds too.
    fn default() -> Self {
        Self {
            cookies: CookieScope::default(),
            event_source: "authlog".to_owned(),
            public_url: "http://localhost".to_owned(),
            body_limit: 64 * 1024,
            request_timeout: Duration::from_secs(10),
            connections: 10_000,
            trusted_proxies: TrustedProxies::default(),
            allowed_origins: AllowedOrigins::default(),
            strict_transport: StrictTransport::Off,
        }
    }
}

impl Api {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// Serves every endpoint on `listener` until [`Api::stopping`] is cancelled, and then until every accepted request is
/// answered.
pub async fn serve(listener: TcpListener, api: Api) {
    let connections = api.settings.connections;
    let host = serving::Host {
        clock: Arc::clone(&api.clock),
        bytes: Arc::clone(&api.capacity.bytes),
        trusted: api.settings.trusted_proxies.clone(),
        origins: api.settings.allowed_origins.clone(),
        stopping: api.stopping.clone(),
        router: router(api),
    };
    serving::serve(listener, host, connections).await;
}

/// What the shared HTTP layer has to know about the endpoints.
static ENDPOINTS: Endpoints = Endpoints {
    contracts: &contracts::ALL,
    oauth2: &oauth2::SURFACES,
    native: &native::SURFACE,
    pages: &pages::SURFACE,
    is_page: pages::is_page,
    read_only: &native::READ_ONLY,
    public: &native::PUBLIC,
    forward_auth: &native::forward_auth::ROUTES,
    probes: &native::PROBES,
};

/// The routes of every surface.
fn router(api: Api) -> Router {
    let api = Arc::new(api);
    let router = ENDPOINTS
        .contracts
        .iter()
        .chain(ENDPOINTS.oauth2)
        .copied()
        .chain([ENDPOINTS.pages])
        .fold((ENDPOINTS.native.routes)(), |router, surface| {
            router.merge((surface.routes)())
        })
        .method_not_allowed_fallback(http::wrong_method)
        .fallback(http::unknown_path);
    let state = (Arc::clone(&api), &ENDPOINTS);
    router
        .merge(native::forward_auth::routes())
        .layer(from_fn_with_state(state, http::process_request))
        .with_state(api)
}
