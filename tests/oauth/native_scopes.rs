//! Clients with scopes at this service itself: they follow the log, audit it and introspect tokens, without an account.

use jsonwebtoken::EncodingKey;
use serde_json::{Value, json};

use super::provider::Provider;
use crate::support::dpop::DpopKey;
use crate::support::following::Reader;
use crate::support::http::Request;
use crate::support::oauth::{App, Granted, Registration, is_grant_error, userinfo};
use crate::support::{
    Answer, Contract, Endpoint, Person, Program, Settings, Store, eventually, on_both_stores, own,
    staff, token,
};

on_both_stores!(
    a_scope_opens_its_endpoints_and_nothing_else,
    a_token_that_is_bound_to_a_key_is_no_bearer_token_here,
    a_client_that_may_no_longer_is_refused,
    a_follower_ends_with_the_permission_of_its_client,
    a_follower_ends_with_its_token,
    an_inspector_is_told_of_every_kind_of_token,
);

const API: &str = "https://api.example";
const ALL: &str = "events.read audit.read tokens.introspect";

/// A client with a scope that is nothing at this service, and with all that are something.
fn machine() -> Registration {
    Registration::machine("machine")
        .with("--scope", &format!("notes.read {ALL}"))
        .with("--audience", API)
}

/// The answer to a request for a token, with more parameters.
async fn token_for(client: &App, more: &[(&str, &str)]) -> Answer {
    let form = [more, &[("grant_type", "client_credentials")]].concat();
    client.token_request(&form).await
}

async fn access(client: &App, scope: &str) -> String {
    Granted::of(&token_for(client, &[("scope", scope)]).await).access
}

/// Every restricted endpoint of the service, and the scope that opens it. No account and no client has the ids.
fn restricted() -> Vec<(Endpoint, Option<&'static str>)> {
    const ID: &str = "019c0000-0000-7000-8000-000000000001";
    let of_scopes = [
        (own::FEED, "events.read"),
        (own::LOG_KEY, "audit.read"),
        (own::LOG_CHECKPOINT, "audit.read"),
        (own::LOG_PROOF, "audit.read"),
        (Endpoint::at("GET", "/audit/users/{id}"), "audit.read"),
        (
            Endpoint::at("GET", "/audit/users/{id}/events"),
            "audit.read",
        ),
        (Endpoint::at("GET", "/audit/clients/{id}"), "audit.read"),
        (
            Endpoint::at("GET", "/audit/clients/{id}/events"),
            "audit.read",
        ),
        (own::INTROSPECT, "tokens.introspect"),
    ];
    let of_accounts = [
        "GET /admin/users",
        "GET /admin/users/{id}",
        "DELETE /admin/users/{id}",
        "PUT /admin/users/{id}/role",
        "POST /admin/users/{id}/lock",
        "POST /admin/users/{id}/unlock",
        "DELETE /admin/users/{id}/factors",
        "GET /admin/users/{id}/sessions",
        "DELETE /admin/users/{id}/sessions",
        "DELETE /admin/users/{id}/sessions/{id}",
        "GET /admin/clients",
        "POST /admin/clients",
        "GET /admin/clients/{id}",
        "PATCH /admin/clients/{id}",
        "DELETE /admin/clients/{id}",
        "POST /admin/clients/{id}/lock",
        "POST /admin/clients/{id}/unlock",
        "POST /admin/clients/{id}/secrets",
        "DELETE /admin/clients/{id}/secrets/{id}",
        "GET /account",
        "DELETE /account",
        "POST /account/erase",
        "GET /account/sessions",
        "DELETE /account/sessions",
        "DELETE /account/sessions/{id}",
        "POST /account/password",
        "POST /account/email",
        "POST /account/email/verification",
        "GET /account/factors",
        "POST /account/factors/totp",
        "POST /account/factors/passkeys/options",
        "POST /account/recovery-codes",
        "POST /account/step-up",
        "POST /account/step-up/options",
        "GET /account/history",
        "GET /oauth2/userinfo",
        "GET /forward-auth",
    ];
    let of_accounts = of_accounts.map(|text| {
        let (method, path) = text.split_once(' ').unwrap();
        (Endpoint::at(method, path), None)
    });
    let all = of_scopes.map(|(endpoint, scope)| (endpoint, Some(scope)));
    let all = all.into_iter().chain(of_accounts);
    all.map(|(endpoint, scope)| {
        let path = endpoint.path.replace("{id}", ID);
        (Endpoint::at(endpoint.method, path.leak()), scope)
    })
    .collect()
}

