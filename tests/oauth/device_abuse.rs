//! What hostile devices and guessers of codes cannot do.

use super::devices::with_tv;
use super::provider::Provider;
use crate::support::devices::{DEVICE_CODE, DeviceCodes, approves};
use crate::support::oauth::{Granted, Registration, is_grant_error};
use crate::support::{Endpoint, Settings, Store, on_both_stores, own};

on_both_stores!(
    a_request_of_a_device_with_wrong_parameters_is_refused_and_stores_nothing,
    a_poll_with_wrong_parameters_is_refused,
    guesses_of_codes_are_limited_by_account,
    requests_of_devices_are_limited_by_address,
    a_device_that_polls_without_pause_costs_no_statements,
    expired_requests_are_removed_at_the_start,
);

/// With limits, which most stories go without.
async fn limited(store: Store) -> Provider {
    let settings = Settings::on(store).without("AUTHLOG_RATE_LIMIT");
    Provider::with(settings, &Registration::device("tv")).await
}

async fn a_request_of_a_device_with_wrong_parameters_is_refused_and_stores_nothing(store: Store) {
    let op = with_tv(store).await;
    let long = "x".repeat(20_000);
    let client = ("client_id", "tv");
    let resources = [("resource", "https://api.example"); 70];
    for (form, error) in [
        (&[][..], "invalid_client"),
        (&[("client_id", "radio")], "invalid_client"),
        (&[("client_id", "tv\0")], "invalid_client"),
        (&[("client_id", &*long)], "invalid_client"),
        (&[client, client], "invalid_request"),
        (&[client, ("client_secret", "x")], "invalid_client"),
        (&[client, ("scope", "address")], "invalid_scope"),
        (&[client, ("scope", "\"")], "invalid_scope"),
        (&[client, ("scope", &*long)], "invalid_scope"),
        (&[client, ("scope", "a"), ("scope", "b")], "invalid_request"),
        (
            &[client, ("resource", "https://a.example")],
            "invalid_target",
        ),
        (&[client, ("resource", "\u{0}")], "invalid_target"),
        (&resources[..], "invalid_request"),
    ] {
        let answer = op.service.send(own::DEVICE_AUTHORIZATION).form(form).await;
        is_grant_error(&answer, 400, error);
    }
    let body = op.service.send(own::DEVICE_AUTHORIZATION);
    let answer = body.body_of("application/json", b"{}").await;
    is_grant_error(&answer, 415, "invalid_request");
    let body = op.service.send(own::DEVICE_AUTHORIZATION);
    let not_utf8 = b"client_id=tv&scope=%ff";
    let answer = body.body_of("application/x-www-form-urlencoded", not_utf8);
    is_grant_error(&answer.await, 400, "invalid_request");
    let get = Endpoint::at("GET", own::DEVICE_AUTHORIZATION.path);
    is_grant_error(&op.service.send(get).await, 405, "invalid_request");
    assert_eq!(op.service.settings.count("device_authorizations"), 0);
    // A page of every site may ask, as at the token endpoint.
    let form = [client];
    let request = op.service.send(own::DEVICE_AUTHORIZATION).form(&form);
    let answer = request.header("origin", "https://app.example").await;
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(op.service.settings.count("device_authorizations"), 1);
}

async fn a_poll_with_wrong_parameters_is_refused(store: Store) {
    let mut op = with_tv(store).await;
    let codes = op.approves_a_device("openid").await;
    let code = codes.device_code.as_str();
    let long = "x".repeat(20_000);
    let grant = ("grant_type", DEVICE_CODE);
    for (form, error) in [
        (&[grant][..], "invalid_request"),
        (&[grant, ("device_code", "")], "invalid_request"),
        (
            &[grant, ("device_code", code), ("device_code", code)],
            "invalid_request",
        ),
        (&[grant, ("device_code", "x")], "invalid_grant"),
        (&[grant, ("device_code", "\0\u{e4}")], "invalid_grant"),
        (&[grant, ("device_code", &*long)], "invalid_grant"),
        (&[grant, ("device_code", &code[1..])], "invalid_grant"),
        (
            &[grant, ("device_code", &*codes.user_code)],
            "invalid_grant",
        ),
        (
            &[("grant_type", "device_code"), ("device_code", code)],
            "unsupported_grant_type",
        ),
        (
            &[("grant_type", "authorization_code"), ("code", code)],
            "unauthorized_client",
        ),
    ] {
        is_grant_error(&op.app.token_request(form).await, 400, error);
    }
    Granted::of(&op.app.poll(&codes).await);
}

