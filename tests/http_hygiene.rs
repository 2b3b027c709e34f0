//! The service behind proxies, with browsers, and with hostile clients.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

use crate::support;

use std::time::Duration;

use serde_json::{Value, json};
use support::contract::{Tokens, is_refused, verifies};
use support::endpoint::NAMED;
use support::http::{Http, Request};
use support::mail::mail_to;
use support::wire::Wire;
use support::{
    Answer, Contract, Endpoint, Person, Program, Settings, Store, api_auth, eventually,
    on_both_stores, own, users,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

on_both_stores!(
    clients_behind_a_trusted_proxy_are_distinguished,
    forwarded_addresses_are_believed_from_trusted_proxies_alone,
    only_an_allowed_site_can_call_from_a_browser,
    an_allowed_site_can_read_every_answer,
    an_allowed_site_can_follow_the_feed,
    every_answer_has_the_security_headers_for_browsers,
    strict_transport_reaches_no_further_than_the_setting_says,
    every_line_of_a_json_log_is_json,
    connections_are_shared_and_half_a_request_does_not_delay_the_shutdown,
    a_body_that_is_not_needed_costs_the_client_no_connection,
    an_incomplete_request_is_not_executed,
    a_suspicious_setting_is_reported,
    nothing_that_clients_send_is_logged_at_any_level,
);

/// More wrong passwords than one account allows from one address, and fewer than it allows from all addresses.
const STUBBORN: usize = 50;

async fn clients_behind_a_trusted_proxy_are_distinguished(store: Store) {
    let service = limited(store)
        .with("AUTHLOG_TRUSTED_PROXIES", "127.0.0.1, 10.0.0.0/8")
        .start()
        .await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    // The proxy's entry counts, not those that the client puts before it.
    let mut refused = false;
    for number in 0..STUBBORN {
        let lie = format!("203.0.113.{number}, 192.0.2.66, 10.1.1.1");
        let answer = sign_in_for(&http, &ann.with_password("a-wild-guess"), &lie).await;
        if answer.status == 429 {
            refused = true;
            break;
        }
        Contract::ApiAuth.says_wrong_credentials(&answer);
    }
    assert!(refused, "the guesser is one client");
    let answer = sign_in_for(&http, &ann, "192.0.2.66").await;
    assert_eq!(answer.status, 429, "{answer}");
    for elsewhere in ["198.51.100.7", "2001:db8::7"] {
        let answer = sign_in_for(&http, &ann, elsewhere).await;
        assert_eq!(answer.status, 200, "{answer}");
    }
    let login = Contract::ApiAuth.login_of(&ann.email, &ann.password);
    let request = http.send(api_auth::LOGIN).json(&login);
    let answer = request
        .header("forwarded", "for=\"[2001:db8:cafe::17]:4711\";proto=https")
        .await;
    assert_eq!(answer.status, 200, "{answer}");
    let history = service.settings.run(&["history", "ann", "--json"], "");
    let history = String::from_utf8_lossy(&history.stdout).into_owned();
    for address in [
        "198.51.100.7",
        "2001:db8::7",
        "2001:db8:cafe::17",
        "192.0.2.66",
    ] {
        assert!(history.contains(address), "{address} is not in {history}");
    }
    assert!(!history.contains("203.0.113."), "{history}");
}

async fn forwarded_addresses_are_believed_from_trusted_proxies_alone(store: Store) {
    let service = limited(store)
        .with("AUTHLOG_TRUSTED_PROXIES", "127.0.0.9")
        .start()
        .await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let mut refused = false;
    for number in 0..STUBBORN {
        let lie = format!("203.0.113.{number}");
        let answer = sign_in_for(&http, &ann.with_password("a-wild-guess"), &lie).await;
        refused |= answer.status == 429;
    }
    assert!(refused, "the guesser counts as one client");
    let history = service.settings.run(&["history", "ann", "--json"], "");
    let history = String::from_utf8_lossy(&history.stdout).into_owned();
    assert!(!history.contains("203.0.113."), "{history}");
}

async fn only_an_allowed_site_can_call_from_a_browser(store: Store) {
    let service = with_allowed_site(store).await;
    let answer = preflight(&service.http(), SITE).await;
    assert_eq!(answer.status, 200, "{answer}");
    assert_eq!(answer.header("access-control-allow-origin"), Some(SITE));
    assert_eq!(
        answer.header("access-control-allow-credentials"),
        Some("true")
    );
    let methods = answer.header("access-control-allow-methods").unwrap();
    assert!(methods.contains("POST"), "{answer}");
    let headers = answer.header("access-control-allow-headers").unwrap();
    assert!(headers.contains("content-type"), "{answer}");

    for stranger in [
        "https://app.example.com.evil.example",
        "http://app.example.com",
        "https://example.com",
        "null",
    ] {
        let answer = preflight(&service.http(), stranger).await;
        assert_eq!(
            answer.header("access-control-allow-origin"),
            None,
            "{answer}"
        );
        let request = service.send(users::VERIFY).header("origin", stranger);
        let answer = request.await;
        assert_eq!(
            answer.header("access-control-allow-origin"),
            None,
            "{answer}"
        );
    }
    // Without the setting no site is allowed.
    let service = Program::on(store).await;
    let answer = preflight(&service.http(), SITE).await;
    Contract::ApiAuth.refuses(&answer, 405);
    assert_eq!(
        answer.header("access-control-allow-origin"),
        None,
        "{answer}"
    );
}

async fn an_allowed_site_can_read_every_answer(store: Store) {
    let service = with_allowed_site(store).await;
    let ann = Person::called("ann");
    let body = Contract::ApiAuth.registration_of(&ann);
    let request = service.send(api_auth::REGISTER).json(&body);
    let answer = request.header("origin", SITE).await;
    assert_eq!(answer.status, 201, "{answer}");
    assert_eq!(answer.header("access-control-allow-origin"), Some(SITE));
    assert!(
        answer.header("vary").unwrap().contains("origin"),
        "{answer}"
    );
    // The page can read a refusal and its `Retry-After`.
    let request = service.send(users::VERIFY).header("origin", SITE);
    let answer = request.await;
    assert_eq!(answer.header("access-control-allow-origin"), Some(SITE));
    let exposed = answer.header("access-control-expose-headers").unwrap();
    for name in [
        "retry-after",
        "www-authenticate",
        "allow",
        "x-request-id",
        "authlog-log-index",
        "preference-applied",
    ] {
        assert!(exposed.contains(name), "{answer}");
    }
    // The page can also read errors that occur before any endpoint runs.
    for (request, status) in [
        ("GET /healthz HTTP/1.1", 400),
        ("GET /nothing HTTP/1.1\r\nHost: a", 404),
        ("GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b", 400),
        ("DELETE /healthz HTTP/1.1\r\nHost: a", 405),
        (
            "POST /api/auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 99999999",
            413,
        ),
        (
            "POST /api/auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 9",
            408,
        ),
    ] {
        let mut wire = Wire::to(&service.address()).await;
        let head = format!("{request}\r\nOrigin: {SITE}\r\nConnection: close\r\n\r\n");
        wire.write(head.as_bytes()).await;
        let answer = wire.read_answer().await;
        assert_eq!(answer.status, status, "{answer}");
        assert_eq!(answer.header("access-control-allow-origin"), Some(SITE));
    }
}

async fn an_allowed_site_can_follow_the_feed(store: Store) {
    let service = with_allowed_site(store).await;
    let answer = service
        .send(Endpoint::at("OPTIONS", "/audit/events"))
        .header("origin", SITE)
        .header("access-control-request-method", "GET")
        .header(
            "access-control-request-headers",
            "authorization,last-event-id,traceparent,tracestate,baggage,x-request-id,if-match,cache-control",
        )
        .await;
    // Tracing headers are allowed, and headers that libraries add do no harm.
    let headers = answer.header("access-control-allow-headers").unwrap();
    for name in [
        "authorization",
        "last-event-id",
        "traceparent",
        "x-request-id",
        "if-match",
    ] {
        assert!(headers.contains(name), "{answer}");
    }
}

/// The site that [`with_allowed_site`] allows.
const SITE: &str = "https://app.example.com";

/// A service that allows [`SITE`].
async fn with_allowed_site(store: Store) -> Program {
    let origins = format!("{SITE}, http://localhost:3000");
    let settings = Settings::on(store).with("AUTHLOG_CORS_ORIGINS", &origins);
    settings.start().await
}

/// The request by which a browser asks whether a page of `origin` may sign in.
fn preflight(http: &Http, origin: &str) -> Request {
    http.send(Endpoint::at("OPTIONS", "/api/auth/login"))
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type")
}

async fn every_answer_has_the_security_headers_for_browsers(store: Store) {
    let settings = Settings::on(store).with("AUTHLOG_PUBLIC_URL", "https://auth.example.com");
    let service = settings.start().await;
    let nowhere = [
        Endpoint::at("GET", "/nothing"),
        Endpoint::at("GET", "/users/nothing"),
        Endpoint::at("TRACE", "/api/auth/login"),
    ];
    for endpoint in NAMED.iter().map(|(_, endpoint)| *endpoint).chain(nowhere) {
        let answer = service.send(endpoint).await;
        let header = |name| {
            answer
                .header(name)
                .unwrap_or_else(|| panic!("no {name}: {answer}"))
        };
        assert_eq!(header("x-content-type-options"), "nosniff", "{answer}");
        // Without a referrer, the forms of a page would come from nowhere. A redirect is no page.
        let is_page = answer.header("content-type") == Some("text/html; charset=utf-8");
        let has_secret = ["/reset-password", "/verify-email"].contains(&endpoint.path);
        let is_refused = answer.status == 415;
        let referrer = if is_page && !has_secret && !is_refused {
            "same-origin"
        } else {
            "no-referrer"
        };
        assert_eq!(header("referrer-policy"), referrer, "{answer}");
        assert!(header("content-security-policy").contains("default-src 'none'"));
        assert!(header("content-security-policy").contains("frame-ancestors 'none'"));
        assert!(header("content-security-policy").contains("base-uri 'none'"));
        // An application may sign people in and out in a window of its own.
        let opener = if [own::AUTHORIZE, own::END_SESSION].contains(&endpoint) {
            "unsafe-none"
        } else {
            "same-origin"
        };
        assert_eq!(header("cross-origin-opener-policy"), opener, "{answer}");
        assert_eq!(
            header("strict-transport-security"),
            "max-age=31536000; includeSubDomains"
        );
        // Public answers may be cached for a while.
        let public = [
            own::KEY_SET,
            own::METADATA,
            own::PROVIDER_METADATA,
            own::LOG_KEY,
            own::ASYNC_API,
            own::ICON,
        ]
        .contains(&endpoint);
        if !public {
            assert!(header("cache-control").contains("no-store"), "{answer}");
        }
    }
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&service.http(), &ann).await;
    let answer = Contract::ApiAuth.sign_in(&service.http(), &ann).await;
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer}");
    let cookie = answer.cookie("refreshToken").unwrap();
    for (name, value) in [
        ("httponly", ""),
        ("secure", ""),
        ("samesite", "Strict"),
        ("path", "/api/auth"),
    ] {
        assert_eq!(cookie.attribute(name), Some(value), "{cookie:?}");
    }
    assert_eq!(cookie.attribute("domain"), None, "{cookie:?}");
    assert!(cookie.attribute("max-age").is_some(), "{cookie:?}");

    let plain = Program::on(store).await;
    let answer = plain.send(own::HEALTHZ).await;
    assert_eq!(answer.header("strict-transport-security"), None, "{answer}");
}

