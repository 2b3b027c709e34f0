//! The contract `/api`: `api.md`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::support;

use serde_json::{Value, json};
use support::contract::{is_refused, refusal_of_api, verifies};
use support::document::printed_in;
use support::form::{NOW_DAY_FIRST, NOW_UNIX, RANDOM_UUID, TEXT, UUID};
use support::http::Request;
use support::{Answer, Contract, Person, Program, Settings, Store, api, api_auth, on_both_stores};

/// The mask that replaces a password.
const MASK: &str = "********";

on_both_stores!(
    the_documented_examples_work_in_order_on_an_empty_store,
    a_registration_is_answered_with_the_profile_and_no_password,
    a_registration_that_lacks_members_names_each_of_them,
    a_registration_is_refused_for_each_member_by_its_code,
    a_rejected_password_is_never_repeated,
    a_taken_address_is_a_conflict,
    a_login_is_answered_with_a_token_alone,
    a_token_is_random_and_stored_only_as_a_hash,
    a_wrong_password_and_an_unknown_address_are_refused_alike,
    a_login_is_refused_for_each_member_by_its_code,
    a_logout_ends_its_own_session_alone,
);

async fn the_documented_examples_work_in_order_on_an_empty_store(store: Store) {
    let settings = Settings::on(store).without("AUTHLOG_RATE_LIMIT");
    let service = settings.start().await;
    let registration = printed_in(
        "api.md",
        r#"{
      "name": "John Doe",
      "email": "john@doe.com",
      "password": "johndoe"
    }"#,
    );
    let answer = service.send(api::REGISTER).json_text(registration).await;
    answer.is(
        201,
        &json!({"status": 201, "data": {"id": UUID, "name": "John Doe", "email": "john@doe.com",
            "password": MASK, "created_at": NOW_UNIX}}),
    );
    let login = printed_in(
        "api.md",
        r#"{
        "email": "john@doe.com",
        "password": "johndoe"
    }"#,
    );
    let answer = service.send(api::LOGIN).json_text(login).await;
    answer.is(200, &json!({"token": RANDOM_UUID}));
}

async fn a_registration_is_answered_with_the_profile_and_no_password(store: Store) {
    let service = Program::on(store).await;
    let mut ids = Vec::new();
    for name in ["ann", "bob"] {
        let person = Person::called(name);
        let answer = Contract::Api.register(&service.http(), &person).await;
        let body = answer.is(
            201,
            &json!({"status": 201, "data": {"id": UUID, "name": person.name,
                "email": person.email, "password": MASK, "created_at": NOW_UNIX}}),
        );
        ids.push(body["data"]["id"].clone());
    }
    assert_ne!(ids[0], ids[1]);
}

async fn a_registration_that_lacks_members_names_each_of_them(store: Store) {
    let service = Program::on(store).await;
    for body in [json!({}), json!({"name": "", "email": "", "password": ""})] {
        let answer = service.send(api::REGISTER).json(&body).await;
        let errors = errors_of(&answer);
        let codes = errors
            .iter()
            .map(|error| (&error["field"], &error["message"]));
        let expected = ["name", "email", "password"].map(|field| (json!(field), json!("REQUIRED")));
        assert!(
            codes.eq(expected.iter().map(|(field, code)| (field, code))),
            "{answer}"
        );
    }
}

async fn a_registration_is_refused_for_each_member_by_its_code(store: Store) {
    let service = Program::on(store).await;
    let long_name = "n".repeat(1000);
    let long_address = format!("{}@example.com", "a".repeat(1000));
    for (field, value, code) in [
        ("name", "", "REQUIRED"),
        ("name", "   ", "REQUIRED"),
        ("name", long_name.as_str(), "TO_LONG"),
        ("email", "", "REQUIRED"),
        ("email", "john", "EMAIL_FORMAT"),
        ("email", "john@", "EMAIL_FORMAT"),
        ("email", "@doe.com", "EMAIL_FORMAT"),
        ("email", "john@doe.com, jane@doe.com", "EMAIL_FORMAT"),
        ("email", long_address.as_str(), "TO_LONG"),
    ] {
        let request = service.send(api::REGISTER);
        let answer = with_member(request, field, value).await;
        assert_eq!(
            errors_of(&answer),
            [json!({"field": field, "rejected_value": value, "message": code})],
            "{answer}"
        );
    }
}

async fn a_rejected_password_is_never_repeated(store: Store) {
    let service = Program::on(store).await;
    let long = "x".repeat(5000);
    for (password, code) in [
        ("johndo", "TO_SHORT"),
        ("j", "TO_SHORT"),
        (&long, "TO_LONG"),
    ] {
        let request = service.send(api::REGISTER);
        let answer = with_member(request, "password", password).await;
        assert_eq!(
            errors_of(&answer),
            [json!({"field": "password", "rejected_value": MASK, "message": code})],
            "{answer}"
        );
    }
}