async fn guesses_of_codes_are_limited_by_account(store: Store) {
    let mut op = limited(store).await;
    let codes = op.app.begins_on_a_device("openid").await;
    approves(&mut op.browser, &op.person, &codes).await;
    op.browser.open("/device").await;
    let hidden = op.browser.form("/device");
    let mut refused = None;
    let guesses = "BCDFGHJKLMNPQRSTVWXZ".chars().cycle();
    for (number, letter) in guesses.take(60).enumerate() {
        let code = format!("{letter}{letter}{letter}{letter}-{letter}BCD");
        let path = ["/device", "/device/decision"][number % 2];
        let fields = [("user_code", code.as_str()), ("decision", "deny")];
        let answer = op.browser.post(path, &hidden, &fields).await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
        assert_eq!(answer.status, 400, "{answer}");
        // Those of the approval count, too.
        assert!(number < 35, "{number} guesses");
    }
    let refused = refused.unwrap();
    assert!(refused.retry_after() >= 1, "{refused}");
    assert!(refused.body.contains("Too many attempts"), "{refused}");
    let media_type = refused.header("content-type");
    assert_eq!(media_type, Some("text/html; charset=utf-8"));
    // A text that is no code is no guess.
    let fields = [("user_code", "BCDF")];
    let answer = op.browser.post("/device", &hidden, &fields).await;
    assert_eq!(answer.status, 400, "{answer}");
    // Neither other people nor devices are limited by that.
    Granted::of(&op.app.poll(&codes).await);
    let (bob, mut other) = crate::support::browser::registered(&op.http(), "bob").await;
    let codes = op.app.begins_on_a_device("openid").await;
    approves(&mut other, &bob, &codes).await;
}

async fn requests_of_devices_are_limited_by_address(store: Store) {
    let op = limited(store).await;
    let ask = async |address: &str| {
        let http = op.http().calling_from(address);
        op.app
            .of(&http)
            .authenticated(own::DEVICE_AUTHORIZATION, &[])
            .await
    };
    let mut stored = 0;
    let refused = loop {
        let answer = ask("127.0.0.2").await;
        if answer.status != 200 {
            break answer;
        }
        stored += 1;
        assert!(stored < 100);
    };
    assert!(stored >= 60, "{stored}");
    is_grant_error(&refused, 429, "temporarily_unavailable");
    assert!(refused.retry_after() >= 1, "{refused}");
    assert_eq!(op.service.settings.count("device_authorizations"), stored);
    DeviceCodes::of(&ask("127.0.0.3").await);
    // The devices of an application that proves who it is may all come from its server.
    let registration = Registration::device("films").with("--auth-method", "client_secret_post");
    let films = registration.at(&op.service);
    for _ in 0..100 {
        films.begins_on_a_device("openid").await;
    }
}

async fn a_device_that_polls_without_pause_costs_no_statements(store: Store) {
    let op = with_tv(store).await;
    let codes = op.app.begins_on_a_device("openid").await;
    is_grant_error(&op.app.poll(&codes).await, 400, "authorization_pending");
    // Without its rows, a poll that asked the store would be answered differently.
    let delete = "DELETE FROM device_authorizations";
    op.service.settings.execute(delete);
    for _ in 0..300 {
        is_grant_error(&op.app.poll(&codes).await, 400, "slow_down");
    }
}

async fn expired_requests_are_removed_at_the_start(store: Store) {
    let mut op = with_tv(store).await;
    for _ in 0..3 {
        op.app.begins_on_a_device("openid").await;
    }
    let expired = if op.service.settings.is_sqlite() {
        "UPDATE device_authorizations SET expires_at = 0"
    } else {
        "UPDATE device_authorizations SET expires_at = now() - interval '1 minute'"
    };
    op.service.settings.execute(expired);
    op.service.kill9();
    op.service.restart().await;
    crate::support::eventually("the rows are removed", async || {
        let left = op.service.settings.count("device_authorizations");
        (left == 0).then_some(())
    })
    .await;
}
