//! The authorization code flow: PKCE, consent, redirects, levels and the codes themselves.

use std::time::Duration;

use serde_json::json;

use super::provider::Provider;
use crate::support::authenticator::enrol;
use crate::support::browser::{Browser, credentials};
use crate::support::oauth::{
    Callback, Registration, callback_of, challenge_of, completes, is_dead, is_grant_error, userinfo,
};
use crate::support::{Contract, Person, Settings, Store, on_both_stores};

on_both_stores!(
    a_public_application_proves_itself_with_pkce_alone,
    a_code_is_for_one_client_one_redirect_uri_and_one_verifier,
    a_person_consents_once_and_sees_what_is_asked,
    a_person_who_does_not_allow_it_goes_back_with_an_error,
    a_withdrawn_consent_ends_the_tokens_and_asks_again,
    an_own_application_asks_nobody,
    a_login_is_an_event_and_so_is_each_application,
    the_answer_is_added_to_the_query_of_the_redirect_uri,
    an_app_on_the_machine_uses_any_port,
    signing_out_of_the_browser_ends_the_applications,
    offline_access_outlives_the_browser,
    a_level_that_is_asked_for_is_reached_by_signing_in_again,
    a_forged_or_foreign_mark_of_a_login_counts_for_nothing,
    a_person_who_creates_an_account_goes_on_to_the_application,
    the_pages_on_the_way_let_the_browser_go_on_to_the_application,
    a_code_expires_after_a_minute,
    a_locked_client_gets_no_code_and_no_token,
);

async fn a_public_application_proves_itself_with_pkce_alone(store: Store) {
    let mut op = Provider::with_public_app(store).await;
    assert_eq!(op.app.secret, None);
    let (_, granted) = op.signs_in("openid email").await;
    assert_eq!(granted.answer["scope"], "email openid");
    let info = userinfo(&op.http(), &granted.access).await;
    assert_eq!(info["email"], "ann@example.com");
    // Without a challenge there is no code.
    for begun in [
        op.app.begins("openid").without("code_challenge"),
        op.app.begins("openid").without("code_challenge_method"),
        op.app
            .begins("openid")
            .with("code_challenge_method", "plain"),
        op.app.begins("openid").with("code_challenge", "too-short"),
        op.app
            .begins("openid")
            .with("code_challenge", &"?".repeat(43)),
    ] {
        op.is_answered_at_once(&begun)
            .await
            .has_error("invalid_request");
    }
}

async fn a_code_is_for_one_client_one_redirect_uri_and_one_verifier(store: Store) {
    let registration =
        Registration::public("app").with("--redirect-uri", "https://app.example/other");
    let mut op = Provider::with(Settings::on(store), &registration).await;
    let other = Registration::public("other").at(&op.service);
    let begun = op.app.begins("openid");
    let callback = op.is_called_back(&begun).await;
    let code = callback.code();
    let verifier = begun.verifier.clone().unwrap();
    let wrong_verifier = verifier.replace(|it: char| it.is_ascii_digit(), "a");
    let good = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", &*op.app.redirect_uri),
        ("code_verifier", &*verifier),
    ];
    let with = |name: &str, value| {
        let mut form = good;
        for pair in form.iter_mut().filter(|(known, _)| *known == name) {
            pair.1 = value;
        }
        form.to_vec()
    };
    let without = |name: &str| {
        let form = good.into_iter();
        form.filter(|(known, _)| *known != name).collect::<Vec<_>>()
    };
    for form in [
        with("redirect_uri", "https://app.example/other"),
        with("code_verifier", &wrong_verifier),
        with("code_verifier", &challenge_of(&verifier)),
        without("code_verifier"),
    ] {
        let answer = op.app.token_request(&form).await;
        assert_eq!(answer.status, 400, "{form:?}: {answer}");
        let error = answer.json()["error"].clone();
        assert!(
            error == "invalid_grant" || error == "invalid_request",
            "{answer}"
        );
    }
    let stolen = other.token_request(&good).await;
    is_grant_error(&stolen, 400, "invalid_grant");
    // Nothing of that used the code.
    let answer = op.app.token_request(&good).await;
    assert_eq!(answer.status, 200, "{answer}");
}

