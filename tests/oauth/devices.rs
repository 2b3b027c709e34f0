//! The device authorization grant: a device shows a code, a person approves it elsewhere, and the device gets its tokens.

use std::time::Duration;

use serde_json::json;

use super::provider::Provider;
use crate::support::devices::{DEVICE_CODE, DeviceCodes, approves, decides};
use crate::support::oauth::{Granted, Registration, is_dead, is_grant_error, userinfo};
use crate::support::{Contract, Endpoint, Settings, Store, on_both_stores, own, staff, token};

on_both_stores!(
    a_device_signs_in_with_a_code_that_its_person_approves,
    a_device_of_a_client_with_a_secret_gets_what_it_asked_for,
    a_device_waits_slows_down_and_is_refused,
    a_device_code_that_comes_back_ends_the_session,
    a_device_stays_signed_in_until_its_person_ends_that,
    a_device_code_is_for_the_client_that_got_it,
    an_approval_counts_only_while_the_account_and_the_client_permit_it,
    a_withdrawal_takes_back_an_approval_of_an_own_application,
    an_auditor_sees_where_a_device_was_approved,
);

/// The provider with an application on televisions.
pub async fn with_tv(store: Store) -> Provider {
    Provider::with(Settings::on(store), &Registration::device("tv")).await
}

impl Provider {
    /// The person lets a new device sign in.
    pub async fn approves_a_device(&mut self, scope: &str) -> DeviceCodes {
        let codes = self.app.begins_on_a_device(scope).await;
        approves(&mut self.browser, &self.person, &codes).await;
        codes
    }

    /// A new device signs in.
    pub async fn signs_in_a_device(&mut self, scope: &str) -> (DeviceCodes, Granted) {
        let codes = self.approves_a_device(scope).await;
        let granted = Granted::of(&self.app.poll(&codes).await);
        (codes, granted)
    }
}

/// As long as a device waits between two polls. A little less is accepted.
pub async fn an_interval_passes() {
    tokio::time::sleep(Duration::from_millis(4_500)).await;
}

async fn a_device_signs_in_with_a_code_that_its_person_approves(store: Store) {
    let mut op = with_tv(store).await;
    let answer = op
        .service
        .send(own::DEVICE_AUTHORIZATION)
        .form(&[("client_id", "tv"), ("scope", "openid email address")])
        .await;
    let codes = DeviceCodes::of(&answer);
    let uri = codes.answer["verification_uri"].as_str().unwrap();
    assert!(uri.ends_with("/device"), "{uri}");
    assert_eq!(
        codes.answer["verification_uri_complete"],
        format!("{uri}?user_code={}", codes.user_code)
    );
    assert_eq!(codes.answer["expires_in"], 600);
    assert_eq!(codes.answer["interval"], 5);
    assert_eq!(codes.answer.as_object().unwrap().len(), 6);
    is_grant_error(&op.app.poll(&codes).await, 400, "authorization_pending");
    approves(&mut op.browser, &op.person, &codes).await;
    an_interval_passes().await;
    let granted = Granted::of(&op.app.poll(&codes).await);
    assert_eq!(granted.answer["scope"], "email openid");
    let claims = op.verified(granted.id_token()).await;
    assert_eq!(claims.get("nonce"), None);
    assert_eq!(claims["amr"], json!(["pwd"]));
    let info = userinfo(&op.http(), &granted.access).await;
    assert_eq!(info["email"], "ann@example.com");
    assert_eq!(info["sub"], claims["sub"]);
    let refreshed = Granted::of(&op.app.refreshes(granted.refresh()).await);
    userinfo(&op.http(), &refreshed.access).await;
    // It is an application that the person allowed.
    op.browser.open("/security").await;
    op.browser.shows(200, "see your e-mail address");
}

async fn a_device_of_a_client_with_a_secret_gets_what_it_asked_for(store: Store) {
    let (api, other) = ("https://api.example", "https://other.example");
    let registration = Registration::device("tv")
        .with("--auth-method", "client_secret_basic")
        .with("--first-party", "true")
        .with("--audience", api)
        .with("--audience", other)
        .with("--scope", "films.read");
    let mut op = Provider::with(Settings::on(store), &registration).await;
    let form = [("resource", api), ("resource", other)];
    let answer = op.app.authenticated(own::DEVICE_AUTHORIZATION, &form).await;
    let codes = DeviceCodes::of(&answer);
    // Without a scope it is for all scopes, and the person is asked also by an application of the operator's own.
    decides(&mut op.browser, &op.person, &codes, "perhaps").await;
    op.browser.shows(200, "films.read");
    op.browser.shows(200, other);
    let decision = [("decision", "allow")];
    op.browser.submit("/device/decision", &decision).await;
    let poll = |resource| {
        let form = [
            ("grant_type", DEVICE_CODE),
            ("device_code", codes.device_code.as_str()),
            ("resource", resource),
        ];
        op.app.token_request(&form)
    };
    let refused = poll("https://evil.example").await;
    is_grant_error(&refused, 400, "invalid_target");
    an_interval_passes().await;
    let granted = Granted::of(&poll(api).await);
    assert_eq!(granted.answer["scope"], "films.read");
    assert_eq!(granted.answer.get("id_token"), None);
    assert_eq!(token::claims(&granted.access)["aud"], json!([api]));
    let refreshed = Granted::of(&op.app.refreshes(granted.refresh()).await);
    assert_eq!(token::claims(&refreshed.access)["aud"], json!([api, other]));
    // Such a client needs no consent.
    op.browser.open("/security").await;
    assert!(!op.browser.html().contains("films.read"));
}

