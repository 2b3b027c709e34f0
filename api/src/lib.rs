//! The published contracts and Authlog's own endpoints over HTTP.
//!
//! Everything under one base path is a surface: `contracts` has a folder for each published one, `own` is the rest.
//! What they share is in `exchange`.

mod at_once;
mod capacity;
mod connection;
mod contracts;
mod exchange;
mod http2;
mod own;
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

pub use capacity::Capacity;
pub use exchange::{AllowedOrigins, CookieScope, StrictTransport, TrustedProxies};

/// What the endpoints are served with.
#[derive(Clone)]
pub struct Api {
    /// What they call.
    pub authlog: Authlog,
    /// Tells the time that answers carry.
    pub clock: Arc<dyn Clock>,
    /// Names requests.
    pub entropy: Arc<dyn Entropy>,
    /// What they go by.
    pub settings: Settings,
    /// The metrics, in Prometheus' text format.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// The states of the background workers.
    pub workers: Workers,
    /// Cancelled when the program is about to stop: `/readyz` then says that requests are to go elsewhere.
    pub draining: CancellationToken,
    /// Cancelled when the program is told to stop: answers without an end then end.
    pub stopping: CancellationToken,
    /// What clients may hold at a time.
    pub capacity: Capacity,
}

/// What the endpoints go by.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who gets our cookies.
    pub cookies: CookieScope,
    /// `source` of published events: a URI reference that names this service.
    pub event_source: String,
    /// Under which URL people and programs reach the service, without a slash at its end.
    pub public_url: String,
    /// Largest request body that is read, in bytes.
    pub body_limit: usize,
    /// How long a client may take to send a body (then the answer is 408), and how long the answer may take after
    /// that (then it is 503).
    pub request_timeout: Duration,
    /// How many connections are held at a time; one client may have a quarter of them.
    pub connections: usize,
    /// Proxies that say for whom they ask.
    pub trusted_proxies: TrustedProxies,
    /// Sites whose pages may call from a browser.
    pub allowed_origins: AllowedOrigins,
    /// Which hosts browsers are to visit over HTTPS alone from now on, where people reach the service over HTTPS.
    pub strict_transport: StrictTransport,
}

impl Default for Settings {
    /// Bodies here are a few short texts, so 64 KiB is generous; a client gives up after about as long as we do.
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

/// Serves every endpoint on `listener` until [`Api::stopping`] is cancelled and what was accepted by then is answered.
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

/// Every endpoint.
fn router(api: Api) -> Router {
    let api = Arc::new(api);
    let router = contracts::ALL
        .iter()
        .fold((own::SURFACE.routes)(), |router, contract| {
            router.merge((contract.routes)())
        })
        .method_not_allowed_fallback(exchange::wrong_method)
        .fallback(exchange::unknown_path);
    router
        .merge(own::forward_auth::routes())
        .layer(from_fn_with_state(Arc::clone(&api), exchange::carry_out))
        .with_state(api)
}
