//! The page on which a person lets a device sign in: what it shows, and what it refuses.

use std::time::Duration;

use super::devices::{an_interval_passes, with_tv};
use super::provider::Provider;
use crate::support::authenticator::Authenticator;
use crate::support::browser::{Browser, between, credentials, registered};
use crate::support::chromium::Chromium;
use crate::support::devices::{approves, decides};
use crate::support::oauth::{Granted, Registration, is_grant_error};
use crate::support::{Settings, Store, on_both_stores, own};

on_both_stores!(
    the_page_says_which_application_asks_for_what,
    a_code_with_which_no_device_waits_is_refused_with_one_message,
    a_person_comes_back_to_the_code_after_signing_in_or_up,
    a_link_and_a_form_of_another_page_approve_nothing,
    a_person_without_the_second_factor_of_their_role_is_asked_to_add_one,
    a_decision_that_is_repeated_is_confirmed_to_its_person_alone,
    a_browser_without_script_approves_a_device,
);

/// What is said of every code with which no device waits.
const UNKNOWN: &str = "No device waits with this code.";

async fn the_page_says_which_application_asks_for_what(store: Store) {
    let registration = Registration::device("tv").with("--name", "Films <b> & more");
    let mut op = Provider::with(Settings::on(store), &registration).await;
    let codes = op.app.begins_on_a_device("openid email").await;
    decides(&mut op.browser, &op.person, &codes, "perhaps").await;
    op.browser.shows(200, "Allow Films <b> & more?");
    let page = op.browser.page();
    assert!(!page.body.contains("<b>"), "{page}");
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; form-action 'self'; "));
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(!page.body.contains("<script"), "{page}");
    assert_eq!(page.header("cache-control"), Some("no-store"));
    for words in [
        "see your e-mail address",
        "recognise you",
        "Only continue if you see this code on your device.",
        "stays signed in when you sign out here",
        &codes.user_code,
    ] {
        op.browser.shows(200, words);
    }
    approves(&mut op.browser, &op.person, &codes).await;
    // What was allowed before is said, and asked again: another device may pretend to be this application.
    let codes = op.app.begins_on_a_device("email").await;
    decides(&mut op.browser, &op.person, &codes, "perhaps").await;
    op.browser
        .shows(200, "see your e-mail address (you allowed this before)");
    is_grant_error(&op.app.poll(&codes).await, 400, "authorization_pending");
}

async fn a_code_with_which_no_device_waits_is_refused_with_one_message(store: Store) {
    let mut op = with_tv(store).await;
    let [approved, denied, expired] = [
        op.app.begins_on_a_device("openid").await,
        op.app.begins_on_a_device("openid").await,
        op.app.begins_on_a_device("openid").await,
    ];
    approves(&mut op.browser, &op.person, &approved).await;
    decides(&mut op.browser, &op.person, &denied, "deny").await;
    let expire = "DELETE FROM device_authorizations WHERE decision IS NULL";
    op.service.settings.execute(expire);
    op.browser.open("/device").await;
    let hidden = op.browser.form("/device");
    let mut pages = Vec::new();
    for code in [
        approved.user_code.as_str(),
        &denied.user_code,
        &expired.user_code,
        "BCDF-GHJK",
        "BCDF",
        "",
        "AAAA-AAAA",
        "\u{0}\u{10ffff}",
        &"B".repeat(10_000),
        "' OR '1'='1",
    ] {
        // The same decision once more, as by a double click, is confirmed.
        let decision = if code == approved.user_code {
            "deny"
        } else {
            "allow"
        };
        for (path, decision) in [("/device", ""), ("/device/decision", decision)] {
            let fields = [("user_code", code), ("decision", decision)];
            let answer = op.browser.post(path, &hidden, &fields).await;
            assert_eq!(answer.status, 400, "{code}: {answer}");
            assert!(answer.body.contains(UNKNOWN), "{answer}");
            pages.push(answer.body.replace(code, ""));
        }
    }
    // The pages of codes differ in the code alone.
    assert!(pages[..8].iter().all(|page| *page == pages[0]));
    // A code is read as a person types it.
    let codes = op.app.begins_on_a_device("openid").await;
    let (first, second) = codes.user_code.split_once('-').unwrap();
    for typed in [
        format!("{first}{second}"),
        format!(" {first} {second} ").to_lowercase(),
        format!("{first}\u{2013}{second}."),
    ] {
        op.browser.open("/device").await;
        op.browser.submit("/device", &[("user_code", &typed)]).await;
        op.browser.shows(200, &codes.user_code);
    }
    // A request whose row was changed is none.
    let other = op.app.begins_on_a_device("openid").await;
    for change in [
        "UPDATE device_authorizations SET decision = (SELECT max(decision) FROM device_authorizations)",
        "UPDATE device_authorizations SET decision = 'x'",
        "UPDATE device_authorizations SET decision = NULL, request = (SELECT max(request) FROM device_authorizations)",
    ] {
        op.service.settings.execute(change);
        let mut refused = 0;
        for codes in [&codes, &other] {
            let fields = [("user_code", codes.user_code.as_str())];
            let answer = op.browser.post("/device", &hidden, &fields).await;
            refused += i32::from(answer.body.contains(UNKNOWN));
        }
        assert!(refused >= 1, "{change}");
    }
}