async fn a_device_waits_slows_down_and_is_refused(store: Store) {
    let mut op = with_tv(store).await;
    let codes = op.app.begins_on_a_device("openid").await;
    is_grant_error(&op.app.poll(&codes).await, 400, "authorization_pending");
    is_grant_error(&op.app.poll(&codes).await, 400, "slow_down");
    an_interval_passes().await;
    // The interval is five seconds longer now.
    is_grant_error(&op.app.poll(&codes).await, 400, "slow_down");
    // Other devices wait for their own intervals.
    let other = op.app.begins_on_a_device("openid").await;
    decides(&mut op.browser, &op.person, &other, "deny").await;
    op.browser.shows(200, "The device is not allowed");
    is_grant_error(&op.app.poll(&other).await, 400, "access_denied");
    op.browser.open("/security").await;
    assert!(!op.browser.html().contains("Applications"));
    an_interval_passes().await;
    is_grant_error(&op.app.poll(&other).await, 400, "access_denied");
    // A row that was removed: it had expired, or was lost.
    let lost = op.app.begins_on_a_device("openid").await;
    op.service
        .settings
        .execute("DELETE FROM device_authorizations");
    is_grant_error(&op.app.poll(&lost).await, 400, "expired_token");
}

async fn a_device_code_that_comes_back_ends_the_session(store: Store) {
    let mut op = with_tv(store).await;
    let (codes, granted) = op.signs_in_a_device("openid").await;
    // One that is too early ends nothing.
    is_grant_error(&op.app.poll(&codes).await, 400, "slow_down");
    userinfo(&op.http(), &granted.access).await;
    an_interval_passes().await;
    an_interval_passes().await;
    is_grant_error(&op.app.poll(&codes).await, 400, "invalid_grant");
    is_dead(&op.http(), &granted.access).await;
    let refreshed = op.app.refreshes(granted.refresh()).await;
    is_grant_error(&refreshed, 400, "invalid_grant");
    is_grant_error(&op.app.poll(&codes).await, 400, "invalid_grant");
}

async fn a_device_stays_signed_in_until_its_person_ends_that(store: Store) {
    let mut op = with_tv(store).await;
    let (_, granted) = op.signs_in_a_device("openid").await;
    op.browser.open("/sign-out").await;
    op.browser.submit("/sign-out", &[]).await;
    userinfo(&op.http(), &granted.access).await;
    let granted = Granted::of(&op.app.refreshes(granted.refresh()).await);
    let (_, other) = op.signs_in_a_device("openid").await;
    op.browser.open("/security").await;
    op.browser
        .submit("/security/applications/tv/withdraw", &[])
        .await;
    for granted in [granted, other] {
        is_dead(&op.http(), &granted.access).await;
        let refreshed = op.app.refreshes(granted.refresh()).await;
        is_grant_error(&refreshed, 400, "invalid_grant");
    }
    // All other sessions end together.
    let (_, granted) = op.signs_in_a_device("openid").await;
    op.browser.open("/security").await;
    op.browser
        .submit("/security/sessions/end-others", &[])
        .await;
    is_dead(&op.http(), &granted.access).await;
}

async fn a_device_code_is_for_the_client_that_got_it(store: Store) {
    let mut op = with_tv(store).await;
    let other = Registration::device("radio").at(&op.service);
    let without_grant = Registration::public("app").at(&op.service);
    let codes = op.approves_a_device("openid").await;
    is_grant_error(&other.poll(&codes).await, 400, "invalid_grant");
    let refused = without_grant.poll(&codes).await;
    is_grant_error(&refused, 400, "unauthorized_client");
    let asked = without_grant.authenticated(own::DEVICE_AUTHORIZATION, &[]);
    is_grant_error(&asked.await, 400, "unauthorized_client");
    // The codes are of different kinds.
    let form = [
        ("grant_type", "authorization_code"),
        ("code", codes.device_code.as_str()),
        ("redirect_uri", &*without_grant.redirect_uri),
    ];
    let answer = without_grant.token_request(&form).await;
    is_grant_error(&answer, 400, "invalid_grant");
    let forged = DeviceCodes {
        device_code: format!("{}A", codes.device_code),
        ..codes.clone()
    };
    is_grant_error(&op.app.poll(&forged).await, 400, "invalid_grant");
    // Nothing of that used the code.
    Granted::of(&op.app.poll(&codes).await);
}

