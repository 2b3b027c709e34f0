//! The nginx configuration of `docs/forward-auth.md`, in Debian's nginx if it is installed.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::support;

use support::http::Request;
use support::nginx::{Nginx, documented};
use support::{Answer, Contract, Endpoint, Person, Settings, Store, on_both_stores, own, staff};

on_both_stores!(nginx_checks_each_request_and_passes_the_identity_to_the_application);

async fn nginx_checks_each_request_and_passes_the_identity_to_the_application(store: Store) {
    if !Nginx::is_installed(&[]) {
        return;
    }
    let settings = Settings::on(store).with("AUTHLOG_TRUSTED_PROXIES", "127.0.0.1");
    let service = settings.with_cheap_hashing().start().await;
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&service.http(), &ann).await;
    let user = Contract::ApiAuth.signs_in(&service.http(), &ann).await;
    let admin = staff::signed_in(&service, "root", "admin").await;
    let configuration = documented("docs/forward-auth.md", "nginx");
    let nginx = Nginx::before(&service, &configuration, &[], &[]).await;

    for path in ["/", "/admin/users"] {
        let answer = forging(nginx.get(path)).await;
        assert_eq!(answer.status, 401, "{answer}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        let answer = forging(nginx.get(path)).bearer("nonsense").await;
        assert_eq!(answer.status, 401, "{answer}");
        let expected = Some("Bearer error=\"invalid_token\"");
        assert_eq!(answer.header("www-authenticate"), expected);
    }
    let known = service
        .send(own::FORWARD_AUTH)
        .bearer(&user.access)
        .await
        .header("x-auth-subject")
        .unwrap()
        .to_owned();
    let answer = forging(nginx.get("/page?a=b")).bearer(&user.access).await;
    let seen = seen_by_the_application(&answer);
    assert_eq!(seen["x-auth-subject"], known);
    assert_eq!(seen["x-auth-username"], "ann");
    assert_eq!(seen["x-auth-email"], "ann@example.com");
    assert_eq!(seen["x-auth-role"], "user");
    assert!(seen.contains_key("x-auth-session"));
    // A body goes to the application, and the check does not wait for it.
    let upload = nginx.http.send(Endpoint::at("PUT", "/upload"));
    let upload = upload.untyped_body(&[b'x'; 100_000]).bearer(&user.access);
    let answer = upload.await;
    let seen = seen_by_the_application(&answer);
    assert_eq!(seen["content-length"], "100000");
    // The required role of a location.
    let answer = forging(nginx.get("/admin/users"))
        .bearer(&user.access)
        .await;
    assert_eq!(answer.status, 403, "{answer}");
    let answer = forging(nginx.get("/admin/users"))
        .bearer(&admin.access)
        .await;
    assert_eq!(seen_by_the_application(&answer)["x-auth-role"], "admin");
    // Locations without a check pass no identity headers to the application.
    let answer = forging(nginx.get("/public/page")).await;
    let seen = seen_by_the_application(&answer);
    let identity = seen.keys().find(|name| name.as_str().contains("auth"));
    assert_eq!(identity, None, "{seen:?}");
}

/// Adds forged identity headers to a request.
fn forging(request: Request) -> Request {
    [
        "subject",
        "username",
        "email",
        "email-verified",
        "role",
        "session",
    ]
    .iter()
    .fold(request, |request, name| {
        let underscored = format!("x_auth_{}", name.replace('-', "_"));
        request
            .header(&format!("x-auth-{name}"), "forged")
            .header(&underscored, "forged")
    })
}

/// The headers that reached the application. Asserts that none is forged.
#[track_caller]
fn seen_by_the_application(answer: &Answer) -> reqwest::header::HeaderMap {
    assert_eq!(answer.status, 200, "{answer}");
    assert!(!answer.body.contains("forged"), "{answer}");
    let lines = answer.body.lines().skip(1);
    lines
        .take_while(|line| !line.is_empty())
        .map(|line| {
            let (name, value) = line.split_once(':').unwrap();
            let name: reqwest::header::HeaderName = name.parse().unwrap();
            (name, value.trim().parse().unwrap())
        })
        .collect()
}
