//! One story for each module of the plan "Basic OP" of the `OpenID` conformance suite, by the names of the modules. They ask what
//! the modules ask, and check what those check.

use std::time::Duration;

use serde_json::{Value, json};

use super::provider::Provider;
use crate::support::oauth::{
    Begun, Granted, Registration, challenge_of, completes, is_dead, is_grant_error, userinfo,
};
use crate::support::{Store, on_both_stores, own};

on_both_stores!(
    oidcc_server,
    oidcc_alternate_happy_flow,
    oidcc_response_type_missing,
    oidcc_idtoken_signature,
    oidcc_userinfo_get,
    oidcc_userinfo_post_header,
    oidcc_userinfo_post_body,
    oidcc_ensure_request_without_nonce_succeeds_for_code_flow,
    oidcc_scope_profile,
    oidcc_scope_email,
    oidcc_scope_address,
    oidcc_scope_phone,
    oidcc_scope_all,
    oidcc_ensure_other_scope_order_succeeds,
    oidcc_display_page_and_popup,
    oidcc_prompt_login,
    oidcc_prompt_none_not_logged_in,
    oidcc_prompt_none_logged_in,
    oidcc_max_age_1,
    oidcc_max_age_10000,
    oidcc_ensure_request_with_unknown_parameter_succeeds,
    oidcc_id_token_hint,
    oidcc_login_hint,
    oidcc_ui_locales_and_claims_locales,
    oidcc_ensure_request_with_acr_values_succeeds,
    oidcc_codereuse,
    oidcc_codereuse_30seconds,
    oidcc_ensure_registered_redirect_uri,
    oidcc_ensure_post_request_succeeds,
    oidcc_server_client_secret_post,
    oidcc_unsigned_request_object_supported_correctly_or_rejected_as_unsupported,
    oidcc_ensure_request_object_with_redirect_uri,
    oidcc_claims_essential,
    oidcc_refresh_token,
    oidcc_ensure_request_with_valid_pkce_succeeds,
);

async fn oidcc_server(store: Store) {
    let mut op = Provider::on(store).await;
    let (begun, granted) = op.signs_in("openid").await;
    op.has_valid_id_token(&begun, &granted).await;
    userinfo(&op.http(), &granted.access).await;
}

async fn oidcc_alternate_happy_flow(store: Store) {
    let mut op = Provider::on(store).await;
    let mut begun = op.app.begins("email profile openid");
    // The parameters come in another order.
    begun = begun.clone().with("client_id", begun.get("client_id"));
    let granted = op.completes(&begun).await;
    op.has_valid_id_token(&begun, &granted).await;
}

async fn oidcc_response_type_missing(store: Store) {
    let mut op = Provider::on(store).await;
    let begun = op.app.begins("openid").without("response_type");
    let callback = op.is_answered_at_once(&begun).await;
    callback.has_error("invalid_request");
}

async fn oidcc_idtoken_signature(store: Store) {
    let mut op = Provider::on(store).await;
    let (_, granted) = op.signs_in("openid").await;
    let header = crate::support::token::header(granted.id_token());
    assert_eq!(header["alg"], "RS256");
    let set = op.service.send(own::KEY_SET).await.json();
    let keys = set["keys"].as_array().unwrap();
    assert!(keys.iter().any(|key| key["kid"] == header["kid"]), "{set}");
    op.verified(granted.id_token()).await;
}

async fn oidcc_userinfo_get(store: Store) {
    let mut op = Provider::on(store).await;
    let (_, granted) = op.signs_in("openid").await;
    let info = userinfo(&op.http(), &granted.access).await;
    assert_eq!(info["sub"], granted.id_claims()["sub"]);
}

async fn oidcc_userinfo_post_header(store: Store) {
    let mut op = Provider::on(store).await;
    let (_, granted) = op.signs_in("openid").await;
    let request = op.service.send(own::USERINFO_BY_POST);
    let answer = request.bearer(&granted.access).await;
    assert_eq!(answer.status, 200, "{answer}");
    assert_eq!(answer.json()["sub"], granted.id_claims()["sub"]);
}

