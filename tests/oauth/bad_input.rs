//! Requests that no application should send: each is answered in the form of its endpoint, and stores nothing.

use super::provider::Provider;
use crate::support::browser::credentials;
use crate::support::oauth::{Registration, basic, is_grant_error};
use crate::support::{Endpoint, Store, on_both_stores, own};

on_both_stores!(
    a_request_of_an_unknown_target_is_a_page_and_no_redirect,
    a_request_with_wrong_parameters_goes_back_with_an_error,
    a_token_request_with_wrong_parameters_is_refused,
    a_client_that_is_not_authenticated_gets_nothing,
    a_userinfo_request_without_a_token_is_challenged,
    bodies_that_are_no_forms_are_refused_in_the_form_of_the_endpoint,
    parameters_are_text_in_a_page,
);

async fn a_request_of_an_unknown_target_is_a_page_and_no_redirect(store: Store) {
    let mut op = Provider::with_public_app(store).await;
    let good = op.app.begins("openid");
    let events = op.service.settings.count("events");
    let callback = good.get("redirect_uri").to_owned();
    let long = "x".repeat(9000);
    for begun in [
        good.clone().without("client_id"),
        good.clone().with("client_id", ""),
        good.clone().with("client_id", "nobody"),
        good.clone().with("client_id", "app\0"),
        good.clone().with("client_id", "APP"),
        good.clone().with("client_id", "../app"),
        good.clone().and("client_id", "app"),
        good.clone().without("redirect_uri"),
        good.clone().and("redirect_uri", &callback),
        good.clone().with("redirect_uri", "https://evil.example/"),
        good.clone().with("redirect_uri", &format!("{callback}/")),
        good.clone()
            .with("redirect_uri", &format!("{callback}?x=1")),
        good.clone().with("redirect_uri", &format!("{callback}#x")),
        good.clone()
            .with("redirect_uri", &format!("{callback}\r\nSet-Cookie: a=b")),
        good.clone()
            .with("redirect_uri", &format!("{callback}@evil.example")),
        good.clone()
            .with("redirect_uri", "HTTPS://app.example/callback"),
        good.clone()
            .with("redirect_uri", "https://app.example:443/callback"),
        good.clone().with("redirect_uri", "javascript:alert(1)"),
        good.clone().with("redirect_uri", "//app.example/callback"),
        good.clone().with("state", &long),
        good.clone().with("unknown", &long),
    ] {
        let answer = op.service.send(own::AUTHORIZE).query(&begun.query()).await;
        assert_eq!(answer.status, 400, "{answer}");
        assert_eq!(answer.header("location"), None, "{answer}");
        let media_type = answer.header("content-type");
        assert_eq!(media_type, Some("text/html; charset=utf-8"));
        assert!(answer.body.contains("role=\"alert\""), "{answer}");
        begun.open_in(&mut op.browser).await;
        assert_eq!(op.browser.page().status, 400);
    }
    let not_utf8 = format!("{}&state=%ff", good.clone().without("state").query());
    let answer = op.service.send(own::AUTHORIZE).query(&not_utf8).await;
    assert_eq!(answer.status, 400, "{answer}");
    let answer = op.service.send(own::AUTHORIZE).await;
    assert_eq!(answer.status, 400, "{answer}");
    assert_eq!(op.service.settings.count("events"), events);
}

