//! Pushed requests that no application should send, and references that were made up.

use authlog_application::ports::{SealedFor, SecondFactorSecrets as _};

use super::provider::Provider;
use crate::support::oauth::{Registration, basic, callback_of, is_grant_error};
use crate::support::{Endpoint, Settings, Store, on_both_stores, own};

on_both_stores!(
    a_pushed_request_with_wrong_parameters_is_refused_at_once,
    only_a_client_that_authenticates_itself_pushes,
    a_reference_opens_for_its_client_alone,
    the_credentials_of_the_client_are_not_kept,
    a_request_of_the_longest_kind_still_fits_into_a_url,
    a_body_that_is_no_form_is_refused,
);

async fn a_pushed_request_with_wrong_parameters_is_refused_at_once(store: Store) {
    let op = Provider::with(Settings::on(store), &Registration::confidential("app")).await;
    let good = op.app.begins("openid");
    let long = "x".repeat(600);
    let invalid = "invalid_request";
    for (name, value, error) in [
        ("redirect_uri", "", invalid),
        ("redirect_uri", "https://evil.example/", invalid),
        ("redirect_uri", "https://app.example/callback/", invalid),
        ("response_type", "", invalid),
        ("response_type", "token", "unsupported_response_type"),
        ("response_mode", "fragment", invalid),
        ("scope", "\"", "invalid_scope"),
        ("scope", "unknown", "invalid_scope"),
        ("resource", "https://api.example", "invalid_target"),
        ("code_challenge", "", invalid),
        ("code_challenge", "short", invalid),
        ("code_challenge_method", "plain", invalid),
        ("nonce", &*long, invalid),
        ("prompt", "none login", invalid),
        ("max_age", "-1", invalid),
        ("claims", "[]", invalid),
        ("id_token_hint", "nonsense", invalid),
        ("dpop_jkt", "short", invalid),
        ("dpop_jkt", &*long, invalid),
        ("request", "a.b.c", "request_not_supported"),
        ("request_uri", "https://app.example/request", invalid),
        (
            "request_uri",
            "urn:ietf:params:oauth:request_uri:x",
            invalid,
        ),
        ("registration", "{}", "registration_not_supported"),
    ] {
        let answer = op.app.push(&good.clone().with(name, value)).await;
        is_grant_error(&answer, 400, error);
    }
    for name in [
        "client_id",
        "redirect_uri",
        "response_type",
        "scope",
        "state",
        "nonce",
        "prompt",
        "login_hint",
        "dpop_jkt",
        "request",
    ] {
        let answer = op
            .app
            .push(&good.clone().and(name, "x").and(name, "x"))
            .await;
        is_grant_error(&answer, 400, invalid);
    }
    let machine = Registration::machine("billing").at(&op.service);
    let answer = machine.authenticated(own::PAR, &good.clone().without("client_id").form());
    let error = answer.await.json()["error"].clone();
    // It has neither a redirect URI nor the grant.
    assert_eq!(error, invalid);
}

async fn only_a_client_that_authenticates_itself_pushes(store: Store) {
    let op = Provider::with(Settings::on(store), &Registration::confidential("app")).await;
    let other = Registration::confidential("other").at(&op.service);
    let begun = op.app.begins("openid");
    let secret = op.app.secret.clone().unwrap();
    let push = || op.service.send(own::PAR).form(&begun.form());
    is_grant_error(&push().await, 400, "invalid_client");
    for (id, shown) in [
        ("app", "wrong"),
        ("app", other.secret.as_deref().unwrap()),
        ("unknown", &*secret),
    ] {
        let answer = push().authorization(&basic(id, shown)).await;
        let error = answer.json()["error"].clone();
        assert!(
            error == "invalid_client" || error == "invalid_request",
            "{answer}"
        );
        assert!([400, 401].contains(&answer.status), "{answer}");
    }
    // The client of the form is that of the header.
    let request = push().authorization(&basic("other", other.secret.as_deref().unwrap()));
    is_grant_error(&request.await, 400, "invalid_request");
    // Both ways to show a secret are one.
    let form = [begun.form(), vec![("client_secret", &*secret)]].concat();
    let answer = op.service.send(own::PAR).form(&form).await;
    assert_eq!(answer.status, 201, "{answer}");
    let locked = op.service.settings.run(&["client", "lock", "app"], "");
    assert!(locked.status.success(), "{locked:?}");
    op.a_second_passes().await;
    op.a_second_passes().await;
    is_grant_error(&op.app.push(&begun).await, 401, "invalid_client");
}

