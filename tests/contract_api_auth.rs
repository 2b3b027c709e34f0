//! The contract `/api/auth`: `api-auth-a.md` and `api-auth-b.md`, two documents on the same paths.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::support;

use serde_json::{Value, json};
use support::contract::{refusal_of_api_auth, verifies};
use support::document::printed_in;
use support::form::{
    JWT, NOW_CALENDAR, NOW_MILLIS, NOW_UNIX_MILLIS, RFC3339, TEXTS, UUID, rfc3339,
};
use support::http::Http;
use support::{
    Answer, Contract, Person, Program, Settings, Store, api_auth, on_both_stores, token,
};

on_both_stores!(
    the_documented_examples_work_in_order_on_an_empty_store,
    a_registration_is_answered_with_the_message_of_the_clients_document,
    the_login_path_registers_a_request_with_a_full_name,
    a_registration_that_lacks_members_names_each_of_them,
    the_printed_incomplete_registration_is_answered_as_printed,
    a_registration_is_refused_for_what_is_wrong_with_its_members,
    a_taken_username_is_refused_as_printed,
    a_taken_email_is_refused_in_the_same_way,
    a_registration_in_which_both_names_are_taken_names_both,
    a_login_is_answered_with_the_members_of_both_documents,
    a_login_works_by_username_and_by_email,
    a_wrong_password_is_forbidden,
    a_login_that_lacks_members_names_each_of_them,
    the_cookie_is_kept_from_scripts_and_from_other_sites,
    the_cookie_is_secure_where_the_service_is_reached_by_https,
    access_tokens_carry_the_claims_of_both_documents_for_three_hours,
    refresh_tokens_carry_their_claims_for_three_days,
    a_logout_ends_the_session_and_clears_the_cookie,
    a_logout_without_a_valid_access_token_is_unauthorized,
    a_refresh_by_bearer_token_is_answered_with_a_new_pair,
    a_refresh_by_cookie_is_answered_with_a_new_pair_and_a_new_cookie,
    the_endpoint_for_the_cookie_also_accepts_the_refresh_token_in_the_header,
    a_refresh_without_a_valid_refresh_token_is_unauthorized,
);

async fn the_documented_examples_work_in_order_on_an_empty_store(store: Store) {
    // The program runs with its default settings.
    let settings = Settings::on(store).without("AUTHLOG_RATE_LIMIT");
    let service = settings.start().await;
    let first = "api-auth-a.md";
    let second = "api-auth-b.md";

    let registration = printed_in(
        second,
        r#"{
  "username": "ahmadsolih",
  "email": "ahmadsolih@gmail.com",
  "password": "ahmad_secret",
  "confirm_password": "ahmad_secret"
}"#,
    );
    let answer = service
        .send(api_auth::REGISTER)
        .json_text(registration)
        .await;
    assert_eq!(answer.status, 201, "{answer}");

    let login = printed_in(
        second,
        r#"{
  "username": "ahmadsolih",
  "password": "ahmad_secret"
}"#,
    );
    let answer = service.send(api_auth::LOGIN).json_text(login).await;
    assert_eq!(answer.status, 200, "{answer}");
    let body = answer.json();
    let user = json!({"username": "ahmadsolih", "email": "ahmadsolih@gmail.com", "role": "user"});
    assert_eq!(body["user"], user);
    let access = body["accessToken"].as_str().unwrap();
    let cookie = answer.cookie("refreshToken").unwrap();

    let answer = service
        .send(api_auth::REFRESH_TOKEN)
        .cookie("refreshToken", &cookie.value)
        .await;
    assert_eq!(answer.status, 200, "{answer}");

    let answer = service.send(api_auth::LOGOUT).bearer(access).await;
    assert_eq!(answer.status, 200, "{answer}");

    let registration = printed_in(
        first,
        r#"{
    "fullname": "yourname",
    "email"   : "yourmail@example.com",
    "username": "yourusername", 
    "password": "yourpassword"
}"#,
    );
    let answer = service.send(api_auth::LOGIN).json_text(registration).await;
    assert_eq!(answer.status, 201, "{answer}");

    let login = printed_in(
        first,
        r#"{
    "username": "yourusername",
    "password": "yourpassword"
}"#,
    );
    let answer = service.send(api_auth::LOGIN).json_text(login).await;
    assert_eq!(answer.status, 200, "{answer}");
    let tokens = Contract::ApiAuth.tokens_in(&answer.json());

    let answer = service
        .send(api_auth::REFRESH)
        .bearer(tokens.refresh())
        .await;
    assert_eq!(answer.status, 200, "{answer}");

    let answer = service
        .send(api_auth::LOGOUT)
        .header("content-type", "application/json")
        .bearer(&tokens.access)
        .await;
    assert_eq!(answer.status, 200, "{answer}");
}

