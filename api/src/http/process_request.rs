//! The middleware around every request: it assigns an id, logs the request, and answers it even if the handler panics.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use authlog_application::{ClientPresence, ClientWaits, Deadline};
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::FutureExt as _;
use futures_util::future::CatchUnwind;
use tokio::runtime::Handle;
use tokio::time::{Duration, Instant, sleep_until, timeout};
use tracing::{Instrument, Span};
use uuid::Uuid;

use super::body::with_body_arrived;
use super::cross_origin::with_cors_headers;
use super::log_index::{prefers_log_index, with_log_index};
use super::outage::{Outage, Overloaded};
use super::request_context::request_context;
use super::{Arrival, Endpoints, RequestError, StrictTransport};
use crate::Api;
use crate::capacity::UnderWay;

/// The response header with the id of the request, for reports to the operator.
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The earliest time after the arrival of a request at which it is refused for overload. Many clients ignore
/// `Retry-After` and retry immediately; with this delay each connection costs one refusal a second instead of all that
/// it can send. 3,000 such clients reduce the rate of logins by a twelfth (`docs/performance.md`). Only the response is
/// held meanwhile, and it is dropped when the client closes the connection. No refusal is delayed while fewer than an
/// eighth of the places for requests are free.
const OVERLOAD_DELAY: Duration = Duration::from_secs(1);

/// The random part of that delay. Without it, clients that were refused together would retry together, and some would
/// be refused each time although threads are idle in between.
const JITTER: Duration = Duration::from_millis(500);

/// How long before the time limit of a request its answer stops to wait for its log index.
const TO_ANSWER: Duration = Duration::from_millis(200);

/// The middleware around every route. A request that has begun is finished even if its client has gone or its time is
/// up, because a session that was ended in the log must also be ended in memory. A panic affects no other request.
///
/// Handlers find the [`RequestContext`](authlog_application::RequestContext) and the [`Surface`](super::Surface) of the
/// request among its extensions.
pub(crate) async fn process_request(
    State((api, endpoints)): State<(Arc<Api>, &'static Endpoints)>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let surface = endpoints.surface_of(request.uri().path());
    let (waits, presence) = ClientPresence::new();
    // Removed from the extensions, because those are dropped with the request and the place is kept for longer.
    let arrival = request.extensions_mut().remove::<Arrival>();
    let address = arrival.as_ref().map(|arrival| arrival.client);
    let context = request_context(&api, surface, &request, address, presence);
    let id = context.request;
    let span = tracing::info_span!(
        "request",
        %id,
        contract = surface.contract.as_str(),
        method = method_name(request.method()),
        route = route(&request),
    );
    let route = route(&request);
    let is_probe = endpoints.probes.contains(&route);
    // Method and headers are those of the request that the proxy asks about. So this is no preflight and has no body,
    // and the application behind the proxy decides which sites may read the response.
    let is_forward_auth = endpoints.forward_auth.contains(&route);
    let changes_something =
        !is_forward_auth && !request.method().is_safe() && !endpoints.read_only.contains(&route);
    let origins = &api.settings.allowed_origins;
    let page = if is_forward_auth {
        None
    } else if endpoints.public.contains(&route) {
        origins.page_of_any_site(&request)
    } else {
        origins.page_of(&request)
    };
    request.extensions_mut().insert(context);
    request.extensions_mut().insert(surface);

    let place = match arrival {
        Some(Arrival { under_way, .. }) => under_way.map(Some).ok_or(RequestError::LimitExceeded),
        None => Ok(None),
    };
    let outcome = match place {
        Ok(under_way) => {
            let arrived = if is_forward_auth {
                Ok(request)
            } else {
                with_body_arrived(request, &api).await
            };
            match arrived {
                Ok(request) => run_handler(&api, request, next, &span, waits, under_way).await,
                Err(error) => Err(error),
            }
        }
        Err(failure) => Err(failure),
    };
    let (response, under_way) =
        outcome.unwrap_or_else(|failure| (surface.fail(failure, api.now()), None));
    if is_delayed(&api, &response) && under_way.as_ref().is_none_or(UnderWay::can_be_delayed) {
        sleep_until(api.capacity.refusals.sent_at(started + delay_of(id))).await;
    }
    if changes_something {
        record_outcome(&api, &response);
    }
    let response = with_cors_headers(page, response).await;
    let status = response.status();
    let latency_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    if is_probe && status.is_success() {
        tracing::debug!(parent: &span, status = status.as_u16(), latency_us, "answered");
    } else {
        tracing::info!(parent: &span, status = status.as_u16(), latency_us, "answered");
    }
    with_common_headers(response, id, api.settings.strict_transport)
}

/// Whether a response is delayed: a refusal for overload, or a refusal of too many attempts while there are many of
/// these.
fn is_delayed(api: &Api, response: &Response) -> bool {
    response.extensions().get::<Overloaded>().is_some()
        || response.status() == StatusCode::TOO_MANY_REQUESTS
            && api.capacity.refusals.are_too_many(Instant::now())
}

/// Records whether a request that changes something succeeded or failed because of the store. Other refusals are not
/// evidence.
fn record_outcome(api: &Api, response: &Response) {
    let failed = response.extensions().get::<Outage>().is_some();
    // A form that succeeded is answered with a redirect.
    let succeeded = response.status().is_success() || response.status().is_redirection();
    if failed || succeeded {
        api.capacity.outages.record(Instant::now(), failed);
    }
}

/// How long after its arrival a request is refused for overload. The jitter is taken from the id, which is random.
fn delay_of(request: Uuid) -> Duration {
    #[expect(clippy::cast_possible_truncation, reason = "a constant below a second")]
    let random = request.as_u64_pair().1 % JITTER.as_millis() as u64;
    OVERLOAD_DELAY + Duration::from_millis(random)
}

/// Runs the handler within the time limit. Returns its response and the place of the request, which is occupied until
/// the work is done, even if the client has gone.
async fn run_handler(
    api: &Arc<Api>,
    request: Request,
    next: Next,
    span: &Span,
    waits: ClientWaits,
    under_way: Option<UnderWay>,
) -> Result<(Response, Option<UnderWay>), RequestError> {
    let deadline = Deadline::of_request(api.settings.request_timeout);
    let is_preferred = prefers_log_index(request.headers());
    let handled = deadline.limit(next.run(request).instrument(span.clone()));
    let api_of_work = Arc::clone(api);
    let until = Instant::now() + api.settings.request_timeout.saturating_sub(TO_ANSWER);
    let work =
        async move { with_log_index(handled, &api_of_work.authlog, is_preferred, until).await };
    let work = DetachOnDrop::of(work.map(move |response| (response, under_way)), waits);
    match timeout(api.settings.request_timeout, work).await {
        Ok(Ok(answered)) => Ok(answered),
        Ok(Err(_)) => {
            tracing::error!(parent: span, "a handler panicked");
            Err(RequestError::Panicked)
        }
        Err(_) => {
            tracing::error!(parent: span, "the response was not ready in time");
            Err(RequestError::TimedOut)
        }
    }
}

/// Work that runs in the task that waits for it. If that task is dropped, the work continues in a task of its own.
struct DetachOnDrop<F: Future + Send + 'static> {
    work: Option<Pin<Box<CatchUnwind<AssertUnwindSafe<F>>>>>,
    /// Dropped together with this value, which tells the work that its client has gone.
    _client: ClientWaits,
}