async fn an_approval_counts_only_while_the_account_and_the_client_permit_it(store: Store) {
    let mut op = with_tv(store).await;
    let withdrawn = op.approves_a_device("openid").await;
    let other = op.approves_a_device("openid").await;
    op.browser.open("/security").await;
    op.browser
        .submit("/security/applications/tv/withdraw", &[])
        .await;
    is_grant_error(&op.app.poll(&withdrawn).await, 400, "invalid_grant");
    // A later consent to the same does not bring it back.
    let (_, granted) = op.signs_in_a_device("openid").await;
    is_grant_error(&op.app.poll(&other).await, 400, "invalid_grant");
    userinfo(&op.http(), &granted.access).await;
    // All other sessions are ended: what was approved before has no session yet.
    let ended = op.approves_a_device("openid").await;
    op.browser.open("/security").await;
    op.browser
        .submit("/security/sessions/end-others", &[])
        .await;
    is_grant_error(&op.app.poll(&ended).await, 400, "invalid_grant");
    let (requested, approved) = (
        op.app.begins_on_a_device("openid").await,
        op.approves_a_device("openid").await,
    );
    run(&op, &["user", "lock", "ann"]);
    is_grant_error(&op.app.poll(&approved).await, 400, "invalid_grant");
    run(&op, &["user", "unlock", "ann"]);
    an_interval_passes().await;
    is_grant_error(&op.app.poll(&approved).await, 400, "invalid_grant");
    // The lock ended the session of the browser, so the person signs in again.
    approves(&mut op.browser, &op.person, &requested).await;
    let (narrowed, locked) = (
        op.approves_a_device("openid email").await,
        op.app.begins_on_a_device("openid").await,
    );
    run(&op, &["client", "change", "tv", "--scope", "openid"]);
    // A node caches a client for a second.
    op.a_second_passes().await;
    op.a_second_passes().await;
    let granted = Granted::of(&op.app.poll(&narrowed).await);
    assert_eq!(granted.answer["scope"], "openid");
    run(&op, &["client", "lock", "tv"]);
    op.a_second_passes().await;
    op.a_second_passes().await;
    op.browser.open(&locked.path()).await;
    let code = [("user_code", locked.user_code.as_str())];
    op.browser.submit("/device", &code).await;
    op.browser.shows(400, "No device waits with this code.");
    is_grant_error(&op.app.poll(&requested).await, 400, "invalid_client");
    let asked = op.app.authenticated(own::DEVICE_AUTHORIZATION, &[]);
    is_grant_error(&asked.await, 400, "invalid_client");
    run(&op, &["client", "unlock", "tv"]);
    op.a_second_passes().await;
    op.a_second_passes().await;
    // The account is erased.
    let own = Contract::ApiAuth.signs_in(&op.http(), &op.person).await;
    let erased = op.service.send(own::ERASE).bearer(&own.access);
    let erased = erased.json(&json!({"password": op.person.password})).await;
    assert_eq!(erased.status, 204, "{erased}");
    is_grant_error(&op.app.poll(&requested).await, 400, "invalid_grant");
    assert_eq!(op.service.settings.count("sessions"), 0);
}

async fn a_withdrawal_takes_back_an_approval_of_an_own_application(store: Store) {
    let registration = Registration::device("tv").with("--first-party", "true");
    let mut op = Provider::with(Settings::on(store), &registration).await;
    let withdrawn = op.approves_a_device("openid").await;
    op.browser.open("/security").await;
    op.browser
        .submit("/security/applications/tv/withdraw", &[])
        .await;
    is_grant_error(&op.app.poll(&withdrawn).await, 400, "invalid_grant");
    let (_, granted) = op.signs_in_a_device("openid").await;
    userinfo(&op.http(), &granted.access).await;
    Granted::of(&op.app.refreshes(granted.refresh()).await);
}

async fn an_auditor_sees_where_a_device_was_approved(store: Store) {
    let mut op = with_tv(store).await;
    let auditor = staff::signed_in(&op.service, "ida", "auditor").await.access;
    let (_, granted) = op.signs_in_a_device("openid").await;
    let claims = token::claims(&granted.access);
    let path = format!("/audit/users/{}/events", claims["sub"].as_str().unwrap());
    let history = op.service.send(Endpoint::at("GET", path.leak()));
    let history = history.bearer(&auditor).await.json();
    let events = history["events"].as_array().unwrap();
    let of_type =
        |kind: &str| -> Vec<_> { events.iter().filter(|it| it["type"] == kind).collect() };
    let consent = of_type("ConsentGiven");
    let logins = of_type("LoggedIn");
    let of_device = logins.iter().find(|it| it["session"] == claims["sid"]);
    let of_device = of_device.unwrap();
    assert_eq!(of_device["data"]["client"], "tv");
    assert_eq!(of_device["data"]["parent"], json!(null));
    let browser = &of_device["actor_session"];
    assert_eq!(consent[0]["actor_session"], *browser);
    assert!(logins.iter().any(|it| it["session"] == *browser));
}

fn run(op: &Provider, arguments: &[&str]) {
    let output = op.service.settings.run(arguments, "");
    assert!(output.status.success(), "{output:?}");
}