async fn oidcc_userinfo_post_body(store: Store) {
    let mut op = Provider::on(store).await;
    let (_, granted) = op.signs_in("openid").await;
    let request = op.service.send(own::USERINFO_BY_POST);
    let answer = request.form(&[("access_token", &granted.access)]).await;
    assert_eq!(answer.status, 200, "{answer}");
    assert_eq!(answer.json()["sub"], granted.id_claims()["sub"]);
}

async fn oidcc_ensure_request_without_nonce_succeeds_for_code_flow(store: Store) {
    let mut op = Provider::on(store).await;
    let begun = op.app.begins("openid").without("nonce");
    let granted = op.completes(&begun).await;
    assert_eq!(granted.id_claims().get("nonce"), None);
}

async fn oidcc_scope_profile(store: Store) {
    let mut op = Provider::on(store).await;
    let info = op.info_of("openid profile").await;
    assert_eq!(info["preferred_username"], "ann");
    assert!(info["updated_at"].is_i64(), "{info}");
    assert_eq!(info.get("email"), None);
}

async fn oidcc_scope_email(store: Store) {
    let mut op = Provider::on(store).await;
    let info = op.info_of("openid email").await;
    assert_eq!(info["email"], "ann@example.com");
    assert_eq!(info["email_verified"], false);
    assert_eq!(info.get("preferred_username"), None);
}

async fn oidcc_scope_address(store: Store) {
    let mut op = Provider::on(store).await;
    // An account has no postal address.
    let info = op.info_of("openid address").await;
    assert_eq!(info.as_object().map(|it| it.len()), Some(1), "{info}");
}

async fn oidcc_scope_phone(store: Store) {
    let mut op = Provider::on(store).await;
    let info = op.info_of("openid phone").await;
    assert_eq!(info.get("email"), None);
}

async fn oidcc_scope_all(store: Store) {
    let mut op = Provider::on(store).await;
    let info = op.info_of("openid profile email address phone").await;
    assert_eq!(info["preferred_username"], "ann");
    assert_eq!(info["email"], "ann@example.com");
}

async fn oidcc_ensure_other_scope_order_succeeds(store: Store) {
    let mut op = Provider::on(store).await;
    let (begun, granted) = op.signs_in("email openid").await;
    op.has_valid_id_token(&begun, &granted).await;
}

async fn oidcc_display_page_and_popup(store: Store) {
    let mut op = Provider::on(store).await;
    for display in ["page", "popup"] {
        let begun = op.app.begins("openid").with("display", display);
        op.completes(&begun).await;
    }
}

async fn oidcc_prompt_login(store: Store) {
    let mut op = Provider::on(store).await;
    let (_, first) = op.signs_in("openid").await;
    op.a_second_passes().await;
    let begun = op.app.begins("openid").with("prompt", "login");
    begun.open_in(&mut op.browser).await;
    // The person is signed in, and has to sign in all the same.
    op.browser.shows(200, "Sign in to continue to");
    let callback = completes(&mut op.browser, &op.person).await;
    let second = op.app.redeems(&begun, &callback).await;
    is_later(&first, &second);
}

async fn oidcc_prompt_none_not_logged_in(store: Store) {
    let mut op = Provider::on(store).await;
    let begun = op.app.begins("openid").with("prompt", "none");
    op.is_answered_at_once(&begun)
        .await
        .has_error("login_required");
}

async fn oidcc_prompt_none_logged_in(store: Store) {
    let mut op = Provider::on(store).await;
    let (_, first) = op.signs_in("openid").await;
    let begun = op.app.begins("openid").with("prompt", "none");
    let callback = op.is_answered_at_once(&begun).await;
    let second = op.app.redeems(&begun, &callback).await;
    is_the_same_login(&first, &second);
}

async fn oidcc_max_age_1(store: Store) {
    let mut op = Provider::on(store).await;
    let (_, first) = op.signs_in("openid").await;
    op.a_second_passes().await;
    op.a_second_passes().await;
    let begun = op.app.begins("openid").with("max_age", "1");
    begun.open_in(&mut op.browser).await;
    op.browser.shows(200, "Sign in to continue to");
    let callback = completes(&mut op.browser, &op.person).await;
    let second = op.app.redeems(&begun, &callback).await;
    is_later(&first, &second);
}

async fn oidcc_max_age_10000(store: Store) {
    let mut op = Provider::on(store).await;
    let (_, first) = op.signs_in("openid").await;
    let begun = op.app.begins("openid").with("max_age", "10000");
    let callback = op.is_answered_at_once(&begun).await;
    let second = op.app.redeems(&begun, &callback).await;
    is_the_same_login(&first, &second);
}

