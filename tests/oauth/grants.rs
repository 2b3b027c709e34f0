//! What a grant covers: what was asked for, as far as the client is registered for it still.

use serde_json::json;

use super::provider::Provider;
use crate::support::browser::between;
use crate::support::oauth::{
    Granted, Registration, callback_of, completes, is_grant_error, userinfo,
};
use crate::support::{Settings, Store, on_both_stores, own, token};

on_both_stores!(
    a_narrowed_registration_narrows_what_was_granted,
    a_resource_that_was_not_asked_for_is_not_granted,
    an_address_to_sign_in_with_is_no_username,
    a_code_with_a_challenge_needs_no_redirect_uri,
);

const API: &str = "https://api.example";

async fn a_narrowed_registration_narrows_what_was_granted(store: Store) {
    let registration = Registration::public("app")
        .with("--scope", "openid email")
        .with("--audience", API);
    let mut op = Provider::with(Settings::on(store), &registration).await;
    let begin = |op: &Provider| op.app.begins("openid email").with("resource", API);
    let begun = begin(&op);
    let granted = op.completes(&begun).await;
    assert_eq!(granted.answer["scope"], "email openid");
    let begun = begin(&op);
    let callback = op.is_called_back(&begun).await;
    let narrow = async |op: &Provider, option: &str, value: &str| {
        let arguments = ["client", "change", "app", option, value];
        let changed = op.service.settings.run(&arguments, "");
        assert!(changed.status.success(), "{changed:?}");
        // A node caches a client for a second.
        op.a_second_passes().await;
        op.a_second_passes().await;
    };
    narrow(&op, "--scope", "openid").await;
    let redeemed = op.app.redeems(&begun, &callback).await;
    assert_eq!(redeemed.answer["scope"], "openid");
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", granted.refresh()),
        ("scope", "openid email"),
    ];
    let answer = op.app.token_request(&form).await;
    is_grant_error(&answer, 400, "invalid_scope");
    let refreshed = Granted::of(&op.app.refreshes(granted.refresh()).await);
    assert_eq!(refreshed.answer["scope"], "openid");
    let claims = token::claims(&refreshed.access);
    assert!(claims["aud"].as_array().unwrap().contains(&json!(API)));
    // A token without its resource would be for this service alone.
    narrow(&op, "--audience", "https://other.example").await;
    let answer = op.app.refreshes(refreshed.refresh()).await;
    is_grant_error(&answer, 400, "invalid_target");
}

async fn a_resource_that_was_not_asked_for_is_not_granted(store: Store) {
    let registration = Registration::public("app").with("--audience", API);
    let mut op = Provider::with(Settings::on(store), &registration).await;
    let begun = op.app.begins("openid");
    let callback = op.is_called_back(&begun).await;
    let mut form = vec![
        ("grant_type", "authorization_code"),
        ("code", callback.code()),
        ("redirect_uri", &*op.app.redirect_uri),
        ("code_verifier", begun.verifier.as_deref().unwrap()),
        ("resource", API),
    ];
    let answer = op.app.token_request(&form).await;
    is_grant_error(&answer, 400, "invalid_target");
    form.pop();
    Granted::of(&op.app.token_request(&form).await);
}

async fn an_address_to_sign_in_with_is_no_username(store: Store) {
    let mut op = Provider::on(store).await;
    let begun = op.app.begins("openid profile");
    begun.open_in(&mut op.browser).await;
    let link = between(&op.browser.page().body, "<a href=\"/sign-up", "\"");
    op.browser.open(&format!("/sign-up{link}")).await;
    let form = [
        ("email", "bob@example.com"),
        ("password", "bob-opens-sesame"),
        ("password_confirmation", "bob-opens-sesame"),
    ];
    op.browser.submit("/sign-up", &form).await;
    let allow = [("decision", "allow")];
    op.browser.submit("/consent", &allow).await;
    let granted = op.app.redeems(&begun, &callback_of(&op.browser)).await;
    let info = userinfo(&op.http(), &granted.access).await;
    assert_eq!(info.get("preferred_username"), None, "{info}");
    let form = [("token", &*granted.access)];
    let answer = op.app.authenticated(own::INTROSPECT, &form).await;
    assert_eq!(answer.json()["active"], true, "{answer}");
    assert!(!answer.body.contains("bob"), "{answer}");
    // A username is one, for those who were allowed to see it.
    op.browser = crate::support::browser::Browser::new(&op.http());
    for (scope, expected) in [("openid profile", json!("ann")), ("openid", json!(null))] {
        let (_, granted) = op.signs_in(scope).await;
        let form = [("token", &*granted.access)];
        let answer = op.app.authenticated(own::INTROSPECT, &form).await;
        assert_eq!(answer.json()["username"], expected, "{answer}");
    }
}

async fn a_code_with_a_challenge_needs_no_redirect_uri(store: Store) {
    let mut op = Provider::with_public_app(store).await;
    let begun = op.app.begins("openid");
    let callback = op.is_called_back(&begun).await;
    let form = [
        ("grant_type", "authorization_code"),
        ("code", callback.code()),
        ("code_verifier", begun.verifier.as_deref().unwrap()),
    ];
    Granted::of(&op.app.token_request(&form).await);
    let registration = Registration::confidential("old").without_pkce();
    let old = registration.at(&op.service);
    old.begins("openid").open_in(&mut op.browser).await;
    let callback = completes(&mut op.browser, &op.person).await;
    let form = [
        ("grant_type", "authorization_code"),
        ("code", callback.code()),
    ];
    let answer = old.token_request(&form).await;
    is_grant_error(&answer, 400, "invalid_request");
}