async fn a_registration_is_answered_with_the_message_of_the_clients_document(store: Store) {
    let service = Program::on(store).await;
    let body = json!({"username": "ann", "email": "ann@example.com", "password": "ann-secret"});
    let answer = service.send(api_auth::REGISTER).json(&body).await;
    answer.is(201, &registered("User successfully registered", "ann"));

    let body = json!({"username": "bob", "email": "bob@example.com", "password": "bob-secret",
        "confirm_password": "bob-secret"});
    let answer = service.send(api_auth::REGISTER).json(&body).await;
    answer.is(201, &registered("Register successfully", "bob"));

    let body = json!({"fullname": "Cid Doe", "username": "cid", "email": "cid@example.com",
        "password": "cid-secret"});
    let answer = service.send(api_auth::REGISTER).json(&body).await;
    let body = answer.is(201, &registered("User successfully registered", "cid"));
    verifies(&service.http(), &Contract::ApiAuth.tokens_in(&body).access).await;
}

async fn the_login_path_registers_a_request_with_a_full_name(store: Store) {
    let service = Program::on(store).await;
    let body = json!({"fullname": "Ann Doe", "email": "ann@example.com", "username": "ann",
        "password": "ann-secret"});
    let answer = service.send(api_auth::LOGIN).json(&body).await;
    answer.is(201, &registered("User successfully registered", "ann"));

    let answer = service.send(api_auth::LOGIN).json(&body).await;
    says_username_taken(&answer, &["email", "username"]);

    let answer = service
        .send(api_auth::LOGIN)
        .json(&json!({"fullname": "Bob Doe", "email": "bob@example.com"}))
        .await;
    answer.is(
        400,
        &invalid(&json!({"username": ["The username field is required."],
            "password": ["The password field is required."]})),
    );
}

async fn a_registration_that_lacks_members_names_each_of_them(store: Store) {
    let service = Program::on(store).await;
    let every = json!({"username": ["The username field is required."],
        "email": ["The email field is required."],
        "password": ["The password field is required."]});
    for body in [
        json!({}),
        json!({"username": "", "email": "", "password": ""}),
    ] {
        let answer = service.send(api_auth::REGISTER).json(&body).await;
        answer.is(400, &invalid(&every));
    }
}

async fn the_printed_incomplete_registration_is_answered_as_printed(store: Store) {
    let service = Program::on(store).await;
    let errors = printed_in(
        "api-auth-a.md",
        r#"{
        "username": [
            "The username field is required."
        ],
        "password": [
            "The password field is required."
        ]
    }"#,
    );
    let errors: Value = serde_json::from_str(errors).unwrap();
    let body = json!({"fullname": "yourname", "email": "yourmail@example.com"});
    let answer = service.send(api_auth::REGISTER).json(&body).await;
    answer.is(400, &invalid(&errors));
}

async fn a_registration_is_refused_for_what_is_wrong_with_its_members(store: Store) {
    let service = Program::on(store).await;
    let good = json!({"username": "ann", "email": "ann@example.com", "password": "ann-secret"});
    for (field, value) in [
        ("email", json!("ann")),
        ("email", json!("ann@")),
        ("email", json!("ann@example.com\r\nBcc: all@example.com")),
        ("email", json!(format!("{}@example.com", "a".repeat(300)))),
        ("username", json!("a".repeat(300))),
        ("username", json!("ann\u{0}")),
        ("username", json!("another@example.com")),
        ("password", json!("short")),
        ("password", json!("x".repeat(5000))),
        ("confirm_password", json!("another-secret")),
    ] {
        let mut body = good.clone();
        body[field] = value;
        let answer = service.send(api_auth::REGISTER).json(&body).await;
        answer.is(400, &invalid(&json!({field: TEXTS})));
    }
    // None of them left an account or a claim.
    let answer = service.send(api_auth::REGISTER).json(&good).await;
    assert_eq!(answer.status, 201, "{answer}");
}

