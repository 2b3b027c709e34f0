//! `/admin/clients`: registering, changing, locking and removing clients, and their secrets.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::support;

use serde_json::{Value, json};
use support::{Answer, Endpoint, Program, Store, on_both_stores, own, staff};

use super::{about, registered, web_application};

on_both_stores!(
    a_client_is_registered_changed_and_listed,
    an_administrator_replaces_a_secret_without_a_gap,
    a_removed_client_is_gone_and_its_id_stays_taken,
    the_id_of_a_client_whose_row_was_deleted_stays_taken,
    a_client_whose_row_was_changed_hides_no_others_in_a_list,
    a_request_that_is_not_valid_is_refused_with_its_member_and_stores_nothing,
    only_an_administrator_sees_and_changes_clients,
    of_concurrent_changes_of_one_client_none_is_lost,
);

#[track_caller]
fn is_problem(answer: &Answer, status: u16, word: &str) {
    assert_eq!(answer.status, status, "{answer}");
    let media_type = answer.header("content-type");
    assert_eq!(media_type, Some("application/problem+json"), "{answer}");
    assert!(answer.body.contains(word), "{word:?}: {answer}");
}

async fn shown(service: &Program, admin: &str, id: &str) -> Value {
    let answer = service.send(about("GET", id, "")).bearer(admin).await;
    assert_eq!(answer.status, 200, "{answer}");
    answer.json()
}