async fn a_person_consents_once_and_sees_what_is_asked(store: Store) {
    let registration = Registration::public("app").with("--name", "Photos <b>");
    let mut op = Provider::with(Settings::on(store), &registration).await;
    let begun = op.app.begins("openid email");
    begun.open_in(&mut op.browser).await;
    op.browser.shows(200, "Sign in to continue to");
    op.browser
        .submit("/sign-in", &credentials(&op.person))
        .await;
    op.browser.shows(200, "Allow Photos <b>?");
    assert!(
        !op.browser.page().body.contains("<b>"),
        "{}",
        op.browser.page()
    );
    op.browser.shows(200, "see your e-mail address");
    op.browser.shows(200, "app.example");
    op.browser
        .submit("/consent", &[("decision", "allow")])
        .await;
    callback_of(&op.browser).code();
    // The same again, or less, asks nothing.
    for scope in ["openid email", "openid"] {
        let begun = op.app.begins(scope);
        op.is_answered_at_once(&begun).await.code();
    }
    // More does, and says what is new.
    let more = op.app.begins("openid email profile");
    let silent = more.clone().with("prompt", "none");
    op.is_answered_at_once(&silent)
        .await
        .has_error("consent_required");
    more.open_in(&mut op.browser).await;
    op.browser
        .shows(200, "see your e-mail address (you allowed this before)");
    op.browser.shows(200, "see your name and your username");
    // `prompt=consent` always asks.
    let again = op.app.begins("openid").with("prompt", "consent");
    again.open_in(&mut op.browser).await;
    assert!(op.browser.asks("/consent"));
    let callback = completes(&mut op.browser, &op.person).await;
    op.app.redeems(&again, &callback).await;
}

async fn a_person_who_does_not_allow_it_goes_back_with_an_error(store: Store) {
    let mut op = Provider::with_public_app(store).await;
    let begun = op.app.begins("openid");
    begun.open_in(&mut op.browser).await;
    op.browser
        .submit("/sign-in", &credentials(&op.person))
        .await;
    let page = op.browser.clone();
    op.browser.submit("/consent", &[("decision", "deny")]).await;
    let callback = callback_of(&op.browser);
    begun.is_answered_by(&callback);
    callback.has_error("access_denied");
    // A form of another site, of another session, or without a decision gives nothing.
    let hidden = page.form("/consent");
    let allow = [("decision", "allow")];
    let own_fields: Vec<_> = hidden
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .chain(allow)
        .collect();
    let foreign = page.request("POST", "/consent").form(&own_fields);
    let answer = foreign.header("sec-fetch-site", "cross-site").await;
    assert_eq!(answer.status, 403, "{answer}");
    let answer = page
        .post(
            "/consent",
            &hidden,
            &[("form_token", "x"), ("decision", "allow")],
        )
        .await;
    assert_eq!(answer.status, 403, "{answer}");
    let answer = page
        .post("/consent", &hidden, &[("decision", "perhaps")])
        .await;
    assert_eq!(answer.status, 303, "{answer}");
    let location = answer.header("location").unwrap();
    assert!(location.starts_with("/oauth2/authorize?"), "{location}");
    let bob = Person::called("bob");
    Contract::ApiAuth.registers(&op.http(), &bob).await;
    let other = crate::support::browser::signed_in(&op.http(), &bob).await;
    let answer = other.post("/consent", &hidden, &allow).await;
    assert_eq!(answer.status, 403, "{answer}");
    let answer = Browser::new(&op.http())
        .post("/consent", &hidden, &allow)
        .await;
    assert_eq!(answer.status, 303, "{answer}");
    let location = answer.header("location").unwrap();
    assert!(location.starts_with("/oauth2/authorize?"), "{location}");
    // Nothing was recorded.
    let silent = op.app.begins("openid").with("prompt", "none");
    op.is_answered_at_once(&silent)
        .await
        .has_error("consent_required");
}

