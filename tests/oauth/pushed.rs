//! Pushed authorization requests (RFC 9126): the client sends the request itself, and the browser only carries a reference.

use std::time::Duration;

use authlog_application::ports::{Clock as _, SealedFor, SecondFactorSecrets as _};
use authlog_infrastructure::system::SystemClock;
use serde_json::{Value, json};

use super::provider::Provider;
use crate::support::browser::{Browser, between, credentials};
use crate::support::oauth::{Begun, Registration, callback_of, completes, is_grant_error};
use crate::support::{Settings, Store, on_both_stores, own};

on_both_stores!(
    a_pushed_request_signs_in_and_shows_nothing_of_itself,
    a_public_application_pushes_its_requests_too,
    a_pushed_request_is_used_on_every_node_and_after_a_restart,
    every_page_on_the_way_leads_back_to_the_pushed_request,
    an_expired_request_goes_on_only_if_it_began_in_time,
    a_client_that_has_to_push_is_refused_otherwise,
    a_request_is_checked_again_when_it_comes_back,
    pushing_stores_nothing,
);

async fn a_pushed_request_signs_in_and_shows_nothing_of_itself(store: Store) {
    let mut op = Provider::with(Settings::on(store), &Registration::confidential("app")).await;
    let begun = op.app.begins("openid email").with("login_hint", "ann");
    let answer = op.app.push(&begun).await;
    let expires_in = answer.json()["expires_in"].as_i64();
    assert_eq!(expires_in, Some(600), "{answer}");
    let sent = begun.pushed(&answer);
    let uri = sent.get("request_uri");
    assert!(
        uri.starts_with("urn:ietf:params:oauth:request_uri:"),
        "{uri}"
    );
    assert!(!sent.query().contains(begun.get("state")));
    // All that the browser adds is ignored (RFC 9101 section 5).
    let sent = sent
        .with("scope", "openid profile")
        .with("redirect_uri", "https://evil.example/")
        .with("state", "mallory");
    sent.open_in(&mut op.browser).await;
    op.browser.shows(200, "Sign in to continue to");
    op.browser.shows(200, "value=\"ann\"");
    op.browser
        .submit("/sign-in", &credentials(&op.person))
        .await;
    op.browser.shows(200, "see your e-mail address");
    let callback = completes(&mut op.browser, &op.person).await;
    let granted = op.app.redeems(&begun, &callback).await;
    assert_eq!(granted.answer["scope"], "email openid");
    op.has_valid_id_token(&begun, &granted).await;
    // The page can be loaded again, and PKCE and the redirect URI protect the code.
    let again = op.is_answered_at_once_by(&begun, &sent).await;
    op.app.redeems(&begun, &again).await;
}

async fn a_public_application_pushes_its_requests_too(store: Store) {
    let mut op = Provider::with_public_app(store).await;
    let begun = op.app.begins("openid");
    let sent = op.app.pushes(&begun).await;
    let callback = op.is_called_back(&sent).await;
    op.app.redeems(&begun, &callback).await;
    // A browser may send the reference in a form.
    let begun = op.app.begins("openid");
    let sent = op.app.pushes(&begun).await;
    let answer = op
        .service
        .send(own::AUTHORIZE_BY_POST)
        .form(&sent.form())
        .await;
    assert_eq!(answer.status, 303, "{answer}");
    op.browser.open(answer.header("location").unwrap()).await;
    op.app.redeems(&begun, &callback_of(&op.browser)).await;
}

async fn a_pushed_request_is_used_on_every_node_and_after_a_restart(store: Store) {
    let mut op = Provider::with_public_app(store).await;
    let begun = op.app.begins("openid");
    let sent = op.app.pushes(&begun).await;
    op.service.kill9();
    op.service.restart().await;
    let http = op.http();
    op.app = op.app.of(&http);
    op.browser = op.browser.at(&http);
    let callback = op.is_called_back(&sent).await;
    op.app.redeems(&begun, &callback).await;
}

async fn every_page_on_the_way_leads_back_to_the_pushed_request(store: Store) {
    let mut op = Provider::with_public_app(store).await;
    let begun = op.app.begins("openid").with("prompt", "login consent");
    let sent = op.app.pushes(&begun).await;
    let follow = |browser: &Browser, path: &str| {
        let page = &browser.page().body;
        let query = between(page, &format!("<a href=\"{path}"), "\"").replace("&amp;", "&");
        format!("{path}{query}")
    };
    sent.open_in(&mut op.browser).await;
    for path in ["/forgotten-password", "/sign-in", "/sign-up", "/sign-in"] {
        let link = follow(&op.browser, path);
        assert!(link.contains("request%5Furi"), "{link}");
        op.browser.open(&link).await;
    }
    // A wrong password shows the form again.
    let wrong = [("username", "ann"), ("password", "not-the-password")];
    op.browser.submit("/sign-in", &wrong).await;
    op.browser.shows(403, "Sign in to continue to");
    op.browser
        .submit("/sign-in", &credentials(&op.person))
        .await;
    op.browser.shows(200, "Allow app?");
    // Without a decision, the page is shown again.
    op.browser
        .submit("/consent", &[("decision", "perhaps")])
        .await;
    op.browser.submit("/consent", &[("decision", "deny")]).await;
    let callback = callback_of(&op.browser);
    begun.is_answered_by(&callback);
    callback.has_error("access_denied");
}

