//! A token of an application is for what the person allowed, and for nothing else of this service.

use serde_json::json;

use super::provider::Provider;
use crate::support::contract::{is_refused, refreshes_nothing};
use crate::support::oauth::{Registration, is_dead, is_grant_error, userinfo};
use crate::support::{Contract, Endpoint, Settings, Store, on_both_stores, own, staff, token};

on_both_stores!(
    a_token_of_an_application_opens_no_contract_and_no_account,
    a_token_of_a_contract_opens_no_endpoint_of_applications,
    an_access_token_is_for_the_resources_that_were_asked_for,
);

async fn a_token_of_an_application_opens_no_contract_and_no_account(store: Store) {
    let registration = Registration::confidential("app").with("--audience", "https://api.example");
    let mut op = Provider::with(Settings::on(store), &registration).await;
    // The person could do all of this.
    staff::set_role(&op.service, &op.person, "admin");
    let machine = Registration::machine("machine").at(&op.service);
    let of_machine = machine
        .token_request(&[("grant_type", "client_credentials")])
        .await;
    let of_machine = of_machine.json()["access_token"]
        .as_str()
        .unwrap()
        .to_owned();
    let (_, plain) = op.signs_in("openid profile email").await;
    let begun = op
        .app
        .begins("openid")
        .with("resource", "https://api.example");
    let for_api = op.completes(&begun).await;
    let service = &op.service;
    for token in [
        &*plain.access,
        &for_api.access,
        plain.refresh(),
        plain.id_token(),
        &of_machine,
    ] {
        is_refused(&op.http(), token).await;
        refreshes_nothing(&op.http(), token).await;
        for (method, path) in [
            ("GET", "/account"),
            ("GET", "/account/sessions"),
            ("DELETE", "/account/sessions"),
            ("GET", "/account/factors"),
            ("POST", "/account/recovery-codes"),
            ("POST", "/account/password"),
            ("POST", "/account/email"),
            ("DELETE", "/account"),
            ("GET", "/account/history"),
            ("GET", "/admin/users"),
            ("GET", "/admin/clients"),
            ("GET", "/audit/events"),
            ("GET", "/audit/log/checkpoint"),
            ("POST", "/api/auth/logout"),
            ("POST", "/oauth2/introspect"),
            ("GET", "/forward-auth"),
        ] {
            let request = service.send(Endpoint::at(method, path)).bearer(token);
            let request = if path == "/oauth2/introspect" {
                request.form(&[("token", token)])
            } else if method == "POST" || path == "/account" {
                request.json(&json!({}))
            } else {
                request
            };
            let answer = request.await;
            // A client may use these with a scope, which this one does not have.
            let is_scoped = path.starts_with("/audit") || path == "/oauth2/introspect";
            let refused = if token == of_machine && is_scoped {
                403
            } else {
                401
            };
            assert_eq!(answer.status, refused, "{answer}");
        }
        // As a cookie it is nothing either.
        let answer = service
            .send(own::SECURITY_PAGE)
            .cookie("authlog", token)
            .await;
        assert_eq!(answer.status, 303, "{answer}");
    }
    // They are good for what they are for.
    userinfo(&op.http(), &plain.access).await;
}

async fn a_token_of_a_contract_opens_no_endpoint_of_applications(store: Store) {
    let op = Provider::on(store).await;
    for contract in Contract::ALL {
        let tokens = contract.signs_in(&op.http(), &op.person).await;
        let answer = op.service.send(own::USERINFO).bearer(&tokens.access).await;
        assert!([401, 403].contains(&answer.status), "{answer}");
        if let Some(refresh) = &tokens.refresh {
            is_grant_error(&op.app.refreshes(refresh).await, 400, "invalid_grant");
        }
    }
}

async fn an_access_token_is_for_the_resources_that_were_asked_for(store: Store) {
    let registration = Registration::public("app")
        .with("--audience", "https://api.example")
        .with("--audience", "https://other.example/v1");
    let mut op = Provider::with(Settings::on(store), &registration).await;
    let issuer = op.metadata().await["issuer"].clone();
    let begun = op
        .app
        .begins("profile")
        .with("resource", "https://api.example");
    let granted = op.completes(&begun).await;
    let header = token::header(&granted.access);
    assert_eq!(header["typ"], "at+jwt");
    let claims = token::claims(&granted.access);
    assert_eq!(claims["aud"], json!(["https://api.example"]));
    assert_eq!(claims["client_id"], "app");
    assert_eq!(claims["scope"], "profile");
    assert_eq!(claims["iss"], issuer);
    for name in ["sub", "exp", "iat", "jti", "auth_time", "acr", "sid"] {
        assert!(!claims[name].is_null(), "{name}: {claims}");
    }
    // Several resources; the token endpoint gives fewer, and no other one.
    let begun = op
        .app
        .begins("openid")
        .and("resource", "https://api.example")
        .and("resource", "https://other.example/v1");
    let callback = op.is_called_back(&begun).await;
    let exchange = |resource: &str| {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", callback.code()),
            ("redirect_uri", &*op.app.redirect_uri),
            ("code_verifier", begun.verifier.as_deref().unwrap()),
            ("resource", resource),
        ];
        op.app.token_request(&form)
    };
    let answer = exchange("https://third.example").await;
    is_grant_error(&answer, 400, "invalid_target");
    let answer = exchange("https://other.example/v1").await;
    assert_eq!(answer.status, 200, "{answer}");
    let access = answer.json()["access_token"].as_str().unwrap().to_owned();
    let claims = token::claims(&access);
    assert_eq!(claims["aud"], json!(["https://other.example/v1"]));
    // The resource server cannot use it to ask who the person is.
    is_dead(&op.http(), &access).await;
}