async fn a_withdrawn_consent_ends_the_tokens_and_asks_again(store: Store) {
    let mut op = Provider::with_public_app(store).await;
    let (_, granted) = op.signs_in("openid email").await;
    op.browser.open("/security").await;
    op.browser.shows(200, "see your e-mail address");
    op.browser
        .submit("/security/applications/app/withdraw", &[])
        .await;
    op.browser.shows(200, "can no longer use your account");
    is_dead(&op.http(), &granted.access).await;
    let refreshed = op.app.refreshes(granted.refresh()).await;
    is_grant_error(&refreshed, 400, "invalid_grant");
    let silent = op.app.begins("openid").with("prompt", "none");
    op.is_answered_at_once(&silent)
        .await
        .has_error("consent_required");
    op.signs_in("openid").await;
}

async fn an_own_application_asks_nobody(store: Store) {
    let registration = Registration::public("app").of_first_party();
    let mut op = Provider::with(Settings::on(store), &registration).await;
    let begun = op.app.begins("openid email");
    begun.open_in(&mut op.browser).await;
    op.browser
        .submit("/sign-in", &credentials(&op.person))
        .await;
    let callback = callback_of(&op.browser);
    op.app.redeems(&begun, &callback).await;
    let silent = op.app.begins("openid").with("prompt", "none");
    op.is_answered_at_once(&silent).await.code();
}

async fn a_login_is_an_event_and_so_is_each_application(store: Store) {
    let registration = |id| Registration::public(id).of_first_party();
    let mut op = Provider::with(Settings::on(store), &registration("app")).await;
    let mut applications = vec![op.app.clone()];
    applications.extend(["mail", "photos"].map(|id| registration(id).at(&op.service)));
    let before = op.service.settings.count("events");
    let mut counted = Vec::new();
    for application in applications {
        op.app = application;
        let begun = op.app.begins("openid");
        begun.open_in(&mut op.browser).await;
        if op.browser.page().status == 200 {
            op.browser
                .submit("/sign-in", &credentials(&op.person))
                .await;
        }
        let callback = callback_of(&op.browser);
        op.app.redeems(&begun, &callback).await;
        counted.push(op.service.settings.count("events") - before);
    }
    // The session of the browser and that of the first application, then one for each further application.
    assert_eq!(counted, [2, 3, 4]);
}

async fn the_answer_is_added_to_the_query_of_the_redirect_uri(store: Store) {
    let registration =
        Registration::public("app").answered_at("https://app.example/cb?tenant=a%20b");
    let mut op = Provider::with(Settings::on(store), &registration).await;
    let begun = op.app.begins("openid").with("state", "a b&c=\u{e4}#+\"<");
    begun.open_in(&mut op.browser).await;
    let callback = completes(&mut op.browser, &op.person).await;
    assert_eq!(callback.get("tenant"), Some("a b"));
    assert_eq!(callback.get("state"), Some("a b&c=\u{e4}#+\"<"));
    let metadata = op.metadata().await;
    assert_eq!(callback.get("iss"), metadata["issuer"].as_str());
    op.app.exchange(&begun, callback.code()).await;
    // Without a state there is none in the answer.
    let begun = op.app.begins("openid").without("state");
    begun.open_in(&mut op.browser).await;
    assert_eq!(callback_of(&op.browser).get("state"), None);
}

async fn an_app_on_the_machine_uses_any_port(store: Store) {
    let registration = Registration::public("tool").answered_at("http://127.0.0.1/callback");
    let mut op = Provider::with(Settings::on(store), &registration).await;
    op.app.redirect_uri = "http://127.0.0.1:49152/callback".to_owned();
    op.signs_in("openid").await;
    // Another program on the machine could begin the same request, so the person is asked each time (RFC 8252 §8.6).
    let again = op.app.begins("openid");
    again.open_in(&mut op.browser).await;
    assert!(op.browser.asks("/consent"));
    let silent = again.with("prompt", "none");
    op.is_answered_at_once(&silent)
        .await
        .has_error("consent_required");
    op.signs_in("openid").await;
    for wrong in [
        "http://localhost:49152/callback",
        "http://127.0.0.1:49152/other",
    ] {
        let begun = op.app.begins("openid").with("redirect_uri", wrong);
        begun.open_in(&mut op.browser).await;
        op.browser.shows(400, "not registered");
    }
}

