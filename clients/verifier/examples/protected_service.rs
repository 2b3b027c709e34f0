//! A service with one protected route, which refuses the tokens of ended sessions without asking Authlog.
//!
//! ```sh
//! ISSUER=http://127.0.0.1:8080 AUDIENCE=authlog CLIENT_ID=orders CLIENT_SECRET=als_… \
//!     cargo run -p authlog-verifier --example protected_service --features axum,nats
//! ```
//!
//! | variable | meaning |
//! |---|---|
//! | `ISSUER` | the issuer, `AUTHLOG_PUBLIC_URL` |
//! | `AUTHLOG_URL` | where Authlog is reached, if that is not the issuer |
//! | `AUDIENCE` | an audience; `authlog` without it |
//! | `LISTEN` | the address of this service; `127.0.0.1:0` without it, which is any port |
//! | `CLIENT_ID`, `CLIENT_SECRET` | the client with the scope `events.read`, to read the HTTP feed |
//! | `FEED_TOKEN` | an access token for the feed instead of a client |
//! | `NATS_URL` | the NATS server, to read its stream instead of the feed |
//! | `MAX_STALENESS_MS` | the largest permitted age of the deny list, in milliseconds; 2000 by default |
//! | `ON_STALE` | `fail-closed`, or `local-only` |
//! | `KEYS_MAX_AGE_MS` | how long keys are used |
//! | `ALGORITHMS` | such as `ES256,EdDSA` |
//! | `READY_WITHIN_MS` | how long it waits for a complete deny list before it listens, in milliseconds; 10000 by default |
//!
//! It prints `listening on <address>` once it listens.
//!
//! | route | answer |
//! |---|---|
//! | `GET /protected` | 200 with the subject, or why the token is refused: `ended`, `invalid`, `stale` or `no token`. With the header `Authlog-Log-Index`, it first waits for that event |
//! | `GET /ready` | 200 once the deny list is complete, and 503 before |
//! | `GET /stats` | `key value` lines |
//! | `GET /wait?log_index=<n>` | 200 once the event was applied, and 504 after 5 seconds |

use std::collections::HashMap;
use std::io::Write as _;
use std::time::Duration;

use authlog_verifier::{
    Algorithm, Feed, Nats, OnStale, ProvidedToken, Refused, Revocations, Verifier,
};
use axum::extract::{Query, State};
use axum::http::header::WWW_AUTHENTICATE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let verifier = verifier()?;
    let waiting = verifier.clone();
    let router = Router::new()
        .route("/protected", get(protected))
        .route("/ready", get(ready))
        .route("/stats", get(stats))
        .route("/wait", get(wait))
        .with_state(verifier);
    let limit = milliseconds("READY_WITHIN_MS")?.unwrap_or(Duration::from_secs(10));
    if tokio::time::timeout(limit, waiting.ready()).await.is_err() {
        let trouble = waiting.stats().trouble;
        writeln!(std::io::stderr(), "not ready: {trouble:?}")?;
    }
    let address = setting("LISTEN").unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let listener = tokio::net::TcpListener::bind(address).await?;
    let mut output = std::io::stdout();
    writeln!(output, "listening on {}", listener.local_addr()?)?;
    output.flush()?;
    axum::serve(listener, router).await?;
    Ok(())
}

fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn milliseconds(name: &str) -> Result<Option<Duration>, Failure> {
    let value = setting(name).map(|value| value.parse()).transpose()?;
    Ok(value.map(Duration::from_millis))
}

fn verifier() -> Result<Verifier, Failure> {
    let issuer = setting("ISSUER").ok_or("ISSUER is missing")?;
    let mut builder = Verifier::builder()
        .issuer(issuer)
        .audience(setting("AUDIENCE").unwrap_or_else(|| "authlog".to_owned()))
        .revocations(revocations()?);
    if let Some(url) = setting("AUTHLOG_URL") {
        builder = builder.keys_url(format!("{url}/.well-known/jwks.json"));
    }
    if let Some(max_staleness) = milliseconds("MAX_STALENESS_MS")? {
        builder = builder.max_staleness(max_staleness);
    }
    if let Some(max_age) = milliseconds("KEYS_MAX_AGE_MS")? {
        builder = builder.keys_max_age(max_age);
    }
    if setting("ON_STALE").as_deref() == Some("local-only") {
        builder = builder.on_stale(OnStale::LocalOnly);
    }
    if let Some(names) = setting("ALGORITHMS") {
        let all = [Algorithm::Es256, Algorithm::Rs256, Algorithm::EdDsa];
        let is_named = |it: &Algorithm| names.split(',').any(|name| name == it.name());
        builder = builder.algorithms(all.into_iter().filter(is_named));
    }
    Ok(builder.start()?)
}

