//! Rules that hold across all contracts: accounts, sessions and tokens of one contract work in every other.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::support;

use serde_json::{Value, json};
use support::contract::{Tokens, is_refused, refreshes_nothing, verifies};
use support::form::{JWT, TEXTS};
use support::http::Http;
use support::{
    Contract, Person, Program, Settings, Store, api_auth, eventually, on_both_stores, own, token,
    users,
};

on_both_stores!(
    an_account_of_one_contract_signs_in_through_every_other,
    an_address_that_is_taken_in_one_contract_is_taken_in_every_other,
    a_username_may_look_like_an_address_only_if_it_is_the_accounts_own,
    every_access_token_verifies_bare_and_as_bearer,
    every_access_token_logs_out_bare_and_as_bearer,
    every_refresh_token_works_in_each_contract_that_can_return_its_successor,
    an_access_token_never_refreshes_and_a_refresh_token_never_authenticates,
    an_unknown_account_and_a_wrong_password_get_the_same_answer,
    unknown_members_are_ignored,
    tokens_stay_valid_across_a_restart,
    tokens_verify_with_the_published_keys,
    tokens_verify_with_the_published_keys_of_every_algorithm,
    a_shared_secret_signs_and_is_not_published,
    tokens_of_another_service_are_refused,
    the_password_policy_can_be_stricter,
    no_secret_is_stored_or_logged,
    the_service_reports_its_health,
);

async fn an_account_of_one_contract_signs_in_through_every_other(store: Store) {
    let service = Program::on(store).await;
    let http = service.http();
    for registers in Contract::ALL {
        let person = Person::called(&format!("person-of-{registers:?}").to_lowercase());
        registers.registers(&http, &person).await;
        for signs_in in Contract::ALL {
            for person in [&person, &person.in_capitals()] {
                let tokens = signs_in.signs_in(&http, person).await;
                verifies(&http, &tokens.access).await;
            }
            let wrong = person.with_password("not-the-password");
            let answer = signs_in.sign_in(&http, &wrong).await;
            signs_in.says_wrong_credentials(&answer);
        }
    }
    // A username works in each contract that asks for one.
    let person = Person::called("person-of-apiauth");
    for contract in [Contract::ApiAuth, Contract::Users] {
        for username in ["person-of-apiauth", "Person-Of-ApiAuth"] {
            let body = contract.login_of(username, &person.password);
            let answer = http.send(contract.login()).json(&body).await;
            assert_eq!(answer.status, 200, "{answer}");
        }
    }
}

async fn an_address_that_is_taken_in_one_contract_is_taken_in_every_other(store: Store) {
    let service = Program::on(store).await;
    let http = service.http();
    for first in Contract::ALL {
        let owner = Person::called(&format!("owner-{first:?}").to_lowercase());
        first.registers(&http, &owner).await;
        for second in Contract::ALL {
            let late = Person {
                username: format!("late-{second:?}"),
                ..owner.in_capitals()
            };
            let answer = second.register(&http, &late).await;
            second.says_email_taken(&answer);
        }
    }
}

async fn a_username_may_look_like_an_address_only_if_it_is_the_accounts_own(store: Store) {
    let service = Program::on(store).await;
    let http = service.http();
    let register = async |username: &str, email: &str| {
        let body = json!({"username": username, "email": email, "password": "some-secret"});
        http.send(api_auth::REGISTER).json(&body).await
    };
    let answer = register("ann@example.com", "Ann@example.com").await;
    assert_eq!(answer.status, 201, "{answer}");

    for (username, email) in [
        // The address of another account, and a free address.
        ("ann@example.com", "bob@example.com"),
        ("ANN@example.com", "bob@example.com"),
        ("cid@example.com", "bob@example.com"),
    ] {
        let answer = register(username, email).await;
        assert_eq!(answer.status, 400, "{answer}");
        assert_eq!(
            answer.json()["errors"]
                .as_object()
                .unwrap()
                .keys()
                .collect::<Vec<_>>(),
            ["username"],
            "{answer}"
        );
    }
    // The refused requests registered no account, so both addresses are free.
    for name in ["bob", "cid"] {
        Contract::ApiAuth
            .registers(&http, &Person::called(name))
            .await;
    }
}

async fn every_access_token_verifies_bare_and_as_bearer(store: Store) {
    let service = Program::on(store).await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    for contract in Contract::ALL {
        let token = contract.signs_in(&http, &ann).await.access;
        for header in [token.clone(), format!("Bearer {token}")] {
            let answer = http.send(users::VERIFY).authorization(&header).await;
            assert_eq!(answer.status, 200, "{contract:?}: {answer}");
        }
    }
}

