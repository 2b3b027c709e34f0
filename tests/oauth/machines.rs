//! Programs that act for themselves, and resource servers that ask about tokens.

use serde_json::json;

use super::provider::Provider;
use crate::support::oauth::{Granted, Registration, basic, is_dead, is_grant_error, userinfo};
use crate::support::{Settings, Store, on_both_stores, own, token};

on_both_stores!(
    a_machine_gets_a_token_of_its_own,
    a_resource_server_introspects_with_its_own_secret,
    a_client_revokes_its_own_tokens_only,
);

async fn a_machine_gets_a_token_of_its_own(store: Store) {
    let op = Provider::on(store).await;
    let registration = Registration::machine("billing")
        .with("--scope", "invoices.read invoices.write")
        .with("--audience", "https://api.example");
    let machine = registration.at(&op.service);
    let grant = ("grant_type", "client_credentials");
    let form = [
        grant,
        ("scope", "invoices.read"),
        ("resource", "https://api.example"),
    ];
    let events = op.service.settings.count("events");
    let granted = Granted::of(&machine.token_request(&form).await);
    assert_eq!(granted.answer["scope"], "invoices.read");
    for none in ["refresh_token", "id_token"] {
        assert_eq!(granted.answer.get(none), None, "{none}");
    }
    let claims = token::claims(&granted.access);
    assert_eq!(
        (&claims["sub"], &claims["client_id"]),
        (&json!("billing"), &json!("billing"))
    );
    assert_eq!(claims["aud"], json!(["https://api.example"]));
    assert_eq!(claims.get("sid"), None);
    // Nothing happened to anyone.
    assert_eq!(op.service.settings.count("events"), events);
    for (form, error) in [
        (&[grant, ("scope", "invoices.delete")][..], "invalid_scope"),
        (
            &[grant, ("resource", "https://other.example")],
            "invalid_target",
        ),
        (
            &[("grant_type", "authorization_code"), ("code", "x")],
            "unauthorized_client",
        ),
    ] {
        let answer = machine.token_request(form).await;
        assert_eq!(answer.status, 400, "{answer}");
        let said = answer.json()["error"].clone();
        assert!(said == error || said == "invalid_grant", "{answer}");
    }
    // An application without the grant, and a public one, get none.
    let answer = op.app.token_request(&[grant]).await;
    is_grant_error(&answer, 400, "unauthorized_client");
}

async fn a_resource_server_introspects_with_its_own_secret(store: Store) {
    let registration = Registration::public("app").with("--audience", "https://api.example");
    let mut op = Provider::with(Settings::on(store), &registration).await;
    let server = Registration::machine("api")
        .with("--audience", "https://api.example")
        .with("--scope", "tokens.introspect")
        .at(&op.service);
    let begun = op
        .app
        .begins("openid")
        .with("resource", "https://api.example");
    let granted = op.completes(&begun).await;
    let ask = |token: &str| server.authenticated(own::INTROSPECT, &[("token", token)]);
    let answer = ask(&granted.access).await;
    assert_eq!(answer.status, 200, "{answer}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let said = answer.json();
    let claims = token::claims(&granted.access);
    assert_eq!(said["active"], true, "{said}");
    assert_eq!(said["client_id"], "app");
    assert_eq!(said["scope"], "openid");
    for name in ["sub", "iss", "aud", "exp", "iat"] {
        assert_eq!(said[name], claims[name], "{name}");
    }
    for nonsense in ["nonsense", "a.b.c", &token::forged(&granted.access)] {
        ask(nonsense).await.is(200, &json!({"active": false}));
    }
    // Without credentials, with wrong ones, and as a public client, nothing is said.
    let form = [("token", &*granted.access)];
    let answer = op.service.send(own::INTROSPECT).form(&form).await;
    assert_eq!(answer.status, 401, "{answer}");
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    let request = op.service.send(own::INTROSPECT).form(&form);
    let answer = request.authorization(&basic("api", "wrong")).await;
    is_grant_error(&answer, 401, "invalid_client");
    let answer = op.app.authenticated(own::INTROSPECT, &form).await;
    is_grant_error(&answer, 400, "invalid_client");
    // Signing out ends the token at once.
    op.browser.open("/sign-out").await;
    op.browser.submit("/sign-out", &[]).await;
    ask(&granted.access)
        .await
        .is(200, &json!({"active": false}));
}

async fn a_client_revokes_its_own_tokens_only(store: Store) {
    let mut op = Provider::on(store).await;
    let other = Registration::confidential("other").at(&op.service);
    let (_, granted) = op.signs_in("openid").await;
    for token in [&*granted.access, granted.refresh()] {
        let form = [("token", token)];
        let answer = other.authenticated(own::REVOKE, &form).await;
        assert!([200, 400].contains(&answer.status), "{answer}");
        userinfo(&op.http(), &granted.access).await;
    }
    let form = [
        ("token", granted.refresh()),
        ("token_type_hint", "refresh_token"),
    ];
    let request = op.service.send(own::REVOKE).form(&form);
    let answer = request.authorization(&basic("app", "wrong")).await;
    is_grant_error(&answer, 401, "invalid_client");
    let answer = op.app.authenticated(own::REVOKE, &form).await;
    assert_eq!((answer.status, &*answer.body), (200, ""), "{answer}");
    is_dead(&op.http(), &granted.access).await;
    is_grant_error(
        &op.app.refreshes(granted.refresh()).await,
        400,
        "invalid_grant",
    );
    // A token that is nothing is revoked already (RFC 7009 §2.2).
    let answer = op
        .app
        .authenticated(own::REVOKE, &[("token", "nonsense")])
        .await;
    assert_eq!(answer.status, 200, "{answer}");
    let answer = op.app.authenticated(own::REVOKE, &[]).await;
    is_grant_error(&answer, 400, "invalid_request");
}