async fn a_client_is_registered_changed_and_listed(store: Store) {
    let service = Program::on(store).await;
    let admin = staff::signed_in(&service, "root", "admin").await.access;
    let created = registered(&service, &admin, "shop").await;
    let secret = created["secret"].as_str().unwrap();
    assert!(
        secret.starts_with("als_") && secret.len() == 69,
        "{created}"
    );
    let mut expected = created.clone();
    expected.as_object_mut().unwrap().remove("secret");
    assert_eq!(shown(&service, &admin, "shop").await, expected);
    for (member, value) in [
        ("id", json!("shop")),
        ("grants", json!(["authorization_code", "refresh_token"])),
        ("scopes", json!("openid")),
        ("auth_method", json!("client_secret_basic")),
        ("require_pkce", json!(true)),
        ("require_pushed_requests", json!(false)),
        ("id_token_alg", json!("RS256")),
        ("first_party", json!(false)),
        ("locked", json!(false)),
    ] {
        assert_eq!(created[member], value, "{member}");
    }

    let changes = json!({
        "redirect_uris": ["https://shop.example/callback", "http://127.0.0.1/callback"],
        "scopes": "openid email",
        "audiences": ["https://api.shop.example"],
        "backchannel_logout_uri": "https://shop.example/logout",
    });
    let request = service.send(about("PATCH", "shop", "")).bearer(&admin);
    let changed = request.json(&changes).await;
    assert_eq!(changed.status, 200, "{changed}");
    let changed = changed.json();
    for (member, value) in changes.as_object().unwrap() {
        let value = match member.as_str() {
            "scopes" => &json!("email openid"),
            _ => value,
        };
        assert_eq!(&changed[member], value, "{member}");
    }
    assert_eq!(changed["name"], "Shop");
    assert_eq!(shown(&service, &admin, "shop").await, changed);

    for verb in ["lock", "unlock"] {
        let path = format!("/{verb}");
        let answer = service
            .send(about("POST", "shop", &path))
            .bearer(&admin)
            .await;
        assert_eq!(answer.json()["locked"], json!(verb == "lock"), "{answer}");
    }

    let machine = json!({
        "name": "Worker",
        "grants": ["client_credentials"],
        "auth_method": "client_secret_post",
    });
    let request = service.send(own::REGISTER_CLIENT).bearer(&admin);
    let machine = request.json(&machine).await;
    assert_eq!(machine.status, 201, "{machine}");
    let generated = machine.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(generated.len(), 36);
    let (mut ids, mut query) = (Vec::new(), "limit=1".to_owned());
    loop {
        let request = service.send(own::CLIENTS).query(&query).bearer(&admin);
        let page = request.await.json();
        let clients = page["clients"].as_array().unwrap().clone();
        ids.extend(
            clients
                .iter()
                .map(|it| it["id"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["next"].as_str() else {
            break;
        };
        query = format!("limit=1&after={next}");
    }
    let mut expected = vec!["shop".to_owned(), generated];
    expected.sort();
    assert_eq!(ids, expected);
    let bytes = service.settings.stored_bytes();
    let tag = &secret.as_bytes()[30..];
    let is_stored = bytes.windows(tag.len()).any(|part| part == tag);
    assert!(!is_stored, "a secret is in the store");
    assert!(!service.output().contains(secret), "a secret was logged");
}

async fn an_administrator_replaces_a_secret_without_a_gap(store: Store) {
    let service = Program::on(store).await;
    let admin = staff::signed_in(&service, "root", "admin").await.access;
    let created = registered(&service, &admin, "shop").await;
    let first = created["secrets"][0]["id"].as_str().unwrap().to_owned();
    let issue = || {
        service
            .send(about("POST", "shop", "/secrets"))
            .bearer(&admin)
    };
    let retire = |id: &str| {
        let path = format!("/secrets/{id}");
        service.send(about("DELETE", "shop", &path)).bearer(&admin)
    };
    let issued = issue().await;
    assert_eq!(issued.status, 201, "{issued}");
    assert_eq!(issued.header("cache-control"), Some("no-store"));
    let issued = issued.json();
    assert_ne!(issued["secret"], created["secret"]);
    is_problem(&issue().await, 409, "two valid secrets");
    let left = retire(&first).await.json();
    let left = left["secrets"].as_array().unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0]["id"], issued["id"]);
    is_problem(&retire(&first).await, 404, "no such valid secret");
    is_problem(&retire("x").await, 404, "no such valid secret");
    assert_eq!(issue().await.status, 201);

    // A client that needs no secret any more loses those that it has.
    let request = service.send(about("PATCH", "shop", "")).bearer(&admin);
    let public = request.json(&json!({ "auth_method": "none" })).await;
    assert_eq!(public.json()["secrets"], json!([]), "{public}");
    is_problem(&issue().await, 409, "does not authenticate by a secret");
}

async fn a_removed_client_is_gone_and_its_id_stays_taken(store: Store) {
    let service = Program::on(store).await;
    let admin = staff::signed_in(&service, "root", "admin").await.access;
    registered(&service, &admin, "shop").await;
    let register = || {
        let request = service.send(own::REGISTER_CLIENT).bearer(&admin);
        request.json(&web_application("shop"))
    };
    is_problem(&register().await, 409, "belongs to another client");
    let remove = || service.send(about("DELETE", "shop", "")).bearer(&admin);
    assert_eq!(remove().await.status, 204);
    for (method, rest) in [
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/lock"),
        ("POST", "/unlock"),
        ("POST", "/secrets"),
    ] {
        let answer = service
            .send(about(method, "shop", rest))
            .bearer(&admin)
            .await;
        is_problem(&answer, 404, "no such client");
    }
    is_problem(&register().await, 409, "one that was removed");
    let listed = service.send(own::CLIENTS).bearer(&admin).await.json();
    assert_eq!(listed, json!({ "clients": [], "next": null }));
}

async fn the_id_of_a_client_whose_row_was_deleted_stays_taken(store: Store) {
    let service = Program::on(store).await;
    let admin = staff::signed_in(&service, "root", "admin").await.access;
    registered(&service, &admin, "shop").await;
    service.settings.tamper("DELETE FROM clients");
    let request = service.send(own::REGISTER_CLIENT).bearer(&admin);
    let answer = request.json(&web_application("shop")).await;
    is_problem(&answer, 409, "belongs to another client");
}

async fn a_client_whose_row_was_changed_hides_no_others_in_a_list(store: Store) {
    let service = Program::on(store).await;
    let admin = staff::signed_in(&service, "root", "admin").await.access;
    for id in ["a", "b", "c"] {
        registered(&service, &admin, id).await;
    }
    let tamper = "UPDATE clients SET version = 7 WHERE client_id = 'b'";
    service.settings.tamper(tamper);
    let mut listed = Vec::new();
    let mut query = "limit=1".to_owned();
    loop {
        let request = service.send(own::CLIENTS).query(&query).bearer(&admin);
        let page = request.await.json();
        let clients = page["clients"].as_array().unwrap();
        listed.extend(clients.iter().map(|it| it["id"].clone()));
        let Some(next) = page["next"].as_str() else {
            break;
        };
        query = format!("limit=1&after={next}");
    }
    assert_eq!(listed, ["a", "c"]);
}

async fn a_request_that_is_not_valid_is_refused_with_its_member_and_stores_nothing(store: Store) {
    let service = Program::on(store).await;
    let admin = staff::signed_in(&service, "root", "admin").await.access;
    registered(&service, &admin, "shop").await;
    let before = shown(&service, &admin, "shop").await;
    let many: Vec<_> = (0..21)
        .map(|it| format!("https://shop.example/{it}"))
        .collect();
    for (member, value) in [
        ("name", json!("")),
        ("name", json!("a".repeat(65))),
        ("name", json!(["Shop"])),
        ("redirect_uris", json!(["http://shop.example/callback"])),
        ("redirect_uris", json!(["https://shop.example/#x"])),
        ("redirect_uris", json!(["https://*.example/"])),
        ("redirect_uris", json!(["javascript:alert(1)"])),
        (
            "redirect_uris",
            json!(["https://a.example/", "https://a.example/"]),
        ),
        ("redirect_uris", json!([])),
        ("redirect_uris", json!(many)),
        ("redirect_uris", json!("https://shop.example/callback")),
        ("post_logout_redirect_uris", json!(["/bye"])),
        (
            "backchannel_logout_uri",
            json!("http://shop.example/logout"),
        ),
        ("grants", json!(["password"])),
        ("grants", json!(["refresh_token"])),
        ("scopes", json!("open\u{0}id")),
        ("scopes", json!("a\"b")),
        ("audiences", json!(["api"])),
        ("auth_method", json!("tls_client_auth")),
        ("jwks", json!({"keys": []})),
        ("jwks", json!({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]})),
        ("jwks", json!({"keys": [{"kty": "RSA", "exp": 0.1}]})),
        ("require_pkce", json!("no")),
        ("require_pushed_requests", json!("no")),
        ("id_token_alg", json!("none")),
        ("first_party", json!(1)),
    ] {
        let body = json!({ member: value });
        let request = service.send(about("PATCH", "shop", "")).bearer(&admin);
        is_problem(&request.json(&body).await, 400, member);
        let mut new = web_application("other");
        new["grants"] = json!(["authorization_code"]);
        new[member] = value;
        let request = service.send(own::REGISTER_CLIENT).bearer(&admin);
        is_problem(&request.json(&new).await, 400, member);
    }
    for (body, word) in [
        (json!({ "client_name": "Shop" }), "no setting of a client"),
        (json!({ "auth_method": "private_key_jwt" }), "jwks"),
        (
            json!({ "auth_method": "none", "require_pkce": false }),
            "require_pkce",
        ),
    ] {
        let request = service.send(about("PATCH", "shop", "")).bearer(&admin);
        is_problem(&request.json(&body).await, 400, word);
    }
    let of_account = "0192d3f0-0000-7000-8000-000000000001";
    for id in [
        "",
        "two words",
        "a.b",
        "a/b",
        "é",
        &"a".repeat(65),
        of_account,
    ] {
        let request = service.send(own::REGISTER_CLIENT).bearer(&admin);
        is_problem(&request.json(&web_application(id)).await, 400, "id");
    }
    for id in ["unknown", "%00", "a%2Fb", "%C3%A9"] {
        let answer = service.send(about("GET", id, "")).bearer(&admin).await;
        is_problem(&answer, 404, "no such client");
    }
    for query in ["after=a.b", "limit=0", "limit=x"] {
        let request = service.send(own::CLIENTS).query(query).bearer(&admin);
        is_problem(&request.await, 400, "must be");
    }
    assert_eq!(shown(&service, &admin, "shop").await, before);
    let listed = service.send(own::CLIENTS).bearer(&admin).await.json();
    assert_eq!(listed["clients"].as_array().unwrap().len(), 1);
}