async fn oidcc_ensure_request_with_unknown_parameter_succeeds(store: Store) {
    let mut op = Provider::on(store).await;
    let begun = op.app.begins("openid").with("extra", "foobar");
    op.completes(&begun).await;
}

async fn oidcc_id_token_hint(store: Store) {
    let mut op = Provider::on(store).await;
    let (_, first) = op.signs_in("openid").await;
    let begun = op.app.begins("openid").with("prompt", "none");
    let begun = begun.with("id_token_hint", first.id_token());
    let callback = op.is_answered_at_once(&begun).await;
    let second = op.app.redeems(&begun, &callback).await;
    is_the_same_login(&first, &second);
}

async fn oidcc_login_hint(store: Store) {
    let mut op = Provider::on(store).await;
    let begun = op
        .app
        .begins("openid")
        .with("login_hint", "ann@example.com");
    begun.open_in(&mut op.browser).await;
    let page = &op.browser.page().body;
    assert!(page.contains("value=\"ann@example.com\""), "{page}");
    completes(&mut op.browser, &op.person).await.code();
}

async fn oidcc_ui_locales_and_claims_locales(store: Store) {
    let mut op = Provider::on(store).await;
    for name in ["ui_locales", "claims_locales"] {
        let begun = op.app.begins("openid").with(name, "se fi de-CH");
        op.completes(&begun).await;
    }
}

async fn oidcc_ensure_request_with_acr_values_succeeds(store: Store) {
    let mut op = Provider::on(store).await;
    for values in ["1 2", "urn:authlog:aal1", "urn:mace:incommon:iap:silver 1"] {
        let begun = op.app.begins("openid").with("acr_values", values);
        let granted = op.completes(&begun).await;
        assert_eq!(granted.id_claims()["acr"], "urn:authlog:aal1");
    }
}

async fn oidcc_codereuse(store: Store) {
    reuses_the_code_after(store, Duration::ZERO).await;
}

async fn oidcc_codereuse_30seconds(store: Store) {
    reuses_the_code_after(store, Duration::from_secs(30)).await;
}

async fn reuses_the_code_after(store: Store, pause: Duration) {
    let mut op = Provider::on(store).await;
    let begun = op.app.begins("openid");
    begun.open_in(&mut op.browser).await;
    let callback = completes(&mut op.browser, &op.person).await;
    let granted = op.app.redeems(&begun, &callback).await;
    userinfo(&op.http(), &granted.access).await;
    tokio::time::sleep(pause).await;
    let again = op.app.exchange(&begun, callback.code()).await;
    is_grant_error(&again, 400, "invalid_grant");
    // The code may have been stolen, so its tokens are dead.
    is_dead(&op.http(), &granted.access).await;
    let refreshed = op.app.refreshes(granted.refresh()).await;
    is_grant_error(&refreshed, 400, "invalid_grant");
}

async fn oidcc_ensure_registered_redirect_uri(store: Store) {
    let mut op = Provider::on(store).await;
    let wrong = format!("{}/{}", op.app.redirect_uri, "unregistered");
    let begun = op.app.begins("openid").with("redirect_uri", &wrong);
    begun.open_in(&mut op.browser).await;
    op.browser.shows(400, "not registered");
    assert_eq!(op.browser.page().header("location"), None);
}

async fn oidcc_ensure_post_request_succeeds(store: Store) {
    let mut op = Provider::on(store).await;
    let begun = op.app.begins("openid");
    let answer = op
        .service
        .send(own::AUTHORIZE_BY_POST)
        .header("origin", "https://app.example")
        .header("sec-fetch-site", "cross-site")
        .form(&begun.form())
        .await;
    assert_eq!(answer.status, 303, "{answer}");
    let path = answer.header("location").unwrap();
    op.browser.come_from_another_site(path).await;
    let callback = completes(&mut op.browser, &op.person).await;
    op.app.redeems(&begun, &callback).await;
}