async fn every_access_token_logs_out_bare_and_as_bearer(store: Store) {
    let service = Program::on(store).await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let onlooker = Contract::ApiAuth.signs_in(&http, &ann).await;
    for contract in Contract::ALL {
        for scheme in ["", "Bearer "] {
            let tokens = contract.signs_in(&http, &ann).await;
            let header = format!("{scheme}{}", tokens.access);
            let answer = http.send(api_auth::LOGOUT).authorization(&header).await;
            assert_eq!(answer.status, 200, "{contract:?}: {answer}");
            is_refused(&http, &tokens.access).await;
            if let Some(refresh) = &tokens.refresh {
                refreshes_nothing(&http, refresh).await;
            }
        }
    }
    verifies(&http, &onlooker.access).await;
}

async fn every_refresh_token_works_in_each_contract_that_can_return_its_successor(store: Store) {
    let service = Program::on(store).await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    for contract in [Contract::ApiAuth, Contract::Users] {
        for scheme in ["", "Bearer "] {
            for (endpoint, access) in [
                (api_auth::REFRESH, "/accessToken"),
                (api_auth::REFRESH_TOKEN, "/accessToken"),
                (users::REFRESH, "/data/access_token"),
            ] {
                let tokens = contract.signs_in(&http, &ann).await;
                let header = format!("{scheme}{}", tokens.refresh());
                let answer = http.send(endpoint).authorization(&header).await;
                // A token of `/api/auth` works once, and the answer of `/users` has no member for its successor.
                if contract == Contract::ApiAuth && endpoint == users::REFRESH {
                    assert_eq!(answer.status, 400, "{answer}");
                    continue;
                }
                assert_eq!(answer.status, 200, "{contract:?}: {answer}");
                let body = answer.json();
                let access = body.pointer(access).and_then(Value::as_str).unwrap();
                verifies(&http, access).await;
                assert_eq!(
                    token::claims(access)["sid"],
                    token::claims(&tokens.access)["sid"],
                    "the session is the same"
                );
            }
        }
    }
}

async fn an_access_token_never_refreshes_and_a_refresh_token_never_authenticates(store: Store) {
    let service = Program::on(store).await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    for contract in Contract::ALL {
        let tokens = contract.signs_in(&http, &ann).await;
        refreshes_nothing(&http, &tokens.access).await;
        if let Some(refresh) = &tokens.refresh {
            is_refused(&http, refresh).await;
            let answer = http.send(api_auth::LOGOUT).bearer(refresh).await;
            assert_eq!(answer.status, 401, "{answer}");
        }
        verifies(&http, &tokens.access).await;
    }
}

async fn an_unknown_account_and_a_wrong_password_get_the_same_answer(store: Store) {
    let service = Program::on(store).await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    for contract in Contract::ALL {
        for password in ["not-her-secret", "x"] {
            let known = contract.sign_in(&http, &ann.with_password(password)).await;
            let unknown = contract
                .sign_in(&http, &Person::called("unknown").with_password(password))
                .await;
            assert_eq!(known.status, unknown.status);
            let [known_body, unknown_body] = [&known, &unknown].map(|answer| {
                let mut body = answer.json();
                body.as_object_mut().unwrap().remove("timestamp");
                body
            });
            assert_eq!(known_body, unknown_body);
            let [known, unknown] = [&known, &unknown].map(|answer| {
                let names = answer.headers.keys().map(ToString::to_string);
                names.collect::<std::collections::BTreeSet<_>>()
            });
            assert_eq!(known, unknown, "the headers tell them apart");
        }
    }
}

async fn unknown_members_are_ignored(store: Store) {
    let service = Program::on(store).await;
    let http = service.http();
    for contract in Contract::ALL {
        let person = Person::called(&format!("person-{contract:?}").to_lowercase());
        let mut registration = contract.registration_of(&person);
        registration["newsletter"] = json!({"weekly": [true, null]});
        registration["role"] = json!("admin");
        let answer = http.send(contract.registration()).json(&registration).await;
        assert!(answer.status < 300, "{answer}");
        let mut login = contract.login_of(&person.email, &person.password);
        login["remember_me"] = json!(true);
        let answer = http.send(contract.login()).json(&login).await;
        assert_eq!(answer.status, 200, "{answer}");
        let access = Contract::ApiAuth.signs_in(&http, &person).await.access;
        // A requested role is an unknown member, too.
        assert_eq!(token::claims(&access)["role"], "user");
    }
}