async fn only_an_administrator_sees_and_changes_clients(store: Store) {
    let service = Program::on(store).await;
    let admin = staff::signed_in(&service, "root", "admin").await.access;
    registered(&service, &admin, "shop").await;
    let secret = "/secrets/019c0000-0000-7000-8000-000000000001";
    let endpoints = [
        own::CLIENTS,
        own::REGISTER_CLIENT,
        about("GET", "shop", ""),
        about("PATCH", "shop", ""),
        about("DELETE", "shop", ""),
        about("POST", "shop", "/lock"),
        about("POST", "shop", "/unlock"),
        about("POST", "shop", "/secrets"),
        about("DELETE", "shop", secret),
    ];
    let before = shown(&service, &admin, "shop").await;
    for role in ["user", "service", "auditor"] {
        let token = staff::signed_in(&service, role, role).await.access;
        for endpoint in endpoints {
            let answer = service.send(endpoint).bearer(&token).json(&json!({})).await;
            is_problem(&answer, 403, "permission");
        }
    }
    for endpoint in endpoints {
        let answer = service.send(endpoint).bearer("x").json(&json!({})).await;
        is_problem(&answer, 401, "access token");
    }
    assert_eq!(shown(&service, &admin, "shop").await, before);
    let user = staff::signed_in(&service, "ann", "user").await.access;
    for path in ["/audit/clients/shop", "/audit/clients/shop/events"] {
        let answer = service.send(Endpoint::at("GET", path)).bearer(&user).await;
        is_problem(&answer, 403, "permission");
    }
}

async fn of_concurrent_changes_of_one_client_none_is_lost(store: Store) {
    let service = Program::on(store).await;
    let admin = staff::signed_in(&service, "root", "admin").await.access;
    registered(&service, &admin, "shop").await;
    let change = async |body: Value| {
        let request = service.send(about("PATCH", "shop", "")).bearer(&admin);
        let answer = request.json(&body).await;
        assert_eq!(answer.status, 200, "{answer}");
    };
    tokio::join!(
        change(json!({ "name": "New shop" })),
        change(json!({ "scopes": "openid email" })),
        change(json!({ "first_party": true })),
        change(json!({ "audiences": ["https://api.example"] })),
        change(json!({ "dpop_bound": true })),
        change(json!({ "require_pushed_requests": true })),
    );
    let client = shown(&service, &admin, "shop").await;
    assert_eq!(client["name"], "New shop");
    assert_eq!(client["scopes"], "email openid");
    assert_eq!(client["first_party"], true);
    assert_eq!(client["audiences"], json!(["https://api.example"]));
    assert_eq!(client["dpop_bound"], true);
    assert_eq!(client["require_pushed_requests"], true);
}