async fn a_taken_address_is_a_conflict(store: Store) {
    let service = Program::on(store).await;
    printed_in("api.md", r#""message": "email already registered""#);
    let ann = Person::called("ann");
    Contract::Api.registers(&service.http(), &ann).await;
    for person in [&ann, &ann.in_capitals()] {
        let answer = Contract::Api.register(&service.http(), person).await;
        answer.is(
            409,
            &json!({"status": 409, "timestamp": NOW_DAY_FIRST, "message": "email already registered"}),
        );
    }
}

async fn a_login_is_answered_with_a_token_alone(store: Store) {
    let service = Program::on(store).await;
    let ann = Person::called("ann");
    Contract::Api.registers(&service.http(), &ann).await;
    let answer = Contract::Api.sign_in(&service.http(), &ann).await;
    let body = answer.is(200, &json!({"token": RANDOM_UUID}));
    verifies(&service.http(), body["token"].as_str().unwrap()).await;
}

async fn a_token_is_random_and_stored_only_as_a_hash(store: Store) {
    let service = Program::on(store).await;
    let ann = Person::called("ann");
    Contract::Api.registers(&service.http(), &ann).await;
    let first = Contract::Api.signs_in(&service.http(), &ann).await.access;
    let second = Contract::Api.signs_in(&service.http(), &ann).await.access;
    assert_ne!(first, second);
    let stored = service.settings.stored_bytes();
    for token in [&first, &second] {
        let bits = *uuid::Uuid::parse_str(token).unwrap().as_bytes();
        for spelling in [token.as_bytes(), token.replace('-', "").as_bytes(), &bits] {
            let found = stored.windows(spelling.len()).any(|part| part == spelling);
            assert!(!found, "the store holds a token");
        }
    }
}

async fn a_wrong_password_and_an_unknown_address_are_refused_alike(store: Store) {
    let service = Program::on(store).await;
    let ann = Person::called("ann");
    Contract::Api.registers(&service.http(), &ann).await;
    let mut messages = Vec::new();
    for person in [
        ann.with_password("not-her-secret"),
        Person::called("unknown"),
    ] {
        let answer = Contract::Api.sign_in(&service.http(), &person).await;
        let body = answer.is(401, &refusal_of_api(401, TEXT));
        messages.push(body["message"].clone());
    }
    assert_eq!(messages[0], messages[1]);
}

async fn a_login_is_refused_for_each_member_by_its_code(store: Store) {
    let service = Program::on(store).await;
    let ann = Person::called("ann");
    Contract::Api.registers(&service.http(), &ann).await;

    let answer = service.send(api::LOGIN).json(&json!({})).await;
    let errors = errors_of(&answer);
    let codes: Vec<_> = errors
        .iter()
        .map(|error| json!([error["field"], error["message"]]))
        .collect();
    assert_eq!(
        codes,
        [
            json!(["email", "REQUIRED"]),
            json!(["password", "REQUIRED"])
        ],
        "{answer}"
    );

    for (email, password, field, rejected, code) in [
        ("john", "johndoe", "email", "john", "EMAIL_FORMAT"),
        ("", "johndoe", "email", "", "REQUIRED"),
        ("ann@example.com", "short", "password", MASK, "TO_SHORT"),
        ("unknown@example.com", "short", "password", MASK, "TO_SHORT"),
    ] {
        let body = json!({"email": email, "password": password});
        let answer = service.send(api::LOGIN).json(&body).await;
        assert_eq!(
            errors_of(&answer),
            [json!({"field": field, "rejected_value": rejected, "message": code})],
            "{answer}"
        );
    }
}

async fn a_logout_ends_its_own_session_alone(store: Store) {
    let service = Program::on(store).await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::Api.registers(&http, &ann).await;
    let ended = Contract::Api.signs_in(&http, &ann).await.access;
    let other = Contract::Api.signs_in(&http, &ann).await.access;
    let answer = service.send(api_auth::LOGOUT).bearer(&ended).await;
    assert_eq!(answer.status, 200, "{answer}");
    is_refused(&http, &ended).await;
    verifies(&http, &other).await;
}

/// Sends the document's registration with one member changed.
async fn with_member(request: Request, field: &str, value: &str) -> Answer {
    let mut body = json!({"name": "John Doe", "email": "john@doe.com", "password": "johndoe"});
    body[field] = json!(value);
    request.json(&body).await
}

/// The errors of a refused request, in the order in which the document lists the fields.
#[track_caller]
fn errors_of(answer: &Answer) -> Vec<Value> {
    let errors = answer.json()["errors"].clone();
    answer.is(
        400,
        &json!({"status": 400, "timestamp": NOW_DAY_FIRST, "message": "Validation errors",
            "errors": errors}),
    );
    let mut errors = errors.as_array().unwrap().clone();
    let order = |error: &Value| ["name", "email", "password"].map(|field| error["field"] != field);
    errors.sort_by_key(order);
    errors
}
