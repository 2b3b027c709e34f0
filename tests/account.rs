//! A person's own account: profile, sessions, changes of the password and of the e-mail address.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::support;

use std::time::Duration;

use serde_json::{Value, json};
use support::browser::Browser;
use support::contract::{Tokens, is_refused, refreshes_nothing, verifies};
use support::form::{NOW_MILLIS, TEXT, assert_fits};
use support::mail::{Mailbox as _, mail_to, new_mail_to, notice_to};
use support::story::follows;
use support::{
    Answer, Contract, Endpoint, Person, Program, Settings, Store, api_auth, eventually,
    on_both_stores, own,
};

on_both_stores!(
    a_person_sees_only_their_own_profile,
    a_person_lists_their_sessions_and_ends_single_ones,
    a_new_password_ends_every_other_session_and_keeps_this_one,
    a_change_of_password_requires_the_current_one,
    a_weak_new_password_is_reported_only_if_the_current_one_is_right,
    an_address_changes_once_the_mailed_link_is_followed,
    registering_with_the_address_of_another_person_gives_no_access_after_its_confirmation,
    the_confirmation_of_an_address_ends_earlier_sessions,
    an_address_is_confirmed_by_the_form_and_not_by_opening_the_page,
    a_browser_that_is_signed_in_confirms_an_address_without_the_password,
    a_link_that_was_mailed_before_a_reset_cannot_take_over_the_account,
    sign_in_requires_a_confirmed_address_where_it_is_configured,
    a_session_ends_at_its_maximum_age_however_often_it_is_refreshed,
    a_person_is_notified_by_mail_of_security_relevant_changes,
    a_change_of_address_does_not_reveal_whether_the_address_is_taken,
);

/// A service with cheap password hashing.
async fn service_on(store: Store) -> Program {
    Settings::on(store).with_cheap_hashing().start().await
}

async fn registered(service: &Program, name: &str) -> Person {
    let person = Person::called(name);
    Contract::ApiAuth.registers(&service.http(), &person).await;
    person
}

/// Confirms the address of the person who is signed in with `access`. Notices are sent to confirmed addresses only.
async fn is_verified(service: &Program, person: &Person, access: &str) {
    let known = service.mails();
    let request = service.send(own::REQUEST_VERIFICATION).bearer(access);
    let answer = request.await;
    assert_eq!(answer.status, 202, "{answer}");
    let link = new_mail_to(service, &person.email, &known).await;
    follows(service, &link.token(), access).await;
}

/// Submits the form of the page that a mailed link about an address opens.
async fn confirm(service: &Program, token: &str, password: &str) -> Answer {
    let form = [("token", token), ("password", password)];
    service.send(own::EMAIL_FORM).form(&form).await
}

async fn sessions(service: &Program, access: &str) -> Vec<Value> {
    let answer = service.send(own::SESSIONS).bearer(access).await;
    assert_eq!(answer.status, 200, "{answer}");
    answer.json()["sessions"].as_array().unwrap().clone()
}

fn end(session: &Value) -> Endpoint {
    let path = format!("/account/sessions/{}", session["id"].as_str().unwrap());
    Endpoint::at("DELETE", path.leak())
}

async fn change_password(service: &Program, access: &str, body: &Value) -> Answer {
    let request = service.send(own::CHANGE_PASSWORD).bearer(access);
    request.json(body).await
}

async fn change_email(service: &Program, access: &str, email: &str, password: &str) -> Answer {
    let request = service.send(own::CHANGE_EMAIL).bearer(access);
    request
        .json(&json!({"email": email, "password": password}))
        .await
}

/// Asserts that the answer is a problem document (RFC 9457) with this status, and returns its detail.
#[track_caller]
fn problem(answer: &Answer, status: u16) -> String {
    assert_eq!(answer.status, status, "{answer}");
    let media_type = answer.header("content-type");
    assert_eq!(media_type, Some("application/problem+json"), "{answer}");
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(body["status"], status, "{answer}");
    body["detail"].as_str().unwrap().to_owned()
}