async fn a_taken_username_is_refused_as_printed(store: Store) {
    let service = Program::on(store).await;
    let http = service.http();
    printed_in(
        "api-auth-b.md",
        r#""message": "username already exist, try another""#,
    );
    Contract::ApiAuth
        .registers(&http, &Person::called("ann"))
        .await;
    for username in ["ann", "ANN", "Ann"] {
        let body = json!({"username": username, "email": "other@example.com",
            "password": "other-secret"});
        let answer = service.send(api_auth::REGISTER).json(&body).await;
        says_username_taken(&answer, &["username"]);
    }
}

async fn a_taken_email_is_refused_in_the_same_way(store: Store) {
    let service = Program::on(store).await;
    let http = service.http();
    Contract::ApiAuth
        .registers(&http, &Person::called("ann"))
        .await;
    for email in ["ann@example.com", "Ann@Example.COM"] {
        let body = json!({"username": "other", "email": email, "password": "other-secret"});
        let answer = service.send(api_auth::REGISTER).json(&body).await;
        Contract::ApiAuth.says_email_taken(&answer);
    }
    // The refused registrations did not take the username that came with them.
    Contract::ApiAuth
        .registers(&http, &Person::called("other"))
        .await;
}

async fn a_registration_in_which_both_names_are_taken_names_both(store: Store) {
    let service = Program::on(store).await;
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&service.http(), &ann).await;
    let answer = Contract::ApiAuth.register(&service.http(), &ann).await;
    says_username_taken(&answer, &["email", "username"]);
}

async fn a_login_is_answered_with_the_members_of_both_documents(store: Store) {
    let service = Program::on(store).await;
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&service.http(), &ann).await;

    let answer = sign_in(&service.http(), "ann", &ann.password).await;
    let body = answer.is(
        200,
        &json!({
            "timestamp": NOW_MILLIS,
            "statusCode": 200,
            "status": "success",
            "message": "User successfully logged in",
            "data": pair(),
            "user": {"username": "ann", "email": "ann@example.com", "role": "user"},
            "accessToken": JWT,
        }),
    );
    assert_eq!(body["accessToken"], body["data"]["access_token"]["token"]);
    expires_as_it_says(&body["data"]["access_token"]);
    expires_as_it_says(&body["data"]["refresh_token"]);
    let cookie = answer.cookie("refreshToken").unwrap();
    assert_eq!(cookie.value, body["data"]["refresh_token"]["token"]);
}

async fn a_login_works_by_username_and_by_email(store: Store) {
    let service = Program::on(store).await;
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&service.http(), &ann).await;
    for identifier in ["ann", "ANN", "ann@example.com", "Ann@Example.com"] {
        let answer = sign_in(&service.http(), identifier, &ann.password).await;
        assert_eq!(answer.status, 200, "{identifier}: {answer}");
        let user = json!({"username": "ann", "email": "ann@example.com", "role": "user"});
        assert_eq!(answer.json()["user"], user);
    }
}

async fn a_wrong_password_is_forbidden(store: Store) {
    let service = Program::on(store).await;
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&service.http(), &ann).await;
    for (identifier, password) in [
        ("ann", "not-her-secret"),
        ("ann", "short"),
        ("ann", "Ann-opens-sesame"),
        ("ann", "ann-opens-sesame "),
        ("ann@example.com", "not-her-secret"),
        ("unknown", "ann-opens-sesame"),
        ("unknown@example.com", "ann-opens-sesame"),
    ] {
        let answer = sign_in(&service.http(), identifier, password).await;
        Contract::ApiAuth.says_wrong_credentials(&answer);
        assert_eq!(answer.cookie("refreshToken"), None);
    }
}

async fn a_login_that_lacks_members_names_each_of_them(store: Store) {
    let service = Program::on(store).await;
    let answer = service.send(api_auth::LOGIN).json(&json!({})).await;
    answer.is(
        400,
        &invalid(&json!({"username": ["The username field is required."],
            "password": ["The password field is required."]})),
    );
    let answer = service
        .send(api_auth::LOGIN)
        .json(&json!({"username": "ann"}))
        .await;
    answer.is(
        400,
        &invalid(&json!({"password": ["The password field is required."]})),
    );
}