fn revocations() -> Result<Revocations, Failure> {
    if let Some(servers) = setting("NATS_URL") {
        return Ok(Nats::connect(servers).into());
    }
    let mut feed = match setting("FEED_TOKEN") {
        Some(token) => Feed::with_tokens(move || {
            let token = token.clone();
            async move {
                let expires_in = None;
                Ok(ProvidedToken { token, expires_in })
            }
        }),
        None => {
            let secret = setting("CLIENT_SECRET").ok_or("CLIENT_SECRET is missing")?;
            Feed::with_client(setting("CLIENT_ID").ok_or("CLIENT_ID is missing")?, secret)
        }
    };
    if let Some(url) = setting("AUTHLOG_URL") {
        feed = feed
            .url(format!("{url}/audit/events"))
            .token_url(format!("{url}/oauth2/token"));
    }
    Ok(feed.into())
}

async fn protected(State(verifier): State<Verifier>, headers: HeaderMap) -> Response {
    let mut verified = verifier.verify_headers(&headers).await;
    // Authlog answered the caller with this index. The caller wants to see what it changed. Only a caller with a valid token may wait.
    let index = headers.get("authlog-log-index");
    let index = index.and_then(|value| value.to_str().ok()?.parse().ok());
    if let Some(index) = index.filter(|_| verified.is_ok()) {
        // If the event does not come in time, the token is judged by what is known.
        let _ = verifier.wait_for(index, Duration::from_secs(1)).await;
        verified = verifier.verify_headers(&headers).await;
    }
    let refused = match verified {
        Ok(claims) => return Json(json!({ "subject": claims.subject() })).into_response(),
        Err(refused) => refused,
    };
    let error = match &refused {
        Refused::Missing => "no token",
        refused if refused.status() == StatusCode::SERVICE_UNAVAILABLE => "stale",
        refused if refused.is_ended() => "ended",
        _ => "invalid",
    };
    let mut response = Json(json!({ "error": error })).into_response();
    // The status and the challenge of the refusal, with a body of this service.
    let answer = refused.to_response();
    *response.status_mut() = answer.status();
    let challenge = answer.headers().get(WWW_AUTHENTICATE);
    if let Some(challenge) = challenge {
        response
            .headers_mut()
            .insert(WWW_AUTHENTICATE, challenge.clone());
    }
    response
}

async fn ready(State(verifier): State<Verifier>) -> StatusCode {
    if verifier.is_ready() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}

async fn stats(State(verifier): State<Verifier>) -> String {
    let stats = verifier.stats();
    let number = |value: Option<u64>| value.map_or("none".to_owned(), |value| value.to_string());
    let staleness = stats.staleness.map(|age| age.as_millis() as u64);
    let mut lines = vec![
        format!("ready {}", stats.is_ready),
        format!("staleness_ms {}", number(staleness)),
        format!("log_index {}", number(stats.log_index)),
        format!("sessions {}", stats.entries.sessions),
        format!("accounts {}", stats.entries.accounts),
        format!("clients {}", stats.entries.clients),
        format!("secrets {}", stats.entries.secrets),
        format!("keys {}", stats.keys),
        format!("accepted {}", stats.accepted),
        format!("events {}", stats.events),
        format!("connections {}", stats.connections),
        format!("readings {}", stats.readings),
        format!("trouble {}", stats.trouble.unwrap_or_default()),
    ];
    let refused = stats.refused.iter().filter(|(_, count)| *count > 0);
    lines.extend(refused.map(|(name, count)| format!("refused_{name} {count}")));
    lines.join("\n")
}

async fn wait(
    State(verifier): State<Verifier>,
    Query(query): Query<HashMap<String, u64>>,
) -> StatusCode {
    let Some(log_index) = query.get("log_index") else {
        return StatusCode::BAD_REQUEST;
    };
    match verifier.wait_for(*log_index, Duration::from_secs(5)).await {
        Ok(()) => StatusCode::OK,
        Err(_) => StatusCode::GATEWAY_TIMEOUT,
    }
}
