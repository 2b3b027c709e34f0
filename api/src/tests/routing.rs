//! Every path under a base path answers in the format of its contract, for any request.

use std::collections::HashSet;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use authlog_application::RequestContext;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::IntoResponse as _;
use axum::routing::get;
use axum::{Extension, middleware};
use futures_util::{FutureExt as _, stream};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tower::ServiceExt;

use super::null_ports;
use crate::capacity::{ByteBudget, Clients};
use crate::http::{AllowedOrigins, Arrival, overloaded, process_request};
use crate::{Api, ENDPOINTS, router};

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The field in which each contract repeats the status.
    fn status_in_body(&self, base: &str) -> u64 {
        let field = match base {
            "/api/auth" => "statusCode",
            "/v1/auth" => "code",
            _ => "status",
        };
        self.json()[field].as_u64().unwrap()
    }
}

async fn send(request: Request<Body>) -> Answer {
    send_to(null_ports::api(), request).await
}

/// Sends `request` to an API with a request timeout of 20 ms.
async fn send_with_short_timeout(request: Request<Body>) -> Answer {
    let mut api = null_ports::api();
    api.settings.request_timeout = Duration::from_millis(20);
    send_to(api, request).await
}

async fn send_to(api: Api, request: Request<Body>) -> Answer {
    let response = router(api).oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body: body.collect().await.unwrap().to_bytes(),
    }
}

async fn call(method: &str, path: &str) -> Answer {
    let request = Request::builder().method(method).uri(path);
    send(request.body(Body::empty()).unwrap()).await
}

async fn post(path: &str, media_type: &str, body: impl Into<Body>) -> Answer {
    let request = Request::post(path).header("content-type", media_type);
    send(request.body(body.into()).unwrap()).await
}

/// A path of each surface that takes a JSON body.
const POSTS: [(&str, &str); 8] = [
    ("/api/auth", "/api/auth/register"),
    ("/api/auth", "/api/auth/login"),
    ("/users", "/users"),
    ("/users", "/users/login"),
    ("/users", "/users/reset-password"),
    ("/api", "/api/register"),
    ("/api", "/api/login"),
    ("/v1/auth", "/v1/auth/register"),
];

