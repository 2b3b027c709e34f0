//! The contract `/users`: `users.md`. `password_reset.rs` tests its password reset.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::support;

use serde_json::{Value, json};
use support::contract::{
    is_refused, refreshes_nothing, refusal_of_users, success_of_users, verifies,
};
use support::document::printed_in;
use support::form::{JWT, TEXT, UUID};
use support::{Contract, Person, Program, Settings, Store, api_auth, on_both_stores, token, users};

on_both_stores!(
    the_documented_examples_work_in_order_on_an_empty_store,
    a_registration_is_answered_as_printed,
    a_taken_username_is_refused_as_printed,
    a_registration_is_refused_in_one_sentence,
    a_login_is_answered_as_printed,
    a_wrong_password_and_an_unknown_name_are_refused_as_printed,
    a_login_that_lacks_members_is_refused_in_one_sentence,
    access_tokens_carry_id_and_role_for_five_minutes,
    refresh_tokens_carry_id_and_role_for_seven_days,
    a_valid_access_token_verifies_bare_and_as_bearer,
    an_invalid_access_token_is_refused_as_printed,
    a_refresh_is_answered_with_an_access_token_alone,
    the_refresh_token_stays_valid_until_the_logout,
    an_invalid_refresh_token_is_refused_as_printed,
);

async fn the_documented_examples_work_in_order_on_an_empty_store(store: Store) {
    let settings = Settings::on(store).without("AUTHLOG_RATE_LIMIT");
    let service = settings.start().await;
    let document = "users.md";
    let credentials = printed_in(
        document,
        r#"{
  "username": "example@gmail.com",
  "password": "rahasia"
}"#,
    );
    let answer = service.send(users::REGISTER).json_text(credentials).await;
    let printed = printed_in(
        document,
        r#"{
  "status": 200,
  "message": "successfully created",
  "data": {
    "username": "example@gmail.com"
  },
  "refrence": null,
  "error": false
}"#,
    );
    answer.is(200, &serde_json::from_str(printed).unwrap());

    let answer = service.send(users::LOGIN).json_text(credentials).await;
    let tokens = Contract::Users.tokens_in(&answer.json());
    let answer = service
        .send(users::VERIFY)
        .authorization(&tokens.access)
        .await;
    assert_eq!(answer.status, 200, "{answer}");
    let answer = service
        .send(users::REFRESH)
        .authorization(tokens.refresh())
        .await;
    assert_eq!(answer.status, 200, "{answer}");

    let forgetful = printed_in(
        document,
        r#"{
  "username": "example@gmail.com"
}"#,
    );
    let answer = service
        .send(users::REQUEST_RESET)
        .json_text(forgetful)
        .await;
    let printed = printed_in(
        document,
        r#"{
  "status": 200,
  "message": "If the account is already registered, we have sent a password reset link to your email so you can change the new password,",
  "data": null,
  "refrence": null,
  "error": false
}"#,
    );
    answer.is(200, &serde_json::from_str(printed).unwrap());

    let mail = support::mail::mail_to(&service, "example@gmail.com").await;
    let answer = service
        .send(users::VERIFY_RESET)
        .authorization(&mail.token())
        .await;
    assert_eq!(answer.status, 200, "{answer}");
    let new_password = printed_in(
        document,
        r#"{
  "password": "narokay123"
}"#,
    );
    let answer = service
        .send(users::UPDATE_PASSWORD)
        .authorization(&mail.token())
        .json_text(new_password)
        .await;
    assert_eq!(answer.status, 200, "{answer}");
    let body = json!({"username": "example@gmail.com", "password": "narokay123"});
    let answer = service.send(users::LOGIN).json(&body).await;
    assert_eq!(answer.status, 200, "{answer}");
}

async fn a_registration_is_answered_as_printed(store: Store) {
    let service = Program::on(store).await;
    let body = json!({"username": "Ann@Example.com", "password": "ann-secret"});
    let answer = service.send(users::REGISTER).json(&body).await;
    answer.is(
        200,
        &success_of_users(
            "successfully created",
            &json!({"username": "Ann@Example.com"}),
        ),
    );
}