async fn a_person_sees_only_their_own_profile(store: Store) {
    let service = service_on(store).await;
    let ann = registered(&service, "ann").await;
    for contract in Contract::ALL {
        let tokens = contract.signs_in(&service.http(), &ann).await;
        let answer = service.send(own::PROFILE).bearer(&tokens.access).await;
        let mut expected = json!({
            "id": TEXT, "number": 1, "username": "ann", "email": "ann@example.com", "email_verified": false,
            "pending_email": null, "name": null, "phone": null, "role": "user", "locked": false,
        });
        let mut profile = answer.json();
        let members = profile.as_object_mut().unwrap();
        for instant in ["created_at", "updated_at"] {
            let value = members.remove(instant).unwrap();
            assert_fits(&json!(NOW_MILLIS), &value, instant);
        }
        expected["id"] = profile["id"].clone();
        assert_eq!(profile, expected);
    }
    for request in [
        service.send(own::PROFILE),
        service.send(own::PROFILE).bearer("nothing"),
        service.send(own::SESSIONS),
        service.send(own::END_OTHER_SESSIONS),
        service.send(own::CHANGE_PASSWORD).json(&json!({})),
        service.send(own::CHANGE_EMAIL).json(&json!({})),
        service.send(own::REQUEST_VERIFICATION),
        service.send(Endpoint::at("DELETE", "/account/sessions/x")),
    ] {
        let answer = request.await;
        problem(&answer, 401);
        assert!(answer.header("www-authenticate").is_some(), "{answer}");
    }
}

async fn a_person_lists_their_sessions_and_ends_single_ones(store: Store) {
    let service = service_on(store).await;
    let http = service.http();
    let ann = Person::called("ann");
    // Registering at `/users` does not sign in.
    Contract::Users.registers(&http, &ann).await;
    let login = Contract::ApiAuth.login_of(&ann.email, &ann.password);
    let answer = http
        .send(api_auth::LOGIN)
        .header("user-agent", "A phone/1.0")
        .json(&login)
        .await;
    let phone = Contract::ApiAuth.tokens_in(&answer.json());
    let desk = Contract::Users.signs_in(&http, &ann).await;
    let opaque = Contract::Api.signs_in(&http, &ann).await;
    let others = Contract::ApiAuth
        .signs_in(&http, &registered(&service, "bob").await)
        .await;

    let listed = sessions(&service, &desk.access).await;
    let of = |contract: &str| {
        let mut found = listed.iter().filter(|it| it["contract"] == contract);
        found.next().unwrap().clone()
    };
    assert_eq!(listed.len(), 3, "{listed:?}");
    let [on_phone, on_desk] = ["api-auth", "users"].map(of);
    assert_eq!(on_phone["device"], "A phone/1.0");
    assert_eq!(on_phone["address"], "127.0.0.1");
    assert_eq!(on_phone["current"], false);
    assert_eq!(on_desk["current"], true);
    for instant in ["started_at", "last_used_at"] {
        assert_fits(&json!(NOW_MILLIS), &on_phone[instant], instant);
    }
    assert!(on_phone["expires_at"].as_str() > on_phone["started_at"].as_str());
    assert_eq!(on_phone["amr"], json!(["pwd"]));
    assert_eq!(on_phone["acr"], "urn:authlog:aal1");
    assert_eq!(on_phone["auth_time"], on_phone["started_at"]);
    assert_eq!(on_phone.get("factor"), None);
    // Page by page.
    let page = service.send(own::SESSIONS).query("limit=2");
    let page = page.bearer(&desk.access).await.json();
    assert_eq!(page["sessions"], json!(listed[..2]));
    let rest = format!("after={}", page["next"].as_str().unwrap());
    let rest = service.send(own::SESSIONS).query(&rest);
    let rest = rest.bearer(&desk.access).await.json();
    assert_eq!(rest, json!({"sessions": listed[2..], "next": null}));

    let answer = http.send(end(&on_phone)).bearer(&desk.access).await;
    assert_eq!(answer.status, 204, "{answer}");
    is_refused(&http, &phone.access).await;
    refreshes_nothing(&http, phone.refresh()).await;
    verifies(&http, &desk.access).await;
    assert_eq!(sessions(&service, &desk.access).await.len(), 2);
    // An ended session, a session of another person, and an id that is no session.
    let of_bob = sessions(&service, &others.access).await;
    for none in [&on_phone, &of_bob[0], &json!({"id": "x"})] {
        let answer = http.send(end(none)).bearer(&desk.access).await;
        assert_eq!(problem(&answer, 404), "There is no such session.");
    }
    verifies(&http, &others.access).await;

    let answer = http
        .send(own::END_OTHER_SESSIONS)
        .bearer(&desk.access)
        .await;
    assert_eq!(answer.status, 204, "{answer}");
    is_refused(&http, &opaque.access).await;
    assert_eq!(sessions(&service, &desk.access).await.len(), 1);
    let answer = http.send(own::HISTORY).bearer(&desk.access).await.json();
    let history = answer["events"].as_array().unwrap();
    let history: Vec<_> = history.iter().map(|event| &event["what"]).collect();
    assert!(history.contains(&&json!("had every other session ended by the owner")));
    assert!(history.contains(&&json!("had the session ended by the owner")));
    // A person can end the current session like any other.
    let answer = http.send(end(&on_desk)).bearer(&desk.access).await;
    assert_eq!(answer.status, 204, "{answer}");
    is_refused(&http, &desk.access).await;
    refreshes_nothing(&http, desk.refresh()).await;
}

