//! The contract `/v1/auth`: `v1-auth.md`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::support;

use serde_json::{Value, json};
use support::contract::verifies;
use support::document::printed_in;
use support::form::{JWT, NOW_RFC3339, NUMBER, RFC3339, TEXT, rfc3339};
use support::{Contract, Person, Program, Settings, Store, on_both_stores, token, v1_auth};

on_both_stores!(
    the_documented_examples_work_in_order_on_an_empty_store,
    a_registration_is_answered_as_printed,
    a_registration_that_lacks_members_names_each_of_them,
    a_telephone_number_is_optional_and_checked,
    a_registration_is_refused_for_what_is_wrong_with_its_members,
    a_taken_address_is_refused_as_printed,
    a_login_is_answered_as_printed,
    a_wrong_password_and_an_unknown_address_are_refused_as_printed,
    a_login_that_lacks_members_names_each_of_them,
    tokens_carry_a_number_and_their_expiry_for_a_day,
    every_account_has_a_number_of_its_own_and_keeps_it,
);

async fn the_documented_examples_work_in_order_on_an_empty_store(store: Store) {
    let settings = Settings::on(store).without("AUTHLOG_RATE_LIMIT");
    let service = settings.start().await;
    let registration = printed_in(
        "v1-auth.md",
        r#"{
    "email":"dirga@example.com",
    "password":"rahasia",
    "name":"dirga",
    "phone":"+6285319076822"
}"#,
    );
    let answer = service
        .send(v1_auth::REGISTER)
        .json_text(registration)
        .await;
    answer.is(200, &signed_in("dirga", "dirga@example.com"));
    let login = printed_in(
        "v1-auth.md",
        r#"{
    "email":"dirga@example.com",
    "password":"rahasia"
}"#,
    );
    let answer = service.send(v1_auth::LOGIN).json_text(login).await;
    answer.is(200, &signed_in("dirga", "dirga@example.com"));
}

async fn a_registration_is_answered_as_printed(store: Store) {
    let service = Program::on(store).await;
    let ann = Person::called("ann");
    let answer = Contract::V1Auth.register(&service.http(), &ann).await;
    let body = answer.is(200, &signed_in(&ann.name, &ann.email));
    assert_eq!(
        body["data"]["user"]["created_at"],
        body["data"]["user"]["updated_at"]
    );
    verifies(&service.http(), body["data"]["token"].as_str().unwrap()).await;
}

async fn a_registration_that_lacks_members_names_each_of_them(store: Store) {
    let service = Program::on(store).await;
    for body in [json!({}), json!({"email": "", "password": "", "name": ""})] {
        let answer = service.send(v1_auth::REGISTER).json(&body).await;
        answer.is(
            400,
            &invalid(&json!({"email": TEXT, "password": TEXT, "name": TEXT})),
        );
    }
}

async fn a_telephone_number_is_optional_and_checked(store: Store) {
    let service = Program::on(store).await;
    let mut body = json!({"email": "ann@example.com", "password": "ann-secret", "name": "Ann"});
    for phone in [
        "085319076822",
        "+0853190768",
        "+62853x",
        "+1234567890123456",
        "62 853 1907",
    ] {
        body["phone"] = json!(phone);
        let answer = service.send(v1_auth::REGISTER).json(&body).await;
        answer.is(400, &invalid(&json!({"phone": TEXT})));
    }
    body["phone"] = json!("+6285319076822");
    let answer = service.send(v1_auth::REGISTER).json(&body).await;
    answer.is(200, &signed_in("Ann", "ann@example.com"));
}

async fn a_registration_is_refused_for_what_is_wrong_with_its_members(store: Store) {
    let service = Program::on(store).await;
    let good = json!({"email": "ann@example.com", "password": "ann-secret", "name": "Ann"});
    for (field, value) in [
        ("email", json!("ann")),
        ("email", json!(format!("{}@example.com", "a".repeat(300)))),
        ("password", json!("short")),
        ("password", json!("x".repeat(5000))),
        ("name", json!("n".repeat(1000))),
    ] {
        let mut body = good.clone();
        body[field] = value;
        let answer = service.send(v1_auth::REGISTER).json(&body).await;
        answer.is(400, &invalid(&json!({field: TEXT})));
    }
    let answer = service.send(v1_auth::REGISTER).json(&good).await;
    assert_eq!(answer.status, 200, "{answer}");
}

async fn a_taken_address_is_refused_as_printed(store: Store) {
    let service = Program::on(store).await;
    let printed = printed_in(
        "v1-auth.md",
        r#"{
    "code": 400,
    "status": "failed",
    "message": "Bad Request",
    "errors": {
        "email": "The email is already exists"
    }
}"#,
    );
    let ann = Person::called("ann");
    Contract::V1Auth.registers(&service.http(), &ann).await;
    for person in [&ann, &ann.in_capitals()] {
        let answer = Contract::V1Auth.register(&service.http(), person).await;
        answer.is(400, &serde_json::from_str(printed).unwrap());
    }
}

