//! OAuth 2.1 and OpenID Connect: metadata, and introspection and revocation of the tokens of contracts. The modules have the flows
//! of applications.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod apache;
mod bad_input;
mod basic_op;
mod browsers;
mod code_flow;
mod config_op;
mod grants;
mod isolation;
mod libraries;
mod limits;
mod machines;
mod native_scopes;
mod nginx;
mod on_the_way;
mod provider;
mod races;

use crate::support;

use serde_json::{Value, json};
use support::contract::{is_refused, refreshes_nothing, verifies};
use support::http::Http;
use support::{
    Answer, Contract, Person, Program, Settings, Store, api_auth, on_both_stores, own, staff, token,
};

on_both_stores!(
    the_metadata_lists_what_is_supported_and_no_more,
    a_service_introspects_every_kind_of_token,
    an_unusable_token_is_not_active,
    only_privileged_roles_may_introspect,
    revoking_a_token_ends_its_session_in_every_contract,
    revoking_any_other_token_succeeds_without_effect,
);

async fn the_metadata_lists_what_is_supported_and_no_more(store: Store) {
    let service = Settings::on(store)
        .with("AUTHLOG_PUBLIC_URL", "https://auth.example.com/")
        .start()
        .await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let tokens = Contract::ApiAuth.signs_in(&http, &ann).await;
    let issuer = "https://auth.example.com";
    assert_eq!(token::claims(&tokens.access)["iss"], issuer);
    let answer = service.send(own::METADATA).await;
    answer.is(
        200,
        &json!({
            "issuer": issuer,
            "authorization_endpoint": "https://auth.example.com/oauth2/authorize",
            "token_endpoint": "https://auth.example.com/oauth2/token",
            "userinfo_endpoint": "https://auth.example.com/oauth2/userinfo",
            "jwks_uri": "https://auth.example.com/.well-known/jwks.json",
            "introspection_endpoint": "https://auth.example.com/oauth2/introspect",
            "introspection_endpoint_auth_methods_supported": ["Bearer", "client_secret_basic", "client_secret_post", "private_key_jwt"],
            "introspection_endpoint_auth_signing_alg_values_supported": ["RS256", "ES256", "EdDSA"],
            "revocation_endpoint": "https://auth.example.com/oauth2/revoke",
            "revocation_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "private_key_jwt", "none"],
            "revocation_endpoint_auth_signing_alg_values_supported": ["RS256", "ES256", "EdDSA"],
            "scopes_supported": ["openid", "profile", "email", "phone", "offline_access"],
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
            "prompt_values_supported": ["none", "login", "consent", "select_account"],
            "acr_values_supported": ["urn:authlog:aal1", "urn:authlog:aal2"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "ES256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "private_key_jwt", "none"],
            "token_endpoint_auth_signing_alg_values_supported": ["RS256", "ES256", "EdDSA"],
            "code_challenge_methods_supported": ["S256"],
            "claim_types_supported": ["normal"],
            "claims_supported": [
                "sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "name", "preferred_username",
                "updated_at", "email", "email_verified", "phone_number",
            ],
            "claims_parameter_supported": true,
            "request_parameter_supported": false,
            "request_uri_parameter_supported": false,
            "authorization_response_iss_parameter_supported": true,
        }),
    );
    assert_eq!(answer.header("cache-control"), Some("public, max-age=300"));
}

async fn a_service_introspects_every_kind_of_token(store: Store) {
    let service = Settings::on(store).with_cheap_hashing().start().await;
    let http = service.http();
    let asker = staff::signed_in(&service, "billing", "service")
        .await
        .access;
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    for contract in [Contract::ApiAuth, Contract::Users, Contract::V1Auth] {
        let tokens = contract.signs_in(&http, &ann).await;
        let claims = token::claims(&tokens.access);
        let member = |name: &str| claims[name].clone();
        let answer = ask(&http, &asker, &[("token", &tokens.access)]).await;
        let mut expected = json!({
            "active": true, "token_type": "Bearer", "username": "ann", "role": "user",
            "sub": member("sub"), "sid": member("sid"), "iat": member("iat"), "exp": member("exp"),
            "iss": member("iss"), "aud": member("aud"), "jti": member("jti"),
            "amr": ["pwd"], "acr": "urn:authlog:aal1", "auth_time": member("auth_time"),
        });
        // The session began with this token.
        assert_eq!(claims["auth_time"], claims["iat"]);
        assert_eq!(
            (&claims["amr"], &claims["acr"]),
            (&expected["amr"], &expected["acr"])
        );
        answer.is(200, &expected);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        // A wrong or unknown hint does not hide a token.
        for hint in ["access_token", "pat"] {
            let form = [("token", &*tokens.access), ("token_type_hint", hint)];
            ask(&http, &asker, &form).await.is(200, &expected);
        }
        let as_refresh = ("token_type_hint", "refresh_token");
        is_not_active(&ask(&http, &asker, &[("token", &tokens.access), as_refresh]).await);
        let Some(refresh) = &tokens.refresh else {
            continue;
        };
        is_not_active(&ask(&http, &asker, &[("token", refresh)]).await);
        let claims = token::claims(refresh);
        for name in ["iat", "exp", "jti"] {
            expected[name] = claims[name].clone();
        }
        expected.as_object_mut().unwrap().remove("token_type");
        let answer = ask(&http, &asker, &[("token", refresh), as_refresh]).await;
        answer.is(200, &expected);
    }
    let opaque = Contract::Api.signs_in(&http, &ann).await.access;
    let body = ask(&http, &asker, &[("token", &opaque)]).await.json();
    assert_eq!(body["active"], true);
    assert_eq!(body["username"], "ann");
    assert_eq!(
        (&body["acr"], &body["auth_time"]),
        (&json!("urn:authlog:aal1"), &body["iat"])
    );
    let lifetime = body["exp"].as_i64().unwrap() - body["iat"].as_i64().unwrap();
    assert_eq!(lifetime, 24 * 60 * 60);
    assert_eq!(body.get("jti"), None);
    // A change of role ends the sessions whose tokens have the old role.
    staff::set_role(&service, &ann, "auditor");
    is_not_active(&ask(&http, &asker, &[("token", &opaque)]).await);
    let opaque = Contract::Api.signs_in(&http, &ann).await.access;
    let body = ask(&http, &asker, &[("token", &opaque)]).await.json();
    assert_eq!(body["role"], "auditor");
}

async fn an_unusable_token_is_not_active(store: Store) {
    let service = Settings::on(store).with_cheap_hashing().start().await;
    let http = service.http();
    let asker = staff::signed_in(&service, "billing", "service")
        .await
        .access;
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let hint = ("token_type_hint", "refresh_token");
    for contract in Contract::ALL {
        let ended = contract.signs_in(&http, &ann).await;
        let answer = http.send(api_auth::LOGOUT).bearer(&ended.access).await;
        assert_eq!(answer.status, 200, "{answer}");
        is_not_active(&ask(&http, &asker, &[("token", &ended.access)]).await);
        if let Some(refresh) = &ended.refresh {
            is_not_active(&ask(&http, &asker, &[("token", refresh), hint]).await);
        }
    }
    let used = Contract::ApiAuth.signs_in(&http, &ann).await;
    let answer = http.send(api_auth::REFRESH).bearer(used.refresh()).await;
    assert_eq!(answer.status, 200, "{answer}");
    is_not_active(&ask(&http, &asker, &[("token", used.refresh()), hint]).await);
    for nonsense in [
        "nonsense",
        "..",
        "\u{0}",
        "00000000-0000-0000-0000-000000000000",
        &token::forged(&used.access),
        &token::unsigned(&used.access),
        &"x".repeat(20_000),
    ] {
        is_not_active(&ask(&http, &asker, &[("token", nonsense)]).await);
    }
    let other = Program::on(store).await;
    Contract::ApiAuth.registers(&other.http(), &ann).await;
    let foreign = Contract::ApiAuth.signs_in(&other.http(), &ann).await;
    is_not_active(&ask(&http, &asker, &[("token", &foreign.access)]).await);
    // A request without a token is an invalid request.
    for form in [
        &[][..],
        &[("token", "")],
        &[("token_type_hint", "access_token")],
        &[("token", "x"), ("token", "y")],
    ] {
        says_invalid_request(&ask(&http, &asker, form).await);
    }
    let as_json = service.send(own::INTROSPECT).bearer(&asker);
    let answer = as_json.json(&json!({"token": used.access})).await;
    assert_eq!(answer.status, 415, "{answer}");
}

async fn only_privileged_roles_may_introspect(store: Store) {
    let service = Settings::on(store).with_cheap_hashing().start().await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let tokens = Contract::ApiAuth.signs_in(&http, &ann).await;
    let form = [("token", &*tokens.access)];
    // An ordinary user may not even introspect their own token.
    let answer = ask(&http, &tokens.access, &form).await;
    assert_eq!(answer.status, 403, "{answer}");
    for role in ["service", "auditor", "admin"] {
        let asker = staff::signed_in(&service, role, role).await;
        let answer = ask(&http, &asker.access, &form).await;
        assert_eq!(answer.json()["active"], true, "{answer}");
        let answer = ask(&http, asker.refresh(), &form).await;
        assert_eq!(answer.status, 401, "{answer}");
    }
    let answer = http.send(own::INTROSPECT).form(&form).await;
    assert_eq!(answer.status, 401, "{answer}");
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    let answer = ask(&http, "nonsense", &form).await;
    assert_eq!(answer.status, 401, "{answer}");
}

async fn revoking_a_token_ends_its_session_in_every_contract(store: Store) {
    let service = Settings::on(store).with_cheap_hashing().start().await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let other = Contract::ApiAuth.signs_in(&http, &ann).await;
    for contract in Contract::ALL {
        for by_refresh in [false, true] {
            let tokens = contract.signs_in(&http, &ann).await;
            let token = match (&tokens.refresh, by_refresh) {
                (Some(refresh), true) => refresh,
                (None, true) => continue,
                (_, false) => &tokens.access,
            };
            let answer = revoke(&http, &[("token", token)]).await;
            assert_eq!((answer.status, &*answer.body), (200, ""), "{answer}");
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            is_refused(&http, &tokens.access).await;
            if let Some(refresh) = &tokens.refresh {
                refreshes_nothing(&http, refresh).await;
            }
        }
    }
    // A refresh token that was used before, and its successor.
    let first = Contract::ApiAuth.signs_in(&http, &ann).await;
    let answer = http.send(api_auth::REFRESH).bearer(first.refresh()).await;
    let second = Contract::ApiAuth.tokens_in(&answer.json());
    let answer = http
        .send(own::REVOKE)
        .form(&[("token", first.refresh())])
        .await;
    assert_eq!(answer.status, 200, "{answer}");
    is_refused(&http, &second.access).await;
    refreshes_nothing(&http, second.refresh()).await;
    verifies(&http, &other.access).await;
}

async fn revoking_any_other_token_succeeds_without_effect(store: Store) {
    let service = Settings::on(store).with_cheap_hashing().start().await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let tokens = Contract::ApiAuth.signs_in(&http, &ann).await;
    let ended = Contract::ApiAuth.signs_in(&http, &ann).await;
    for token in [
        "nonsense",
        "\u{0}",
        "00000000-0000-0000-0000-000000000000",
        &token::forged(&tokens.access),
        &token::unsigned(&tokens.access),
        &ended.access,
        &ended.access,
        ended.refresh(),
    ] {
        for hint in ["access_token", "refresh_token", "pat"] {
            let form = [("token", token), ("token_type_hint", hint)];
            let answer = revoke(&http, &form).await;
            assert_eq!(answer.status, 200, "{answer}");
        }
    }
    verifies(&http, &tokens.access).await;
    for form in [&[][..], &[("token", "")], &[("token", "x"), ("token", "y")]] {
        says_invalid_request(&revoke(&http, form).await);
    }
}

async fn ask(http: &Http, asker: &str, form: &[(&str, &str)]) -> Answer {
    http.send(own::INTROSPECT).form(form).bearer(asker).await
}

async fn revoke(http: &Http, form: &[(&str, &str)]) -> Answer {
    http.send(own::REVOKE).form(form).await
}

#[track_caller]
fn is_not_active(answer: &Answer) {
    // RFC 7662 §2.2: an inactive token has no other members.
    answer.is(200, &json!({"active": false}));
}

#[track_caller]
fn says_invalid_request(answer: &Answer) {
    assert_eq!(answer.status, 400, "{answer}");
    let body: Value = answer.json();
    assert_eq!(body["error"], "invalid_request", "{answer}");
}
