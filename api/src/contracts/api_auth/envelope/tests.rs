//! The responses of `/api/auth`, byte for byte as its documents print them.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::tests::{body, every_refusal, signed_in, some_instant};

const AT: &str = "2024-07-24T16:34:05.337Z";

#[test]
fn every_refusal_has_its_status_and_text() {
    let statuses: Vec<(u16, Value)> = every_refusal()
        .into_iter()
        .map(|refusal| {
            let response = refused(refusal, some_instant());
            (response.status().as_u16(), body(response))
        })
        .collect();
    for (status, body) in &statuses {
        assert_eq!(body["statusCode"], *status);
        assert_eq!(body["status"], "error");
        assert_eq!(body["timestamp"], AT);
    }
    let printed: Vec<(u16, &str)> = statuses
        .iter()
        .map(|(status, body)| (*status, body["message"].as_str().unwrap()))
        .collect();
    assert_eq!(
        printed,
        [
            (400, "Bad Request"),
            (403, "Registration is closed"),
            (400, "username already exist, try another"),
            (403, "Username or Password is wrong"),
            (401, "Unauthorized"),
            (403, "Forbidden"),
            (403, "Forbidden"),
            (401, "Unauthorized"),
            (401, "Unauthorized"),
            (401, "Unauthorized"),
            (401, "Unauthorized"),
            (404, "Not Found"),
            (404, "Not Found"),
            (404, "Not Found"),
            (404, "Not Found"),
            (409, "Conflict"),
            (429, "Too Many Requests"),
            (503, "Service Unavailable"),
            (503, "Service Unavailable"),
        ]
    );
}

#[test]
fn an_invalid_field_has_a_list_of_sentences() {
    let violations = [
        (Field::Username, Flaw::Required),
        (Field::Email, Flaw::Malformed),
        (Field::Name, Flaw::TooLong { max: 100 }),
        (Field::Password, Flaw::TooShort { min: 7 }),
        (Field::PasswordConfirmation, Flaw::Mismatch),
    ]
    .map(|(field, flaw)| Violation { field, flaw });
    let refusal = Refusal::Invalid(violations.to_vec());
    assert_eq!(
        body(refused(refusal, some_instant())),
        json!({
            "timestamp": AT,
            "statusCode": 400,
            "status": "error",
            "message": "Bad Request",
            "errors": {
                "username": ["The username field is required."],
                "email": ["The email field must be a valid email address."],
                "fullname": ["The fullname field must not be greater than 100 characters."],
                "password": ["The password field must be at least 7 characters."],
                "confirm_password": ["The confirm_password field must match password."],
            }
        })
    );
}

#[test]
fn a_taken_username_comes_before_a_taken_address() {
    let kinds = vec![IdentifierKind::Email, IdentifierKind::Username];
    let printed = body(refused(Refusal::IdentifierTaken(kinds), some_instant()));
    assert_eq!(printed["message"], "username already exist, try another");
    assert_eq!(
        printed["errors"],
        json!({
            "username": ["The username has already been taken."],
            "email": ["The email has already been taken."],
        })
    );
    let kinds = vec![IdentifierKind::Email];
    let printed = body(refused(Refusal::IdentifierTaken(kinds), some_instant()));
    assert_eq!(printed["message"], "email already exist, try another");
}

#[test]
fn an_invalid_refresh_token_has_its_own_sentence_by_cookie() {
    for refusal in [Refusal::InvalidRefreshToken, Refusal::RefreshTokenReused] {
        let response = refused_by_cookie(refusal, some_instant());
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(
            body(response)["message"],
            "Invalid or expired refresh token"
        );
    }
    let refusal = Refusal::TooManyAttempts {
        retry_after: Duration::from_millis(1500),
    };
    let response = refused_by_cookie(refusal, some_instant());
    assert_eq!(response.headers()["retry-after"], "2");
}

#[test]
fn a_registration_has_the_fields_of_both_documents() {
    let response = registered(&signed_in(), "Register successfully", some_instant());
    assert_eq!(response.status(), StatusCode::CREATED);
    assert_eq!(
        body(response),
        json!({
            "timestamp": AT,
            "statusCode": 201,
            "status": "success",
            "message": "Register successfully",
            "data": {
                "access_token": {"token": "access", "expires_in": "2024-07-24T19:39:03.530Z"},
                "refresh_token": {"token": "refresh", "expires_in": "2024-07-27T16:39:03.530Z"},
                "username": "ahmadsolih",
                "email": "ahmadsolih@gmail.com",
                "role": "user",
                "createdAt": "2025-11-23 21:38:00",
                "updatedAt": "2025-11-23 21:39:00",
            }
        })
    );
}

#[test]
fn a_login_has_the_fields_of_both_documents() {
    let printed = body(logged_in(&signed_in(), some_instant()));
    assert_eq!(printed["message"], "User successfully logged in");
    assert_eq!(printed["accessToken"], "access");
    assert_eq!(
        printed["user"],
        json!({"username": "ahmadsolih", "email": "ahmadsolih@gmail.com", "role": "user"})
    );
    let names: Vec<&String> = printed["data"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["access_token", "refresh_token"]);
}

#[test]
fn the_cookie_lives_as_long_as_its_token_and_is_deleted_immediately() {
    let cookie = |response: Response| {
        let value = response.headers()[SET_COOKIE].to_str().unwrap();
        value.to_owned()
    };
    let scope = CookieScope::default();
    let plain = CookieScope {
        secure: false,
        ..CookieScope::default()
    };
    assert_eq!(
        cookie(with_cookie(
            logged_out(some_instant()),
            &signed_in(),
            &scope
        )),
        "refreshToken=refresh; Max-Age=259200; Path=/api/auth; HttpOnly; SameSite=Strict; Secure"
    );
    assert_eq!(
        cookie(without_cookie(logged_out(some_instant()), &plain)),
        "refreshToken=; Max-Age=0; Path=/api/auth; HttpOnly; SameSite=Strict"
    );
}

#[test]
fn errors_before_a_use_case_use_the_same_envelope() {
    for failure in RequestError::ALL {
        let response = failed(failure, some_instant());
        assert_eq!(response.status(), failure.status());
        let printed = body(response);
        assert_eq!(printed["statusCode"], failure.status().as_u16());
        assert_eq!(
            printed["message"],
            failure.status().canonical_reason().unwrap()
        );
    }
}