/// A request with a body of the right kind.
fn request_to(service: &Program, endpoint: Endpoint, access: &str) -> Request {
    let request = service.send(endpoint).bearer(access);
    if endpoint == own::INTROSPECT {
        request.form(&[("token", access)])
    } else if endpoint.method == "GET" {
        request
    } else if endpoint.method == "PUT" {
        request.json(&json!({"role": "user"}))
    } else {
        request.json(&json!({}))
    }
}

async fn a_scope_opens_its_endpoints_and_nothing_else(store: Store) {
    // Second factors are for people: the setting does not keep a client out.
    let settings = Settings::on(store).with("AUTHLOG_SECOND_FACTOR", "service,auditor,admin");
    let service = settings.start().await;
    let client = machine().at(&service);
    for scope in [
        "notes.read",
        "events.read",
        "audit.read",
        "tokens.introspect",
    ] {
        let granted = Granted::of(&token_for(&client, &[("scope", scope)]).await);
        assert_eq!(granted.answer["scope"], scope);
        for (endpoint, opened_by) in restricted() {
            let answer = request_to(&service, endpoint, &granted.access).await;
            let challenge = answer.header("www-authenticate");
            match opened_by {
                None => assert_eq!(answer.status, 401, "{scope}: {answer}"),
                Some(needed) if needed == scope => {
                    assert!(![401, 403].contains(&answer.status), "{scope}: {answer}");
                }
                Some(needed) => {
                    assert_eq!(answer.status, 403, "{scope}: {answer}");
                    let expected =
                        format!("Bearer error=\"insufficient_scope\", scope=\"{needed}\"");
                    assert_eq!(challenge, Some(expected.as_str()));
                    assert!(answer.body.contains(needed), "{answer}");
                }
            }
        }
    }
    // A token with every scope opens each of them.
    let access = access(&client, ALL).await;
    service.log_is_complete().await;
    let answer = service.send(own::FEED).bearer(&access).await;
    assert_eq!(answer.status, 200, "{answer}");
    assert!(
        answer.body.contains("dev.authlog.client.registered.v1"),
        "{answer}"
    );
    let history = Endpoint::at("GET", "/audit/clients/machine/events");
    let answer = service.send(history).bearer(&access).await;
    assert_eq!(answer.status, 200, "{answer}");
    assert_eq!(answer.json()["client_id"], "machine", "{answer}");
}