async fn a_request_with_wrong_parameters_goes_back_with_an_error(store: Store) {
    let registration = Registration::public("app").with("--audience", "https://api.example");
    let mut op = Provider::with(crate::support::Settings::on(store), &registration).await;
    let good = op.app.begins("openid");
    let invalid = "invalid_request";
    let long_nonce = "n".repeat(513);
    let deep_claims = format!("{}{}", "[".repeat(400), "]".repeat(400));
    let deep_object = format!("{}1{}", "{\"id_token\":".repeat(200), "}".repeat(200));
    for (name, value, error) in [
        ("response_type", "", invalid),
        ("response_type", "token", "unsupported_response_type"),
        (
            "response_type",
            "code id_token",
            "unsupported_response_type",
        ),
        ("response_type", "CODE", "unsupported_response_type"),
        ("response_mode", "fragment", invalid),
        ("response_mode", "form_post", invalid),
        ("scope", "openid \u{e4}", "invalid_scope"),
        ("scope", "openid \"", "invalid_scope"),
        ("scope", "openid\\", "invalid_scope"),
        ("nonce", &*long_nonce, invalid),
        ("code_challenge", "", invalid),
        ("code_challenge", "short", invalid),
        ("code_challenge_method", "plain", invalid),
        ("code_challenge_method", "s256", invalid),
        ("prompt", "none login", invalid),
        ("prompt", "create", invalid),
        ("max_age", "-1", invalid),
        ("max_age", "1.5", invalid),
        ("max_age", "soon", invalid),
        ("max_age", "99999999999999999999999", invalid),
        ("claims", "{", invalid),
        ("claims", "[]", invalid),
        ("claims", "null", invalid),
        ("claims", &*deep_claims, invalid),
        ("claims", &*deep_object, invalid),
        ("id_token_hint", "nonsense", invalid),
        ("id_token_hint", "a.b.c", invalid),
        ("resource", "https://other.example", "invalid_target"),
        ("resource", "not-a-uri", "invalid_target"),
        ("resource", "https://api.example#x", "invalid_target"),
        ("request", "x", "request_not_supported"),
        ("request_uri", "urn:x", "request_uri_not_supported"),
        ("registration", "{}", "registration_not_supported"),
    ] {
        let begun = good.clone().with(name, value);
        begun.open_in(&mut op.browser).await;
        let page = op.browser.page();
        assert_eq!(page.status, 303, "{name}={value}: {page}");
        let callback = crate::support::oauth::callback_of(&op.browser);
        assert_eq!(callback.at, op.app.redirect_uri);
        assert_eq!(callback.get("error"), Some(error), "{name}={value}");
        assert_eq!(callback.get("state"), Some(begun.get("state")));
        let sentence = callback.get("error_description").unwrap();
        let is_allowed = |it: char| matches!(it, ' '..='~') && !"\"\\".contains(it);
        assert!(sentence.chars().all(is_allowed), "{sentence}");
    }
    for name in [
        "response_type",
        "scope",
        "state",
        "nonce",
        "code_challenge",
        "prompt",
        "max_age",
        "claims",
        "login_hint",
        "id_token_hint",
        "request",
    ] {
        let begun = good.clone().and(name, "x").and(name, "x");
        begun.open_in(&mut op.browser).await;
        crate::support::oauth::callback_of(&op.browser).has_error(invalid);
    }
}

async fn a_token_request_with_wrong_parameters_is_refused(store: Store) {
    let mut op = Provider::with_public_app(store).await;
    let (_, granted) = op.signs_in("openid").await;
    let events = op.service.settings.count("events");
    let long = "x".repeat(20_000);
    let scopes = ["x"; 40].join(" ");
    let grant = ("grant_type", "authorization_code");
    let refresh = ("grant_type", "refresh_token");
    let invalid = "invalid_request";
    for (form, error) in [
        (&[][..], invalid),
        (&[("grant_type", "")], invalid),
        (&[("grant_type", "password")], "unsupported_grant_type"),
        (&[("grant_type", "implicit")], "unsupported_grant_type"),
        (&[grant, grant], invalid),
        (&[grant], invalid),
        (&[grant, ("code", "")], invalid),
        (&[grant, ("code", "a"), ("code", "b")], invalid),
        (&[grant, ("code", "nonsense")], "invalid_grant"),
        (&[grant, ("code", "\0\u{e4}")], "invalid_grant"),
        (&[grant, ("code", &*long)], "invalid_grant"),
        (&[grant, ("code", &*granted.access)], "invalid_grant"),
        (&[grant, ("code", granted.refresh())], "invalid_grant"),
        (&[refresh], invalid),
        (&[refresh, ("refresh_token", "nonsense")], "invalid_grant"),
        (&[refresh, ("refresh_token", &*long)], "invalid_grant"),
        (
            &[refresh, ("refresh_token", &*granted.access)],
            "invalid_grant",
        ),
        (
            &[
                refresh,
                ("refresh_token", granted.refresh()),
                ("scope", "openid email"),
            ],
            "invalid_scope",
        ),
        (
            &[
                refresh,
                ("refresh_token", granted.refresh()),
                ("scope", "\""),
            ],
            "invalid_scope",
        ),
        (
            &[
                refresh,
                ("refresh_token", granted.refresh()),
                ("scope", &*scopes),
            ],
            "invalid_scope",
        ),
        (
            &[
                refresh,
                ("refresh_token", granted.refresh()),
                ("resource", "https://api.example"),
            ],
            "invalid_target",
        ),
        (
            &[("grant_type", "client_credentials")],
            "unauthorized_client",
        ),
    ] {
        let answer = op.app.token_request(form).await;
        is_grant_error(&answer, 400, error);
    }
    assert_eq!(op.service.settings.count("events"), events);
    // After all that the tokens are good still.
    let answer = op.app.refreshes(granted.refresh()).await;
    assert_eq!(answer.status, 200, "{answer}");
}