#[tokio::test]
async fn an_unknown_path_is_a_404_in_the_format_of_its_surface() {
    for (base, path) in [
        ("/api/auth", "/api/auth/nothing"),
        ("/api/auth", "/api/auth"),
        ("/users", "/users/1/%ff"),
        ("/users", "/users/"),
        ("/api", "/api/authx"),
        ("/api", "/api/%00"),
        ("/v1/auth", "/v1/auth/"),
        ("", "/v1"),
        ("", "/apix"),
    ] {
        let answer = call("GET", path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(answer.status_in_body(base), 404, "{path}");
        let problem = answer.headers["content-type"] == "application/problem+json";
        assert_eq!(problem, base.is_empty(), "{path}");
    }
}

#[tokio::test]
async fn a_wrong_method_is_a_405_that_names_the_allowed_ones() {
    for (base, method, path, allowed) in [
        ("/api/auth", "GET", "/api/auth/login", "POST"),
        ("/api/auth", "OPTIONS", "/api/auth/refresh-token", "POST"),
        ("/api/auth", "WHAT-EVER", "/api/auth/logout", "POST"),
        ("/users", "POST", "/users/verify-token", "GET,HEAD"),
        (
            "/users",
            "POST",
            "/users/reset-password/update-password",
            "PUT",
        ),
        ("/api", "DELETE", "/api/login", "POST"),
        ("/v1/auth", "PUT", "/v1/auth/register", "POST"),
        ("", "POST", "/admin/users", "GET,HEAD"),
        ("", "POST", "/healthz", "GET,HEAD"),
    ] {
        let answer = call(method, path).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        assert_eq!(answer.headers["allow"], allowed, "{path}");
        assert_eq!(answer.status_in_body(base), 405, "{path}");
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_a_400_in_the_contracts_form() {
    for (base, path) in POSTS {
        for body in [
            &b""[..],
            b"nonsense",
            b"[]",
            b"null",
            b"{\"password\": \"\xff\"}",
            br#"{"password": "\udead"}"#,
            br#"{"password": 1e999}"#,
            br#"{"password": "a", "password": "b"}"#,
        ] {
            let answer = post(path, "application/json", body).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}");
            assert_eq!(answer.status_in_body(base), 400, "{path}");
        }
    }
}

#[tokio::test]
async fn missing_null_and_non_string_fields_are_a_400_in_the_contracts_format() {
    for (base, path) in POSTS {
        for body in [
            "{}",
            r#"{"username": null, "email": null, "name": null, "password": null}"#,
            r#"{"username": 7, "email": [], "name": {}, "password": true}"#,
            r#"{"username": "\u0000", "email": "\u0000", "name": "\u0000", "password": "\u0000"}"#,
        ] {
            // The response does not reveal whether the account exists.
            if path == "/users/reset-password" && body.contains("u0000") {
                let answer = post(path, "application/json", body).await;
                assert_eq!(answer.status, StatusCode::OK);
                continue;
            }
            let answer = post(path, "application/json; charset=utf-8", body).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path} {body}");
            assert_eq!(answer.status_in_body(base), 400, "{path}");
            assert_eq!(
                answer.json()["errors"].is_null(),
                base == "/users",
                "{path}"
            );
        }
    }
}

#[tokio::test]
async fn a_body_of_another_media_type_is_a_415_and_a_large_one_a_413() {
    for (base, path) in POSTS {
        for media_type in ["text/plain", "application/x-www-form-urlencoded", ""] {
            let answer = post(path, media_type, "{}").await;
            assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{path}");
            assert_eq!(answer.status_in_body(base), 415, "{path}");
        }
        for length in [65_537, 10_000_000] {
            let answer = post(path, "application/json", vec![b' '; length]).await;
            assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{path}");
            assert_eq!(answer.status_in_body(base), 413, "{path}");
        }
    }
}

#[tokio::test]
async fn endpoints_without_a_body_accept_requests_without_one() {
    for (base, method, path, status) in [
        ("/api/auth", "POST", "/api/auth/logout", 401),
        ("/api/auth", "POST", "/api/auth/refresh", 401),
        ("/api/auth", "POST", "/api/auth/refresh-token", 401),
        ("/users", "GET", "/users/verify-token", 400),
        ("/users", "POST", "/users/refresh-token", 400),
        ("/users", "GET", "/users/reset-password/verify-token", 400),
    ] {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json")
            .header("authorization", &b"Bearer \xff\xfe"[..]);
        let answer = send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.status_in_body(base), u64::from(status), "{path}");
    }
}

#[tokio::test]
async fn an_internal_error_is_reported_in_the_contracts_format_without_details() {
    for (base, path, body) in [
        (
            "/api/auth",
            "/api/auth/login",
            r#"{"username": "jo", "password": "secret7"}"#,
        ),
        (
            "/users",
            "/users/login",
            r#"{"username": "jo", "password": "secret7"}"#,
        ),
        (
            "/api",
            "/api/login",
            r#"{"email": "jo@example.com", "password": "secret7"}"#,
        ),
        (
            "/v1/auth",
            "/v1/auth/login",
            r#"{"email": "jo@example.com", "password": "secret7"}"#,
        ),
    ] {
        let answer = post(path, "application/json", body).await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{path}");
        assert_eq!(answer.status_in_body(base), 500, "{path}");
        assert!(!answer.json().to_string().contains("reach"), "{path}");
    }
}

/// A body whose end never arrives.
fn stalled() -> Body {
    Body::new(Body::empty().with_trailers(std::future::pending()))
}

