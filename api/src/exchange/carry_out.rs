//! The frame around every request: it is named, logged and answered, whatever its handler does.

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
use super::cross_origin::as_read_by;
use super::outage::{Outage, Overloaded};
use super::request_context::request_context;
use super::{Arrival, Failure, StrictTransport, Surface};
use crate::Api;
use crate::capacity::UnderWay;
use crate::own::{INTROSPECT, forward_auth};

/// Names the request, so that a client can say which one it means.
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The time from the arrival of a request after which it may be refused for overload. Many clients ignore `Retry-After` and
/// ask again at once; each connection then costs one refusal a second instead of all that it can send. 3,000 of them take a
/// twelfth of the logins (`docs/performance.md`). Only the response is held meanwhile, and nothing once the client closes the
/// connection. None is held back where the places of requests run short: they are for those that can be served.
const EARLIEST_OVERLOADED: Duration = Duration::from_secs(1);

/// By how much less than this the hold of one refusal differs from that of another. Clients that were refused together would
/// otherwise ask again together, and find no place each time while threads are idle in between.
const SPREAD: Duration = Duration::from_millis(500);

/// What machines ask every few seconds, and nobody wants to read of where all is well.
const PROBES: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// Carries out a request: what has begun is finished even if the client has gone or the time is up (a session that was
/// ended in the log must also be ended in memory), and a panic ends nothing else.
pub(crate) async fn carry_out(
    State(api): State<Arc<Api>>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let surface = Surface::of(request.uri().path());
    let (waits, presence) = ClientPresence::new();
    // Taken out: what is left in the request is dropped with it, and a place is kept for longer.
    let arrival = request.extensions_mut().remove::<Arrival>();
    let address = arrival.as_ref().map(|arrival| arrival.client);
    let context = request_context(&api, surface, &request, address, presence);
    let id = context.request;
    let span = tracing::info_span!(
        "request",
        %id,
        contract = surface.contract.as_str(),
        method = known_name(request.method()),
        route = route(&request),
    );
    let is_probe = PROBES.contains(&route(&request));
    let is_forward_auth = is_forward_auth(&request);
    let changes_something = !is_forward_auth && changes_something(&request);
    request.extensions_mut().insert(context);
    let page = if is_forward_auth {
        None
    } else {
        api.settings.allowed_origins.page_of(&request)
    };

    let place = match arrival {
        Some(Arrival { under_way, .. }) => under_way.map(Some).ok_or(Failure::Crowded),
        None => Ok(None),
    };
    let answer = match place {
        Ok(under_way) => answer(&api, request, next, &span, waits, under_way).await,
        Err(failure) => Err(failure),
    };
    let (response, under_way) =
        answer.unwrap_or_else(|failure| (surface.fail(failure, api.now()), None));
    if is_held(&api, &response) && under_way.as_ref().is_none_or(UnderWay::may_be_held_back) {
        sleep_until(api.capacity.refusals.sent_at(started + hold_of(id))).await;
    }
    if changes_something {
        note_outcome(&api, &response);
    }
    let response = as_read_by(page, response).await;
    let status = response.status();
    let latency_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    if is_probe && status.is_success() {
        tracing::debug!(parent: &span, status = status.as_u16(), latency_us, "answered");
    } else {
        tracing::info!(parent: &span, status = status.as_u16(), latency_us, "answered");
    }
    with_headers_of_every_answer(response, id, api.settings.strict_transport)
}

/// Whether a response is held back: one that refuses for overload, and one that refuses too many requests of a client if
/// there are many of these.
fn is_held(api: &Api, response: &Response) -> bool {
    response.extensions().get::<Overloaded>().is_some()
        || response.status() == StatusCode::TOO_MANY_REQUESTS
            && api.capacity.refusals.are_too_many(Instant::now())
}

/// Whether a request of ours, when it is carried out, leaves something in the store.
fn changes_something(request: &Request) -> bool {
    !request.method().is_safe() && route(request) != INTROSPECT
}