async fn a_client_that_is_not_authenticated_gets_nothing(store: Store) {
    let mut op = Provider::on(store).await;
    let begun = op.app.begins("openid");
    let code = op.is_called_back(&begun).await.code().to_owned();
    let secret = op.app.secret.clone().unwrap();
    let id = op.app.id.clone();
    let other = Registration::confidential("other").at(&op.service);
    let grant = [
        ("grant_type", "authorization_code"),
        ("code", &*code),
        ("redirect_uri", &*op.app.redirect_uri),
    ];
    let events = op.service.settings.count("events");
    let wrong = format!("{secret}x");
    let long = "x".repeat(10_000);
    for header in [
        basic(&id, &wrong),
        basic(&id, ""),
        basic(&id, other.secret.as_deref().unwrap()),
        basic("other", &secret),
        basic("nobody", &secret),
        basic(&id, &long),
        basic("", &secret),
        basic("%00", "%ff"),
        "Basic".to_owned(),
        "Basic ?".to_owned(),
    ] {
        let request = op.service.send(own::TOKEN).form(&grant);
        let answer = request.authorization(&header).await;
        if header == "Basic" {
            assert!([400, 401].contains(&answer.status), "{answer}");
            continue;
        }
        is_grant_error(&answer, 401, "invalid_client");
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(challenge.starts_with("Basic realm="), "{answer}");
    }
    for (more, error) in [
        (&[][..], "invalid_client"),
        (&[("client_id", &*id)], "invalid_client"),
        (&[("client_id", "nobody")], "invalid_client"),
        (&[("client_secret", &*secret)], "invalid_client"),
        (
            &[("client_id", &*id), ("client_id", &*id)],
            "invalid_request",
        ),
        (
            &[("client_id", &*id), ("client_assertion", "a.b.c")],
            "invalid_request",
        ),
        (
            &[("client_assertion_type", "saml"), ("client_assertion", "x")],
            "invalid_client",
        ),
    ] {
        let form = [&grant[..], more].concat();
        is_grant_error(&op.service.send(own::TOKEN).form(&form).await, 400, error);
    }
    // Two ways at once.
    let form = [&grant[..], &[("client_secret", &*secret)]].concat();
    let request = op.service.send(own::TOKEN).form(&form);
    let answer = request.authorization(&basic(&id, &secret)).await;
    is_grant_error(&answer, 400, "invalid_request");
    assert_eq!(op.service.settings.count("events"), events);
    // The code was not used.
    let answer = op.app.exchange(&begun, &code).await;
    assert_eq!(answer.status, 200, "{answer}");
}

