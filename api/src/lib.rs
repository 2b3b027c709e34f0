//! The published contracts and Authlog's own endpoints over HTTP.
//!
//! Everything under one base path is a surface: `contracts` has a folder for each published one, `own` is the rest.
//! What they share is in `exchange`.

mod connection;
mod contracts;
mod exchange;
mod own;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use authlog_application::Authlog;
use authlog_application::ports::{Clock, Entropy};
use authlog_domain::Timestamp;
use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::serve::ListenerExt;
use connection::{Connection, Connections};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

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
    /// Cancelled when the program is told to stop: answers without an end then end.
    pub stopping: CancellationToken,
    /// Places for readers of the log.
    pub followers: Arc<Semaphore>,
}

/// How many readers of the log a node serves at once: each may hold a page of events in memory.
pub const FOLLOWERS: usize = 1000;

/// What the endpoints go by.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether browsers may send our cookies over HTTPS alone. To be turned off only for development without it.
    pub secure_cookies: bool,
    /// `source` of published events: a URI reference that names this service.
    pub event_source: String,
    /// Under which URL people and programs reach the service, without a slash at its end.
    pub public_url: String,
    /// Largest request body that is read, in bytes.
    pub body_limit: usize,
    /// How long a client may take to send a body (then the answer is 408), and how long the answer may take after
    /// that (then it is 503).
    pub request_timeout: Duration,
}

impl Default for Settings {
    /// Bodies here are a few short texts, so 64 KiB is generous; a client gives up after about as long as we do.
    fn default() -> Self {
        Self {
            secure_cookies: true,
            event_source: "authlog".to_owned(),
            public_url: "http://localhost".to_owned(),
            body_limit: 64 * 1024,
            request_timeout: Duration::from_secs(10),
        }
    }
}

impl Api {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// Serves every endpoint on `listener` until [`Api::stopping`] is cancelled and what was accepted by then is answered.
///
/// # Errors
/// Connections cannot be accepted any more.
pub async fn serve(listener: TcpListener, api: Api) -> std::io::Result<()> {
    let stopped = api.stopping.clone().cancelled_owned();
    let connections = Connections::new(listener, api.stopping.clone());
    let service = router(api).into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(connections.tap_io(Connection::is_kept_alive), service)
        .with_graceful_shutdown(stopped)
        .await
}

/// Every endpoint.
fn router(api: Api) -> Router {
    let api = Arc::new(api);
    contracts::ALL
        .iter()
        .fold((own::SURFACE.routes)(), |router, contract| {
            router.merge((contract.routes)())
        })
        .method_not_allowed_fallback(exchange::wrong_method)
        .fallback(exchange::unknown_path)
        .layer(from_fn_with_state(Arc::clone(&api), exchange::carry_out))
        .with_state(api)
}