async fn a_reference_opens_for_its_client_alone(store: Store) {
    let mut op = Provider::with_public_app(store).await;
    let other = Registration::public("other").at(&op.service);
    let begun = op.app.begins("openid");
    let sent = op.app.pushes(&begun).await;
    let uri = sent.get("request_uri").to_owned();
    let of_other = other.pushes(&other.begins("openid")).await;
    // A code is sealed for another purpose.
    let callback = op.is_called_back(&begun).await;
    let code = format!("urn:ietf:params:oauth:request_uri:{}", callback.code());
    let mut flipped = uri.clone().into_bytes();
    let last = flipped.last_mut().unwrap();
    *last = if *last == b'A' { b'B' } else { b'A' };
    let flipped = String::from_utf8(flipped).unwrap();
    for strange in [
        sent.clone().with("client_id", "other"),
        sent.clone().with("client_id", "unknown"),
        sent.clone().without("client_id"),
        sent.clone().and("client_id", "app"),
        sent.clone().and("request_uri", &uri),
        sent.clone().and("request_uri", "https://app.example/"),
        sent.clone()
            .with("request_uri", of_other.get("request_uri")),
        sent.clone().with("request_uri", &code),
        sent.clone().with("request_uri", &flipped),
        sent.clone().with("request_uri", &uri[..uri.len() - 4]),
        sent.clone().with("request_uri", &format!("{uri}AAAA")),
        sent.clone()
            .with("request_uri", "urn:ietf:params:oauth:request_uri:"),
        // Other parameters of the browser name no target.
        begun.clone().with("request_uri", &flipped),
    ] {
        strange.open_in(&mut op.browser).await;
        let page = op.browser.page();
        assert_eq!(page.status, 400, "{page}");
        assert_eq!(page.header("location"), None, "{page}");
    }
    // A URL of the client's is not fetched, and the client hears so.
    let fetched = begun.with("request_uri", "https://app.example/request");
    fetched.open_in(&mut op.browser).await;
    callback_of(&op.browser).has_error("request_uri_not_supported");
}

async fn the_credentials_of_the_client_are_not_kept(store: Store) {
    let registration =
        Registration::confidential("app").with("--auth-method", "client_secret_post");
    let op = Provider::with(Settings::on(store), &registration).await;
    let secret = op.app.secret.clone().unwrap();
    let begun = op.app.begins("openid").with("authlog_asked", "x");
    let unknown = ("unknown", "planted");
    let form = [begun.form(), vec![("client_secret", &*secret), unknown]].concat();
    let answer = op.service.send(own::PAR).form(&form).await;
    let uri = begun.pushed(&answer).get("request_uri").to_owned();
    let sealed = uri.rsplit(':').next().unwrap();
    let secrets = op.secrets().await;
    let opened = secrets.open(SealedFor::PushedRequest, sealed).unwrap();
    let opened = String::from_utf8(opened.to_vec()).unwrap();
    assert!(opened.contains(begun.get("state")), "{opened}");
    for planted in [&*secret, "client_secret", "planted", "authlog_asked"] {
        assert!(!opened.contains(planted), "{planted} is in {opened}");
    }
    assert!(!op.service.output().contains(sealed));
}

async fn a_request_of_the_longest_kind_still_fits_into_a_url(store: Store) {
    let mut op = Provider::with_public_app(store).await;
    let state = |length: usize| op.app.begins("openid").with("state", &"s".repeat(length));
    let mut longest = None;
    for length in (0..9_000).step_by(500) {
        let begun = state(length.max(1));
        let answer = op.app.push(&begun).await;
        if answer.status == 201 {
            let sent = begun.pushed(&answer);
            longest = Some((begun, sent));
            continue;
        }
        is_grant_error(&answer, 413, "invalid_request");
        assert!(length >= 3_500, "{length}");
    }
    let (begun, sent) = longest.unwrap();
    assert!(sent.path().len() < 7 * 1024, "{}", sent.path().len());
    let callback = op.is_called_back(&sent).await;
    op.app.redeems(&begun, &callback).await;
}

async fn a_body_that_is_no_form_is_refused(store: Store) {
    let op = Provider::with_public_app(store).await;
    let kind = "application/x-www-form-urlencoded";
    for (media_type, body, status) in [
        ("application/json", &b"{\"client_id\":\"app\"}"[..], 415),
        ("text/plain", b"client_id=app", 415),
        (kind, b"client_id=%ff", 400),
        (kind, b"\xff\xfe=\x00", 400),
        (kind, b"", 400),
        (kind, &b"a&".repeat(65), 400),
        (kind, &b"a=b&".repeat(20_000), 413),
    ] {
        let answer = op.service.send(own::PAR).body_of(media_type, body).await;
        assert_eq!(answer.status, status, "{answer}");
        assert!(answer.json()["error"].is_string(), "{answer}");
    }
    let answer = op.service.send(Endpoint::at("GET", "/oauth2/par")).await;
    assert_eq!(answer.status, 405, "{answer}");
    assert_eq!(answer.header("allow"), Some("POST"));
    assert_eq!(answer.json()["error"], "invalid_request");
}