async fn signing_out_of_the_browser_ends_the_applications(store: Store) {
    let mut op = Provider::with_public_app(store).await;
    let (_, granted) = op.signs_in("openid").await;
    userinfo(&op.http(), &granted.access).await;
    op.browser.open("/sign-out").await;
    op.browser.submit("/sign-out", &[]).await;
    is_dead(&op.http(), &granted.access).await;
    let refreshed = op.app.refreshes(granted.refresh()).await;
    is_grant_error(&refreshed, 400, "invalid_grant");
    let silent = op.app.begins("openid").with("prompt", "none");
    op.is_answered_at_once(&silent)
        .await
        .has_error("login_required");
}

async fn offline_access_outlives_the_browser(store: Store) {
    let mut op = Provider::with_public_app(store).await;
    let (_, granted) = op.signs_in("openid offline_access").await;
    op.browser.open("/sign-out").await;
    op.browser.submit("/sign-out", &[]).await;
    userinfo(&op.http(), &granted.access).await;
    let refreshed = op.app.refreshes(granted.refresh()).await;
    assert_eq!(refreshed.status, 200, "{refreshed}");
}

async fn a_level_that_is_asked_for_is_reached_by_signing_in_again(store: Store) {
    let mut op = Provider::with_public_app(store).await;
    op.signs_in("openid").await;
    let claims = json!({"id_token": {"acr": {"essential": true, "values": ["urn:authlog:aal2"]}}});
    let essential = |op: &Provider| op.app.begins("openid").with("claims", &claims.to_string());
    let silent = essential(&op).with("prompt", "none");
    let callback = op.is_answered_at_once(&silent).await;
    assert!(callback.get("error").is_some(), "{callback:?}");
    // Without a second factor, the level cannot be reached.
    let begun = essential(&op);
    begun.open_in(&mut op.browser).await;
    let callback = completes(&mut op.browser, &op.person).await;
    callback.has_error("unmet_authentication_requirements");
    let tokens = Contract::ApiAuth.signs_in(&op.http(), &op.person).await;
    let mut app = enrol(&op.http(), &tokens.access, &op.person).await;
    let begun = essential(&op);
    begun.open_in(&mut op.browser).await;
    op.browser
        .submit("/sign-in", &credentials(&op.person))
        .await;
    let code = app.fresh_code().await;
    op.browser.submit("/sign-in/code", &[("code", &code)]).await;
    let callback = completes(&mut op.browser, &op.person).await;
    let granted = op.app.redeems(&begun, &callback).await;
    assert_eq!(granted.id_claims()["acr"], "urn:authlog:aal2");
}

async fn a_forged_or_foreign_mark_of_a_login_counts_for_nothing(store: Store) {
    let mut op = Provider::with_public_app(store).await;
    op.signs_in("openid").await;
    let demanding = op.app.begins("openid").with("prompt", "login");
    demanding.open_in(&mut op.browser).await;
    assert!(op.browser.asks("/sign-in"));
    let hidden = op.browser.form("/sign-in");
    let (_, next) = hidden.iter().find(|(name, _)| name == "next").unwrap();
    let mark = Callback::of(&format!("https://auth.example{next}"));
    let mark = mark.get("authlog_asked").unwrap().to_owned();
    let other = op.app.begins("openid").with("prompt", "login");
    for begun in [
        other.clone().with("authlog_asked", "forged"),
        other.clone().with("authlog_asked", &mark),
        other.with("authlog_asked", &mark[..mark.len() - 4]),
        // The person has not signed in since.
        demanding.with("authlog_asked", &mark),
    ] {
        op.a_second_passes().await;
        begun.open_in(&mut op.browser).await;
        assert!(op.browser.asks("/sign-in"), "{}", op.browser.page());
    }
}

