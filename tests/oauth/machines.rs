//! Programs that act for themselves, and resource servers that ask about tokens.

use authlog_application::ports::Clock as _;
use authlog_infrastructure::system::SystemClock;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::provider::Provider;
use crate::support::oauth::{Granted, Registration, basic, is_dead, is_grant_error, userinfo};
use crate::support::random::random_text;
use crate::support::{Settings, Store, on_both_stores, own, token};

on_both_stores!(
    a_machine_gets_a_token_of_its_own,
    a_machine_signs_with_a_key_of_its_own,
    a_client_shows_its_secret_in_the_header_or_in_the_form,
    a_resource_server_introspects_with_its_own_secret,
    a_resource_server_is_told_nothing_of_tokens_for_another,
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
    // Nothing ends with the token, so the answer is that it cannot be revoked (RFC 7009 §2.2.1).
    let form = [("token", &*granted.access)];
    let answer = machine.authenticated(own::REVOKE, &form).await;
    is_grant_error(&answer, 400, "unsupported_token_type");
    let answer = op.app.authenticated(own::REVOKE, &form).await;
    assert_eq!(answer.status, 200, "{answer}");
    // An application without the grant, and a public one, get none.
    let answer = op.app.token_request(&[grant]).await;
    is_grant_error(&answer, 400, "unauthorized_client");
}

/// A key of a client, which signs assertions (RFC 7523).
struct ClientKey(Ed25519KeyPair);

impl ClientKey {
    fn new() -> Self {
        Self(Ed25519KeyPair::generate().unwrap())
    }

    /// The set of keys with which the client is registered.
    fn set(&self) -> Value {
        let public = URL_SAFE_NO_PAD.encode(self.0.public_key().as_ref());
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": public, "alg": "EdDSA"}]})
    }

    /// The form with an assertion of `client` for `audience`.
    fn form(&self, client: &str, audience: &str) -> Vec<(&'static str, String)> {
        let now = SystemClock.now().unix_seconds();
        let claims = json!({
            "iss": client, "sub": client, "aud": audience, "jti": random_text(20), "exp": now + 60,
        });
        let [header, claims] =
            [json!({"alg": "EdDSA"}), claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let message = format!("{header}.{claims}");
        let signature = URL_SAFE_NO_PAD.encode(self.0.sign(message.as_bytes()));
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        vec![
            ("grant_type", "client_credentials".to_owned()),
            ("client_assertion_type", kind.to_owned()),
            ("client_assertion", format!("{message}.{signature}")),
        ]
    }
}

async fn a_machine_signs_with_a_key_of_its_own(store: Store) {
    let op = Provider::on(store).await;
    let (key, other) = (ClientKey::new(), ClientKey::new());
    let file = op.service.settings.data().join("jwks.json");
    std::fs::write(&file, key.set().to_string()).unwrap();
    Registration::machine("billing")
        .with("--auth-method", "private_key_jwt")
        .with("--jwks", &file.display().to_string())
        .at(&op.service);
    let metadata = op.metadata().await;
    let [issuer, endpoint] = ["issuer", "token_endpoint"].map(|it| metadata[it].as_str().unwrap());
    let ask = async |form: &[(&str, String)]| {
        let form: Vec<_> = form
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        op.service.send(own::TOKEN).form(&form).await
    };
    let pushed = metadata["pushed_authorization_request_endpoint"].as_str();
    for audience in [issuer, endpoint, pushed.unwrap()] {
        let form = key.form("billing", audience);
        let granted = Granted::of(&ask(&form).await);
        assert_eq!(token::claims(&granted.access)["client_id"], "billing");
        is_grant_error(&ask(&form).await, 400, "invalid_client");
    }
    let mut unsigned = key.form("billing", issuer);
    let assertion = &mut unsigned[2].1;
    assertion.truncate(assertion.len() - 86);
    for refused in [
        other.form("billing", issuer),
        key.form("app", issuer),
        key.form("billing", "https://other.example"),
        unsigned,
        vec![
            ("grant_type", "client_credentials".to_owned()),
            ("client_id", "billing".to_owned()),
        ],
    ] {
        is_grant_error(&ask(&refused).await, 400, "invalid_client");
    }
}

async fn a_client_shows_its_secret_in_the_header_or_in_the_form(store: Store) {
    let settings = Settings::on(store).without("AUTHLOG_RATE_LIMIT");
    let op = Provider::with(settings, &Registration::public("app")).await;
    for (id, method) in [
        ("one", "client_secret_basic"),
        ("two", "client_secret_post"),
    ] {
        let app = Registration::machine(id)
            .with("--auth-method", method)
            .at(&op.service);
        let secret = app.secret.clone().unwrap();
        let grant = ("grant_type", "client_credentials");
        let in_form = [grant, ("client_id", id), ("client_secret", &secret)];
        let wrong = [grant, ("client_id", id), ("client_secret", "als_wrong")];
        // Wrong secrets do not keep the client out, also after many of them.
        let mut last = 0;
        for _ in 0..30 {
            last = op.service.send(own::TOKEN).form(&wrong).await.status;
        }
        assert_eq!(last, 429);
        Granted::of(&app.token_request(&[grant]).await);
        Granted::of(&op.service.send(own::TOKEN).form(&in_form).await);
    }
}

async fn a_resource_server_introspects_with_its_own_secret(store: Store) {
    let registration = Registration::public("app").with("--audience", "https://api.example");
    let mut op = Provider::with(Settings::on(store), &registration).await;
    let server = Registration::resource_server("server", "https://api.example").at(&op.service);
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
    assert_eq!(said.get("username"), None, "{said}");
    // An application that may call the API is told nothing of others' tokens for it, and a client with the scope everything.
    let caller = Registration::machine("caller").with("--audience", "https://api.example");
    let inspector = Registration::machine("inspector").with("--scope", "tokens.introspect");
    for (registration, is_told) in [(caller, false), (inspector, true)] {
        let client = registration.at(&op.service);
        let form = [("token", &*granted.access)];
        let answer = client.authenticated(own::INTROSPECT, &form).await;
        assert_eq!(answer.json()["active"], is_told, "{answer}");
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
    let answer = request.authorization(&basic("server", "wrong")).await;
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

async fn a_resource_server_is_told_nothing_of_tokens_for_another(store: Store) {
    let (here, there) = ("https://api.example", "https://other.example");
    let registration = Registration::public("app")
        .with("--audience", here)
        .with("--audience", there);
    let mut op = Provider::with(Settings::on(store), &registration).await;
    let servers = [
        (here, Registration::resource_server("server", here)),
        (there, Registration::resource_server("other", there)),
    ]
    .map(|(audience, server)| (audience, server.at(&op.service)));
    let machine = Registration::machine("machine")
        .with("--scope", "api.read")
        .with("--audience", here)
        .with("--audience", there)
        .at(&op.service);
    for resource in [here, there] {
        let begun = op.app.begins("openid").with("resource", resource);
        let granted = op.completes(&begun).await;
        let own_token =
            machine.token_request(&[("grant_type", "client_credentials"), ("resource", resource)]);
        let own_token = Granted::of(&own_token.await);
        for token in [&granted.access, &own_token.access] {
            for (audience, server) in &servers {
                let form = [("token", token.as_str())];
                let answer = server.authenticated(own::INTROSPECT, &form).await;
                let is_told = *audience == resource;
                assert_eq!(answer.json()["active"], is_told, "{audience}: {answer}");
            }
        }
    }
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