impl<F: Future + Send + 'static> DetachOnDrop<F> {
    fn of(work: F, client: ClientWaits) -> Self {
        Self {
            work: Some(Box::pin(AssertUnwindSafe(work).catch_unwind())),
            _client: client,
        }
    }
}

impl<F: Future + Send + 'static> Future for DetachOnDrop<F> {
    /// The result of the work, or the value that it panicked with.
    type Output = std::thread::Result<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(work) = &mut self.work else {
            return Poll::Pending;
        };
        let made = std::task::ready!(work.as_mut().poll(context));
        self.work = None;
        Poll::Ready(made)
    }
}

impl<F: Future + Send + 'static> Drop for DetachOnDrop<F> {
    fn drop(&mut self) {
        // When the program ends there is no runtime on which the work could continue.
        if let Some(work) = self.work.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(work.map(drop));
        }
    }
}

/// Headers of every response, unless its handler sets them: no cache stores it; browsers do not guess its type, run
/// scripts in it, frame it, or load it into other sites; and its URL is not sent as a referrer (OWASP REST Security
/// Cheat Sheet, "Security Headers").
const COMMON_HEADERS: [(HeaderName, &str); 6] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (CACHE_CONTROL, "no-store"),
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (REFERRER_POLICY, "no-referrer"),
    (CROSS_ORIGIN_RESOURCE_POLICY, "same-origin"),
    (CROSS_ORIGIN_OPENER_POLICY, "same-origin"),
];

const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName =
    HeaderName::from_static("cross-origin-resource-policy");

const CROSS_ORIGIN_OPENER_POLICY: HeaderName =
    HeaderName::from_static("cross-origin-opener-policy");

fn with_common_headers(
    mut response: Response,
    id: Uuid,
    strict_transport: StrictTransport,
) -> Response {
    let headers = response.headers_mut();
    for (name, value) in COMMON_HEADERS {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    if let Some(policy) = strict_transport.header() {
        headers.insert(STRICT_TRANSPORT_SECURITY, policy);
    }
    if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
        headers.insert(X_REQUEST_ID, id);
    }
    response
}

/// The pattern of the route. The path itself is not logged, because it is client input.
fn route(request: &Request) -> &str {
    request
        .extensions()
        .get::<MatchedPath>()
        .map_or("none", MatchedPath::as_str)
}

/// The method, or `other` for one that is not standard.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn requests_that_arrive_together_are_refused_at_different_times() {
        let requests = (0..1000).map(|number| Uuid::from_u64_pair(7, number));
        let delays: HashSet<Duration> = requests.map(delay_of).collect();
        let allowed = OVERLOAD_DELAY..OVERLOAD_DELAY + JITTER;
        assert!(delays.iter().all(|hold| allowed.contains(hold)));
        assert_eq!(delays.len(), 500);
    }
}