async fn the_cookie_is_kept_from_scripts_and_from_other_sites(store: Store) {
    let service = Program::on(store).await;
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&service.http(), &ann).await;
    let answer = sign_in(&service.http(), "ann", &ann.password).await;
    let cookie = answer.cookie("refreshToken").unwrap();
    assert_eq!(cookie.attribute("httponly"), Some(""), "{cookie:?}");
    assert_eq!(cookie.attribute("samesite"), Some("Strict"), "{cookie:?}");
    assert_eq!(cookie.attribute("path"), Some("/api/auth"), "{cookie:?}");
    let three_days = (3 * 24 * 60 * 60).to_string();
    assert_eq!(cookie.attribute("max-age"), Some(three_days.as_str()));
    assert_eq!(cookie.attribute("domain"), None, "{cookie:?}");
    // The tests use plain HTTP, over which a browser does not return a secure cookie.
    assert_eq!(cookie.attribute("secure"), None, "{cookie:?}");
}

async fn the_cookie_is_secure_where_the_service_is_reached_by_https(store: Store) {
    let settings = Settings::on(store).with("AUTHLOG_PUBLIC_URL", "https://auth.example.com");
    let service = settings.start().await;
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&service.http(), &ann).await;
    let answer = sign_in(&service.http(), "ann", &ann.password).await;
    let cookie = answer.cookie("refreshToken").unwrap();
    assert_eq!(cookie.attribute("secure"), Some(""), "{cookie:?}");
    let answer = service
        .send(api_auth::REFRESH_TOKEN)
        .cookie("refreshToken", &cookie.value)
        .await;
    let cookie = answer.cookie("refreshToken").unwrap();
    assert_eq!(cookie.attribute("secure"), Some(""), "{cookie:?}");
}

async fn access_tokens_carry_the_claims_of_both_documents_for_three_hours(store: Store) {
    let service = Program::on(store).await;
    let body = json!({"fullname": "Ann Doe", "email": "ann@example.com", "username": "ann",
        "password": "ann-secret"});
    let answer = service.send(api_auth::REGISTER).json(&body).await;
    let registered = Contract::ApiAuth.tokens_in(&answer.json());
    let answer = sign_in(&service.http(), "ann", "ann-secret").await;
    let signed_in = Contract::ApiAuth.tokens_in(&answer.json());
    let answer = service
        .send(api_auth::REFRESH)
        .bearer(signed_in.refresh())
        .await;
    let refreshed = Contract::ApiAuth.tokens_in(&answer.json());

    for tokens in [&registered, &signed_in, &refreshed] {
        let claims = token::carries(
            &tokens.access,
            &json!({"user_id": UUID, "sub": UUID, "email": "ann@example.com", "role": "user",
                "name": "Ann Doe", "timestamp": NOW_UNIX_MILLIS,
                "email_verified": false, "client_id": "api-auth"}),
        );
        assert_eq!(claims["user_id"], claims["sub"]);
        assert_eq!(token::lifetime(&tokens.access), 3 * 60 * 60);
    }
    // A refreshed session is the same session with another token.
    let [before, after] = [&signed_in, &refreshed].map(|tokens| token::claims(&tokens.access));
    assert_eq!(before["sid"], after["sid"]);
    assert_ne!(before["jti"], after["jti"]);
    assert_ne!(token::claims(&registered.access)["sid"], before["sid"]);
}

async fn refresh_tokens_carry_their_claims_for_three_days(store: Store) {
    let service = Program::on(store).await;
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&service.http(), &ann).await;
    let tokens = Contract::ApiAuth.signs_in(&service.http(), &ann).await;
    let claims = token::carries(
        tokens.refresh(),
        &json!({"user_id": UUID, "timestamp": NOW_UNIX_MILLIS}),
    );
    assert_eq!(claims["user_id"], claims["sub"]);
    assert_eq!(token::lifetime(tokens.refresh()), 3 * 24 * 60 * 60);
    assert_eq!(claims["sid"], token::claims(&tokens.access)["sid"]);
}