async fn a_person_comes_back_to_the_code_after_signing_in_or_up(store: Store) {
    let mut op = with_tv(store).await;
    let codes = op.app.begins_on_a_device("openid").await;
    let page = op.service.send(own::DEVICE_PAGE).await;
    assert_eq!(page.status, 303, "{page}");
    let location = page.header("location");
    assert_eq!(location, Some("/sign-in?next=%2Fdevice"));
    op.browser.come_from_another_site(&codes.path()).await;
    op.browser
        .submit("/sign-in", &credentials(&op.person))
        .await;
    op.browser
        .shows(200, "Type the code that your device shows");
    let page = &op.browser.page().body;
    assert!(page.contains(&format!("value=\"{}\"", codes.user_code)));
    let mut newcomer = Browser::new(&op.http());
    newcomer.open(&codes.path()).await;
    let page = &newcomer.page().body;
    let link = between(page, "<a href=\"/sign-up", "\"");
    newcomer.open(&format!("/sign-up{link}")).await;
    let form = [
        ("email", "bob@example.com"),
        ("password", "bob-opens-sesame"),
        ("password_confirmation", "bob-opens-sesame"),
    ];
    newcomer.submit("/sign-up", &form).await;
    newcomer.shows(200, "Type the code that your device shows");
    // A link shows what is in it only if it is a code, and the message of this service only to this service.
    for query in [
        "user_code=%22%3E%3Cb%3E",
        "user_code=%ff",
        "done=allowed",
        "done=x",
    ] {
        op.browser
            .come_from_another_site(&format!("/device?{query}"))
            .await;
        op.browser
            .shows(200, "Type the code that your device shows");
        assert!(op.browser.page().body.contains("value=\"\""));
    }
}

async fn a_link_and_a_form_of_another_page_approve_nothing(store: Store) {
    let mut op = with_tv(store).await;
    let (_, other) = registered(&op.http(), "bob").await;
    let codes = op.app.begins_on_a_device("openid").await;
    decides(&mut op.browser, &op.person, &codes, "perhaps").await;
    let hidden = op.browser.form("/device/decision");
    let allow = [("decision", "allow")];
    for query in [
        codes.path(),
        format!("{}&decision=allow", codes.path()),
        codes
            .path()
            .replace("/device?", "/device/decision?decision=allow&"),
    ] {
        let answer = op.browser.request("GET", &query).await;
        assert!([200, 405].contains(&answer.status), "{answer}");
    }
    let fields: Vec<_> = hidden
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .chain(allow)
        .collect();
    for endpoint in [own::DEVICE_FORM, own::DEVICE_DECISION] {
        let foreign = op.browser.request("POST", endpoint.path).form(&fields);
        let answer = foreign.header("sec-fetch-site", "cross-site").await;
        assert_eq!(answer.status, 403, "{answer}");
        let forged = [("form_token", "x"), ("decision", "allow")];
        let answer = op.browser.post(endpoint.path, &hidden, &forged).await;
        assert_eq!(answer.status, 403, "{answer}");
        // The form of another session.
        let answer = other.post(endpoint.path, &hidden, &allow).await;
        assert_eq!(answer.status, 403, "{answer}");
    }
    // Without a session, the person signs in first.
    let stranger = [
        op.service.send(own::DEVICE_FORM).form(&fields),
        op.service.send(own::DEVICE_DECISION).form(&fields),
    ];
    for request in stranger {
        let answer = request.await;
        assert_eq!(answer.status, 303, "{answer}");
        let location = answer.header("location").unwrap();
        assert!(
            location.starts_with("/sign-in?next=%2Fdevice%3F"),
            "{location}"
        );
    }
    let json = op.browser.request("POST", "/device");
    let answer = json.json(&serde_json::json!({"user_code": "x"})).await;
    assert_eq!(answer.status, 415, "{answer}");
    is_grant_error(&op.app.poll(&codes).await, 400, "authorization_pending");
    assert_eq!(op.service.settings.count("sessions"), 4);
}