async fn a_person_who_creates_an_account_goes_on_to_the_application(store: Store) {
    let mut op = Provider::with_public_app(store).await;
    let begun = op.app.begins("openid email");
    begun.open_in(&mut op.browser).await;
    let page = &op.browser.page().body;
    let link = crate::support::browser::between(page, "<a href=\"/sign-up", "\"");
    op.browser.open(&format!("/sign-up{link}")).await;
    let form = [
        ("email", "bob@example.com"),
        ("password", "bob-opens-sesame"),
        ("password_confirmation", "bob-opens-sesame"),
    ];
    op.browser.submit("/sign-up", &form).await;
    op.browser
        .submit("/consent", &[("decision", "allow")])
        .await;
    let callback = callback_of(&op.browser);
    let granted = op.app.redeems(&begun, &callback).await;
    let info = userinfo(&op.http(), &granted.access).await;
    assert_eq!(info["email"], "bob@example.com");
}

async fn the_pages_on_the_way_let_the_browser_go_on_to_the_application(store: Store) {
    let mut op = Provider::with_public_app(store).await;
    let begun = op.app.begins("openid");
    begun.open_in(&mut op.browser).await;
    let on_the_way = |browser: &Browser| {
        let page = browser.page();
        let policy = page.header("content-security-policy").unwrap();
        assert!(
            policy.contains("form-action 'self' https://app.example;"),
            "{page}"
        );
        assert_eq!(
            page.header("cross-origin-opener-policy"),
            Some("unsafe-none")
        );
    };
    on_the_way(&op.browser);
    op.browser
        .submit(
            "/sign-in",
            &[("username", "ann"), ("password", "wrong-guess")],
        )
        .await;
    op.browser.shows(403, "is wrong");
    on_the_way(&op.browser);
    let hidden = op.browser.form("/sign-in");
    let answer = op
        .browser
        .post("/sign-in", &hidden, &credentials(&op.person))
        .await;
    assert_eq!(answer.status, 303, "{answer}");
    assert_eq!(
        answer.header("cross-origin-opener-policy"),
        Some("unsafe-none")
    );
    op.browser
        .submit("/sign-in", &credentials(&op.person))
        .await;
    on_the_way(&op.browser);
    // Elsewhere all is as before, also for a request that leads nowhere.
    let wrong = begun.with("redirect_uri", "https://evil.example/");
    for next in ["/security", &*wrong.path()] {
        let mut browser = Browser::new(&op.http());
        let encoded: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
        browser.open(&format!("/sign-in?next={encoded}")).await;
        let page = browser.page();
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.contains("form-action 'self';"), "{page}");
        assert_eq!(
            page.header("cross-origin-opener-policy"),
            Some("same-origin")
        );
    }
}

async fn a_code_expires_after_a_minute(store: Store) {
    let mut op = Provider::with_public_app(store).await;
    let begun = op.app.begins("openid");
    let callback = op.is_called_back(&begun).await;
    tokio::time::sleep(Duration::from_secs(61)).await;
    let answer = op.app.exchange(&begun, callback.code()).await;
    is_grant_error(&answer, 400, "invalid_grant");
}

async fn a_locked_client_gets_no_code_and_no_token(store: Store) {
    let mut op = Provider::with_public_app(store).await;
    let (_, granted) = op.signs_in("openid").await;
    let begun = op.app.begins("openid");
    let callback = op.is_called_back(&begun).await;
    let locked = op.service.settings.run(&["client", "lock", "app"], "");
    assert!(locked.status.success(), "{locked:?}");
    // A node caches a client for a second.
    op.a_second_passes().await;
    op.a_second_passes().await;
    let answer = op.app.exchange(&begun, callback.code()).await;
    is_grant_error(&answer, 400, "invalid_client");
    is_grant_error(
        &op.app.refreshes(granted.refresh()).await,
        400,
        "invalid_client",
    );
    op.app.begins("openid").open_in(&mut op.browser).await;
    op.browser.shows(400, "may not be used at the moment");
}
