//! Second factors: authenticator apps and recovery codes, through every contract.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::support;

use serde_json::{Value, json};
use support::authenticator::{
    begin, challenge, challenge_and_methods, confirm, enrol, finish, with_apps,
};
use support::contract::verifies;
use support::http::Http;
use support::mail::{mail_to, new_mail_to, notice_to};
use support::{
    Answer, Contract, Endpoint, Person, Program, Settings, Store, api_auth, eventually,
    on_both_stores, own, staff, token, users,
};
use tokio::task::JoinSet;

on_both_stores!(
    an_app_is_enrolled_by_its_first_code_and_removed_with_the_password,
    the_code_after_the_password_signs_in_at_every_contract,
    the_password_alone_is_refused_like_a_wrong_one_with_a_challenge,
    a_challenge_is_answered_like_a_login_of_the_contract_at_which_it_began,
    the_code_may_be_sent_as_a_member_of_its_own,
    nothing_is_cut_from_the_password_if_that_is_switched_off,
    a_session_with_a_second_factor_says_so_everywhere,
    a_code_is_good_for_one_login,
    of_a_hundred_logins_with_one_code_one_succeeds,
    a_recovery_code_signs_in_once,
    a_challenge_ends_with_the_password_under_which_it_began,
    guessed_codes_are_limited_like_guessed_passwords,
    codes_guessed_from_many_addresses_are_limited_and_do_not_lock_the_owner_out,
    an_administrator_and_the_operator_remove_factors,
    a_mailed_reset_removes_no_factor,
    an_erasure_and_the_log_keep_nothing_of_a_factor,
    malformed_requests_are_refused,
);

async fn service(store: Store) -> Program {
    Settings::on(store).with_cheap_hashing().start().await
}

async fn factors(http: &Http, access: &str) -> Value {
    let answer = http.send(own::FACTORS).bearer(access).await;
    assert_eq!(answer.status, 200, "{answer}");
    answer.json()
}

async fn recovery_codes(http: &Http, access: &str, person: &Person) -> Vec<String> {
    let request = http.send(own::RECOVERY_CODES).bearer(access);
    let answer = request.json(&json!({"password": person.password})).await;
    assert_eq!(answer.status, 201, "{answer}");
    let body = answer.json();
    let codes = body["codes"].as_array().unwrap().iter();
    codes.map(|it| it.as_str().unwrap().to_owned()).collect()
}

async fn remove(http: &Http, access: &str, id: &str, password: &str) -> Answer {
    let path = format!("/account/factors/{id}");
    let request = http.send(Endpoint::at("DELETE", path.leak()));
    request
        .bearer(access)
        .json(&json!({"password": password}))
        .await
}

/// The reasons of refused logins in the history of the account.
async fn refused(http: &Http, access: &str) -> Vec<String> {
    let request = http.send(own::HISTORY).query("type=LoginRefused");
    let body = request.bearer(access).await.json();
    let events = body["events"].as_array().unwrap().iter();
    events
        .map(|event| event["data"]["reason"].as_str().unwrap().to_owned())
        .collect()
}