async fn a_new_password_ends_every_other_session_and_keeps_this_one(store: Store) {
    let mut service = service_on(store).await;
    let http = service.http();
    let ann = registered(&service, "ann").await;
    let mut others = Vec::new();
    for contract in Contract::ALL {
        others.push(contract.signs_in(&http, &ann).await);
    }
    let kept = Contract::ApiAuth.signs_in(&http, &ann).await;
    let body = json!({"current_password": ann.password, "new_password": "another-secret"});
    let answer = change_password(&service, &kept.access, &body).await;
    assert_eq!((answer.status, answer.body.as_str()), (204, ""), "{answer}");
    for tokens in &others {
        is_refused(&http, &tokens.access).await;
        if let Some(refresh) = &tokens.refresh {
            refreshes_nothing(&http, refresh).await;
        }
    }
    verifies(&http, &kept.access).await;
    Contract::ApiAuth.says_wrong_credentials(&Contract::ApiAuth.sign_in(&http, &ann).await);
    let ann = ann.with_password("another-secret");
    let later = Contract::ApiAuth.signs_in(&http, &ann).await;
    // The kept session can be refreshed, also after a restart. The next change from another session ends it.
    service.terminate().await;
    service.restart().await;
    let http = service.http();
    verifies(&http, &kept.access).await;
    is_refused(&http, &others[0].access).await;
    let answer = http.send(api_auth::REFRESH).bearer(kept.refresh()).await;
    let kept: Tokens = Contract::ApiAuth.tokens_in(&answer.json());
    verifies(&http, &kept.access).await;
    assert_eq!(sessions(&service, &later.access).await.len(), 2);
    let body = json!({"current_password": ann.password, "new_password": "a-third-secret"});
    let answer = change_password(&service, &later.access, &body).await;
    assert_eq!(answer.status, 204, "{answer}");
    is_refused(&http, &kept.access).await;
    refreshes_nothing(&http, kept.refresh()).await;
    verifies(&http, &later.access).await;
}

async fn a_change_of_password_requires_the_current_one(store: Store) {
    let settings = Settings::on(store).with_cheap_hashing();
    let service = settings
        .with("AUTHLOG_PASSWORD_MIN_LENGTH", "12")
        .start()
        .await;
    let http = service.http();
    let ann = registered(&service, "ann").await;
    let tokens = Contract::ApiAuth.signs_in(&http, &ann).await;
    for current in [json!("not-the-password"), json!(null), json!(7), json!("")] {
        let body = json!({"current_password": current, "new_password": "another-secret"});
        let answer = change_password(&service, &tokens.access, &body).await;
        assert_eq!(problem(&answer, 403), "The current password is wrong.");
    }
    let current = &ann.password;
    for (new, says) in [
        (
            json!("short"),
            "The new password must have at least 12 characters.",
        ),
        (json!(null), "The new password is missing."),
        (
            json!("x".repeat(5000)),
            "The new password must have at most 256 characters.",
        ),
    ] {
        let body = json!({"current_password": current, "new_password": new});
        let answer = change_password(&service, &tokens.access, &body).await;
        assert_eq!(problem(&answer, 400), says);
    }
    verifies(&http, &tokens.access).await;
    Contract::ApiAuth.signs_in(&http, &ann).await;
}

async fn a_weak_new_password_is_reported_only_if_the_current_one_is_right(store: Store) {
    let settings = Settings::on(store).with_cheap_hashing();
    let service = settings
        .with("AUTHLOG_PASSWORD_MIN_SCORE", "3")
        .start()
        .await;
    let ann = registered(&service, "ann").await;
    let tokens = Contract::ApiAuth.signs_in(&service.http(), &ann).await;
    for (current, new, status, says) in [
        (
            "not-the-password",
            "password",
            403,
            "The current password is wrong.",
        ),
        (
            &ann.password,
            "password",
            400,
            "The new password is too common.",
        ),
        (
            &ann.password,
            "ann-ann-ann-ann",
            400,
            "The new password is too easy to guess.",
        ),
    ] {
        let body = json!({"current_password": current, "new_password": new});
        let answer = change_password(&service, &tokens.access, &body).await;
        assert_eq!(problem(&answer, status), says);
    }
    Contract::ApiAuth.signs_in(&service.http(), &ann).await;
}