#[tokio::test]
async fn a_body_that_does_not_arrive_in_time_is_a_client_error() {
    for (base, path) in POSTS {
        let request = Request::post(path).header("content-type", "application/json");
        let answer = send_with_short_timeout(request.body(stalled()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::REQUEST_TIMEOUT, "{path}");
        assert_eq!(answer.status_in_body(base), 408, "{path}");
    }
}

#[tokio::test]
async fn a_response_that_is_not_ready_in_time_asks_to_retry_later() {
    for (base, path) in [
        ("/api/auth", "/api/auth/register"),
        ("/users", "/users"),
        ("/api", "/api/register"),
        ("/v1/auth", "/v1/auth/register"),
    ] {
        let body =
            r#"{"username": "jo", "name": "Jo", "email": "jo@example.com", "password": "secret7"}"#;
        let request = Request::post(path).header("content-type", "application/json");
        let answer = send_with_short_timeout(request.body(body.into()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert_eq!(answer.status_in_body(base), 503, "{path}");
        assert_eq!(answer.headers["retry-after"], "1", "{path}");
    }
}

#[tokio::test]
async fn a_page_of_an_allowed_site_can_read_every_error() {
    let site = "https://app.example.com";
    let mut api = null_ports::api();
    api.settings.allowed_origins = AllowedOrigins::parse(site).unwrap();
    api.settings.request_timeout = Duration::from_millis(20);
    let registration =
        r#"{"username": "jo", "name": "Jo", "email": "jo@example.com", "password": "secret7"}"#;
    let login = r#"{"username": "jo", "password": "secret7"}"#;
    for (path, body, is_crowded, status) in [
        ("/api/auth/login", stalled(), false, 408),
        ("/api/auth/register", registration.into(), false, 503),
        ("/api/auth/login", login.into(), false, 500),
        ("/api/auth/login", login.into(), true, 503),
    ] {
        let mut request = Request::post(path)
            .header("content-type", "application/json")
            .header("origin", site)
            .body(body)
            .unwrap();
        if is_crowded {
            request.extensions_mut().insert(Arrival {
                client: [192, 0, 2, 1].into(),
                under_way: None,
            });
        }
        let answer = send_to(api.clone(), request).await;
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.headers["access-control-allow-origin"], site);
        let exposed = answer.headers["access-control-expose-headers"].to_str();
        assert!(exposed.unwrap().contains("retry-after"), "{path}");
    }
}

/// The response is immediate if there is no room for the head, and otherwise comes when the body takes too long.
#[tokio::test(start_paused = true)]
async fn the_head_of_a_request_is_charged_to_the_budget_while_its_body_arrives() {
    for (fields, query, status) in [
        (32, 100, StatusCode::REQUEST_TIMEOUT),
        (60, 100, StatusCode::REQUEST_TIMEOUT),
        (100, 0, StatusCode::SERVICE_UNAVAILABLE),
        (0, 30_000, StatusCode::SERVICE_UNAVAILABLE),
    ] {
        let mut request = Request::post(format!("/api/login?{}", "a".repeat(query)));
        for number in 0..fields {
            request = request.header(format!("x-{number}"), "");
        }
        let body = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
        let mut api = null_ports::api();
        api.capacity.bytes = Arc::new(ByteBudget::of(0));
        let answer = send_to(api, request.body(body).unwrap()).await;
        assert_eq!(answer.status, status, "{fields} fields, a query of {query}");
    }
}

#[tokio::test]
async fn a_body_that_has_arrived_is_not_charged_to_the_budget() {
    let mut request = Request::post(format!("/nothing?{}", "a".repeat(10_000)));
    for number in 0..100 {
        request = request.header(format!("x-{number}"), "");
    }
    let mut api = null_ports::api();
    api.capacity.bytes = Arc::new(ByteBudget::of(0));
    let answer = send_to(api, request.body("{}".into()).unwrap()).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}

/// A lookup would panic.
#[tokio::test(start_paused = true)]
async fn an_overloaded_service_refuses_requests_without_looking_anything_up() {
    for (base, path) in POSTS {
        if path == "/users/reset-password" {
            // This request needs no hash.
            continue;
        }
        let body =
            r#"{"username": "jo", "name": "Jo", "email": "jo@example.com", "password": "secret7"}"#;
        let request = Request::post(path).header("content-type", "application/json");
        let (api, registrations) = null_ports::overloaded_api(Duration::from_secs(5));
        let answer = send_to(api, request.body(body.into()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert_eq!(answer.status_in_body(base), 503, "{path}");
        assert_eq!(answer.headers["retry-after"], "5", "{path}");
        // A request that is refused for overload uses up no attempt.
        assert_eq!(registrations.load(Ordering::SeqCst), 0, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_overloaded_service_answers_a_person_with_a_page() {
    for path in ["/sign-in", "/sign-up"] {
        let (api, _) = null_ports::overloaded_api(Duration::from_secs(5));
        let form =
            "username=jo&email=jo%40example.com&password=secret7&password_confirmation=secret7";
        let request =
            Request::post(path).header("content-type", "application/x-www-form-urlencoded");
        let answer = send_to(api, request.body(form.into()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert_eq!(answer.headers["retry-after"], "5", "{path}");
        assert_eq!(answer.headers["content-type"], "text/html; charset=utf-8");
        let html = std::str::from_utf8(&answer.body).unwrap();
        assert!(
            html.contains("role=\"alert\"") && html.contains("value=\"jo\""),
            "{html}"
        );
        assert!(!html.contains("secret7"), "{html}");
    }
}

#[tokio::test]
async fn a_page_that_fails_before_its_handler_runs_is_a_page() {
    for (path, is_page) in [
        ("/sign-in", true),
        ("/security/nothing", true),
        ("/sign-in/second-factor", false),
        ("/securities", false),
    ] {
        let answer = call("DELETE", path).await;
        let html = answer.headers["content-type"] == "text/html; charset=utf-8";
        assert_eq!(html, is_page, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_for_overload_is_sent_a_second_after_the_request_at_the_earliest() {
    let after = |wait| async move {
        tokio::time::sleep(wait).await;
        overloaded(StatusCode::SERVICE_UNAVAILABLE.into_response(), wait)
    };
    let api = Arc::new(null_ports::api());
    let app = axum::Router::new()
        .route("/at-once", get(move || after(Duration::ZERO)))
        .route("/later", get(move || after(Duration::from_secs(3))))
        .route("/served", get(|| async { StatusCode::SERVICE_UNAVAILABLE }))
        .layer(middleware::from_fn_with_state(
            (api, &ENDPOINTS),
            process_request,
        ));
    for (path, millis) in [
        // Up to 1.5 s, and then with those that are due in the next 20 ms.
        ("/at-once", 1000..1521),
        ("/later", 3000..3002),
        ("/served", 0..2),
    ] {
        let asked = Instant::now();
        let request = Request::get(path).body(Body::empty()).unwrap();
        app.clone().oneshot(request).await.unwrap();
        // Paused time passes in whole milliseconds.
        assert!(millis.contains(&asked.elapsed().as_millis()), "{path}");
    }
}

/// A service that refuses every request for overload.
fn overloaded_app() -> axum::Router {
    let refusal = || async {
        overloaded(
            StatusCode::SERVICE_UNAVAILABLE.into_response(),
            Duration::ZERO,
        )
    };
    axum::Router::new()
        .route("/", get(refusal))
        .layer(middleware::from_fn_with_state(
            (Arc::new(null_ports::api()), &ENDPOINTS),
            process_request,
        ))
}

#[tokio::test(start_paused = true)]
async fn refusals_for_overload_that_are_due_at_nearly_the_same_time_are_sent_together() {
    let app = overloaded_app();
    let mut asking = JoinSet::new();
    for _ in 0..400 {
        let app = app.clone();
        asking.spawn(async move {
            let request = Request::get("/").body(Body::empty()).unwrap();
            app.oneshot(request).await.unwrap();
            Instant::now()
        });
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let sent: HashSet<Instant> = asking.join_all().await.into_iter().collect();
    // They are due at any of 900 milliseconds.
    assert!((2..=46).contains(&sent.len()), "at {} times", sent.len());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_for_overload_is_not_delayed_when_places_run_short() {
    let app = overloaded_app();
    let clients = Clients::new(80);
    let proxy = Arc::new(clients.connect_proxy().unwrap());
    let client = IpAddr::from([192, 0, 2, 1]);
    let mut others = Vec::new();
    for is_held_back in [true, false] {
        let asked = Instant::now();
        let mut request = Request::get("/").body(Body::empty()).unwrap();
        let under_way = proxy.begin_stream(client);
        request
            .extensions_mut()
            .insert(Arrival { client, under_way });
        app.clone().oneshot(request).await.unwrap();
        assert_eq!(asked.elapsed() >= Duration::from_secs(1), is_held_back);
        others
            .extend((1..80).filter_map(|number| proxy.begin_stream([198, 51, 100, number].into())));
    }
}

#[tokio::test]
async fn a_request_beyond_its_clients_share_is_refused_in_the_format_of_its_surface() {
    for (base, path) in POSTS {
        // The body is not read.
        let body = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
        let mut request = Request::post(path).body(body).unwrap();
        request.extensions_mut().insert(Arrival {
            client: [192, 0, 2, 1].into(),
            under_way: None,
        });
        let answer = send(request).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert_eq!(answer.status_in_body(base), 503, "{path}");
        assert_eq!(answer.headers["retry-after"], "1", "{path}");
    }
}

#[tokio::test]
async fn a_request_that_continues_without_its_client_knows_that() {
    let (seen, mut contexts) = tokio::sync::mpsc::channel(1);
    let handler = async move |Extension(context): Extension<RequestContext>| {
        seen.send(context.presence).await.unwrap();
        std::future::pending::<()>().await;
    };
    let app = axum::Router::new()
        .route("/", get(handler))
        .layer(middleware::from_fn_with_state(
            (Arc::new(null_ports::api()), &ENDPOINTS),
            process_request,
        ));
    let request = Request::get("/").body(Body::empty()).unwrap();
    let client = tokio::spawn(app.oneshot(request));
    let presence = contexts.recv().await.unwrap();
    assert!(presence.gone().now_or_never().is_none());
    client.abort();
    presence.gone().await;
}

#[tokio::test]
async fn every_response_has_an_id_and_none_is_cached_or_sniffed() {
    for path in [
        "/healthz",
        "/nothing",
        "/users/verify-token",
        "/api/login",
        "/reset-password",
    ] {
        let answer = call("GET", path).await;
        assert_eq!(
            answer.headers["x-content-type-options"], "nosniff",
            "{path}"
        );
        assert_eq!(answer.headers["cache-control"], "no-store", "{path}");
        let id = answer.headers["x-request-id"].to_str().unwrap();
        assert!(uuid::Uuid::try_parse(id).is_ok(), "{path}");
    }
}

#[tokio::test]
async fn the_native_endpoints_answer() {
    assert_eq!(call("GET", "/healthz").await.status, StatusCode::OK);
    let answer = call("GET", "/readyz").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers["retry-after"], "1");
    assert_eq!(answer.status_in_body(""), 503);
    let answer = call("GET", "/.well-known/jwks.json").await;
    assert_eq!(answer.headers["cache-control"], "public, max-age=300");
    assert_eq!(answer.json()["keys"], serde_json::json!([]));
}

#[tokio::test]
async fn the_reset_page_answers_in_html() {
    for query in ["", "?token=", "?token=%00%ff", "?token=x&token=y", "?%"] {
        let answer = call("GET", &format!("/reset-password{query}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
        assert_eq!(answer.headers["content-type"], "text/html; charset=utf-8");
    }
    let form = "application/x-www-form-urlencoded";
    for (media_type, body, status) in [
        (form, "token=x&password=a&password_confirmation=b", 400),
        (form, "", 400),
        ("application/json", "{}", 415),
    ] {
        let answer = post("/reset-password", media_type, body).await;
        assert_eq!(answer.status, status, "{body}");
        assert_eq!(answer.headers["content-type"], "text/html; charset=utf-8");
    }
}