async fn strict_transport_reaches_no_further_than_the_setting_says(store: Store) {
    for (url, hosts, policy) in [
        ("https://example.com/auth", "host", Some("max-age=31536000")),
        ("https://example.com/auth", "off", None),
        ("http://example.com", "subdomains", None),
    ] {
        let settings = Settings::on(store)
            .with("AUTHLOG_PUBLIC_URL", url)
            .with("AUTHLOG_HSTS", hosts);
        let service = settings.start().await;
        let answer = service.send(own::HEALTHZ).await;
        assert_eq!(
            answer.header("strict-transport-security"),
            policy,
            "{answer}"
        );
    }
}

async fn every_line_of_a_json_log_is_json(store: Store) {
    let settings = Settings::on(store).with("AUTHLOG_LOG_FORMAT", "json");
    let mut service = settings.start().await;
    let address = service.address();
    service.send(own::HEALTHZ).await;
    assert!(service.terminate().await.success());
    // Container log collectors merge standard output and standard error.
    let output = service.output();
    let lines: Vec<Value> = output
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let listening = json!({"listening": format!("http://{address}")});
    assert!(lines.contains(&listening), "{output}");
    assert!(lines.len() > 2, "{output}");
}

async fn connections_are_shared_and_half_a_request_does_not_delay_the_shutdown(store: Store) {
    let settings = Settings::on(store).with("AUTHLOG_MAX_CONNECTIONS", "16");
    let mut service = settings.start().await;
    let address = service.address();
    // A client's share is a quarter of sixteen connections: four stay open, further ones are closed at once.
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut wire = connect(&address, "127.0.0.2").await;
        wire.write_all(b"POST /users/login HTTP/1.1\r\nHost: a")
            .await
            .unwrap();
        held.push(wire);
    }
    eventually("a fifth is closed", async || {
        let mut fifth = connect(&address, "127.0.0.2").await;
        let written = fifth
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            .await;
        let mut answer = [0; 1];
        let read = fifth.read(&mut answer).await;
        (written.is_err() || matches!(read, Ok(0) | Err(_))).then_some(())
    })
    .await;
    // Other clients are served meanwhile.
    for other in ["127.0.0.3", "127.0.0.4"] {
        let answer = service.http().calling_from(other).send(own::HEALTHZ).await;
        assert_eq!(answer.status, 200, "{answer}");
    }
    // A client that closes its connections can connect again.
    held.pop();
    eventually("a new connection is accepted", async || {
        let http = service.http().calling_from("127.0.0.2");
        http.send(own::HEALTHZ).attempt().await.ok()
    })
    .await;

    assert!(service.terminate().await.success());
    let said = service.output();
    assert!(!said.contains("did not finish in time"), "{said}");
    drop(held);
}