async fn a_token_that_is_bound_to_a_key_is_no_bearer_token_here(store: Store) {
    let op = Provider::on(store).await;
    let client = machine().at(&op.service);
    let metadata = op.metadata().await;
    let url = metadata["token_endpoint"].as_str().unwrap();
    let form = [("grant_type", "client_credentials"), ("scope", ALL)];
    let request = client.token_request(&form);
    let proof = DpopKey::new().proof("POST", url);
    let bound = Granted::bound(&request.clone().header("dpop", proof).await);
    let unbound = Granted::of(&request.await);
    for endpoint in [own::FEED, own::LOG_KEY, own::INTROSPECT] {
        let answer = request_to(&op.service, endpoint, &bound.access).await;
        assert_eq!(answer.status, 401, "{answer}");
        let answer = request_to(&op.service, endpoint, &unbound.access).await;
        assert_eq!(answer.status, 200, "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_with_a_scope_at_this_service_is_for_no_other_resource() {
    let op = Provider::on(Store::Sqlite).await;
    let client = machine().at(&op.service);
    let metadata = op.metadata().await;
    let issuer = metadata["issuer"].as_str().unwrap();
    let events = ("scope", "events.read");
    // A token that was not asked for this service by name is used at other servers.
    let granted = Granted::of(&token_for(&client, &[]).await);
    assert_eq!(granted.answer["scope"], "notes.read");
    let answer = op.service.send(own::FEED).bearer(&granted.access).await;
    assert_eq!(answer.status, 403, "{answer}");
    for form in [
        &[events][..],
        &[events, ("resource", issuer)],
        &[("resource", issuer)],
    ] {
        let granted = Granted::of(&token_for(&client, form).await);
        assert_eq!(token::claims(&granted.access)["aud"], json!([issuer]));
        let answer = op.service.send(own::FEED).bearer(&granted.access).await;
        assert_eq!(answer.status, 200, "{answer}");
    }
    for form in [
        &[events, ("resource", API)][..],
        &[events, ("resource", API), ("resource", issuer)],
        &[("resource", issuer), ("resource", API)],
    ] {
        is_grant_error(&token_for(&client, form).await, 400, "invalid_target");
    }
    // A token for a resource server has no scope here, and no audience.
    let granted = Granted::of(&token_for(&client, &[("resource", API)]).await);
    assert_eq!(granted.answer["scope"], "notes.read");
    for endpoint in [own::FEED, own::LOG_KEY, own::INTROSPECT] {
        let answer = request_to(&op.service, endpoint, &granted.access).await;
        assert_eq!(answer.status, 401, "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_cannot_grant_a_scope_at_this_service() {
    for registration in [
        Registration::confidential("app"),
        Registration::confidential("app").of_first_party(),
    ] {
        let registration = registration
            .with("--grant", "client_credentials")
            .with("--scope", &format!("openid {ALL}"));
        let mut op = Provider::with(Settings::on(Store::Sqlite), &registration).await;
        // The person could do all of this.
        staff::set_role(&op.service, &op.person, "admin");
        for begun in [
            op.app.begins(&format!("openid {ALL}")),
            op.app.begins("openid").without("scope"),
        ] {
            let granted = op.completes(&begun).await;
            assert_eq!(granted.answer["scope"], "openid");
            let refreshed = Granted::of(&op.app.refreshes(granted.refresh()).await);
            for access in [&granted.access, &refreshed.access] {
                for (endpoint, _) in restricted() {
                    if endpoint.path == own::USERINFO.path {
                        continue;
                    }
                    let answer = request_to(&op.service, endpoint, access).await;
                    assert_eq!(answer.status, 401, "{answer}");
                }
            }
            userinfo(&op.http(), &granted.access).await;
        }
        let begun = op.app.begins(ALL);
        let callback = op.is_answered_at_once(&begun).await;
        callback.has_error("invalid_scope");
        // The client itself has them.
        let access = access(&op.app, "events.read").await;
        let answer = op.service.send(own::FEED).bearer(&access).await;
        assert_eq!(answer.status, 200, "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_could_not_use_the_scope_is_not_registered_for_it() {
    let service = Program::on(Store::Sqlite).await;
    for (options, words) in [
        (
            &[
                "--auth-method",
                "none",
                "--redirect-uri",
                "https://a.example/",
            ][..],
            "need the grant client_credentials",
        ),
        (&[], "need the grant client_credentials"),
        (
            &["--auth-method", "none", "--scope", "tokens.introspect"],
            "needs another authentication method than none",
        ),
    ] {
        let create = ["client", "create", "--name", "A", "--scope", "events.read"];
        let create: Vec<_> = match options {
            [.., "--scope", _] => [&create[..4], options].concat(),
            _ => [&create[..], options].concat(),
        };
        let output = service.settings.run(&create, "");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(words), "{said}");
    }
}

/// What takes the permission of the client away. The client is new each time.
const ENDS: [&[&str]; 5] = [
    &["client", "lock", "machine"],
    &["client", "remove", "machine", "--yes"],
    &["client", "change", "machine", "--scope", "notes.read"],
    &["client", "retire-secret", "machine"],
    &["client", "change", "machine", "--grant", "", "--scope", ""],
];

/// Takes the permission away, in another process.
fn end(service: &Program, arguments: &[&str]) {
    let mut arguments = arguments.to_vec();
    let secret;
    if arguments[1] == "retire-secret" {
        let shown = service
            .settings
            .run(&["client", "show", "--json", "machine"], "");
        let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
        secret = shown["secrets"][0]["id"].as_str().unwrap().to_owned();
        arguments.push(&secret);
    }
    let output = service.settings.run(&arguments, "");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

async fn a_client_that_may_no_longer_is_refused(store: Store) {
    for arguments in ENDS {
        let service = Settings::on(store).start().await;
        let client = machine().at(&service);
        let access = access(&client, ALL).await;
        // A page of the feed that is being sent when the permission ends is cut off, so the feed comes last.
        let endpoints = [own::LOG_KEY, own::INTROSPECT, own::FEED];
        for endpoint in endpoints {
            let answer = request_to(&service, endpoint, &access).await;
            assert_eq!(answer.status, 200, "{answer}");
        }
        end(&service, arguments);
        for endpoint in endpoints {
            eventually("the client is refused", async || {
                let answer = request_to(&service, endpoint, &access).await;
                assert!([200, 401, 403].contains(&answer.status), "{answer}");
                (answer.status != 200).then_some(())
            })
            .await;
        }
        if arguments == ["client", "lock", "machine"] {
            let output = service.settings.run(&["client", "unlock", "machine"], "");
            assert!(output.status.success(), "{output:?}");
            eventually("the client is served again", async || {
                let answer = request_to(&service, own::FEED, &access).await;
                (answer.status == 200).then_some(())
            })
            .await;
        }
    }
}

async fn a_follower_ends_with_the_permission_of_its_client(store: Store) {
    for arguments in ENDS {
        let service = Program::on(store).await;
        let client = machine().at(&service);
        let other = Registration::machine("other").with("--scope", "events.read");
        let other = other.at(&service);
        let follow = async |client: &App| {
            let access = access(client, "events.read").await;
            let mut reader = Reader::of(&service, &access, "follow=true").await;
            // The registration and the secret of each.
            reader.events(4).await;
            reader
        };
        let (mut cut_off, mut goes_on) = (follow(&client).await, follow(&other).await);
        end(&service, arguments);
        // The follower does not even receive the event that ends its permission.
        assert_eq!(cut_off.event().await, None, "{arguments:?}");
        let last = goes_on.event().await.unwrap();
        assert_eq!(last["subject"], "machine", "{last}");
        let ann = Person::called("ann");
        Contract::ApiAuth.registers(&service.http(), &ann).await;
        goes_on.events(1).await;
    }
}

async fn a_follower_ends_with_its_token(store: Store) {
    const SECRET: &str = "0123456789abcdef0123456789abcdef";
    let service = Settings::on(store)
        .with("AUTHLOG_JWT_ALGORITHM", "HS256")
        .with("AUTHLOG_JWT_SECRET", SECRET)
        .start()
        .await;
    let client = machine().at(&service);
    let access = access(&client, "events.read").await;
    // The same token, almost five minutes later.
    let header = serde_json::from_value(token::header(&access)).unwrap();
    let mut claims = token::claims(&access);
    for name in ["iat", "exp"] {
        claims[name] = json!(claims[name].as_i64().unwrap() - 295);
    }
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let old = jsonwebtoken::encode(&header, &claims, &key).unwrap();
    let mut follower = Reader::of(&service, &old, "follow=true").await;
    follower.events(2).await;
    assert_eq!(follower.event().await, None);
    let answer = service.send(own::FEED).bearer(&old).await;
    assert_eq!(answer.status, 401, "{answer}");
    let answer = service.send(own::FEED).bearer(&access).await;
    assert_eq!(answer.status, 200, "{answer}");
}

async fn an_inspector_is_told_of_every_kind_of_token(store: Store) {
    let mut op = Provider::on(store).await;
    let inspector = Registration::machine("inspector").with("--scope", "tokens.introspect");
    let inspector = inspector.at(&op.service);
    let bearer = access(&inspector, "tokens.introspect").await;
    let of_service = staff::signed_in(&op.service, "desk", "service").await;
    let contract = Contract::ApiAuth.signs_in(&op.http(), &op.person).await;
    let (_, granted) = op.signs_in("openid").await;
    let hint = ("token_type_hint", "refresh_token");
    let of_person = &*contract.access;
    for (form, client_is_told, account_is_told) in [
        (&[("token", of_person)][..], true, true),
        (&[("token", contract.refresh()), hint], true, true),
        (&[("token", contract.refresh())], false, false),
        (&[("token", &*granted.access)], true, false),
        (&[("token", granted.refresh()), hint], true, false),
        // A refresh token of another client is not taken for an access token.
        (&[("token", granted.refresh())], false, false),
        (&[("token", &*bearer)], true, false),
        (&[("token", "nonsense")], false, false),
    ] {
        let by_secret = inspector.authenticated(own::INTROSPECT, form).await;
        let by_token = op.service.send(own::INTROSPECT).form(form).bearer(&bearer);
        let by_token = by_token.await;
        assert_eq!(by_secret.json(), by_token.json(), "{form:?}");
        assert_eq!(by_token.json()["active"], client_is_told, "{form:?}");
        assert_eq!(by_token.header("cache-control"), Some("no-store"));
        let by_account = op.service.send(own::INTROSPECT).form(form);
        let by_account = by_account.bearer(&of_service.access).await;
        assert_eq!(by_account.json()["active"], account_is_told, "{form:?}");
    }
    let told = inspector.authenticated(own::INTROSPECT, &[("token", of_person)]);
    let told = told.await.json();
    assert_eq!(
        (&told["username"], &told["role"]),
        (&json!("ann"), &json!("user"))
    );
    assert_eq!(told.get("scope"), None, "{told}");
    // A client without the scope learns of its own tokens alone.
    let form = [("token", of_person)];
    let answer = op.app.authenticated(own::INTROSPECT, &form).await;
    answer.is(200, &json!({"active": false}));
}