async fn tokens_stay_valid_across_a_restart(store: Store) {
    let mut service = Program::on(store).await;
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&service.http(), &ann).await;
    let mut tokens = Vec::new();
    for contract in Contract::ALL {
        tokens.push(contract.signs_in(&service.http(), &ann).await);
    }
    let ended = Contract::ApiAuth.signs_in(&service.http(), &ann).await;
    let answer = service.send(api_auth::LOGOUT).bearer(&ended.access).await;
    assert_eq!(answer.status, 200, "{answer}");

    service.terminate().await;
    service.restart().await;
    for tokens in &tokens {
        verifies(&service.http(), &tokens.access).await;
    }
    is_refused(&service.http(), &ended.access).await;
    let answer = service
        .send(api_auth::REFRESH)
        .bearer(tokens[0].refresh())
        .await;
    assert_eq!(answer.status, 200, "{answer}");
    let answer = service
        .send(users::REFRESH)
        .bearer(tokens[1].refresh())
        .await;
    assert_eq!(answer.status, 200, "{answer}");
}

async fn tokens_verify_with_the_published_keys(store: Store) {
    let service = Program::on(store).await;
    let tokens = one_token_of_each_kind(&service.http()).await;
    let keys = published_keys(&service).await;
    assert!(!keys.keys.is_empty());
    for tokens in &tokens {
        assert_verify(tokens, "ES256", &keys);
    }
}

async fn tokens_verify_with_the_published_keys_of_every_algorithm(store: Store) {
    for algorithm in ["EdDSA", "ES256", "RS256"] {
        let settings = Settings::on(store).with("AUTHLOG_JWT_ALGORITHM", algorithm);
        let service = settings.start().await;
        let http = service.http();
        let tokens = one_token_of_each_kind(&http).await;
        let keys = published_keys(&service).await;
        for tokens in &tokens {
            assert_verify(tokens, algorithm, &keys);
            verifies(&http, &tokens.access).await;
        }
    }
}

async fn a_shared_secret_signs_and_is_not_published(store: Store) {
    use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
    let secret = "a secret of at least thirty-two bytes, shared with clients";
    let settings = Settings::on(store)
        .with("AUTHLOG_JWT_ALGORITHM", "HS256")
        .with("AUTHLOG_JWT_SECRET", secret);
    let service = settings.start().await;
    let http = service.http();
    let tokens = one_token_of_each_kind(&http).await;
    let mut validation = Validation::new(Algorithm::HS256);
    validation.validate_aud = false;
    for Tokens {
        access, refresh, ..
    } in &tokens
    {
        for token in std::iter::once(access).chain(refresh) {
            assert_eq!(token::header(token)["alg"], "HS256");
            let key = DecodingKey::from_secret(secret.as_bytes());
            decode::<Value>(token, &key, &validation).unwrap();
        }
        verifies(&http, access).await;
    }
    // Only the key of ID tokens is published, once there is a client.
    let uri = "https://app.example/";
    let create = ["client", "create", "--name", "App", "--redirect-uri", uri];
    assert!(service.settings.run(&create, "").status.success());
    let set = eventually("the key of ID tokens is published", async || {
        let set = published_keys(&service).await;
        (!set.keys.is_empty()).then_some(set)
    })
    .await;
    let of_access = token::header(&tokens[0].access)["kid"].clone();
    for key in set.keys {
        assert_eq!(key.common.key_algorithm.unwrap().to_string(), "RS256");
        assert!(json!(key.common.key_id) != of_access);
    }
}

async fn tokens_of_another_service_are_refused(store: Store) {
    let [ours, theirs] = [Program::on(store).await, Program::on(store).await];
    let ann = Person::called("ann");
    for service in [&ours, &theirs] {
        Contract::ApiAuth.registers(&service.http(), &ann).await;
    }
    for contract in Contract::ALL {
        let foreign = contract.signs_in(&theirs.http(), &ann).await;
        is_refused(&ours.http(), &foreign.access).await;
        if let Some(refresh) = &foreign.refresh {
            refreshes_nothing(&ours.http(), refresh).await;
        }
    }
}

