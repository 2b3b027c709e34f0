//! The pages that a person sees on the way to an application.

use serde_json::json;

use super::provider::Provider;
use crate::support::browser::{Browser, between, credentials};
use crate::support::oauth::{Registration, completes};
use crate::support::{Endpoint, Settings, Store, on_both_stores, staff, token};

on_both_stores!(
    a_consent_holds_at_every_resource_of_the_application,
    a_forgotten_password_leads_back_to_the_application,
    an_auditor_sees_which_session_of_an_application_was_live,
);

async fn a_consent_holds_at_every_resource_of_the_application(store: Store) {
    let registration = Registration::public("app")
        .with("--audience", "https://api.example")
        .with("--audience", "https://other.example/v1");
    let mut op = Provider::with(Settings::on(store), &registration).await;
    let at = |resource: &str| op.app.begins("email").with("resource", resource);
    let (first, second) = (at("https://api.example"), at("https://other.example/v1"));
    first.open_in(&mut op.browser).await;
    op.browser
        .submit("/sign-in", &credentials(&op.person))
        .await;
    // The page says what it decides about, whichever resource is asked for.
    op.browser.shows(200, "What you allow also holds at");
    for resource in ["https://api.example", "https://other.example/v1"] {
        op.browser.shows(200, resource);
    }
    completes(&mut op.browser, &op.person).await;
    op.is_answered_at_once(&second).await.code();
}

async fn a_forgotten_password_leads_back_to_the_application(store: Store) {
    let mut op = Provider::with_public_app(store).await;
    let begun = op.app.begins("openid");
    begun.open_in(&mut op.browser).await;
    let follow = |browser: &Browser, path: &str| {
        let page = &browser.page().body;
        let query = between(page, &format!("<a href=\"{path}"), "\"").replace("&amp;", "&");
        format!("{path}{query}")
    };
    let link = follow(&op.browser, "/forgotten-password");
    op.browser.open(&link).await;
    let form = [("username", op.person.username.as_str())];
    op.browser.submit("/forgotten-password", &form).await;
    op.browser.shows(202, "If there is such an account");
    // The window of the application is kept.
    let policy = op.browser.page().header("cross-origin-opener-policy");
    assert_eq!(policy, Some("unsafe-none"));
    let link = follow(&op.browser, "/sign-in");
    op.browser.open(&link).await;
    let callback = completes(&mut op.browser, &op.person).await;
    op.app.redeems(&begun, &callback).await;
}

async fn an_auditor_sees_which_session_of_an_application_was_live(store: Store) {
    let mut op = Provider::with_public_app(store).await;
    let auditor = staff::signed_in(&op.service, "ida", "auditor").await.access;
    let (_, granted) = op.signs_in("openid email").await;
    let claims = token::claims(&granted.access);
    let path = format!("/audit/users/{}", claims["sub"].as_str().unwrap());
    let state = op.service.send(Endpoint::at("GET", path.leak()));
    let state = state.bearer(&auditor).await.json();
    let sessions = state["live_sessions"].as_array().unwrap();
    let session = sessions.iter().find(|it| it["id"] == claims["sid"]);
    let session = session.unwrap();
    // The names are those of the published events.
    assert_eq!(session["client_id"], "app");
    assert_eq!(session["scope"], "email openid");
    assert_eq!(session["parent_session_id"], claims["psid"]);
    let parent = sessions
        .iter()
        .find(|it| it["id"] == session["parent_session_id"]);
    assert_eq!(parent.unwrap()["client_id"], json!(null));
}