/// Notes whether a request that changes something was carried out. One that was refused says nothing.
fn note_outcome(api: &Api, response: &Response) {
    let failed = response.extensions().get::<Outage>().is_some();
    if failed || response.status().is_success() {
        api.capacity.outages.note(Instant::now(), failed);
    }
}

/// How long after its arrival a request may be refused for overload. Ids of requests are random.
fn hold_of(request: Uuid) -> Duration {
    let random = request.as_u64_pair().1 % SPREAD.as_millis() as u64;
    EARLIEST_OVERLOADED + Duration::from_millis(random)
}

/// What the handler of a request says of it, within the time for that, and the place of the request. It is under way for as
/// long as it is worked on, even if its client has gone.
async fn answer(
    api: &Api,
    request: Request,
    next: Next,
    span: &Span,
    waits: ClientWaits,
    under_way: Option<UnderWay>,
) -> Result<(Response, Option<UnderWay>), Failure> {
    let request = if is_forward_auth(&request) {
        request
    } else {
        with_body_arrived(request, api).await?
    };
    let deadline = Deadline::of_request(api.settings.request_timeout);
    let work = deadline.limit(next.run(request).instrument(span.clone()));
    let work = Finished::of(work.map(move |response| (response, under_way)), waits);
    match timeout(api.settings.request_timeout, work).await {
        Ok(Ok(answered)) => Ok(answered),
        Ok(Err(_)) => {
            tracing::error!(parent: span, "a handler panicked");
            Err(Failure::Broken)
        }
        Err(_) => {
            tracing::error!(parent: span, "an answer was not ready in time");
            Err(Failure::Unfinished)
        }
    }
}

/// Work that is done where it is waited for, and in a task of its own from when nobody waits for it any more.
struct Finished<F: Future + Send + 'static> {
    work: Option<Pin<Box<CatchUnwind<AssertUnwindSafe<F>>>>>,
    /// Dropped with this: from then on the work knows that its client has gone.
    _client: ClientWaits,
}

impl<F: Future + Send + 'static> Finished<F> {
    fn of(work: F, client: ClientWaits) -> Self {
        Self {
            work: Some(Box::pin(AssertUnwindSafe(work).catch_unwind())),
            _client: client,
        }
    }
}

impl<F: Future + Send + 'static> Future for Finished<F> {
    /// What was made, or what the work panicked with.
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

impl<F: Future + Send + 'static> Drop for Finished<F> {
    fn drop(&mut self) {
        // There is nowhere to go on when the program ends.
        if let Some(work) = self.work.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(work.map(drop));
        }
    }
}

/// What every answer says, unless its handler says otherwise: nothing here may be stored on the way, is anything that it
/// does not say it is, runs anything in a browser, is shown inside another page or loaded into another site, and no
/// address here is told to anybody (OWASP REST Security Cheat Sheet, "Security Headers").
const OF_EVERY_ANSWER: [(HeaderName, &str); 6] = [
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

fn with_headers_of_every_answer(
    mut response: Response,
    id: Uuid,
    strict_transport: StrictTransport,
) -> Response {
    let headers = response.headers_mut();
    for (name, value) in OF_EVERY_ANSWER {
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

/// The route as we wrote it: a path as the client wrote it could hold anything.
fn route(request: &Request) -> &str {
    request
        .extensions()
        .get::<MatchedPath>()
        .map_or("none", MatchedPath::as_str)
}

/// Whether the request asks about another one. Then its method and headers are those of the other request: it is no preflight
/// of ours and has no body, and which sites may read the answer is the application's to say.
fn is_forward_auth(request: &Request) -> bool {
    forward_auth::ROUTES.contains(&route(request))
}

/// The method, unless the client made it up.
fn known_name(method: &Method) -> &'static str {
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
    fn requests_that_come_together_are_refused_one_after_the_other() {
        let requests = (0..1000).map(|number| Uuid::from_u64_pair(7, number));
        let holds: HashSet<Duration> = requests.map(hold_of).collect();
        let allowed = EARLIEST_OVERLOADED..EARLIEST_OVERLOADED + SPREAD;
        assert!(holds.iter().all(|hold| allowed.contains(hold)));
        assert_eq!(holds.len(), 500);
    }
}