async fn an_address_changes_once_the_mailed_link_is_followed(store: Store) {
    let service = service_on(store).await;
    let http = service.http();
    let (ann, bob) = (
        registered(&service, "ann").await,
        registered(&service, "bob").await,
    );
    let tokens = Contract::ApiAuth.signs_in(&http, &ann).await;
    let new = "ann@elsewhere.example";
    let answer = change_email(&service, &tokens.access, new, "not-the-password").await;
    assert_eq!(problem(&answer, 403), "The current password is wrong.");
    let answer = change_email(&service, &tokens.access, "nowhere", &ann.password).await;
    assert_eq!(problem(&answer, 400), "The e-mail address is not valid.");
    is_verified(&service, &ann, &tokens.access).await;

    let answer = change_email(&service, &tokens.access, new, &ann.password).await;
    assert_eq!(answer.status, 202, "{answer}");
    let profile = service.send(own::PROFILE).bearer(&tokens.access).await;
    assert_eq!(profile.json()["email"], ann.email);
    assert_eq!(profile.json()["pending_email"], new);
    let link = mail_to(&service, new).await.token();
    // The token of the link is not accepted as a token of any other kind.
    is_refused(&http, &link).await;
    let answer = http
        .send(own::RESET_PAGE)
        .query(&format!("token={link}"))
        .await;
    assert_eq!(answer.status, 400, "{answer}");
    follows(&service, &link, &tokens.access).await;
    let moved = Person {
        email: new.to_owned(),
        ..ann.clone()
    };
    Contract::ApiAuth.says_wrong_credentials(&Contract::ApiAuth.sign_in(&http, &ann).await);
    Contract::ApiAuth.signs_in(&http, &moved).await;
    let profile = service.send(own::PROFILE).bearer(&tokens.access).await;
    assert_eq!(profile.json()["email"], new);
    assert_eq!(profile.json()["email_verified"], true);
    assert_eq!(profile.json()["pending_email"], Value::Null);
    // The old address is notified, and is free to be registered again.
    notice_to(&service, &ann.email, "another e-mail address").await;
    Contract::Api.registers(&http, &ann).await;
    // The link works once.
    let answer = confirm(&service, &link, &ann.password).await;
    assert_eq!(answer.status, 400, "{answer}");

    // Two people ask for one address: the second to follow the link gets a refusal and keeps the old address.
    let of_bob = Contract::ApiAuth.signs_in(&http, &bob).await;
    let wanted = "wanted@elsewhere.example";
    change_email(&service, &of_bob.access, wanted, &bob.password).await;
    let first = mail_to(&service, wanted).await;
    change_email(&service, &tokens.access, wanted, &ann.password).await;
    let second = new_mail_to(&service, wanted, std::slice::from_ref(&first)).await;
    follows(&service, &first.token(), &of_bob.access).await;
    let answer = confirm(&service, &second.token(), &ann.password).await;
    assert_eq!(answer.status, 409, "{answer}");
    Contract::ApiAuth.signs_in(&http, &moved).await;
}