async fn the_password_policy_can_be_stricter(store: Store) {
    let settings = Settings::on(store)
        .with("AUTHLOG_PASSWORD_MIN_LENGTH", "12")
        .with("AUTHLOG_PASSWORD_MIN_SCORE", "3");
    let service = settings.start().await;
    let http = service.http();
    for (password, status) in [
        // Eleven unguessable characters, twelve common ones, and the username.
        ("vQ7#pL2!xZ9", 400),
        ("password1234", 400),
        ("ann-ann-ann-ann", 400),
        ("staple-quince-orbit-lagoon", 201),
    ] {
        let ann = Person::called("ann").with_password(password);
        let answer = Contract::ApiAuth.register(&http, &ann).await;
        assert_eq!(answer.status, status, "{password}: {answer}");
        if status == 400 {
            let errors = json!({"password": TEXTS});
            support::form::assert_fits(&errors, &answer.json()["errors"], "errors");
        }
    }
}

async fn no_secret_is_stored_or_logged(store: Store) {
    let settings = Settings::on(store).with("RUST_LOG", "trace");
    let mut service = settings.start().await;
    let http = service.http();
    let mut secrets = Vec::new();
    for contract in Contract::ALL {
        let person = Person::called(&format!("person-{contract:?}").to_lowercase());
        contract.registers(&http, &person).await;
        contract
            .sign_in(&http, &person.with_password("wrong-but-personal"))
            .await;
        let tokens = contract.signs_in(&http, &person).await;
        verifies(&http, &tokens.access).await;
        secrets.extend([person.password, "wrong-but-personal".to_owned()]);
        secrets.extend([tokens.access].into_iter().chain(tokens.refresh));
    }
    let body = json!({"username": "person-apiauth@example.com"});
    http.send(users::REQUEST_RESET).json(&body).await;
    let mail = support::mail::mail_to(&service, "person-apiauth@example.com").await;
    let answer = http
        .send(users::UPDATE_PASSWORD)
        .authorization(&mail.token())
        .json(&json!({"password": "another-good-secret"}))
        .await;
    assert_eq!(answer.status, 200, "{answer}");
    secrets.extend([mail.token(), "another-good-secret".to_owned()]);
    service.terminate().await;

    let stored = service.settings.stored_bytes();
    let logged = service.output().into_bytes();
    assert!(
        contains(&stored, "UserRegistered"),
        "the search finds what is stored"
    );
    for secret in secrets {
        assert!(!contains(&stored, &secret), "{secret} is stored");
        assert!(!contains(&logged, &secret), "{secret} is logged");
    }
}

async fn the_service_reports_its_health(store: Store) {
    let service = Program::on(store).await;
    let answer = service.send(own::HEALTHZ).await;
    assert_eq!(answer.status, 200, "{answer}");
    let answer = service.send(own::READYZ).await;
    assert_eq!(answer.status, 200, "{answer}");
}

/// One token of each kind that is a JWT.
async fn one_token_of_each_kind(http: &Http) -> Vec<Tokens> {
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(http, &ann).await;
    let mut found = Vec::new();
    for contract in [Contract::ApiAuth, Contract::Users, Contract::V1Auth] {
        let tokens = contract.signs_in(http, &ann).await;
        support::form::assert_fits(&json!(JWT), &json!(tokens.access), "token");
        found.push(tokens);
    }
    found
}

/// The published key set.
async fn published_keys(service: &Program) -> jsonwebtoken::jwk::JwkSet {
    let answer = service.send(own::KEY_SET).await;
    assert_eq!(answer.status, 200, "{answer}");
    for private in ["\"d\"", "\"p\"", "\"q\"", "\"k\""] {
        assert!(!answer.body.contains(private), "a private key: {answer}");
    }
    serde_json::from_str(&answer.body).unwrap()
}

/// Verifies an access token with nothing but the published keys. Only the service verifies refresh tokens.
#[track_caller]
fn assert_verify(tokens: &Tokens, algorithm: &str, keys: &jsonwebtoken::jwk::JwkSet) {
    use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
    let header = decode_header(&tokens.access).unwrap();
    let key = keys.find(header.kid.as_deref().unwrap()).unwrap();
    let mut validation = Validation::new(algorithm.parse().unwrap());
    validation.validate_aud = false;
    let key = DecodingKey::from_jwk(key).unwrap();
    let reads = |token: &str| decode::<Value>(token, &key, &validation).is_ok();
    assert!(reads(&tokens.access));
    assert!(!reads(&token::forged(&tokens.access)));
    if let Some(refresh) = &tokens.refresh {
        assert_eq!(token::header(refresh)["alg"], "HS256");
        assert!(!reads(refresh));
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|part| part == text.as_bytes())
}