async fn an_app_is_enrolled_by_its_first_code_and_removed_with_the_password(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let access = Contract::Users.signs_in(&http, &ann).await.access;
    let none = json!({"factors": [], "recovery_codes_left": 0});
    let request = http.send(own::FACTORS).bearer(&access);
    assert_eq!(request.await.json(), none);

    let wrong = json!({"password": "not-the-password"});
    let answer = http
        .send(own::BEGIN_TOTP)
        .bearer(&access)
        .json(&wrong)
        .await;
    assert_eq!(answer.status, 403, "{answer}");
    let begun = begin(&http, &access, &ann).await;
    let uri = url::Url::parse(begun["uri"].as_str().unwrap()).unwrap();
    assert_eq!((uri.scheme(), uri.host_str()), ("otpauth", Some("totp")));
    let parameters: std::collections::BTreeMap<_, _> = uri.query_pairs().into_owned().collect();
    assert_eq!(parameters["secret"], begun["secret"].as_str().unwrap());
    assert_eq!(parameters["digits"], "6");
    // A wrong code enrols nothing, and neither does the enrolment of another person.
    let answer = confirm(&http, &access, &begun, "12345").await;
    assert_eq!(answer.status, 403, "{answer}");
    let bob = Person::called("bob");
    Contract::ApiAuth.registers(&http, &bob).await;
    let of_bob = Contract::Users.signs_in(&http, &bob).await.access;
    let answer = confirm(&http, &of_bob, &begun, "123456").await;
    assert_eq!(answer.status, 400, "{answer}");
    assert_eq!(factors(&http, &access).await, none);
    Contract::Api.signs_in(&http, &ann).await;

    let app = enrol(&http, &access, &ann).await;
    let access = app.access;
    let listed = factors(&http, &access).await;
    assert_eq!(listed["factors"][0]["id"], json!(app.id));
    assert_eq!(listed["factors"][0]["type"], "totp");
    let answer = remove(&http, &access, &app.id, "not-the-password").await;
    assert_eq!(answer.status, 403, "{answer}");
    challenge(&Contract::Api.sign_in(&http, &ann).await);

    let answer = remove(&http, &access, &app.id, &ann.password).await;
    assert_eq!(answer.status, 204, "{answer}");
    let answer = remove(&http, &access, &app.id, &ann.password).await;
    assert_eq!(answer.status, 404, "{answer}");
    assert_eq!(factors(&http, &access).await, none);
    Contract::Api.signs_in(&http, &ann).await;
}

async fn the_code_after_the_password_signs_in_at_every_contract(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let (ann, mut apps, access) = with_apps::<4>(&http, "ann").await;
    for (contract, app) in Contract::ALL.into_iter().zip(&mut apps) {
        let typed = format!("{}{}", ann.password, app.fresh_code().await);
        let tokens = contract.signs_in(&http, &ann.with_password(&typed)).await;
        verifies(&http, &tokens.access).await;
        // A wrong code, and a right one after a wrong password, are refused like a wrong password.
        for typed in [
            format!("{}{}", ann.password, app.wrong_code()),
            format!("not-the-password{}", app.fresh_code().await),
        ] {
            let answer = contract.sign_in(&http, &ann.with_password(&typed)).await;
            contract.says_wrong_credentials(&answer);
            assert_eq!(answer.header("authlog-second-factor"), None);
        }
    }
    eventually("the refused logins are recorded", async || {
        let reasons = refused(&http, &access).await;
        let count = |reason: &str| reasons.iter().filter(|it| *it == reason).count();
        (count("second-factor-wrong") == 4 && count("wrong-password") == 4).then_some(())
    })
    .await;
}

async fn the_password_alone_is_refused_like_a_wrong_one_with_a_challenge(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let (ann, [_app], access) = with_apps::<1>(&http, "ann").await;
    let bob = Person::called("bob");
    Contract::ApiAuth.registers(&http, &bob).await;
    for contract in Contract::ALL {
        let answer = contract.sign_in(&http, &ann).await;
        contract.says_wrong_credentials(&answer);
        challenge(&answer);
        // Nothing shows the second factor before the password was right, and an account without one has no header.
        for person in [
            ann.with_password("not-the-password"),
            bob.with_password("not-the-password"),
            Person::called("no-such-person"),
        ] {
            let other = contract.sign_in(&http, &person).await;
            contract.says_wrong_credentials(&other);
            assert_eq!(other.header("authlog-second-factor"), None);
        }
        let answer = contract.sign_in(&http, &bob).await;
        assert_eq!(answer.status, 200, "{answer}");
        assert_eq!(answer.header("authlog-second-factor"), None);
    }
    eventually("the refused logins are recorded", async || {
        let reasons = refused(&http, &access).await;
        let missing = reasons.iter().filter(|it| *it == "second-factor-missing");
        (missing.count() == 4).then_some(())
    })
    .await;
}