async fn an_address_is_confirmed_by_the_form_and_not_by_opening_the_page(store: Store) {
    let settings = Settings::on(store).with_cheap_hashing();
    let service = settings.with("AUTHLOG_VERIFY_EMAIL", "on").start().await;
    let http = service.http();
    let ann = registered(&service, "ann").await;
    let tokens = Contract::ApiAuth.signs_in(&http, &ann).await;
    let registration = mail_to(&service, &ann.email).await;
    let verified = async || {
        let profile = service.send(own::PROFILE).bearer(&tokens.access).await;
        profile.json()["email_verified"] == true
    };
    let answer = service
        .send(own::REQUEST_VERIFICATION)
        .bearer(&tokens.access)
        .await;
    assert_eq!(answer.status, 202, "{answer}");
    let newer = new_mail_to(&service, &ann.email, std::slice::from_ref(&registration)).await;
    // Only the newest link works.
    let old = format!("token={}", registration.token());
    let answer = http.send(own::EMAIL_PAGE).query(&old).await;
    assert_eq!(answer.status, 400, "{answer}");
    let token = newer.token();
    for _ in 0..2 {
        let page = http
            .send(own::EMAIL_PAGE)
            .query(&format!("token={token}"))
            .await;
        assert_eq!(page.status, 200, "{page}");
        assert!(
            page.body
                .contains("<form method=\"post\" action=\"/verify-email\">")
        );
        assert!(page.header("content-security-policy").is_some(), "{page}");
    }
    assert!(!verified().await);
    // The button alone is not enough: confirming needs a proof of who owns the account.
    for (form, status) in [
        (vec![("token", token.as_str())], 400),
        (vec![("token", token.as_str()), ("password", "")], 400),
        (
            vec![("token", token.as_str()), ("password", "not-the-password")],
            403,
        ),
    ] {
        let answer = http.send(own::EMAIL_FORM).form(&form).await;
        assert_eq!(answer.status, status, "{answer}");
        assert!(answer.body.contains("action=\"/verify-email\""), "{answer}");
    }
    let bob = registered(&service, "bob").await;
    let of_bob = Contract::ApiAuth.signs_in(&http, &bob).await;
    let request = http.send(own::EMAIL_FORM).form(&[("token", &token)]);
    let answer = request.bearer(&of_bob.access).await;
    assert_eq!(answer.status, 403, "{answer}");
    assert!(!verified().await);
    follows(&service, &token, &tokens.access).await;
    assert!(verified().await);
    // Nothing is left to confirm.
    let mails = service.mails().len();
    let answer = service
        .send(own::REQUEST_VERIFICATION)
        .bearer(&tokens.access)
        .await;
    assert_eq!(answer.status, 202, "{answer}");
    assert_eq!(service.mails().len(), mails);
    for bad in ["", "token=", "token=nothing", "token=%00"] {
        let answer = http.send(own::EMAIL_PAGE).query(bad).await;
        assert_eq!(answer.status, 400, "{answer}");
    }
}

async fn a_browser_that_is_signed_in_confirms_an_address_without_the_password(store: Store) {
    let service = service_on(store).await;
    let http = service.http();
    let ann = registered(&service, "ann").await;
    let bob = registered(&service, "bob").await;
    let access = Contract::ApiAuth.signs_in(&http, &ann).await.access;
    let [mut browser, mut other, mut of_bob] = [(); 3].map(|()| Browser::new(&http));
    for (browser, person) in [
        (&mut browser, &ann),
        (&mut other, &ann),
        (&mut of_bob, &bob),
    ] {
        browser.open("/sign-in").await;
        let typed = [
            ("username", &*person.username),
            ("password", &*person.password),
        ];
        browser.submit("/sign-in", &typed).await;
        browser.shows(200, "Signed in as");
    }
    let request = service.send(own::REQUEST_VERIFICATION).bearer(&access);
    assert_eq!(request.await.status, 202);
    let page = format!(
        "/verify-email?token={}",
        mail_to(&service, &ann.email).await.token()
    );
    // A person who is signed in to another account is asked for the password.
    of_bob.open(&page).await;
    of_bob.shows(200, "enter the password of the account");
    for browser in [&mut browser, &mut other] {
        browser.open(&page).await;
        browser.shows(
            200,
            "You are signed in to it. Confirm that this address is yours.",
        );
        assert!(!browser.html().contains("type=\"password\""));
    }
    // The cookie alone is no proof, and the form of one session is none of another.
    let hidden = browser.form("/verify-email");
    let (token, _) = hidden.split_at(1);
    assert_eq!(token[0].0, "token");
    for (browser, fields) in [(&browser, token), (&other, &*hidden), (&of_bob, &*hidden)] {
        let answer = browser.post("/verify-email", fields, &[]).await;
        assert_eq!(answer.status, 400, "{answer}");
    }
    let profile = service.send(own::PROFILE).bearer(&access).await.json();
    assert_eq!(profile["email_verified"], false);
    // The session of the browser continues, and every other one ends.
    browser.submit("/verify-email", &[]).await;
    browser.shows(200, "Every other session of the account has ended.");
    assert!(browser.html().contains("href=\"/security\""));
    browser.open("/security").await;
    browser.shows(200, "Signed in as");
    other.open("/security").await;
    other.shows(200, "Forgotten password?");
    is_refused(&http, &access).await;
    let access = Contract::ApiAuth.signs_in(&http, &ann).await.access;
    let profile = service.send(own::PROFILE).bearer(&access).await.json();
    assert_eq!(profile["email_verified"], true);
}