async fn a_logout_ends_the_session_and_clears_the_cookie(store: Store) {
    let service = Program::on(store).await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let ended = Contract::ApiAuth.signs_in(&http, &ann).await;
    let other = Contract::ApiAuth.signs_in(&http, &ann).await;

    let answer = service.send(api_auth::LOGOUT).bearer(&ended.access).await;
    answer.is(
        200,
        &json!({"timestamp": NOW_MILLIS, "statusCode": 200, "status": "success",
            "message": "User successfully logged out"}),
    );
    let cookie = answer.cookie("refreshToken").unwrap();
    assert_eq!(cookie.value, "");
    assert_eq!(cookie.attribute("max-age"), Some("0"), "{cookie:?}");
    // RFC 6265 §5.3: a cookie is replaced only by one of the same path.
    assert_eq!(cookie.attribute("path"), Some("/api/auth"), "{cookie:?}");

    support::contract::is_refused(&http, &ended.access).await;
    support::contract::refreshes_nothing(&http, ended.refresh()).await;
    let answer = service.send(api_auth::LOGOUT).bearer(&ended.access).await;
    answer.is(401, &refusal_of_api_auth(401, "Unauthorized"));
    // Another session of the same person continues.
    verifies(&http, &other.access).await;
}

async fn a_logout_without_a_valid_access_token_is_unauthorized(store: Store) {
    let service = Program::on(store).await;
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&service.http(), &ann).await;
    let tokens = Contract::ApiAuth.signs_in(&service.http(), &ann).await;

    let answer = service.send(api_auth::LOGOUT).await;
    answer.is(401, &refusal_of_api_auth(401, "Unauthorized"));
    for token in [
        "",
        "nonsense",
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9...",
        "00000000-0000-4000-8000-000000000000",
        tokens.refresh(),
        &token::forged(&tokens.access),
        &token::unsigned(&tokens.access),
        &token::altered(&tokens.access, |claims| claims["role"] = json!("admin")),
    ] {
        let answer = service.send(api_auth::LOGOUT).bearer(token).await;
        answer.is(401, &refusal_of_api_auth(401, "Unauthorized"));
    }
    verifies(&service.http(), &tokens.access).await;
}

async fn a_refresh_by_bearer_token_is_answered_with_a_new_pair(store: Store) {
    let service = Program::on(store).await;
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&service.http(), &ann).await;
    let old = Contract::ApiAuth.signs_in(&service.http(), &ann).await;

    let answer = service.send(api_auth::REFRESH).bearer(old.refresh()).await;
    let body = answer.is(200, &refreshed("Token successfully refreshed"));
    is_a_new_pair(&answer, &body, &old);
    verifies(&service.http(), body["accessToken"].as_str().unwrap()).await;
}

async fn a_refresh_by_cookie_is_answered_with_a_new_pair_and_a_new_cookie(store: Store) {
    let service = Program::on(store).await;
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&service.http(), &ann).await;
    let answer = sign_in(&service.http(), "ann", &ann.password).await;
    let old = Contract::ApiAuth.tokens_in(&answer.json());
    let first_cookie = answer.cookie("refreshToken").unwrap();

    let answer = service
        .send(api_auth::REFRESH_TOKEN)
        .cookie("refreshToken", &first_cookie.value)
        .await;
    let message = "New accessToken retrieved successfully";
    let body = answer.is(200, &refreshed(message));
    is_a_new_pair(&answer, &body, &old);
    let second_cookie = answer.cookie("refreshToken").unwrap();
    for attribute in ["httponly", "samesite", "path", "max-age"] {
        assert_eq!(
            second_cookie.attribute(attribute),
            first_cookie.attribute(attribute),
            "{attribute}"
        );
    }

    // A browser sends its other cookies along.
    let answer = service
        .send(api_auth::REFRESH_TOKEN)
        .header(
            "cookie",
            format!("theme=dark; refreshToken={}; x=y", second_cookie.value),
        )
        .await;
    answer.is(200, &refreshed(message));
}