/// The reference to a request that was pushed so many seconds ago.
async fn pushed_before(op: &Provider, begun: &Begun, seconds: u64) -> Begun {
    let secrets = op.secrets().await;
    let form = begun.form().into_iter();
    let parameters: Vec<_> = form.filter(|(name, _)| *name != "client_id").collect();
    let ten_minutes = Duration::from_secs(600);
    let expires_at = SystemClock.now().plus(ten_minutes);
    let expires_at = expires_at.minus(Duration::from_secs(seconds));
    let sealed = json!({
        "client": begun.get("client_id"), "parameters": parameters, "expires_at": expires_at,
    });
    let sealed = secrets.seal(SealedFor::PushedRequest, sealed.to_string().as_bytes());
    let uri = format!("urn:ietf:params:oauth:request_uri:{}", sealed.unwrap());
    op.app
        .begins("")
        .only("client_id")
        .with("request_uri", &uri)
}

async fn an_expired_request_goes_on_only_if_it_began_in_time(store: Store) {
    let mut op = Provider::with_public_app(store).await;
    let begun = op.app.begins("openid");
    // A moment before its end, it begins, and the person takes longer to sign in and to decide.
    let sent = pushed_before(&op, &begun, 597).await;
    sent.open_in(&mut op.browser).await;
    op.browser.shows(200, "Sign in to continue to");
    let elsewhere = Browser::new(&op.http());
    tokio::time::sleep(Duration::from_secs(4)).await;
    op.browser
        .submit("/sign-in", &credentials(&op.person))
        .await;
    op.browser.shows(200, "Allow app?");
    let callback = completes(&mut op.browser, &op.person).await;
    op.app.redeems(&begun, &callback).await;
    // It does not begin any more, in this browser or in another one.
    for mut browser in [op.browser.clone(), elsewhere] {
        sent.open_in(&mut browser).await;
        browser.shows(400, "The request of the application has expired");
        browser.shows(400, "begin again");
    }
    // Nor does one that was pushed by a clock far ahead, or so long ago that the person has gone.
    let late = pushed_before(&op, &begun, 2 * 60 * 60).await;
    late.open_in(&mut op.browser).await;
    op.browser.shows(400, "has expired");
    // The mark of a login for one request does not let another one begin.
    let other = op.app.begins("openid").with("prompt", "login");
    other.open_in(&mut op.browser).await;
    let next = op.browser.form("/sign-in");
    let (_, next) = next.iter().find(|(name, _)| name == "next").unwrap();
    let mark = next.split("authlog_asked=").nth(1).unwrap();
    let mark = mark.split('&').next().unwrap();
    let marked = sent.with("authlog_asked", mark);
    marked.open_in(&mut op.browser).await;
    op.browser.shows(400, "has expired");
}

async fn a_client_that_has_to_push_is_refused_otherwise(store: Store) {
    let registration = Registration::public("app").with("--require-pushed-requests", "true");
    let mut op = Provider::with(Settings::on(store), &registration).await;
    let begun = op.app.begins("openid");
    op.is_answered_at_once(&begun)
        .await
        .has_error("invalid_request");
    let sent = op.app.pushes(&begun).await;
    let callback = op.is_called_back(&sent).await;
    op.app.redeems(&begun, &callback).await;
    let shown = op
        .service
        .settings
        .run(&["client", "show", "app", "--json"], "");
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["require_pushed_requests"], true);
}

async fn a_request_is_checked_again_when_it_comes_back(store: Store) {
    let registration = Registration::public("app").with("--redirect-uri", "https://app.example/b");
    let mut op = Provider::with(Settings::on(store), &registration).await;
    let begun = op.app.begins("openid email");
    let sent = op.app.pushes(&begun).await;
    let change = async |op: &Provider, option: &str, value: &str| {
        let arguments = ["client", "change", "app", option, value];
        let changed = op.service.settings.run(&arguments, "");
        assert!(changed.status.success(), "{changed:?}");
        // A node caches a client for a second.
        op.a_second_passes().await;
        op.a_second_passes().await;
    };
    change(&op, "--scope", "openid").await;
    let callback = op.is_called_back(&sent).await;
    let granted = op.app.redeems(&begun, &callback).await;
    assert_eq!(granted.answer["scope"], "openid");
    change(&op, "--redirect-uri", "https://app.example/b").await;
    sent.open_in(&mut op.browser).await;
    op.browser.shows(400, "not registered for it");
}

async fn pushing_stores_nothing(store: Store) {
    let op = Provider::with_public_app(store).await;
    let rows = || ["events", "sessions", "accounts"].map(|table| op.service.settings.rows(table));
    let before = rows();
    for _ in 0..20 {
        op.app.pushes(&op.app.begins("openid")).await;
    }
    // The endpoint by its name: without a client, nothing is said of the request.
    let answer = op.service.send(own::PAR).form(&[("scope", "openid")]).await;
    is_grant_error(&answer, 400, "invalid_client");
    assert_eq!(rows(), before);
}