async fn a_link_that_was_mailed_before_a_reset_cannot_take_over_the_account(store: Store) {
    let service = service_on(store).await;
    let http = service.http();
    let ann = registered(&service, "ann").await;
    let thief = Contract::ApiAuth.signs_in(&http, &ann).await;
    let address = "thief@example.org";
    let answer = change_email(&service, &thief.access, address, &ann.password).await;
    assert_eq!(answer.status, 202, "{answer}");
    let link = mail_to(&service, address).await.token();
    let body = json!({"username": ann.email});
    service
        .send(support::users::REQUEST_RESET)
        .json(&body)
        .await;
    let reset = mail_to(&service, &ann.email).await.token();
    let answer = service
        .send(support::users::UPDATE_PASSWORD)
        .authorization(&reset)
        .json(&json!({"password": "another-secret"}))
        .await;
    assert_eq!(answer.status, 200, "{answer}");
    let answer = confirm(&service, &link, "another-secret").await;
    assert_eq!(answer.status, 400, "{answer}");
    // The reset link came by mail, so it proved the address.
    let ann = ann.with_password("another-secret");
    let tokens = Contract::ApiAuth.signs_in(&http, &ann).await;
    let profile = service.send(own::PROFILE).bearer(&tokens.access).await;
    assert_eq!(profile.json()["email_verified"], true);
    assert_eq!(profile.json()["email"], ann.email);
    // A link that was mailed before a change of the password does not either.
    let answer = change_email(&service, &tokens.access, "other@example.org", &ann.password).await;
    assert_eq!(answer.status, 202, "{answer}");
    let link = mail_to(&service, "other@example.org").await.token();
    let body = json!({"current_password": ann.password, "new_password": "a-third-secret"});
    change_password(&service, &tokens.access, &body).await;
    let profile = service.send(own::PROFILE).bearer(&tokens.access).await;
    assert_eq!(profile.json()["pending_email"], Value::Null);
    let answer = confirm(&service, &link, "a-third-secret").await;
    assert_eq!(answer.status, 400, "{answer}");
    // Nor does a link that was mailed before the owner ended the other sessions.
    let ann = ann.with_password("a-third-secret");
    let thief = Contract::ApiAuth.signs_in(&http, &ann).await;
    let answer = change_email(&service, &thief.access, "third@example.org", &ann.password).await;
    assert_eq!(answer.status, 202, "{answer}");
    let link = mail_to(&service, "third@example.org").await.token();
    let request = service.send(own::END_OTHER_SESSIONS);
    let answer = request.bearer(&tokens.access).await;
    assert_eq!(answer.status, 204, "{answer}");
    let answer = confirm(&service, &link, &ann.password).await;
    assert_eq!(answer.status, 400, "{answer}");
}

async fn registering_with_the_address_of_another_person_gives_no_access_after_its_confirmation(
    store: Store,
) {
    let settings = Settings::on(store).with_cheap_hashing();
    let service = settings
        .with("AUTHLOG_REQUIRE_VERIFIED_EMAIL", "on")
        .start()
        .await;
    let http = service.http();
    let ann = Person::called("ann");
    let thief = Person {
        username: "thief".to_owned(),
        ..ann.with_password("the-thief-chose-it")
    };
    let answer = Contract::ApiAuth.register(&http, &thief).await;
    let of_thief = Contract::ApiAuth.tokens_in(&answer.json());
    let mail = mail_to(&service, &ann.email).await;
    assert!(mail.text.contains("the account \"thief\""), "{mail:?}");
    let link = mail.token();
    // The owner of the mailbox does not know the password. The page names the account before anything happens.
    let page = http.send(own::EMAIL_PAGE).query(&format!("token={link}"));
    let page = page.await;
    for says in ["<strong>thief</strong>", "Set a new password"] {
        assert!(page.body.contains(says), "{page}");
    }
    let answer = confirm(&service, &link, &ann.password).await;
    assert_eq!(answer.status, 403, "{answer}");
    Contract::ApiAuth.says_wrong_credentials(&Contract::ApiAuth.sign_in(&http, &thief).await);
    refreshes_nothing(&http, of_thief.refresh()).await;
    // The attempt to sign in made the service mail another link, which replaces the first.
    let mails = [
        mail.clone(),
        new_mail_to(&service, &ann.email, &[mail]).await,
    ];
    let link = mails[1].token();
    let forgotten = [("token", link.as_str()), ("action", "forgotten")];
    let answer = http.send(own::EMAIL_FORM).form(&forgotten).await;
    assert_eq!(answer.status, 202, "{answer}");
    let reset = new_mail_to(&service, &ann.email, &mails).await;
    let request = service.send(support::users::UPDATE_PASSWORD);
    let answer = request
        .authorization(&reset.token())
        .json(&json!({"password": ann.password}))
        .await;
    assert_eq!(answer.status, 200, "{answer}");
    is_refused(&http, &of_thief.access).await;
    refreshes_nothing(&http, of_thief.refresh()).await;
    Contract::ApiAuth.says_wrong_credentials(&Contract::ApiAuth.sign_in(&http, &thief).await);
    Contract::Api.signs_in(&http, &ann).await;
}