async fn the_endpoint_for_the_cookie_also_accepts_the_refresh_token_in_the_header(store: Store) {
    let service = Program::on(store).await;
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&service.http(), &ann).await;
    let tokens = Contract::ApiAuth.signs_in(&service.http(), &ann).await;
    let answer = service
        .send(api_auth::REFRESH_TOKEN)
        .bearer(tokens.refresh())
        .await;
    answer.is(200, &refreshed("New accessToken retrieved successfully"));
}

async fn a_refresh_without_a_valid_refresh_token_is_unauthorized(store: Store) {
    let service = Program::on(store).await;
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&service.http(), &ann).await;
    let tokens = Contract::ApiAuth.signs_in(&service.http(), &ann).await;

    let answer = service.send(api_auth::REFRESH).await;
    answer.is(401, &refusal_of_api_auth(401, "Unauthorized"));
    let answer = service.send(api_auth::REFRESH_TOKEN).await;
    answer.is(
        401,
        &refusal_of_api_auth(401, "Invalid or expired refresh token"),
    );
    for token in [
        "nonsense",
        "def50200f49f3f3e277085787114b03650200f49f3f3e277085787114b03b",
        tokens.access.as_str(),
        &token::forged(tokens.refresh()),
        &token::unsigned(tokens.refresh()),
        &token::altered(tokens.refresh(), |claims| {
            claims["exp"] = json!(9_999_999_999_u64);
        }),
    ] {
        support::contract::refreshes_nothing(&service.http(), token).await;
    }
}

/// Signs in as `identifier`.
async fn sign_in(http: &Http, identifier: &str, password: &str) -> Answer {
    let body = Contract::ApiAuth.login_of(identifier, password);
    http.send(api_auth::LOGIN).json(&body).await
}

/// The access and refresh tokens of an answer of either document.
fn pair() -> Value {
    json!({
        "access_token": {"token": JWT, "expires_in": RFC3339},
        "refresh_token": {"token": JWT, "expires_in": RFC3339},
    })
}

/// The expected answer to the registration of this username.
fn registered(message: &str, username: &str) -> Value {
    let mut data = pair();
    data["username"] = json!(username);
    data["email"] = json!(format!("{username}@example.com"));
    data["role"] = json!("user");
    data["createdAt"] = json!(NOW_CALENDAR);
    data["updatedAt"] = json!(NOW_CALENDAR);
    json!({"timestamp": NOW_MILLIS, "statusCode": 201, "status": "success", "message": message,
        "data": data})
}

/// The expected answer to a refresh.
fn refreshed(message: &str) -> Value {
    json!({"timestamp": NOW_MILLIS, "statusCode": 200, "status": "success", "message": message,
        "data": pair(), "accessToken": JWT})
}

/// The expected answer to a request in which these members are invalid.
fn invalid(errors: &Value) -> Value {
    json!({"timestamp": NOW_MILLIS, "statusCode": 400, "status": "error",
        "message": "Bad Request", "errors": errors})
}

/// Asserts that the answer says that the username is taken, with sentences for exactly `fields`.
#[track_caller]
fn says_username_taken(answer: &Answer, fields: &[&str]) {
    let errors: Value = fields.iter().map(|field| (*field, TEXTS)).collect();
    answer.is(
        400,
        &json!({"timestamp": NOW_MILLIS, "statusCode": 400, "status": "error",
            "message": "username already exist, try another", "errors": errors}),
    );
}

/// Asserts that both tokens are new, and that the cookie and `accessToken` repeat them.
#[track_caller]
fn is_a_new_pair(answer: &Answer, body: &Value, old: &support::contract::Tokens) {
    let new = Contract::ApiAuth.tokens_in(body);
    assert_ne!(new.access, old.access);
    assert_ne!(new.refresh(), old.refresh());
    assert_eq!(body["accessToken"], new.access);
    assert_eq!(answer.cookie("refreshToken").unwrap().value, new.refresh());
    expires_as_it_says(&body["data"]["access_token"]);
    expires_as_it_says(&body["data"]["refresh_token"]);
}

/// Asserts that `expires_in` equals the expiry in the token's claims.
#[track_caller]
fn expires_as_it_says(issued: &Value) {
    let claims = token::claims(issued["token"].as_str().unwrap());
    let said = rfc3339(&issued["expires_in"]).unwrap();
    assert_eq!(Some(said.unix_timestamp()), claims["exp"].as_i64());
}
