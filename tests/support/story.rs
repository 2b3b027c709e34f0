//! One story in which every kind of event happens.

use std::collections::BTreeSet;

use authlog_application::published::cloud_event_type;
use authlog_domain::EventKind;
use serde_json::json;

use super::browser::Browser;
use super::contract::Tokens;
use super::mail::{Mail, mail_to, new_mail_to};
use super::oauth::{self, Registration};
use super::passkey::{self, Passkey};
use super::random::random_text;
use super::{
    Contract, Endpoint, Person, Program, api_auth, authenticator, eventually, own, staff, users,
};

/// What happened in [`everything_happens`].
pub struct Story {
    /// The first person, with their newest password.
    pub person: Person,
    /// A session of that person which is still alive.
    pub tokens: Tokens,
    /// The kind of every event, in no particular order.
    pub events: Vec<EventKind>,
}

impl Story {
    /// The published type of every event, sorted.
    pub fn types(&self) -> Vec<String> {
        let mut types: Vec<_> = self.events.iter().copied().map(cloud_event_type).collect();
        types.sort();
        types
    }
}

/// The published types of all kinds of events.
pub fn every_type() -> BTreeSet<String> {
    EventKind::ALL.map(cloud_event_type).into()
}

/// Makes every kind of event happen, and notes each event. The service has a public URL with a host name, for passkeys.
///
/// A person called `name` registers, signs in through every contract, refreshes, logs out, confirms the address, has a
/// refresh token stolen, resets the password and becomes an auditor. A second person changes everything that can be
/// changed, is locked for a while, and is erased. A third person is imported from another service.
///
/// The service needs [`Settings::with_a_breached_password`](super::Settings::with_a_breached_password).
pub async fn everything_happens(service: &Program, name: &str) -> Story {
    let mut events = Vec::new();
    let person = signs_in_and_out(service, name, &mut events).await;
    let verification = confirms_and_is_robbed(service, &person, &mut events).await;
    let person = resets_the_password(service, person, verification, &mut events).await;
    staff::set_role(service, &person, "auditor");
    let tokens = Contract::ApiAuth.signs_in(&service.http(), &person).await;
    events.extend([EventKind::RoleChanged, EventKind::LoggedIn]);
    comes_and_is_erased(service, &format!("{name}-for-a-day"), &mut events).await;
    is_imported(service, &format!("{name}-from-elsewhere"), &mut events).await;
    a_client_comes_and_goes(service, &mut events);
    a_client_takes_no_logout_token(service, &person, &mut events).await;
    let happened: BTreeSet<_> = events.iter().copied().collect();
    assert_eq!(happened, EventKind::ALL.into());
    Story {
        person,
        tokens,
        events,
    }
}