async fn the_confirmation_of_an_address_ends_earlier_sessions(store: Store) {
    let settings = Settings::on(store).with_cheap_hashing();
    let service = settings.with("AUTHLOG_VERIFY_EMAIL", "on").start().await;
    let http = service.http();
    let ann = registered(&service, "ann").await;
    let before = Contract::ApiAuth.signs_in(&http, &ann).await;
    let link = mail_to(&service, &ann.email).await.token();
    let answer = confirm(&service, &link, &ann.password).await;
    assert_eq!(answer.status, 200, "{answer}");
    is_refused(&http, &before.access).await;
    refreshes_nothing(&http, before.refresh()).await;
    // The same holds for a changed address. The session that confirms continues, and all others end.
    let [asks, other] = [
        Contract::ApiAuth.signs_in(&http, &ann).await,
        Contract::Api.signs_in(&http, &ann).await,
    ];
    let new = "ann@elsewhere.example";
    let answer = change_email(&service, &asks.access, new, &ann.password).await;
    assert_eq!(answer.status, 202, "{answer}");
    let link = mail_to(&service, new).await.token();
    follows(&service, &link, &asks.access).await;
    verifies(&http, &asks.access).await;
    is_refused(&http, &other.access).await;
}

async fn sign_in_requires_a_confirmed_address_where_it_is_configured(store: Store) {
    let settings = Settings::on(store).with_cheap_hashing();
    let service = settings
        .with("AUTHLOG_REQUIRE_VERIFIED_EMAIL", "on")
        .start()
        .await;
    let http = service.http();
    let ann = Person::called("ann");
    let answer = Contract::ApiAuth.register(&http, &ann).await;
    let registration = Contract::ApiAuth.tokens_in(&answer.json());
    let first = mail_to(&service, &ann.email).await;
    // Each contract answers as for a wrong password, so a stranger learns nothing.
    for contract in Contract::ALL {
        contract.says_wrong_credentials(&contract.sign_in(&http, &ann).await);
    }
    // The session of the registration lasts as long as its first access token.
    verifies(&http, &registration.access).await;
    refreshes_nothing(&http, registration.refresh()).await;
    // A sign-in with the right password mailed the link again.
    let newer = eventually("a newer link works", async || {
        let mails = service.mails();
        let newest = mails.iter().filter(|mail| **mail != first);
        for mail in newest {
            let token = mail.token();
            let page = confirm(&service, &token, &ann.password).await;
            if page.status == 200 {
                return Some(token);
            }
        }
        None
    })
    .await;
    assert_ne!(newer, first.token());
    is_refused(&http, &registration.access).await;
    refreshes_nothing(&http, registration.refresh()).await;
    for contract in Contract::ALL {
        let tokens = contract.signs_in(&http, &ann).await;
        verifies(&http, &tokens.access).await;
    }
    // An account without an address needs no confirmation.
    let output = service.settings.run(
        &["user", "create", "--username", "robot", "--role", "service"],
        "robot-opens-sesame",
    );
    assert!(output.status.success(), "{output:?}");
    let login = json!({"username": "robot", "password": "robot-opens-sesame"});
    let answer = http.send(api_auth::LOGIN).json(&login).await;
    assert_eq!(answer.status, 200, "{answer}");
}

async fn a_session_ends_at_its_maximum_age_however_often_it_is_refreshed(store: Store) {
    let settings = Settings::on(store).with_cheap_hashing();
    let service = settings
        .with("AUTHLOG_SESSION_LIFETIME", "4d")
        .with("AUTHLOG_SESSION_IDLE", "2s")
        .start()
        .await;
    let http = service.http();
    let ann = registered(&service, "ann").await;
    let first = Contract::ApiAuth.signs_in(&http, &ann).await;
    // The three days of `/api/auth` and the access tokens of `/users` are exact. The seven days of `/users` end with
    // the session.
    assert_eq!(support::token::lifetime(first.refresh()), 3 * 24 * 3600);
    let of_c = Contract::Users.signs_in(&http, &ann).await;
    assert_eq!(support::token::lifetime(&of_c.access), 300);
    assert_eq!(support::token::lifetime(of_c.refresh()), 4 * 24 * 3600);
    // A session that is unused for two seconds is over. The domain's tests of decisions cover sessions in use.
    tokio::time::sleep(Duration::from_millis(2100)).await;
    refreshes_nothing(&http, first.refresh()).await;
    refreshes_nothing(&http, of_c.refresh()).await;
}