async fn a_challenge_is_answered_like_a_login_of_the_contract_at_which_it_began(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let (ann, mut apps, access) = with_apps::<4>(&http, "ann").await;
    for (contract, app) in Contract::ALL.into_iter().zip(&mut apps) {
        let begun = challenge(&contract.sign_in(&http, &ann).await);
        let answer = finish(&http, &begun, "code", &app.wrong_code()).await;
        assert_eq!(answer.status, 403, "{answer}");
        let answer = finish(&http, &begun, "code", &app.fresh_code().await).await;
        assert_eq!(answer.status, 200, "{answer}");
        let tokens = contract.tokens_in(&answer.json());
        verifies(&http, &tokens.access).await;
        let has_cookie = answer.cookie("refreshToken").is_some();
        assert_eq!(has_cookie, contract == Contract::ApiAuth);
        let sessions = http.send(own::SESSIONS).bearer(&access).await.json();
        let sessions = sessions["sessions"].as_array().unwrap().clone();
        let newest = sessions.last().unwrap();
        let name = contract.base().trim_start_matches('/').replace('/', "-");
        assert_eq!(newest["contract"], json!(name));
    }
}

async fn the_code_may_be_sent_as_a_member_of_its_own(store: Store) {
    let service = service(store).await;
    let http = service.http();
    // Nothing is cut from a password that ends in digits.
    let ann = Person::called("ann").with_password("rahasia123456");
    Contract::ApiAuth.registers(&http, &ann).await;
    let mut access = Contract::Users.signs_in(&http, &ann).await.access;
    for contract in Contract::ALL {
        let mut app = enrol(&http, &access, &ann).await;
        access.clone_from(&app.access);
        let mut body = contract.login_of(&ann.email, &ann.password);
        for wrong in [json!(app.wrong_code()), json!(123_456), json!("")] {
            body["otp"] = wrong;
            let answer = http.send(contract.login()).json(&body).await;
            contract.says_wrong_credentials(&answer);
        }
        body["otp"] = json!(app.fresh_code().await);
        let answer = http.send(contract.login()).json(&body).await;
        assert_eq!(answer.status, 200, "{answer}");
    }
    // An account without a second factor ignores the member.
    let bob = Person::called("bob");
    Contract::ApiAuth.registers(&http, &bob).await;
    let mut body = Contract::Api.login_of(&bob.email, &bob.password);
    body["otp"] = json!(["anything"]);
    let answer = http.send(Contract::Api.login()).json(&body).await;
    assert_eq!(answer.status, 200, "{answer}");
}

async fn nothing_is_cut_from_the_password_if_that_is_switched_off(store: Store) {
    let settings = Settings::on(store).with_cheap_hashing();
    let settings = settings.with("AUTHLOG_PASSWORD_WITH_CODE", "off");
    let service = settings.start().await;
    let http = service.http();
    let ann = Person::called("ann").with_password("rahasia123456");
    Contract::ApiAuth.registers(&http, &ann).await;
    let access = Contract::Users.signs_in(&http, &ann).await.access;
    let mut app = enrol(&http, &access, &ann).await;
    let typed = format!("{}{}", ann.password, app.fresh_code().await);
    let answer = Contract::Api
        .sign_in(&http, &ann.with_password(&typed))
        .await;
    Contract::Api.says_wrong_credentials(&answer);
    let begun = challenge(&Contract::Api.sign_in(&http, &ann).await);
    let answer = finish(&http, &begun, "code", &app.shown_code()).await;
    assert_eq!(answer.status, 200, "{answer}");
}