async fn a_login_is_answered_as_printed(store: Store) {
    let service = Program::on(store).await;
    let ann = Person::called("ann");
    let answer = Contract::V1Auth.register(&service.http(), &ann).await;
    let registered = answer.json()["data"]["user"].clone();
    for person in [&ann, &ann.in_capitals()] {
        let answer = Contract::V1Auth.sign_in(&service.http(), person).await;
        let body = answer.is(200, &signed_in(&ann.name, &ann.email));
        assert_eq!(body["data"]["user"], registered);
        verifies(&service.http(), body["data"]["token"].as_str().unwrap()).await;
    }
}

async fn a_wrong_password_and_an_unknown_address_are_refused_as_printed(store: Store) {
    let service = Program::on(store).await;
    let printed = printed_in(
        "v1-auth.md",
        r#"{
    "code": 400,
    "status": "failed",
    "message": "Bad Request",
    "errors": {
        "password": "The password is not match"
    }
}"#,
    );
    let ann = Person::called("ann");
    Contract::V1Auth.registers(&service.http(), &ann).await;
    for person in [
        ann.with_password("not-her-secret"),
        ann.with_password("short"),
        Person::called("unknown"),
    ] {
        let answer = Contract::V1Auth.sign_in(&service.http(), &person).await;
        answer.is(400, &serde_json::from_str(printed).unwrap());
    }
}

async fn a_login_that_lacks_members_names_each_of_them(store: Store) {
    let service = Program::on(store).await;
    let answer = service.send(v1_auth::LOGIN).json(&json!({})).await;
    answer.is(400, &invalid(&json!({"email": TEXT, "password": TEXT})));
    let body = json!({"email": "not an address", "password": "ann-secret"});
    let answer = service.send(v1_auth::LOGIN).json(&body).await;
    answer.is(400, &invalid(&json!({"email": TEXT})));
}

async fn tokens_carry_a_number_and_their_expiry_for_a_day(store: Store) {
    let service = Program::on(store).await;
    let ann = Person::called("ann");
    let registered = Contract::V1Auth
        .register(&service.http(), &ann)
        .await
        .json();
    let signed_in = Contract::V1Auth.sign_in(&service.http(), &ann).await.json();
    for body in [registered, signed_in] {
        let token = body["data"]["token"].as_str().unwrap();
        let expected = json!({"user_id": NUMBER, "expire_at": NUMBER, "client_id": "v1-auth"});
        let claims = token::carries(token, &expected);
        assert_eq!(claims["user_id"], body["data"]["user"]["id"]);
        assert_eq!(claims["expire_at"], claims["exp"]);
        assert_eq!(token::lifetime(token), 24 * 60 * 60);
        let said = rfc3339(&body["data"]["expired_at"]).unwrap();
        assert_eq!(Some(said.unix_timestamp()), claims["exp"].as_i64());
    }
}

async fn every_account_has_a_number_of_its_own_and_keeps_it(store: Store) {
    let mut service = Program::on(store).await;
    let people = ["ann", "bob", "cid"].map(Person::called);
    // An account that was registered through another contract has a number, too.
    Contract::ApiAuth
        .registers(&service.http(), &people[0])
        .await;
    Contract::Users.registers(&service.http(), &people[1]).await;
    Contract::V1Auth
        .registers(&service.http(), &people[2])
        .await;
    let before = numbers(&service, &people).await;
    assert!(
        before[0] != before[1] && before[1] != before[2] && before[0] != before[2],
        "{before:?}"
    );
    service.terminate().await;
    service.restart().await;
    assert_eq!(numbers(&service, &people).await, before);
}

/// The numbers of these people's accounts.
async fn numbers(service: &Program, people: &[Person]) -> Vec<Value> {
    let mut numbers = Vec::new();
    for person in people {
        let answer = Contract::V1Auth.sign_in(&service.http(), person).await;
        numbers.push(answer.json()["data"]["user"]["id"].clone());
    }
    numbers
}

/// The expected answer to a login.
fn signed_in(name: &str, email: &str) -> Value {
    json!({
        "code": 200,
        "status": "success",
        "data": {
            "token": JWT,
            "expired_at": RFC3339,
            "user": {"id": NUMBER, "name": name, "email": email,
                "created_at": NOW_RFC3339, "updated_at": NOW_RFC3339},
        },
    })
}

/// The expected answer to a request in which these members are invalid.
fn invalid(errors: &Value) -> Value {
    json!({"code": 400, "status": "failed", "message": "Bad Request", "errors": errors})
}