async fn a_taken_username_is_refused_as_printed(store: Store) {
    let service = Program::on(store).await;
    let body = json!({"username": "ann@example.com", "password": "ann-secret"});
    let answer = service.send(users::REGISTER).json(&body).await;
    assert_eq!(answer.status, 200, "{answer}");
    for username in ["ann@example.com", "ANN@example.com"] {
        let body = json!({"username": username, "password": "other-secret"});
        let answer = service.send(users::REGISTER).json(&body).await;
        answer.is(400, &refusal_of_users(400, "username already exist"));
    }
}

async fn a_registration_is_refused_in_one_sentence(store: Store) {
    let service = Program::on(store).await;
    for body in [
        json!({}),
        json!({"username": "ann@example.com"}),
        json!({"password": "ann-secret"}),
        json!({"username": "", "password": "ann-secret"}),
        json!({"username": "ann@", "password": "ann-secret"}),
        json!({"username": "ann@example.com", "password": ""}),
        json!({"username": "ann@example.com", "password": "short"}),
        json!({"username": format!("{}@example.com", "a".repeat(300)), "password": "ann-secret"}),
        json!({"username": "ann@example.com", "password": "x".repeat(5000)}),
    ] {
        let answer = service.send(users::REGISTER).json(&body).await;
        answer.is(400, &refusal_of_users(400, TEXT));
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        assert_ne!(message, "username already exist", "{body}");
    }
    let ann = Person::called("ann");
    Contract::Users.registers(&service.http(), &ann).await;
}

async fn a_login_is_answered_as_printed(store: Store) {
    let service = Program::on(store).await;
    let ann = Person::called("ann");
    Contract::Users.registers(&service.http(), &ann).await;
    for username in [&ann.email, &ann.in_capitals().email] {
        let body = json!({"username": username, "password": ann.password});
        let answer = service.send(users::LOGIN).json(&body).await;
        answer.is(
            200,
            &success_of_users(
                "successfully login",
                &json!({"access_token": JWT, "refresh_token": JWT}),
            ),
        );
        assert_eq!(answer.cookie("refreshToken"), None, "/users sets no cookie");
    }
}

async fn a_wrong_password_and_an_unknown_name_are_refused_as_printed(store: Store) {
    let service = Program::on(store).await;
    let ann = Person::called("ann");
    Contract::Users.registers(&service.http(), &ann).await;
    for (username, password) in [
        ("ann@example.com", "not-her-secret"),
        ("ann@example.com", "short"),
        ("unknown@example.com", "ann-opens-sesame"),
        ("unknown", "ann-opens-sesame"),
    ] {
        let body = json!({"username": username, "password": password});
        let answer = service.send(users::LOGIN).json(&body).await;
        answer.is(
            400,
            &refusal_of_users(400, "username and password not match"),
        );
    }
}

async fn a_login_that_lacks_members_is_refused_in_one_sentence(store: Store) {
    let service = Program::on(store).await;
    for body in [
        json!({}),
        json!({"username": "ann@example.com"}),
        json!({"password": "ann-secret"}),
        json!({"username": "", "password": ""}),
    ] {
        let answer = service.send(users::LOGIN).json(&body).await;
        answer.is(400, &refusal_of_users(400, TEXT));
    }
}

async fn access_tokens_carry_id_and_role_for_five_minutes(store: Store) {
    let service = Program::on(store).await;
    let ann = Person::called("ann");
    Contract::Users.registers(&service.http(), &ann).await;
    let tokens = Contract::Users.signs_in(&service.http(), &ann).await;
    let expected = json!({"id": UUID, "role": "user", "client_id": "users"});
    let claims = token::carries(&tokens.access, &expected);
    assert_eq!(claims["id"], claims["sub"]);
    assert_eq!(token::lifetime(&tokens.access), 300);
}

async fn refresh_tokens_carry_id_and_role_for_seven_days(store: Store) {
    let service = Program::on(store).await;
    let ann = Person::called("ann");
    Contract::Users.registers(&service.http(), &ann).await;
    let tokens = Contract::Users.signs_in(&service.http(), &ann).await;
    let claims = token::carries(tokens.refresh(), &json!({"id": UUID, "role": "user"}));
    assert_eq!(claims["id"], claims["sub"]);
    assert_eq!(token::lifetime(tokens.refresh()), 7 * 24 * 60 * 60);
    assert_eq!(claims["sid"], token::claims(&tokens.access)["sid"]);
}

