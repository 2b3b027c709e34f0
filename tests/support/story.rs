//! One story in which everything happens that can.

use std::collections::BTreeSet;

use authlog_application::published::cloud_event_type;
use authlog_domain::EventKind;
use serde_json::json;

use super::contract::Tokens;
use super::mail::{mail_to, new_mail_to};
use super::{Contract, Endpoint, Person, Program, api_auth, eventually, own, staff, users};

/// The types of all published events, as readers know them.
pub fn every_type() -> BTreeSet<String> {
    EventKind::ALL.map(cloud_event_type).into()
}

/// How many events happen in [`everything_happens`]: to register by contract A is to sign in, too.
pub const EVENTS: usize = 2 + 2 * 4 + 1 + 3 + 4 + 2 + 1 + 1 + 14 + 3;

/// Somebody called `name` registers, signs in by every contract, refreshes, logs out, confirms the address, is robbed,
/// forgets the password and gets another role; somebody else comes, changes everything, is locked out for a while and
/// is erased; and a third is taken over from another service. Every type of event happens. Returns the person, with the
/// password that they have now, and a
/// session that lives.
pub async fn everything_happens(service: &Program, name: &str) -> (Person, Tokens) {
    let http = service.http();
    let person = Person::called(name);
    Contract::ApiAuth.registers(&http, &person).await;
    for contract in Contract::ALL {
        let tokens = contract.signs_in(&http, &person).await;
        let answer = service.send(api_auth::LOGOUT).bearer(&tokens.access).await;
        assert_eq!(answer.status, 200, "{answer}");
    }
    let stranger = person.with_password("not-the-password");
    let refused = Contract::ApiAuth.sign_in(&http, &stranger).await;
    Contract::ApiAuth.says_wrong_credentials(&refused);

    let stolen = Contract::ApiAuth.signs_in(&http, &person).await;
    let request = service.send(own::REQUEST_VERIFICATION);
    let answer = request.bearer(&stolen.access).await;
    assert_eq!(answer.status, 202, "{answer}");
    let verification = mail_to(service, &person.email).await;
    follows(service, &verification.token(), &stolen.access).await;
    let mut newest = stolen.clone();
    for _ in 0..2 {
        let answer = service
            .send(api_auth::REFRESH)
            .bearer(newest.refresh())
            .await;
        newest = Contract::ApiAuth.tokens_in(&answer.json());
    }
    let answer = service
        .send(api_auth::REFRESH)
        .bearer(stolen.refresh())
        .await;
    assert_eq!(answer.status, 401, "{answer}");

    let request = service.send(users::REQUEST_RESET);
    let answer = request.json(&json!({"username": person.email})).await;
    assert_eq!(answer.status, 200, "{answer}");
    let reset = new_mail_to(service, &person.email, &[verification]).await;
    let token = reset.token();
    let person = person.with_password("another-secret");
    let request = service.send(users::UPDATE_PASSWORD).authorization(&token);
    let answer = request.json(&json!({"password": person.password})).await;
    assert_eq!(answer.status, 200, "{answer}");
    staff::promote(service, &person, "auditor");
    let tokens = Contract::ApiAuth.signs_in(&http, &person).await;

    let guest = Person::called(&format!("{name}-for-a-day"));
    Contract::Users.registers(&http, &guest).await;
    let of_guest = Contract::Users.signs_in(&http, &guest).await;
    let guest = changes_everything(service, &guest, &of_guest.access).await;
    let of_guest = Contract::Users.signs_in(&http, &guest).await;
    let request = service.send(own::ERASE).bearer(&of_guest.access);
    let answer = request.json(&json!({"password": guest.password})).await;
    assert_eq!(answer.status, 204, "{answer}");
    comes_from_elsewhere(service, &format!("{name}-from-elsewhere")).await;
    (person, tokens)
}

/// Somebody is taken over from another service and signs in, upon which their password is hashed anew.
async fn comes_from_elsewhere(service: &Program, name: &str) {
    let person = Person::called(name).with_password("U*U*");
    let line = json!({
        "username": person.username,
        "email": person.email,
        "password_hash": "$2b$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK",
    });
    let import = service
        .settings
        .run(&["user", "import", "-"], &line.to_string());
    assert!(import.status.success(), "{import:?}");
    Contract::ApiAuth.signs_in(&service.http(), &person).await;
    eventually("the password is hashed anew", async || {
        let history = service.settings.run(&["history", name], "");
        let history = String::from_utf8_lossy(&history.stdout).into_owned();
        history.contains("renewed").then_some(())
    })
    .await;
}

/// Confirms an address by a mailed link, for a person who is signed in with `access`.
pub async fn follows(service: &Program, token: &str, access: &str) {
    let request = service.send(own::EMAIL_FORM).form(&[("token", token)]);
    let answer = request.bearer(access).await;
    assert_eq!(answer.status, 200, "{answer}");
}

/// Somebody who is signed in with `access` gets another address and another password, ends their sessions, and is locked
/// and unlocked: ten events with the login in between.
async fn changes_everything(service: &Program, person: &Person, access: &str) -> Person {
    let email = format!("new-{}", person.email);
    let request = service.send(own::CHANGE_EMAIL).bearer(access);
    let answer = request
        .json(&json!({"email": email, "password": person.password}))
        .await;
    assert_eq!(answer.status, 202, "{answer}");
    let link = mail_to(service, &email).await.token();
    follows(service, &link, access).await;
    let person = Person {
        email,
        ..person.clone()
    };
    let request = service.send(own::CHANGE_PASSWORD).bearer(access);
    let new = "yet-another-secret";
    let answer = request
        .json(&json!({"current_password": person.password, "new_password": new}))
        .await;
    assert_eq!(answer.status, 204, "{answer}");
    let person = person.with_password(new);
    Contract::Api.signs_in(&service.http(), &person).await;
    let sessions = service.send(own::SESSIONS).bearer(access).await.json();
    let sessions = sessions["sessions"].as_array().expect("sessions").clone();
    let other = sessions.iter().find(|session| session["current"] == false);
    let other = other.expect("another session")["id"].as_str();
    let path = format!("/account/sessions/{}", other.expect("its id"));
    let end = Endpoint::at("DELETE", path.leak());
    let answer = service.send(end).bearer(access).await;
    assert_eq!(answer.status, 204, "{answer}");
    Contract::Api.signs_in(&service.http(), &person).await;
    let answer = service.send(own::END_OTHER_SESSIONS).bearer(access).await;
    assert_eq!(answer.status, 204, "{answer}");
    for verb in ["lock", "unlock"] {
        let output = service.settings.run(&["user", verb, &person.email], "");
        assert!(output.status.success(), "{output:?}");
    }
    person
}