async fn a_person_is_notified_by_mail_of_security_relevant_changes(store: Store) {
    let mut service = service_on(store).await;
    let ann = registered(&service, "ann").await;
    let http = service.http();
    let tokens = Contract::ApiAuth.signs_in(&http, &ann).await;
    is_verified(&service, &ann, &tokens.access).await;
    let body = json!({"current_password": ann.password, "new_password": "another-secret"});
    let answer = change_password(&service, &tokens.access, &body).await;
    assert_eq!(answer.status, 204, "{answer}");
    let changed = notice_to(&service, &ann.email, "password of your account was changed").await;
    let mut newest = tokens.clone();
    for _ in 0..2 {
        let answer = http.send(api_auth::REFRESH).bearer(newest.refresh()).await;
        newest = Contract::ApiAuth.tokens_in(&answer.json());
    }
    refreshes_nothing(&http, tokens.refresh()).await;
    let reused = notice_to(&service, &ann.email, "used a second time").await;
    // A queued notice survives the program that queued it.
    service.kill9();
    let output = service.settings.run(&["user", "lock", "ann"], "");
    assert!(output.status.success(), "{output:?}");
    service.restart().await;
    let locked = notice_to(&service, &ann.email, "was locked").await;
    for mail in [&changed, &reused, &locked] {
        for secret in [ann.password.as_str(), "another-secret", "token", "eyJ"] {
            assert!(!mail.text.contains(secret), "{mail:?}");
        }
    }
    // Each notice is sent once: everything else that is due was due before.
    assert_eq!(service.notices().len(), 3);
}

async fn a_change_of_address_does_not_reveal_whether_the_address_is_taken(store: Store) {
    let service = service_on(store).await;
    let http = service.http();
    let [eve, bob, carl] = ["eve", "bob", "carl"].map(Person::called);
    for person in [&eve, &bob, &carl] {
        Contract::Users.registers(&http, person).await;
    }
    let of_bob = Contract::ApiAuth.signs_in(&http, &bob).await;
    is_verified(&service, &bob, &of_bob.access).await;
    let of_eve = Contract::ApiAuth.signs_in(&http, &eve).await;
    let (known, free) = (service.mails(), "free@example.com");
    // Bob's address is verified, Carl's is not, and the last one is free.
    let mut answers = Vec::new();
    for email in [bob.email.as_str(), "BOB@Example.com", &carl.email, free] {
        let mut answer = change_email(&service, &of_eve.access, email, &eve.password).await;
        for varying in ["date", "x-request-id", "authlog-log-index"] {
            answer.headers.remove(varying);
        }
        let profile = service.send(own::PROFILE).bearer(&of_eve.access).await;
        assert_eq!(profile.json()["pending_email"], email);
        answers.push((answer.status, answer.headers, answer.body));
        // The mail about each arrives before the next one is requested.
        match email {
            _ if email == bob.email => {
                let says = "another account asked to use this e-mail address";
                let notice = notice_to(&service, &bob.email, says).await;
                assert!(!notice.text.contains("eve"), "{notice:?}");
            }
            _ if email == free => {
                mail_to(&service, free).await;
            }
            _ => {}
        }
    }
    assert_eq!(answers[0].0, 202);
    assert!(
        answers.iter().all(|answer| *answer == answers[0]),
        "{answers:?}"
    );
    // No link went to an address that is taken.
    let mut links = service.mails();
    links.retain(|mail| !known.contains(mail));
    assert!(links.iter().all(|mail| mail.to == free), "{links:?}");
    // Another spelling of the own address does not count as the address of another account.
    let own_address = "EVE@example.com";
    let answer = change_email(&service, &of_eve.access, own_address, &eve.password).await;
    assert_eq!(answer.status, 202, "{answer}");
    let link = mail_to(&service, own_address).await.token();
    follows(&service, &link, &of_eve.access).await;
    // No notice went to an unverified address: mail that was requested later has arrived.
    let notices = service.notices();
    assert!(
        notices.iter().all(|mail| mail.to == bob.email),
        "{notices:?}"
    );
    // The answers are also equal beyond the limit.
    for email in [bob.email.as_str(), free] {
        let answer = change_email(&service, &of_eve.access, email, &eve.password).await;
        assert_eq!(answer.status, 429, "{answer}");
    }
}