async fn a_userinfo_request_without_a_token_is_challenged(store: Store) {
    let mut op = Provider::with_public_app(store).await;
    let (_, granted) = op.signs_in("openid").await;
    let send = |endpoint| op.service.send(endpoint);
    for endpoint in [own::USERINFO, own::USERINFO_BY_POST] {
        let answer = send(endpoint).await;
        assert_eq!(answer.status, 401, "{answer}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        for token in ["nonsense", "a.b.c", granted.refresh(), granted.id_token()] {
            let answer = send(endpoint).bearer(token).await;
            assert_eq!(answer.status, 401, "{answer}");
            let challenge = answer.header("www-authenticate");
            assert_eq!(challenge, Some("Bearer error=\"invalid_token\""));
        }
        // A token in the query would be in every log of a proxy.
        let in_query = format!("access_token={}", granted.access);
        let answer = send(endpoint).query(&in_query).await;
        assert_eq!(answer.status, 401, "{answer}");
    }
    let form = [("access_token", &*granted.access)];
    let twice = send(own::USERINFO_BY_POST).form(&form);
    let answer = twice.bearer(&granted.access).await;
    assert_eq!(answer.status, 400, "{answer}");
    let challenge = answer.header("www-authenticate");
    assert_eq!(challenge, Some("Bearer error=\"invalid_request\""));
    // A token without the scope.
    let (_, bare) = op.signs_in("profile").await;
    assert_eq!(bare.answer.get("id_token"), None);
    let answer = op.service.send(own::USERINFO).bearer(&bare.access).await;
    assert_eq!(answer.status, 403, "{answer}");
    let challenge = answer.header("www-authenticate");
    assert_eq!(
        challenge,
        Some("Bearer error=\"insufficient_scope\", scope=\"openid\"")
    );
}

async fn bodies_that_are_no_forms_are_refused_in_the_form_of_the_endpoint(store: Store) {
    let op = Provider::with_public_app(store).await;
    for (media_type, body, status) in [
        (
            "application/json",
            &b"{\"grant_type\":\"refresh_token\"}"[..],
            415,
        ),
        ("text/plain", b"grant_type=refresh_token", 415),
        ("multipart/form-data", b"x", 415),
        ("application/x-www-form-urlencoded", b"grant_type=%ff", 400),
        ("application/x-www-form-urlencoded", b"\xff\xfe=\x00", 400),
        ("application/x-www-form-urlencoded", b"", 400),
        (
            "application/x-www-form-urlencoded",
            &b"a=b&".repeat(20_000),
            413,
        ),
    ] {
        for endpoint in [own::TOKEN, own::USERINFO_BY_POST] {
            let request = op.service.send(endpoint).body_of(media_type, body);
            let answer = request.await;
            // Without a token, an empty form at userinfo is a request without one.
            let status = if endpoint == own::USERINFO_BY_POST && body.is_empty() {
                401
            } else {
                status
            };
            assert_eq!(answer.status, status, "{answer}");
            let error = answer.json()["error"].clone();
            assert!(error.is_string(), "{answer}");
        }
        let request = op.service.send(own::AUTHORIZE_BY_POST);
        let answer = request.body_of(media_type, body).await;
        let media_type = answer.header("content-type");
        assert!((300..500).contains(&answer.status), "{answer}");
        if answer.status >= 400 {
            assert_eq!(media_type, Some("text/html; charset=utf-8"), "{answer}");
        }
    }
    let answer = op
        .service
        .send(own::CONSENT_FORM)
        .form(&[("decision", "allow")])
        .await;
    assert_eq!(answer.status, 400, "{answer}");
    let media_type = answer.header("content-type");
    assert_eq!(media_type, Some("text/html; charset=utf-8"), "{answer}");
    for (endpoint, allowed) in [
        (Endpoint::at("GET", "/oauth2/token"), "POST"),
        (Endpoint::at("PUT", "/oauth2/userinfo"), "GET,HEAD,POST"),
    ] {
        let answer = op.service.send(endpoint).await;
        assert_eq!(answer.status, 405, "{answer}");
        assert_eq!(answer.header("allow"), Some(allowed));
        assert_eq!(answer.json()["error"], "invalid_request");
    }
}

async fn parameters_are_text_in_a_page(store: Store) {
    let mut op = Provider::with_public_app(store).await;
    let evil = "\"><script>alert(1)</script>";
    let begun = op
        .app
        .begins("openid")
        .with("login_hint", evil)
        .with("state", evil)
        .with("x", evil);
    begun.open_in(&mut op.browser).await;
    assert!(
        !op.browser.page().body.contains("<script>alert"),
        "{}",
        op.browser.page()
    );
    op.browser
        .submit("/sign-in", &credentials(&op.person))
        .await;
    assert!(op.browser.asks("/consent"));
    assert!(
        !op.browser.page().body.contains("<script>alert"),
        "{}",
        op.browser.page()
    );
    op.browser
        .submit("/consent", &[("decision", "allow")])
        .await;
    let callback = crate::support::oauth::callback_of(&op.browser);
    assert_eq!(callback.get("state"), Some(evil));
}