async fn a_body_that_is_not_needed_costs_the_client_no_connection(store: Store) {
    let service = Settings::on(store).start().await;
    let body = r#"{"username": "ann"}"#;
    let mut wire = Wire::to(&service.address()).await;
    // None of these answers depends on the body, which arrives a little later.
    for request in ["POST /nowhere", "DELETE /users/login", "GET /healthz"] {
        let head = format!(
            "{request} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        wire.write(head.as_bytes()).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        wire.write(body.as_bytes()).await;
    }
    wire.write(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await;
    let heard = wire.read_to_end().await;
    let statuses: Vec<_> = heard
        .split("HTTP/1.1 ")
        .skip(1)
        .map(|answer| &answer[..3])
        .collect();
    assert_eq!(statuses, ["404", "405", "200", "200"], "{heard}");
}

async fn an_incomplete_request_is_not_executed(store: Store) {
    let service = Settings::on(store).start().await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let access = Contract::ApiAuth.signs_in(&http, &ann).await.access;
    let logout = |end: &str| {
        let Endpoint { method, path, .. } = api_auth::LOGOUT;
        format!("{method} {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {access}\r\n{end}")
    };
    for half in [
        "Content-Length: 100\r\n\r\n{}",
        "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\nno length\r\n",
    ] {
        let mut wire = connect(&service.address(), "127.0.0.1").await;
        wire.write_all(logout(half).as_bytes()).await.unwrap();
        wire.shutdown().await.unwrap();
        let mut heard = String::new();
        wire.read_to_string(&mut heard).await.unwrap();
        assert!(
            heard.is_empty() || heard.starts_with("HTTP/1.1 400 "),
            "{heard}"
        );
        verifies(&http, &access).await;
    }
    let mut wire = Wire::to(&service.address()).await;
    let whole = logout("Connection: close\r\nContent-Length: 2\r\n\r\n{}");
    wire.write(whole.as_bytes()).await;
    assert_eq!(wire.read_answer().await.status, 200);
    is_refused(&http, &access).await;
}

async fn a_suspicious_setting_is_reported(store: Store) {
    let settings = Settings::on(store)
        .with("AUTHLOG_LISTEN", "0.0.0.0:0")
        .with("AUTHLOG_TRUSTED_PROXY", "10.0.0.0/8-which-may-be-secret");
    let mut service = settings.start().await;
    service.terminate().await;
    let said = service.output();
    let warned = |words: &[&str]| {
        said.lines()
            .any(|line| line.contains("WARN") && words.iter().all(|word| line.contains(word)))
    };
    assert!(warned(&["AUTHLOG_LISTEN", "AUTHLOG_PUBLIC_URL"]), "{said}");
    assert!(
        warned(&["AUTHLOG_TRUSTED_PROXY", "AUTHLOG_TRUSTED_PROXIES"]),
        "{said}"
    );
    assert!(!said.contains("may-be-secret"), "{said}");

    let mut service = Program::on(store).await;
    service.terminate().await;
    assert!(!service.output().contains("WARN"), "{}", service.output());
}

/// The canary: a word in everything that the clients send, and in nothing else.
async fn nothing_that_clients_send_is_logged_at_any_level(store: Store) {
    for format in ["text", "json"] {
        let service = Settings::on(store)
            .with_cheap_hashing()
            .without("AUTHLOG_RATE_LIMIT")
            .with("AUTHLOG_TRUSTED_PROXIES", "127.0.0.0/8")
            .with("AUTHLOG_LOG", "trace")
            .with("AUTHLOG_LOG_FORMAT", format)
            .start()
            .await;
        let secrets = canaries_are_sent(service).await;
        assert!(secrets >= 10, "{secrets}");
    }
}

/// Sends canaries through every input, stops the service, searches its output for them, and returns how many were sent.
async fn canaries_are_sent(mut service: Program) -> usize {
    let http = service.http();
    let mut secrets = vec![
        "canary".to_owned(),
        "Canary".to_owned(),
        "203.0.113.77".to_owned(),
    ];
    for contract in Contract::ALL {
        let tokens = signs_in_with_canaries(&http, contract).await;
        uses_tokens_with_canaries(&http, &tokens).await;
        secrets.push(tokens.access);
        secrets.extend(tokens.refresh);
    }
    secrets.push(resets_with_canaries(&service).await);
    sends_malformed_canaries(&service).await;
    let typed = [
        "user",
        "create",
        "--username",
        "canary-cli",
        "--role",
        "service",
    ];
    let made = service.settings.run(&typed, "canary-of-the-operator\n");
    assert!(made.status.success(), "{made:?}");
    let log_of_command = String::from_utf8_lossy(&made.stderr).into_owned();
    service.terminate().await;
    let written = service.output() + &log_of_command;
    assert!(written.contains("answered"), "the log has every answer");
    assert!(
        written.contains("TRACE"),
        "the log is at its most with_trace_log"
    );
    for secret in &secrets {
        let line = written.lines().find(|line| line.contains(secret.as_str()));
        assert!(line.is_none(), "{secret} is in {line:?}");
    }
    secrets.len()
}

/// Registers through a contract, and signs in with right, wrong and malformed canaries. Returns the tokens.
async fn signs_in_with_canaries(http: &Http, contract: Contract) -> Tokens {
    let person = Person {
        username: format!("canary-{contract:?}").to_lowercase(),
        email: format!("canary-{contract:?}@canary.example").to_lowercase(),
        name: "Canary Canaryson".to_owned(),
        password: "canary-opens-sesame".to_owned(),
    };
    contract.registers(http, &person).await;
    // Taken, malformed, wrong, too long, and correct.
    contract.register(http, &person).await;
    contract
        .sign_in(http, &person.with_password("canary-wrong"))
        .await;
    contract
        .sign_in(http, &person.with_password(&"canary".repeat(100)))
        .await;
    contract
        .sign_in(http, &person.with_password("canary\u{7}"))
        .await;
    let body = contract.login_of(&person.email, &person.password);
    let request = http.send(contract.login()).json(&body);
    let answer = request
        .header("user-agent", "CanaryBrowser/1.0")
        .header("x-forwarded-for", "203.0.113.77")
        .header("x-canary", "canary")
        .header("referer", "https://canary.example/")
        .cookie("refreshToken", "canary-cookie")
        .query("canary=canary")
        .await;
    assert_eq!(answer.status, 200, "{answer}");
    let tokens = contract.tokens_in(&answer.json());
    for body in [
        r#"{"password": "canary"#,
        r#"{"password": canary}"#,
        r#"{"username": {"canary": ["canary"]}, "password": 1e999}"#,
        r#"{"canary": "x", "canary": "y", "password": "canary", "password": "canary"}"#,
    ] {
        contract.refuses_the_client(&http.send(contract.login()).json_text(body).await);
    }
    let request = http
        .send(contract.login())
        .body_of("text/canary", b"canary");
    request.await;
    tokens
}

async fn uses_tokens_with_canaries(http: &Http, tokens: &Tokens) {
    verifies(http, &tokens.access).await;
    http.send(users::VERIFY)
        .authorization(&format!("{}canary", tokens.access))
        .await;
    if let Some(refresh) = &tokens.refresh {
        http.send(api_auth::REFRESH).bearer(refresh).await;
        http.send(api_auth::REFRESH_TOKEN)
            .cookie("refreshToken", refresh)
            .await;
    }
    http.send(own::HISTORY)
        .bearer(&tokens.access)
        .query("since=canary")
        .await;
    http.send(own::FEED)
        .bearer(&tokens.access)
        .query("after=canary")
        .await;
}

/// Resets a password with canaries, and returns the token of the mail.
async fn resets_with_canaries(service: &Program) -> String {
    let http = service.http();
    let body = json!({"username": "canary-apiauth@canary.example"});
    http.send(users::REQUEST_RESET).json(&body).await;
    let reset = mail_to(service, "canary-apiauth@canary.example")
        .await
        .token();
    let query = format!("token={reset}");
    http.send(own::RESET_PAGE).query(&query).await;
    let form = [
        ("token", reset.as_str()),
        ("password", "canary"),
        ("password_confirmation", "canary-2"),
    ];
    http.send(own::RESET_FORM).form(&form).await;
    let request = http.send(users::UPDATE_PASSWORD).authorization(&reset);
    let answer = request.json(&json!({"password": "canary-is-new"})).await;
    assert_eq!(answer.status, 200, "{answer}");
    reset
}

/// Sends canaries in unknown paths, in methods, and in bytes that are not HTTP.
async fn sends_malformed_canaries(service: &Program) {
    let http = service.http();
    for path in [
        "/canary",
        "/users/canary",
        "/api/auth/canary",
        "/audit/users/canary/events",
        "/%63anary",
    ] {
        http.send(Endpoint::at("GET", path)).await;
        http.send(Endpoint::at("CANARY", path)).await;
    }
    for bytes in [
        &b"canary canary canary\r\n\r\n"[..],
        b"GET /canary HTTP/1.1\r\ncanary\r\n\r\n",
        b"GET /canary HTTP/9.9\r\nHost: canary\r\n\r\n",
        b"POST /users/login HTTP/1.1\r\nHost: canary\r\nContent-Length: canary\r\n\r\ncanary",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\ncanary-canary-canary-canary",
    ] {
        let mut wire = connect(&service.address(), "127.0.0.1").await;
        wire.write_all(bytes).await.unwrap();
        wire.shutdown().await.unwrap();
        let _ = wire.read_to_end(&mut Vec::new()).await;
    }
}

/// A sign-in through `/api/auth` that a proxy forwards for a client.
async fn sign_in_for(http: &Http, person: &Person, forwarded_for: &str) -> Answer {
    let login: Value = Contract::ApiAuth.login_of(&person.email, &person.password);
    http.send(api_auth::LOGIN)
        .json(&login)
        .header("x-forwarded-for", forwarded_for)
        .await
}

/// Settings with the default limits of attempts.
fn limited(store: Store) -> Settings {
    Settings::on(store)
        .without("AUTHLOG_RATE_LIMIT")
        .with_cheap_hashing()
}

/// A connection from another address of this machine.
async fn connect(address: &str, from: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
    socket.connect(address.parse().unwrap()).await.unwrap()
}