async fn a_valid_access_token_verifies_bare_and_as_bearer(store: Store) {
    let service = Program::on(store).await;
    let ann = Person::called("ann");
    Contract::Users.registers(&service.http(), &ann).await;
    let tokens = Contract::Users.signs_in(&service.http(), &ann).await;
    let verified = success_of_users("token verified", &Value::Null);
    let answer = service
        .send(users::VERIFY)
        .authorization(&tokens.access)
        .await;
    answer.is(200, &verified);
    let answer = service.send(users::VERIFY).bearer(&tokens.access).await;
    answer.is(200, &verified);
    // RFC 9110 §11.1: the name of a scheme has no case.
    let lower_case = format!("bearer {}", tokens.access);
    let answer = service.send(users::VERIFY).authorization(&lower_case).await;
    answer.is(200, &verified);
}

async fn an_invalid_access_token_is_refused_as_printed(store: Store) {
    let service = Program::on(store).await;
    let ann = Person::called("ann");
    Contract::Users.registers(&service.http(), &ann).await;
    let tokens = Contract::Users.signs_in(&service.http(), &ann).await;
    let answer = service.send(users::VERIFY).await;
    answer.is(
        400,
        &refusal_of_users(400, "please provided a valid access_token!"),
    );
    for token in [
        "access_token",
        "Bearer",
        "Basic YW5uOmFubi1zZWNyZXQ=",
        tokens.refresh(),
        &token::forged(&tokens.access),
        &token::unsigned(&tokens.access),
        &token::altered(&tokens.access, |claims| {
            claims["exp"] = json!(9_999_999_999_u64);
        }),
        // The example token of the document, which another service signed long ago.
        printed_in(
            "users.md",
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpZCI6IjFiMjRhMmRlLWQyMDQtNGVjMy05NjY0LTZlNTgyYzBkMTRkZiIsInJvbGUiOiJ1c2VyIiwiaWF0IjoxNzE3MzEzMjg0LCJleHAiOjE3MTczMTM1ODR9.OHEiDtKfIxAWnHxRJsF_74fxf6JtXVIdsfm9hgBnSsfFVOQ",
        ),
    ] {
        is_refused(&service.http(), token).await;
    }
}

async fn a_refresh_is_answered_with_an_access_token_alone(store: Store) {
    let service = Program::on(store).await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::Users.registers(&http, &ann).await;
    let tokens = Contract::Users.signs_in(&http, &ann).await;
    let answer = service
        .send(users::REFRESH)
        .authorization(tokens.refresh())
        .await;
    let body = answer.is(
        200,
        &success_of_users(
            "successfully refresh access_token",
            &json!({"access_token": JWT}),
        ),
    );
    let access = body["data"]["access_token"].as_str().unwrap();
    assert_ne!(access, tokens.access);
    let expected = json!({"id": UUID, "role": "user", "client_id": "users"});
    token::carries(access, &expected);
    assert_eq!(token::lifetime(access), 300);
    verifies(&http, access).await;
    // The earlier access token stays valid.
    verifies(&http, &tokens.access).await;
}

async fn the_refresh_token_stays_valid_until_the_logout(store: Store) {
    let service = Program::on(store).await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::Users.registers(&http, &ann).await;
    let tokens = Contract::Users.signs_in(&http, &ann).await;
    let mut newest = tokens.access.clone();
    for _ in 0..5 {
        let answer = service.send(users::REFRESH).bearer(tokens.refresh()).await;
        assert_eq!(answer.status, 200, "{answer}");
        newest = answer.json()["data"]["access_token"]
            .as_str()
            .unwrap()
            .to_owned();
    }
    let answer = service.send(api_auth::LOGOUT).bearer(&newest).await;
    assert_eq!(answer.status, 200, "{answer}");
    refreshes_nothing(&http, tokens.refresh()).await;
    is_refused(&http, &tokens.access).await;
    is_refused(&http, &newest).await;
}

async fn an_invalid_refresh_token_is_refused_as_printed(store: Store) {
    let service = Program::on(store).await;
    let ann = Person::called("ann");
    Contract::Users.registers(&service.http(), &ann).await;
    let tokens = Contract::Users.signs_in(&service.http(), &ann).await;
    let answer = service.send(users::REFRESH).await;
    answer.is(
        400,
        &refusal_of_users(400, "please provided a valid refresh_token!"),
    );
    for token in [
        "refresh_token",
        tokens.access.as_str(),
        &token::forged(tokens.refresh()),
        &token::unsigned(tokens.refresh()),
    ] {
        refreshes_nothing(&service.http(), token).await;
    }
}