/// An operator registers a client, changes it, replaces its secret, locks it for a while, and removes it.
fn a_client_comes_and_goes(service: &Program, events: &mut Vec<EventKind>) {
    let run = |arguments: &[&str]| {
        let output = service.settings.run(arguments, "");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    let created = run(&[
        "client",
        "create",
        "--name",
        "Shop",
        "--redirect-uri",
        "https://shop.example/callback",
        "--json",
    ]);
    let created: serde_json::Value = serde_json::from_str(&created).expect("JSON");
    let id = created["id"].as_str().expect("its id");
    let secret = created["secrets"][0]["id"].as_str().expect("its id");
    run(&["client", "change", id, "--name", "Old shop"]);
    run(&["client", "rotate-secret", id]);
    run(&["client", "retire-secret", id, secret]);
    run(&["client", "lock", id]);
    run(&["client", "unlock", id]);
    run(&["client", "remove", id, "--yes"]);
    events.extend([
        EventKind::ClientRegistered,
        EventKind::ClientSecretIssued,
        EventKind::ClientChanged,
        EventKind::ClientSecretIssued,
        EventKind::ClientSecretRetired,
        EventKind::ClientLocked,
        EventKind::ClientUnlocked,
        EventKind::ClientRemoved,
    ]);
}

/// The person uses an application that cannot be reached, and signs out. After a day, it is recorded that the application was not
/// informed.
async fn a_client_takes_no_logout_token(
    service: &Program,
    person: &Person,
    events: &mut Vec<EventKind>,
) {
    let id = format!("gone-{}", random_text(8));
    let registration = Registration::public(&id)
        .of_first_party()
        .with("--backchannel-logout-uri", "http://[::1]:1/logout");
    let app = registration.at(service);
    let mut browser = Browser::new(&service.http());
    let begun = app.begins("email");
    begun.open_in(&mut browser).await;
    let callback = oauth::completes(&mut browser, person).await;
    app.redeems(&begun, &callback).await;
    browser.open("/sign-out").await;
    browser.submit("/sign-out", &[]).await;
    let settings = &service.settings;
    eventually("the first attempt has failed", async || {
        let failing = format!("logout_receivers WHERE client_id = '{id}' AND failures > 0");
        let failing = settings.count(&failing);
        (failing > 0).then_some(())
    })
    .await;
    settings.age_logouts_by_a_day();
    eventually("it is recorded", async || {
        settings.age_failures_by_a_day();
        let history = settings.run(&["history", "--client", &id], "");
        let history = String::from_utf8_lossy(&history.stdout).into_owned();
        history
            .contains("did not take the logout token")
            .then_some(())
    })
    .await;
    events.extend([
        EventKind::ClientRegistered,
        EventKind::LoggedIn,
        EventKind::LoggedIn,
        EventKind::LoggedOut,
        EventKind::LogoutNotDelivered,
    ]);
}

/// The person lets an application use the account. Someone exchanges its code again, and the person takes the consent back.
async fn lets_an_application_in(service: &Program, person: &Person, events: &mut Vec<EventKind>) {
    let id = format!("app-{}", random_text(8));
    let app = Registration::public(&id).at(service);
    // Its name is the e-mail address.
    let person = &Person {
        username: person.email.clone(),
        ..person.clone()
    };
    let mut browser = Browser::new(&service.http());
    let begun = app.begins("email");
    begun.open_in(&mut browser).await;
    let callback = oauth::completes(&mut browser, person).await;
    app.redeems(&begun, &callback).await;
    let again = app.exchange(&begun, callback.code()).await;
    oauth::is_grant_error(&again, 400, "invalid_grant");
    browser.open("/security").await;
    let withdraw = format!("/security/applications/{id}/withdraw");
    browser.submit(&withdraw, &[]).await;
    events.extend([
        EventKind::ClientRegistered,
        EventKind::LoggedIn,
        EventKind::ConsentGiven,
        EventKind::LoggedIn,
        EventKind::AuthorizationCodeReused,
        EventKind::ConsentWithdrawn,
    ]);
}

/// A new person signs in and logs out through every contract; then a login is refused.
async fn signs_in_and_out(service: &Program, name: &str, events: &mut Vec<EventKind>) -> Person {
    let http = service.http();
    let person = Person::called(name);
    // This contract signs a new account in at once.
    Contract::ApiAuth.registers(&http, &person).await;
    events.extend([EventKind::UserRegistered, EventKind::LoggedIn]);
    for contract in Contract::ALL {
        let tokens = contract.signs_in(&http, &person).await;
        let answer = service.send(api_auth::LOGOUT).bearer(&tokens.access).await;
        assert_eq!(answer.status, 200, "{answer}");
        events.extend([EventKind::LoggedIn, EventKind::LoggedOut]);
    }
    let stranger = person.with_password("not-the-password");
    let refused = Contract::ApiAuth.sign_in(&http, &stranger).await;
    Contract::ApiAuth.says_wrong_credentials(&refused);
    events.push(EventKind::LoginRefused);
    person
}

/// The person confirms the address, and an attacker uses their refresh token. Returns the mail with the link.
async fn confirms_and_is_robbed(
    service: &Program,
    person: &Person,
    events: &mut Vec<EventKind>,
) -> Mail {
    let stolen = Contract::ApiAuth.signs_in(&service.http(), person).await;
    events.push(EventKind::LoggedIn);
    let request = service.send(own::REQUEST_VERIFICATION);
    let answer = request.bearer(&stolen.access).await;
    assert_eq!(answer.status, 202, "{answer}");
    let verification = mail_to(service, &person.email).await;
    follows(service, &verification.token(), &stolen.access).await;
    // Confirming an address ends all other sessions.
    events.extend([
        EventKind::EmailVerificationRequested,
        EventKind::EmailVerified,
        EventKind::SessionsRevoked,
    ]);
    let mut newest = stolen.clone();
    for _ in 0..2 {
        let answer = service
            .send(api_auth::REFRESH)
            .bearer(newest.refresh())
            .await;
        newest = Contract::ApiAuth.tokens_in(&answer.json());
        events.push(EventKind::TokenRefreshed);
    }
    let answer = service
        .send(api_auth::REFRESH)
        .bearer(stolen.refresh())
        .await;
    assert_eq!(answer.status, 401, "{answer}");
    events.push(EventKind::RefreshTokenReused);
    verification
}

/// The person resets the password by a mailed link; `earlier` is the mail that they have already.
async fn resets_the_password(
    service: &Program,
    person: Person,
    earlier: Mail,
    events: &mut Vec<EventKind>,
) -> Person {
    let request = service.send(users::REQUEST_RESET);
    let answer = request.json(&json!({"username": person.email})).await;
    assert_eq!(answer.status, 200, "{answer}");
    let reset = new_mail_to(service, &person.email, &[earlier]).await;
    let token = reset.token();
    let person = person.with_password("another-secret");
    let request = service.send(users::UPDATE_PASSWORD).authorization(&token);
    let answer = request.json(&json!({"password": person.password})).await;
    assert_eq!(answer.status, 200, "{answer}");
    events.extend([EventKind::PasswordResetRequested, EventKind::PasswordReset]);
    person
}

/// A person comes, changes everything that can be changed, and erases the account.
async fn comes_and_is_erased(service: &Program, name: &str, events: &mut Vec<EventKind>) {
    let http = service.http();
    let guest = Person::called(name);
    Contract::Users.registers(&http, &guest).await;
    let of_guest = Contract::Users.signs_in(&http, &guest).await;
    events.extend([EventKind::UserRegistered, EventKind::LoggedIn]);
    let guest = changes_everything(service, &guest, &of_guest.access, events).await;
    // The lock ended the session.
    let of_guest = Contract::Users.signs_in(&http, &guest).await;
    uses_a_second_factor(service, &guest, &of_guest.access, events).await;
    uses_a_passkey(service, &guest, &of_guest.access, events).await;
    lets_an_application_in(service, &guest, events).await;
    let request = service.send(own::ERASE).bearer(&of_guest.access);
    let answer = request.json(&json!({"password": guest.password})).await;
    assert_eq!(answer.status, 204, "{answer}");
    events.extend([EventKind::LoggedIn, EventKind::UserErased]);
}

/// The person who is signed in with `access` enrols an authenticator app, signs in with a recovery code, and removes the app.
async fn uses_a_second_factor(
    service: &Program,
    person: &Person,
    access: &str,
    events: &mut Vec<EventKind>,
) {
    let http = service.http();
    let app = authenticator::enrol(&http, access, person).await;
    let access = app.access.as_str();
    let body = json!({"password": person.password});
    let request = service.send(own::RECOVERY_CODES).bearer(access);
    let codes = request.json(&body).await.json();
    let code = codes["codes"][0].as_str().expect("a recovery code");
    let refused = Contract::Users.sign_in(&http, person).await;
    let challenge = authenticator::challenge(&refused);
    let answer = authenticator::finish(&http, &challenge, "recovery_code", code).await;
    assert_eq!(answer.status, 200, "{answer}");
    let path: &str = format!("/account/factors/{}", app.id).leak();
    let request = service.send(Endpoint::at("PATCH", path)).bearer(access);
    let answer = request.json(&json!({"label": "my phone"})).await;
    assert_eq!(answer.status, 204, "{answer}");
    let request = service.send(Endpoint::at("DELETE", path));
    let answer = request.bearer(access).json(&body).await;
    assert_eq!(answer.status, 204, "{answer}");
    events.extend([
        EventKind::TotpEnrolled,
        EventKind::FactorRenamed,
        EventKind::SessionsRevoked,
        EventKind::SteppedUp,
        EventKind::RecoveryCodesIssued,
        EventKind::LoginRefused,
        EventKind::RecoveryCodeUsed,
        EventKind::LoggedIn,
        EventKind::FactorRemoved,
        EventKind::SessionsRevoked,
    ]);
}

/// The person who is signed in with `access` enrols a passkey, signs in with it twice, and removes it. Its counter
/// goes back.
async fn uses_a_passkey(
    service: &Program,
    person: &Person,
    access: &str,
    events: &mut Vec<EventKind>,
) {
    let http = service.http();
    let mut passkey = Passkey::new();
    passkey.sign_count = 2;
    passkey::enrol(&http, access, person, &mut passkey).await;
    for count in [3, 1] {
        passkey.sign_count = count;
        let answer = passkey::sign_in(&http, &passkey).await;
        assert_eq!(answer.status, 200, "{answer}");
    }
    let path = format!("/account/factors/{}", passkey.id);
    let request = service.send(Endpoint::at("DELETE", path.leak()));
    let request = request.bearer(&passkey.access);
    let answer = request.json(&json!({"password": person.password})).await;
    assert_eq!(answer.status, 204, "{answer}");
    events.extend([
        EventKind::PasskeyEnrolled,
        EventKind::SessionsRevoked,
        EventKind::SteppedUp,
        EventKind::LoggedIn,
        EventKind::PasskeyCounterWentBack,
        EventKind::LoggedIn,
        EventKind::FactorRemoved,
        EventKind::SessionsRevoked,
    ]);
}

/// A person is imported with a bcrypt hash and signs in, whereupon the service hashes the password with Argon2, and finds it on the
/// list of breached ones.
async fn is_imported(service: &Program, name: &str, events: &mut Vec<EventKind>) {
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
    eventually("the password is hashed again", async || {
        let history = service.settings.run(&["history", name], "");
        let history = String::from_utf8_lossy(&history.stdout).into_owned();
        history.contains("renewed").then_some(())
    })
    .await;
    // The password may have been looked up before it was hashed again. Then the next login reports it.
    Contract::ApiAuth.signs_in(&service.http(), &person).await;
    eventually("the password is reported", async || {
        let history = service.settings.run(&["history", name], "");
        let history = String::from_utf8_lossy(&history.stdout).into_owned();
        history
            .contains("on the list of breached ones")
            .then_some(())
    })
    .await;
    events.extend([
        EventKind::UserRegistered,
        EventKind::LoggedIn,
        EventKind::LoggedIn,
        EventKind::PasswordRehashed,
        EventKind::PasswordFoundBreached,
    ]);
}

/// Opens the mailed link with this token and confirms the address, signed in with `access`.
pub async fn follows(service: &Program, token: &str, access: &str) {
    let request = service.send(own::EMAIL_FORM).form(&[("token", token)]);
    let answer = request.bearer(access).await;
    assert_eq!(answer.status, 200, "{answer}");
}

/// A person who is signed in with `access` changes the address and the password and ends their other sessions, and an
/// operator locks and unlocks the account.
async fn changes_everything(
    service: &Program,
    person: &Person,
    access: &str,
    events: &mut Vec<EventKind>,
) -> Person {
    let email = format!("new-{}", person.email);
    let request = service.send(own::CHANGE_EMAIL).bearer(access);
    let answer = request
        .json(&json!({"email": email, "password": person.password}))
        .await;
    assert_eq!(answer.status, 202, "{answer}");
    let link = mail_to(service, &email).await.token();
    follows(service, &link, access).await;
    events.extend([
        EventKind::EmailVerificationRequested,
        EventKind::EmailChanged,
        EventKind::SessionsRevoked,
    ]);
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
    events.push(EventKind::PasswordChanged);
    Contract::Api.signs_in(&service.http(), &person).await;
    let sessions = service.send(own::SESSIONS).bearer(access).await.json();
    let sessions = sessions["sessions"].as_array().expect("sessions").clone();
    let other = sessions.iter().find(|session| session["current"] == false);
    let other = other.expect("another session")["id"].as_str();
    let path = format!("/account/sessions/{}", other.expect("its id"));
    let end = Endpoint::at("DELETE", path.leak());
    let answer = service.send(end).bearer(access).await;
    assert_eq!(answer.status, 204, "{answer}");
    events.extend([EventKind::LoggedIn, EventKind::SessionRevoked]);
    Contract::Api.signs_in(&service.http(), &person).await;
    let answer = service.send(own::END_OTHER_SESSIONS).bearer(access).await;
    assert_eq!(answer.status, 204, "{answer}");
    events.extend([EventKind::LoggedIn, EventKind::SessionsRevoked]);
    for verb in ["lock", "unlock"] {
        let output = service.settings.run(&["user", verb, &person.email], "");
        assert!(output.status.success(), "{output:?}");
    }
    events.extend([EventKind::UserLocked, EventKind::UserUnlocked]);
    person
}