async fn a_person_without_the_second_factor_of_their_role_is_asked_to_add_one(store: Store) {
    let settings = Settings::on(store).with("AUTHLOG_SECOND_FACTOR", "user");
    let mut op = Provider::with(settings, &Registration::device("tv")).await;
    let codes = op.app.begins_on_a_device("openid").await;
    op.browser.open(&codes.path()).await;
    op.browser
        .submit("/sign-in", &credentials(&op.person))
        .await;
    op.browser.shows(403, "Your account needs a second factor");
    let fields = [
        ("user_code", codes.user_code.as_str()),
        ("decision", "allow"),
    ];
    for path in ["/device", "/device/decision"] {
        let answer = op.browser.post(path, &[], &fields).await;
        assert_eq!(answer.status, 403, "{answer}");
        assert!(answer.body.contains("needs a second factor"), "{answer}");
    }
    is_grant_error(&op.app.poll(&codes).await, 400, "authorization_pending");
    // The page says where to add one, and leads back to the code.
    let page = op.browser.page().body.clone();
    assert!(page.contains("<a href=\"/security\">"), "{page}");
    let back = between(&page, "<a href=\"/device?", "\"");
    let password = [("password", op.person.password.as_str())];
    op.browser.open("/security/authenticator").await;
    op.browser
        .submit("/security/authenticator", &password)
        .await;
    let secret = between(&op.browser.page().body, "<code>", "</code>").replace(' ', "");
    let code = Authenticator::of(&secret).fresh_code().await;
    op.browser
        .submit("/security/authenticator/confirm", &[("code", &code)])
        .await;
    op.browser.open(&format!("/device?{back}")).await;
    let typed = [("user_code", codes.user_code.as_str())];
    op.browser.submit("/device", &typed).await;
    op.browser
        .submit("/device/decision", &[("decision", "allow")])
        .await;
    op.browser.shows(200, "You can go back to your device.");
    an_interval_passes().await;
    let granted = Granted::of(&op.app.poll(&codes).await);
    assert_eq!(granted.id_claims()["acr"], "urn:authlog:aal2");
}

async fn a_decision_that_is_repeated_is_confirmed_to_its_person_alone(store: Store) {
    let mut op = with_tv(store).await;
    let (_, mut other) = registered(&op.http(), "eve").await;
    for (decision, contrary) in [("allow", "deny"), ("deny", "allow")] {
        let codes = op.app.begins_on_a_device("openid").await;
        decides(&mut op.browser, &op.person, &codes, "perhaps").await;
        let hidden = op.browser.form("/device/decision");
        let first = [("decision", decision)];
        for _ in 0..2 {
            let answer = op.browser.post("/device/decision", &hidden, &first).await;
            assert_eq!(answer.status, 303, "{answer}");
            let location = answer.header("location").unwrap();
            let is_allowed = location.ends_with("/device?done=allowed");
            assert_eq!(is_allowed, decision == "allow", "{location}");
        }
        let second = [("decision", contrary)];
        let answer = op.browser.post("/device/decision", &hidden, &second).await;
        assert_eq!(answer.status, 400, "{answer}");
        // Another person learns nothing, neither with the code nor with the decision.
        other.open("/device").await;
        let form = other.form("/device");
        let code = ("user_code", codes.user_code.as_str());
        for path in ["/device", "/device/decision"] {
            let fields = [code, ("decision", decision)];
            let answer = other.post(path, &form, &fields).await;
            assert_eq!(answer.status, 400, "{answer}");
        }
    }
}

async fn a_browser_without_script_approves_a_device(store: Store) {
    let Some(browser) = Chromium::start().await else {
        return;
    };
    let op = with_tv(store).await;
    let codes = op.app.begins_on_a_device("openid").await;
    let service = format!("http://{}", op.service.address());
    browser.open(&format!("{service}{}", codes.path())).await;
    browser.fill_in("username", &op.person.username).await;
    browser.fill_in("password", &op.person.password).await;
    browser.press("Sign in").await;
    browser.shows("Type the code that your device shows").await;
    // Nothing on the page is wider than the screen of a small phone.
    browser.press("Continue").await;
    browser.shows(&codes.user_code).await;
    let is_narrow = "document.body.style.width = '320px'; return document.body.scrollWidth <= 320";
    assert_eq!(browser.run(is_narrow).await, true);
    // A click that was meant for what was there before does not allow it.
    tokio::time::sleep(Duration::from_secs(1)).await;
    browser.press("Allow").await;
    browser.shows("You can go back to your device").await;
    Granted::of(&op.app.poll(&codes).await);
}