async fn oidcc_server_client_secret_post(store: Store) {
    let mut op = Provider::on(store).await;
    let registration = Registration::confidential("by-post")
        .with("--auth-method", "client_secret_post")
        .without_pkce();
    let app = registration.at(&op.service);
    let begun = app.begins("openid");
    begun.open_in(&mut op.browser).await;
    let callback = completes(&mut op.browser, &op.person).await;
    let secret = app.secret.as_deref().unwrap();
    let form = [
        ("grant_type", "authorization_code"),
        ("code", callback.code()),
        ("redirect_uri", &*app.redirect_uri),
        ("client_id", &*app.id),
        ("client_secret", secret),
    ];
    let granted = Granted::of(&op.service.send(own::TOKEN).form(&form).await);
    assert_eq!(granted.id_claims()["aud"], "by-post");
}

async fn oidcc_unsigned_request_object_supported_correctly_or_rejected_as_unsupported(
    store: Store,
) {
    let mut op = Provider::on(store).await;
    op.says_unsupported("request_parameter_supported").await;
    let begun = op.app.begins("openid");
    let object = unsigned_request(&json!({"nonce": "another", "state": "another"}));
    let callback = op
        .is_answered_at_once(&begun.with("request", &object))
        .await;
    callback.has_error("request_not_supported");
}

async fn oidcc_ensure_request_object_with_redirect_uri(store: Store) {
    let mut op = Provider::on(store).await;
    op.says_unsupported("request_uri_parameter_supported").await;
    let begun = op.app.begins("openid");
    let object = unsigned_request(&json!({"redirect_uri": "https://evil.example/"}));
    for (name, value, error) in [
        ("request", &*object, "request_not_supported"),
        (
            "request_uri",
            "https://app.example/request",
            "request_uri_not_supported",
        ),
    ] {
        let callback = op
            .is_answered_at_once(&begun.clone().with(name, value))
            .await;
        callback.has_error(error);
        assert_eq!(callback.at, op.app.redirect_uri);
    }
}

fn unsigned_request(claims: &Value) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.", part(json!({"alg": "none"})), part(claims.clone()))
}

async fn oidcc_claims_essential(store: Store) {
    let mut op = Provider::on(store).await;
    let claims = json!({"userinfo": {"name": {"essential": true}, "preferred_username": null}});
    let begun = op.app.begins("openid").with("claims", &claims.to_string());
    let granted = op.completes(&begun).await;
    let info = userinfo(&op.http(), &granted.access).await;
    assert_eq!(info["preferred_username"], "ann");
}

async fn oidcc_refresh_token(store: Store) {
    let mut op = Provider::on(store).await;
    let other = Registration::confidential("other")
        .without_pkce()
        .at(&op.service);
    let (_, first) = op.signs_in("openid").await;
    // A refresh token is for its client alone.
    is_grant_error(
        &other.refreshes(first.refresh()).await,
        400,
        "invalid_grant",
    );
    let refreshed = Granted::of(&op.app.refreshes(first.refresh()).await);
    assert_ne!(refreshed.access, first.access);
    let info = userinfo(&op.http(), &refreshed.access).await;
    assert_eq!(info["sub"], first.id_claims()["sub"]);
    if refreshed.answer.get("id_token").is_some() {
        let (old, new) = (first.id_claims(), refreshed.id_claims());
        // OpenID Connect Core §12.2.
        for name in ["iss", "sub", "aud", "auth_time"] {
            assert_eq!(old[name], new[name], "{name}");
        }
    }
}

async fn oidcc_ensure_request_with_valid_pkce_succeeds(store: Store) {
    let mut op = Provider::on(store).await;
    let verifier = "a".repeat(43);
    let mut begun: Begun = op
        .app
        .begins("openid")
        .with("code_challenge", &challenge_of(&verifier))
        .with("code_challenge_method", "S256");
    begun.verifier = Some(verifier);
    op.completes(&begun).await;
}

/// Asserts that the second login is another one of the same person.
#[track_caller]
fn is_later(first: &Granted, second: &Granted) {
    let (first, second) = (first.id_claims(), second.id_claims());
    assert_eq!(first["sub"], second["sub"]);
    assert!(
        first["auth_time"].as_i64() < second["auth_time"].as_i64(),
        "{first} {second}"
    );
}

#[track_caller]
fn is_the_same_login(first: &Granted, second: &Granted) {
    let (first, second) = (first.id_claims(), second.id_claims());
    for name in ["sub", "auth_time"] {
        assert_eq!(first[name], second[name], "{name}");
    }
}