async fn a_session_with_a_second_factor_says_so_everywhere(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let asker = staff::signed_in(&service, "billing", "service")
        .await
        .access;
    let (ann, [mut app], _) = with_apps::<1>(&http, "ann").await;
    let typed = format!("{}{}", ann.password, app.fresh_code().await);
    let tokens = Contract::ApiAuth
        .signs_in(&http, &ann.with_password(&typed))
        .await;
    let claims = token::claims(&tokens.access);
    let of = |claims: &Value| ["amr", "acr", "auth_time"].map(|name| claims[name].clone());
    let expected = [
        json!(["pwd", "otp", "mfa"]),
        json!("urn:authlog:aal2"),
        claims["iat"].clone(),
    ];
    assert_eq!(of(&claims), expected);
    // A refresh keeps the level and the time.
    let answer = http.send(api_auth::REFRESH).bearer(tokens.refresh()).await;
    let refreshed = Contract::ApiAuth.tokens_in(&answer.json());
    assert_eq!(of(&token::claims(&refreshed.access)), expected);
    let request = http.send(own::INTROSPECT).bearer(&asker);
    let active = request.form(&[("token", &refreshed.access)]).await.json();
    assert_eq!(of(&active), expected);
    let sessions = http.send(own::SESSIONS).bearer(&tokens.access).await.json();
    let sessions = sessions["sessions"].as_array().unwrap().clone();
    let current = sessions.iter().find(|it| it["current"] == true).unwrap();
    assert_eq!(current["acr"], expected[1]);
    assert_eq!(current["factor"], json!(app.id));
    let history = http.send(own::HISTORY).query("type=LoggedIn,TotpEnrolled");
    let history = history.bearer(&tokens.access).await.json();
    let words: Vec<&str> = history["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["what"].as_str().unwrap())
        .collect();
    for expected in [
        "signed in with a second factor",
        "enrolled an authenticator app",
    ] {
        assert!(words.contains(&expected), "{words:?}");
    }
}

async fn a_code_is_good_for_one_login(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let (ann, [mut app], access) = with_apps::<1>(&http, "ann").await;
    // The code that enrolled the app is used.
    let begun = challenge(&Contract::Users.sign_in(&http, &ann).await);
    let answer = finish(&http, &begun, "code", &app.shown_code()).await;
    assert_eq!(answer.status, 403, "{answer}");
    let typed = format!("{}{}", ann.password, app.fresh_code().await);
    let ann_with_code = ann.with_password(&typed);
    Contract::Users.signs_in(&http, &ann_with_code).await;
    let answer = Contract::Users.sign_in(&http, &ann_with_code).await;
    Contract::Users.says_wrong_credentials(&answer);
    let answer = finish(&http, &begun, "code", &app.shown_code()).await;
    assert_eq!(answer.status, 403, "{answer}");
    eventually("the refused logins are recorded", async || {
        let reasons = refused(&http, &access).await;
        let replayed = reasons.iter().filter(|it| *it == "second-factor-replayed");
        (replayed.count() == 3).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_that_was_used_on_one_node_is_refused_on_the_other() {
    let [first, second] = Settings::of_two_nodes().map(Settings::with_cheap_hashing);
    let [first, second] = [first.start().await, second.start().await];
    let (ann, [mut app], _) = with_apps::<1>(&first.http(), "ann").await;
    let typed = format!("{}{}", ann.password, app.fresh_code().await);
    let ann = ann.with_password(&typed);
    Contract::Users.signs_in(&first.http(), &ann).await;
    let answer = Contract::Users.sign_in(&second.http(), &ann).await;
    Contract::Users.says_wrong_credentials(&answer);
}

async fn of_a_hundred_logins_with_one_code_one_succeeds(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let (ann, [mut app], _) = with_apps::<1>(&http, "ann").await;
    let begun = challenge(&Contract::Users.sign_in(&http, &ann).await);
    let code = app.fresh_code().await;
    let mut running = JoinSet::new();
    for _ in 0..100 {
        let (http, begun, code) = (http.clone(), begun.clone(), code.clone());
        running.spawn(async move { finish(&http, &begun, "code", &code).await.status });
    }
    let statuses = running.join_all().await;
    let count = |status| statuses.iter().filter(|it| **it == status).count();
    assert_eq!((count(200), count(403)), (1, 99), "{statuses:?}");
}

async fn a_recovery_code_signs_in_once(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let access = Contract::Users.signs_in(&http, &ann).await.access;
    let body = json!({"password": ann.password});
    let answer = http
        .send(own::RECOVERY_CODES)
        .bearer(&access)
        .json(&body)
        .await;
    assert_eq!(answer.status, 409, "{answer}");
    let app = enrol(&http, &access, &ann).await;
    let access = app.access;
    let replaced = recovery_codes(&http, &access, &ann).await;
    let codes = recovery_codes(&http, &access, &ann).await;
    assert_eq!(codes.len(), 10);
    let begun = challenge(&Contract::V1Auth.sign_in(&http, &ann).await);
    for wrong in [&replaced[0], "", "AAAA-AAAA-AAAA-AAAA"] {
        let answer = finish(&http, &begun, "recovery_code", wrong).await;
        assert_eq!(answer.status, 403, "{answer}");
    }
    // In a race, a code is used once.
    let mut running = JoinSet::new();
    for _ in 0..10 {
        let (http, begun, code) = (http.clone(), begun.clone(), codes[0].to_lowercase());
        running.spawn(async move { finish(&http, &begun, "recovery_code", &code).await });
    }
    let answers = running.join_all().await;
    let right: Vec<_> = answers.iter().filter(|it| it.status == 200).collect();
    assert_eq!(right.len(), 1);
    let tokens = Contract::V1Auth.tokens_in(&right[0].json());
    assert_eq!(token::claims(&tokens.access)["acr"], "urn:authlog:aal2");
    assert_eq!(factors(&http, &access).await["recovery_codes_left"], 9);
    // With the last factor, the codes are removed.
    let (_, methods) = challenge_and_methods(&Contract::V1Auth.sign_in(&http, &ann).await);
    assert_eq!(methods, "totp recovery");
    let answer = remove(&http, &access, &app.id, &ann.password).await;
    assert_eq!(answer.status, 204, "{answer}");
    assert_eq!(factors(&http, &access).await["recovery_codes_left"], 0);
    assert_eq!(service.settings.count("recovery_codes"), 0);
}

async fn a_challenge_ends_with_the_password_under_which_it_began(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let (ann, [mut app], access) = with_apps::<1>(&http, "ann").await;
    let begun = challenge(&Contract::Users.sign_in(&http, &ann).await);
    let body = json!({"current_password": ann.password, "new_password": "another-secret"});
    let request = http.send(own::CHANGE_PASSWORD).bearer(&access);
    let answer = request.json(&body).await;
    assert_eq!(answer.status, 204, "{answer}");
    let answer = finish(&http, &begun, "code", &app.fresh_code().await).await;
    assert_eq!(answer.status, 400, "{answer}");
    let ann = ann.with_password("another-secret");
    let begun = challenge(&Contract::Users.sign_in(&http, &ann).await);
    let answer = finish(&http, &begun, "code", &app.shown_code()).await;
    assert_eq!(answer.status, 200, "{answer}");
}

async fn guessed_codes_are_limited_like_guessed_passwords(store: Store) {
    let settings = Settings::on(store).with_cheap_hashing();
    let service = settings.without("AUTHLOG_RATE_LIMIT").start().await;
    let http = service.http();
    let (ann, [app], _) = with_apps::<1>(&http, "ann").await;
    let stranger = http.calling_from("127.0.0.2");
    let begun = challenge(&Contract::Users.sign_in(&stranger, &ann).await);
    let mut statuses = Vec::new();
    for _ in 0..30 {
        statuses.push(
            finish(&stranger, &begun, "code", &app.wrong_code())
                .await
                .status,
        );
    }
    assert_eq!(statuses[0], 403);
    assert!(statuses.contains(&429), "{statuses:?}");
    // They count for the name: the password cannot be guessed from there either.
    let answer = Contract::Users.sign_in(&stranger, &ann).await;
    assert_eq!(answer.status, 429, "{answer}");
}

async fn codes_guessed_from_many_addresses_are_limited_and_do_not_lock_the_owner_out(store: Store) {
    let settings = Settings::on(store).with_cheap_hashing();
    let service = settings.without("AUTHLOG_RATE_LIMIT").start().await;
    let http = service.http();
    let (ann, [mut app], access) = with_apps::<1>(&http, "ann").await;
    let codes = recovery_codes(&http, &access, &ann).await;
    let from = |number: usize| http.calling_from(&format!("127.0.1.{number}"));
    let begun = challenge(&Contract::Users.sign_in(&from(250), &ann).await);
    let mut statuses = Vec::new();
    // Each guess from an address of its own, at both places.
    for number in 1..=60 {
        let answer = finish(&from(number), &begun, "code", &app.wrong_code()).await;
        statuses.push(answer.status);
        let typed = format!("{}{}", ann.password, app.wrong_code());
        let guesser = from(60 + number);
        let answer = Contract::Users
            .sign_in(&guesser, &ann.with_password(&typed))
            .await;
        statuses.push(answer.status);
    }
    // A hundred wrong codes are checked, and then one in a quarter of an hour.
    let limited = statuses.iter().filter(|status| **status == 429).count();
    assert!((19..=20).contains(&limited), "{statuses:?}");
    // Passwords are guessed as before.
    let answer = Contract::Users
        .sign_in(&from(251), &ann.with_password("not-the-password"))
        .await;
    Contract::Users.says_wrong_credentials(&answer);
    // The owner signs in from a known address with a code, and from another one with a recovery code.
    let typed = format!("{}{}", ann.password, app.fresh_code().await);
    Contract::Users
        .signs_in(&http, &ann.with_password(&typed))
        .await;
    let away = from(252);
    let begun = challenge(&Contract::Users.sign_in(&away, &ann).await);
    let answer = finish(&away, &begun, "recovery_code", &codes[0]).await;
    assert_eq!(answer.status, 200, "{answer}");
}

async fn an_administrator_and_the_operator_remove_factors(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let admin = staff::signed_in(&service, "boss", "admin").await.access;
    let (ann, [_first, _second], access) = with_apps::<2>(&http, "ann").await;
    recovery_codes(&http, &access, &ann).await;
    let profile = http.send(own::PROFILE).bearer(&access).await.json();
    let path = format!("/admin/users/{}/factors", profile["id"].as_str().unwrap());
    let all: Endpoint = Endpoint::at("DELETE", path.leak());
    assert_eq!(http.send(all).bearer(&access).await.status, 403);
    for _ in 0..2 {
        let answer = http.send(all).bearer(&admin).await;
        assert_eq!(answer.status, 204, "{answer}");
    }
    let access = Contract::Users.signs_in(&http, &ann).await.access;
    let app = enrol(&http, &access, &ann).await;
    let output = service.settings.run(&["user", "remove-factors", "ann"], "");
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(
        printed.starts_with("removed 1 second factors of "),
        "{printed}"
    );
    // Sessions that a removed factor may have opened have ended.
    for ended in [&access, &app.access] {
        assert_eq!(http.send(own::PROFILE).bearer(ended).await.status, 401);
    }
    let access = Contract::Api.signs_in(&http, &ann).await.access;
    let history = http.send(own::HISTORY).query("type=FactorRemoved");
    let history = history.bearer(&access).await.json();
    let events = history["events"].as_array().unwrap();
    let by: Vec<_> = events.iter().map(|it| &it["data"]["reason"]).collect();
    let expected = ["administrator", "administrator", "operator"];
    assert_eq!(by, expected.map(|it| json!(it)).each_ref());
    assert_eq!(service.settings.count("second_factors"), 0);
}

async fn a_mailed_reset_removes_no_factor(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let access = Contract::Users.signs_in(&http, &ann).await.access;
    // Notices go to verified addresses only.
    let answer = http.send(own::REQUEST_VERIFICATION).bearer(&access).await;
    assert_eq!(answer.status, 202, "{answer}");
    let link = mail_to(&service, &ann.email).await;
    support::story::follows(&service, &link.token(), &access).await;
    let mut app = enrol(&http, &access, &ann).await;
    let notice = notice_to(
        &service,
        &ann.email,
        "authenticator app or a passkey was added",
    )
    .await;
    assert!(!notice.text.contains(&app.secret));

    let body = json!({"username": ann.email});
    let answer = http.send(users::REQUEST_RESET).json(&body).await;
    assert_eq!(answer.status, 200, "{answer}");
    let reset = new_mail_to(&service, &ann.email, &[link]).await;
    let request = http.send(users::UPDATE_PASSWORD);
    let body = json!({"password": "another-secret"});
    let answer = request.authorization(&reset.token()).json(&body).await;
    assert_eq!(answer.status, 200, "{answer}");
    let ann = ann.with_password("another-secret");
    let begun = challenge(&Contract::Users.sign_in(&http, &ann).await);
    let answer = finish(&http, &begun, "code", &app.fresh_code().await).await;
    assert_eq!(answer.status, 200, "{answer}");
    let access = Contract::Users.tokens_in(&answer.json()).access;
    let answer = remove(&http, &access, &app.id, &ann.password).await;
    assert_eq!(answer.status, 204, "{answer}");
    notice_to(
        &service,
        &ann.email,
        "authenticator app or a passkey was removed",
    )
    .await;
}

async fn an_erasure_and_the_log_keep_nothing_of_a_factor(store: Store) {
    let settings = Settings::on(store).with_cheap_hashing();
    let service = settings.with("AUTHLOG_LOG", "debug").start().await;
    let http = service.http();
    let (ann, [mut app], access) = with_apps::<1>(&http, "ann").await;
    let codes = recovery_codes(&http, &access, &ann).await;
    let code = app.fresh_code().await;
    let typed = format!("{}{code}", ann.password);
    Contract::Users
        .signs_in(&http, &ann.with_password(&typed))
        .await;
    let begun = challenge(&Contract::Users.sign_in(&http, &ann).await);
    let answer = finish(&http, &begun, "recovery_code", &codes[0]).await;
    assert_eq!(answer.status, 200, "{answer}");
    assert_eq!(service.settings.count("second_factors"), 1);
    assert_eq!(service.settings.count("recovery_codes"), 9);
    let request = http.send(own::ERASE).bearer(&access);
    let answer = request.json(&json!({"password": ann.password})).await;
    assert_eq!(answer.status, 204, "{answer}");
    assert_eq!(service.settings.count("second_factors"), 0);
    assert_eq!(service.settings.count("recovery_codes"), 0);
    let stored = service.settings.stored_bytes();
    let logged = service.output();
    let plain = codes[0].replace('-', "");
    for secret in [&app.secret, &code, &codes[0], &plain, &begun] {
        assert!(!logged.contains(secret.as_str()), "{secret} is in the log");
    }
    for secret in [&app.secret, &codes[0], &plain, &begun] {
        let mut windows = stored.windows(secret.len());
        assert!(
            !windows.any(|it| it == secret.as_bytes()),
            "{secret} is stored"
        );
    }
}

async fn malformed_requests_are_refused(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let (ann, [app], access) = with_apps::<1>(&http, "ann").await;
    let begun = challenge(&Contract::Users.sign_in(&http, &ann).await);
    for (body, status) in [
        (json!({}), 400),
        (json!({"challenge": begun}), 400),
        (json!({"challenge": begun, "code": 123_456}), 400),
        (
            json!({"challenge": begun, "code": "1", "recovery_code": "A"}),
            400,
        ),
        (json!({"challenge": null, "code": "123456"}), 400),
        (
            json!({"challenge": "x".repeat(5000), "code": "123456"}),
            400,
        ),
        (
            json!({"challenge": format!("{begun}A"), "code": "123456"}),
            400,
        ),
        (json!({"challenge": begun, "code": "9".repeat(10_000)}), 403),
        (
            json!({"challenge": begun, "code": "\u{0}１２３４５６"}),
            403,
        ),
        (
            json!({"challenge": begun, "recovery_code": "é".repeat(100)}),
            403,
        ),
    ] {
        let answer = http.send(own::SECOND_FACTOR).json(&body).await;
        assert_eq!(answer.status, status, "{answer}");
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json")
        );
    }
    // An enrolment is no challenge, and a challenge no enrolment.
    let enrolment = begin(&http, &access, &ann).await;
    let answer = finish(&http, enrolment["id"].as_str().unwrap(), "code", "123456").await;
    assert_eq!(answer.status, 400, "{answer}");
    let answer = confirm(&http, &access, &json!({"id": begun}), "123456").await;
    assert_eq!(answer.status, 400, "{answer}");
    for id in ["x", "00000000-0000-0000-0000-000000000000"] {
        let answer = remove(&http, &access, id, &ann.password).await;
        assert_eq!(answer.status, 404, "{answer}");
    }
    let path = format!("/account/factors/{}/remove", app.id);
    let request = http.send(Endpoint::at("POST", path.leak())).bearer(&access);
    let answer = request.json(&json!({"password": ann.password})).await;
    assert_eq!(answer.status, 204, "{answer}");
}
