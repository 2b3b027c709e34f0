//! Stepping a session up with a passkey, and changing an account with one as the proof.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::support;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use support::authenticator::challenge_and_methods;
use support::contract::{is_refused as is_no_token, verifies};
use support::http::Http;
use support::mail::{mail_to, notice_to};
use support::passkey::{
    Passkey, begin, confirm, enrol, finish, history, is_refused, refused, send, service, settings,
    sign_in_options, step_up, step_up_options, with_passkey, with_proof,
};
use support::{
    Answer, Contract, Endpoint, Person, Program, Settings, Store, api_auth, authenticator,
    eventually, on_both_stores, own, staff, token,
};
use tokio::task::JoinSet;

on_both_stores!(
    a_passkey_raises_the_level_of_a_session_with_a_signed_token,
    a_passkey_raises_the_level_of_a_session_with_an_opaque_token,
    a_passkey_that_was_enrolled_elsewhere_is_good_for_an_earlier_token,
    a_passkey_is_the_proof_for_every_change_of_an_account,
    the_password_is_checked_before_the_passkey_is_used,
    a_challenge_is_for_one_session_and_purpose,
    a_challenge_ends_with_the_sessions_of_the_account,
    what_proves_nothing_steps_nothing_up,
    a_body_with_several_proofs_or_half_of_one_is_refused,
    a_challenge_steps_up_once,
    of_a_hundred_step_ups_with_one_challenge_one_succeeds,
    a_counter_that_goes_back_in_a_step_up_is_reported,
    wrong_passkeys_count_as_wrong_codes_do,
    an_account_or_a_service_without_passkeys_says_so,
);

async fn step_ups(http: &Http, access: &str) -> usize {
    history(http, access, "SteppedUp").await.len()
}

async fn post(http: &Http, access: &str, body: &Value) -> Answer {
    http.send(own::STEP_UP).bearer(access).json(body).await
}

/// Signs in with the password and then the passkey, as this contract.
async fn signed_in(http: &Http, contract: Contract, person: &Person, passkey: &Passkey) -> String {
    let (challenge, _) = challenge_and_methods(&contract.sign_in(http, person).await);
    let answer = finish(http, &challenge, passkey).await;
    assert_eq!(answer.status, 200, "{answer}");
    contract.tokens_in(&answer.json()).access
}

async fn current_session(http: &Http, access: &str) -> Value {
    let listed = http.send(own::SESSIONS).bearer(access).await.json();
    let listed = listed["sessions"].as_array().unwrap().clone();
    let mut listed = listed.into_iter();
    listed.find(|it| it["current"] == true).unwrap()
}

async fn introspected(http: &Http, asker: &str, access: &str) -> Value {
    let request = http.send(own::INTROSPECT).bearer(asker);
    request.form(&[("token", access)]).await.json()
}

/// Asserts what the session says of its person, once it was stepped up: everywhere, and later than before.
async fn is_stepped_up(http: &Http, asker: &str, access: &str, answer: &Answer, amr: &Value) {
    assert_eq!(answer.status, 200, "{answer}");
    let body = answer.json();
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(&body["amr"], amr);
    assert_eq!(body["acr"], "urn:authlog:aal2");
    let raised = body["access_token"].as_str().unwrap();
    let before = introspected(http, asker, access).await;
    let after = introspected(http, asker, raised).await;
    let session = current_session(http, raised).await;
    for member in ["amr", "acr"] {
        assert_eq!(after[member], body[member], "{member}");
        assert_eq!(session[member], body[member], "{member}");
    }
    assert_eq!(after["auth_time"], body["auth_time"]);
    assert_eq!(session["factor"], body["factor"]);
    if raised != access {
        // The token from before stays at its level.
        assert!(before["auth_time"].as_i64() < after["auth_time"].as_i64());
        for member in ["amr", "acr", "auth_time"] {
            assert_eq!(token::claims(raised)[member], body[member], "{member}");
        }
    }
    let event = history(http, raised, "SteppedUp").await.pop().unwrap();
    assert_eq!(event["what"], "showed a second factor again");
    assert_eq!(event["acr"], "urn:authlog:aal2");
    assert_eq!(event["data"]["factor"], body["factor"]);
    assert_eq!(&event["data"]["amr"], amr);
}

async fn a_second_later() {
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
}

async fn a_passkey_raises_the_level_of_a_session_with_a_signed_token(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let asker = staff::signed_in(&service, "billing", "service")
        .await
        .access;
    let (ann, passkey, _) = with_passkey(&http, "ann").await;
    let (challenge, _) = challenge_and_methods(&Contract::ApiAuth.sign_in(&http, &ann).await);
    let answer = finish(&http, &challenge, &passkey).await;
    let tokens = Contract::ApiAuth.tokens_in(&answer.json());
    assert_eq!(
        token::claims(&tokens.access)["amr"],
        json!(["pwd", "hwk", "mfa"])
    );
    let request = http.send(own::STEP_UP_OPTIONS).bearer(&tokens.access);
    let begun = request.await.json();
    let options = &begun["publicKey"];
    assert_eq!(options["challenge"], begun["challenge"]);
    assert_eq!(options["rpId"], "localhost");
    assert_eq!(options["userVerification"], "required");
    assert_eq!(options["timeout"], 300_000);
    let id = URL_SAFE_NO_PAD.encode(&passkey.credential_id);
    let allowed = json!([{"type": "public-key", "id": id, "transports": ["hybrid", "internal"]}]);
    assert_eq!(options["allowCredentials"], allowed);

    a_second_later().await;
    let answer = step_up(&http, &tokens.access, &passkey).await;
    let amr = json!(["pwd", "hwk", "user", "mfa"]);
    is_stepped_up(&http, &asker, &tokens.access, &answer, &amr).await;
    assert_eq!(answer.json()["factor"], json!(passkey.id));
    let raised = answer.json();
    verifies(&http, raised["access_token"].as_str().unwrap()).await;
    // The refresh token stays the same, and keeps the level and its time.
    let answer = http.send(api_auth::REFRESH).bearer(tokens.refresh()).await;
    let refreshed = Contract::ApiAuth.tokens_in(&answer.json()).access;
    for member in ["amr", "acr", "auth_time"] {
        assert_eq!(token::claims(&refreshed)[member], raised[member]);
    }
}

async fn a_passkey_raises_the_level_of_a_session_with_an_opaque_token(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let asker = staff::signed_in(&service, "billing", "service")
        .await
        .access;
    let (ann, passkey, access) = with_passkey(&http, "ann").await;
    let mut synced = Passkey::synced();
    enrol(&http, &access, &ann, &mut synced).await;
    let opaque = signed_in(&http, Contract::Api, &ann, &passkey).await;
    let before = introspected(&http, &asker, &opaque).await;
    a_second_later().await;
    let answer = step_up(&http, &opaque, &synced).await;
    // A passkey that can be copied is no key in hardware. The one that opened the session was.
    let amr = json!(["pwd", "swk", "hwk", "user", "mfa"]);
    is_stepped_up(&http, &asker, &opaque, &answer, &amr).await;
    let stepped_up = answer.json();
    assert_eq!(stepped_up["access_token"], json!(opaque));
    assert_eq!(stepped_up["expires_at"], Value::Null);
    assert_eq!(stepped_up["factor"], json!(synced.id));
    assert!(before["auth_time"].as_i64() < stepped_up["auth_time"].as_i64());
}

async fn a_passkey_that_was_enrolled_elsewhere_is_good_for_an_earlier_token(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let access = Contract::Users.signs_in(&http, &ann).await.access;
    // A browser session enrols an app first, so that the passkey is no first factor.
    let app = authenticator::enrol(&http, &access, &ann).await;
    let mut passkey = Passkey::new();
    enrol(&http, &app.access, &ann, &mut passkey).await;
    // The token from before is still at its level, and the session is stepped up with the passkey.
    let answer = http.send(own::RECOVERY_CODES).bearer(&access);
    assert_eq!(answer.json(&json!({})).await.status, 401);
    let answer = step_up(&http, &access, &passkey).await;
    assert_eq!(answer.status, 200, "{answer}");
    let stepped_up = answer.json();
    let amr = json!(["pwd", "otp", "hwk", "user", "mfa"]);
    assert_eq!(stepped_up["amr"], amr);
    let raised = stepped_up["access_token"].as_str().unwrap();
    let request = http.send(own::RECOVERY_CODES).bearer(raised);
    let answer = request.json(&json!({})).await;
    assert_eq!(answer.status, 201, "{answer}");
}

async fn a_passkey_is_the_proof_for_every_change_of_an_account(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let access = Contract::Users.signs_in(&http, &ann).await.access;
    let mut passkey = Passkey::new();
    enrol(&http, &access, &ann, &mut passkey).await;
    let mut other = Passkey::new();
    enrol(&http, &passkey.access, &ann, &mut other).await;
    let remove = format!("/account/factors/{}/remove", other.id);
    let new = "another-secret";
    for (endpoint, body, expected) in [
        (own::BEGIN_TOTP, json!({}), 200),
        (
            own::PASSKEY_CREATION,
            json!({"password": ann.password}),
            200,
        ),
        (own::RECOVERY_CODES, json!({}), 201),
        (
            own::CHANGE_EMAIL,
            json!({"password": ann.password, "email": "new@example.com"}),
            202,
        ),
        (Endpoint::at("POST", remove.leak()), json!({}), 204),
        (
            own::CHANGE_PASSWORD,
            json!({"current_password": ann.password, "new_password": new}),
            204,
        ),
        (own::ERASE, json!({"password": new}), 204),
    ] {
        // The token of before the first factor is at a lower level, and stays there.
        let request = http.send(endpoint).bearer(&access);
        let answer = request.clone().json(&body).await;
        assert_eq!(answer.status, 401, "{endpoint}: {answer}");
        let before = step_ups(&http, &access).await;
        let proof = with_proof(&http, &access, &passkey, body).await;
        let answer = request.json(&proof).await;
        assert_eq!(answer.status, expected, "{endpoint}: {answer}");
        if endpoint != own::ERASE {
            assert_eq!(step_ups(&http, &access).await, before + 1, "{endpoint}");
        }
    }
    is_no_token(&http, &access).await;
    assert_eq!(service.settings.count("passkeys"), 0);
}

async fn the_password_is_checked_before_the_passkey_is_used(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let (ann, passkey, access) = with_passkey(&http, "ann").await;
    let before = step_ups(&http, &access).await;
    let wrong = json!({"password": "not-the-password"});
    let mut body = with_proof(&http, &access, &passkey, wrong).await;
    is_refused(&post(&http, &access, &body).await, 403, "password");
    assert_eq!(step_ups(&http, &access).await, before);
    body["password"] = json!(ann.password);
    let answer = post(&http, &access, &body).await;
    assert_eq!(answer.status, 200, "{answer}");
    // The passkey alone is not enough for what needs the password as well.
    let body = with_proof(&http, &access, &passkey, json!({})).await;
    let request = http.send(own::ERASE_BY_POST).bearer(&access);
    is_refused(&request.json(&body).await, 400, "password");
    let profile = http.send(own::PROFILE).bearer(&access).await;
    assert_eq!(profile.status, 200, "{profile}");
}

async fn a_challenge_is_for_one_session_and_purpose(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let (ann, passkey, access) = with_passkey(&http, "ann").await;
    let other = signed_in(&http, Contract::Api, &ann, &passkey).await;
    let (_, of_bob, bob) = with_passkey(&http, "bob").await;
    let before = step_ups(&http, &access).await;
    let (login, _) = challenge_and_methods(&Contract::ApiAuth.sign_in(&http, &ann).await);
    let enrolment = begin(&http, &access, &ann).await;
    for challenge in [
        step_up_options(&http, &other).await["challenge"].clone(),
        step_up_options(&http, &bob).await["challenge"].clone(),
        sign_in_options(&http).await["challenge"].clone(),
        json!(login),
        enrolment["enrolment"].clone(),
        json!("nonsense"),
        json!(""),
        json!("x".repeat(5000)),
    ] {
        let assertion = passkey.get(&json!({"challenge": challenge}));
        let body = json!({"challenge": challenge, "assertion": assertion});
        is_refused(&post(&http, &access, &body).await, 400, "Begin again");
    }
    // One of this session that the passkey did not sign, and one that another account's passkey signed.
    let mine = step_up_options(&http, &access).await;
    let assertion = passkey.get(&step_up_options(&http, &access).await["publicKey"]);
    let body = json!({"challenge": mine["challenge"], "assertion": assertion});
    is_refused(&post(&http, &access, &body).await, 403, "another challenge");
    let answer = step_up(&http, &access, &of_bob).await;
    is_refused(&answer, 403, "No account");
    assert_eq!(step_ups(&http, &access).await, before);
    // It is no challenge for a login or an enrolment.
    let assertion = passkey.get(&mine["publicKey"]);
    is_refused(&send(&http, &mine, &assertion).await, 400, "Begin again");
    let body = json!({"challenge": mine["challenge"], "assertion": assertion});
    let answer = http.send(own::SECOND_FACTOR).json(&body).await;
    is_refused(&answer, 400, "Begin again");
    let mut new = Passkey::new();
    let credential = new.create(&json!({"challenge": mine["challenge"], "user": {"id": "AA"}}));
    let begun = json!({"enrolment": mine["challenge"]});
    let answer = confirm(&http, &access, &begun, &credential).await;
    is_refused(&answer, 400, "Begin again");
    // After all that, it is good for what it was made for.
    assert_eq!(post(&http, &access, &body).await.status, 200);
}

async fn a_challenge_ends_with_the_sessions_of_the_account(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let (ann, passkey, access) = with_passkey(&http, "ann").await;
    let mut other = Passkey::new();
    enrol(&http, &access, &ann, &mut other).await;
    let body = with_proof(&http, &access, &passkey, json!({})).await;
    // The removal of a factor ends the other sessions, and what was begun before it.
    let remove = format!("/account/factors/{}/remove", other.id);
    let request = http.send(Endpoint::at("POST", remove.leak()));
    let answer = request.bearer(&access).json(&json!({})).await;
    assert_eq!(answer.status, 204, "{answer}");
    let before = step_ups(&http, &access).await;
    is_refused(&post(&http, &access, &body).await, 400, "Begin again");
    let answer = step_up(&http, &access, &other).await;
    is_refused(&answer, 403, "No account");
    assert_eq!(step_ups(&http, &access).await, before);
    assert_eq!(step_up(&http, &access, &passkey).await.status, 200);
    // The challenge of a session that has ended is asked for and used in vain.
    let request = http.send(own::STEP_UP_OPTIONS).bearer("nothing");
    is_refused(&request.await, 401, "access token");
    let opaque = signed_in(&http, Contract::Api, &ann, &passkey).await;
    let body = with_proof(&http, &opaque, &passkey, json!({})).await;
    let answer = http.send(own::END_OTHER_SESSIONS).bearer(&access).await;
    assert_eq!(answer.status, 204, "{answer}");
    is_refused(&post(&http, &opaque, &body).await, 401, "access token");
    let request = http.send(own::STEP_UP_OPTIONS).bearer(&opaque);
    is_refused(&request.await, 401, "access token");
}

async fn what_proves_nothing_steps_nothing_up(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let (_, passkey, access) = with_passkey(&http, "ann").await;
    let before = step_ups(&http, &access).await;
    let mut wrong = passkey;
    for (change, status, words) in [
        (
            (|it: &mut Passkey| it.flags &= !4) as fn(&mut Passkey),
            403,
            "verify the person",
        ),
        (|it| it.flags &= !1, 403, "present"),
        (
            |it| it.origin = "https://evil.example".into(),
            403,
            "origin",
        ),
        (|it| it.rp_id = "evil.example".into(), 403, "RP ID"),
        (|it| it.user_handle = json!("AAAA"), 403, "userHandle"),
        (|it| it.flags |= 1 << 4, 400, "backups"),
    ] {
        let right = (
            wrong.flags,
            wrong.origin.clone(),
            wrong.rp_id.clone(),
            wrong.user_handle.clone(),
        );
        change(&mut wrong);
        let answer = step_up(&http, &access, &wrong).await;
        is_refused(&answer, status, words);
        (wrong.flags, wrong.origin, wrong.rp_id, wrong.user_handle) = right;
    }
    let passkey = wrong;
    for (pointer, value, status, words) in [
        ("", json!([]), 400, "type"),
        ("", json!("text"), 400, "type"),
        ("/rawId", json!("AA=="), 400, "rawId"),
        ("/response/signature", json!("AA"), 403, "signature"),
        ("/response/signature", Value::Null, 400, "signature"),
        (
            "/response/authenticatorData",
            json!("AA"),
            400,
            "authenticatorData",
        ),
        (
            "/response/clientDataJSON",
            json!("e30"),
            400,
            "clientDataJSON",
        ),
    ] {
        let mut body = with_proof(&http, &access, &passkey, json!({})).await;
        *body["assertion"].pointer_mut(pointer).unwrap() = value;
        is_refused(&post(&http, &access, &body).await, status, words);
    }
    assert_eq!(step_ups(&http, &access).await, before);
    // Those that could be read are recorded as attempts.
    eventually("the refusals are recorded", async || {
        (refused(&http, &access, "second-factor-wrong").await == 7).then_some(())
    })
    .await;
    // The client may leave the handle out, because it was told the passkeys.
    let mut body = with_proof(&http, &access, &passkey, json!({})).await;
    body["assertion"]["response"]["userHandle"] = Value::Null;
    assert_eq!(post(&http, &access, &body).await.status, 200);
}

async fn a_body_with_several_proofs_or_half_of_one_is_refused(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let (ann, passkey, access) = with_passkey(&http, "ann").await;
    let before = step_ups(&http, &access).await;
    let proof = with_proof(&http, &access, &passkey, json!({})).await;
    let with = |more: Value| {
        let mut body = proof.clone();
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        body
    };
    for (body, words) in [
        (with(json!({"code": "123456"})), "only one of"),
        (with(json!({"code": 123_456})), "only one of"),
        (with(json!({"recovery_code": "A"})), "only one of"),
        (json!({"code": "1", "recovery_code": "A"}), "only one of"),
        (with(json!({"challenge": null})), "hold the challenge"),
        (with(json!({"challenge": 7})), "hold the challenge"),
        (json!({"code": 123_456}), "must be strings"),
        (json!({"recovery_code": ["A"]}), "must be strings"),
        (with(json!({"assertion": null})), "must hold"),
        (json!({"password": ann.password}), "challenge and assertion"),
    ] {
        is_refused(&post(&http, &access, &body).await, 400, words);
    }
    let several = with(json!({"password": ann.password, "code": "123456"}));
    for endpoint in [
        own::BEGIN_TOTP,
        own::PASSKEY_CREATION,
        own::RECOVERY_CODES,
        own::CHANGE_EMAIL,
        own::CHANGE_PASSWORD,
        own::ERASE,
        own::ERASE_BY_POST,
    ] {
        let answer = http.send(endpoint).bearer(&access).json(&several).await;
        is_refused(&answer, 400, "only one of");
    }
    assert_eq!(step_ups(&http, &access).await, before);
    // What is empty was not sent.
    let body = with(json!({"code": null, "recovery_code": null}));
    assert_eq!(post(&http, &access, &body).await.status, 200);
}

async fn a_challenge_steps_up_once(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let (ann, passkey, access) = with_passkey(&http, "ann").await;
    let earlier = with_proof(&http, &access, &passkey, json!({})).await;
    let login = sign_in_options(&http).await;
    let body = with_proof(&http, &access, &passkey, json!({})).await;
    assert_eq!(post(&http, &access, &body).await.status, 200);
    let after = step_ups(&http, &access).await;
    for used in [&body, &earlier] {
        is_refused(&post(&http, &access, used).await, 403, "before");
    }
    // It counts for logins as well: a challenge of earlier is signed no more.
    let credential = passkey.get(&login["publicKey"]);
    is_refused(&send(&http, &login, &credential).await, 403, "before");
    assert_eq!(step_ups(&http, &access).await, after);
    eventually("the refusals are recorded", async || {
        let second = refused(&http, &access, "second-factor-replayed").await;
        let alone = refused(&http, &access, "passkey-replayed").await;
        ((second, alone) == (2, 1)).then_some(())
    })
    .await;
    signed_in(&http, Contract::Users, &ann, &passkey).await;
}

async fn of_a_hundred_step_ups_with_one_challenge_one_succeeds(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let (_, passkey, access) = with_passkey(&http, "ann").await;
    let before = step_ups(&http, &access).await;
    let body = with_proof(&http, &access, &passkey, json!({})).await;
    let mut running = JoinSet::new();
    for _ in 0..100 {
        let (http, access, body) = (http.clone(), access.clone(), body.clone());
        running.spawn(async move { post(&http, &access, &body).await.status });
    }
    let statuses = running.join_all().await;
    // The others find the challenge used, or are too many changes of one account.
    assert!(
        statuses.iter().all(|it| [200, 403, 429].contains(it)),
        "{statuses:?}"
    );
    let succeeded = statuses.iter().filter(|it| **it == 200).count();
    assert_eq!(succeeded, 1, "{statuses:?}");
    assert_eq!(step_ups(&http, &access).await, before + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_challenge_that_stepped_up_on_one_node_is_refused_on_the_other() {
    let nodes: [Settings; 2] = settings(Store::Postgres).of_nodes();
    let [first, second] = nodes;
    let [first, second] = [first.start().await, second.start().await];
    let (_, passkey, access) = with_passkey(&first.http(), "ann").await;
    let body = with_proof(&first.http(), &access, &passkey, json!({})).await;
    let answer = post(&second.http(), &access, &body).await;
    assert_eq!(answer.status, 200, "{answer}");
    is_refused(&post(&first.http(), &access, &body).await, 403, "before");
}

async fn a_counter_that_goes_back_in_a_step_up_is_reported(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let (ann, mut passkey, access) = with_passkey(&http, "ann").await;
    // Notices go to verified addresses only.
    let answer = http.send(own::REQUEST_VERIFICATION).bearer(&access).await;
    assert_eq!(answer.status, 202, "{answer}");
    let link = mail_to(&service, &ann.email).await;
    support::story::follows(&service, &link.token(), &access).await;
    for count in [7, 8, 3] {
        passkey.sign_count = count;
        let answer = step_up(&http, &access, &passkey).await;
        assert_eq!(answer.status, 200, "{answer}");
    }
    let events = history(&http, &access, "PasskeyCounterWentBack,SteppedUp").await;
    let went_back: Vec<_> = events
        .iter()
        .filter(|event| event["type"] == "PasskeyCounterWentBack")
        .collect();
    assert_eq!(went_back.len(), 1);
    assert_eq!(went_back[0]["data"]["stored"], 8);
    assert_eq!(went_back[0]["data"]["received"], 3);
    assert_eq!(went_back[0]["acr"], "urn:authlog:aal2");
    let session = &token::claims(&access)["sid"];
    assert_eq!(&went_back[0]["actor_session"], session);
    notice_to(&service, &ann.email, "There may be a copy of the passkey").await;
}

async fn wrong_passkeys_count_as_wrong_codes_do(store: Store) {
    let settings = settings(store).without("AUTHLOG_RATE_LIMIT");
    let service = settings.start().await;
    let http = service.http();
    let (ann, passkey, access) = with_passkey(&http, "ann").await;
    let stranger = http.calling_from("127.0.0.2");
    let wrong = Passkey::new();
    let mut statuses = Vec::new();
    for _ in 0..30 {
        statuses.push(step_up(&stranger, &access, &wrong).await.status);
    }
    assert_eq!(statuses[0], 403);
    assert!(statuses.contains(&429), "{statuses:?}");
    // They count for the name: the password cannot be guessed from there either.
    let answer = Contract::Users.sign_in(&stranger, &ann).await;
    assert_eq!(answer.status, 429, "{answer}");
    let count = statuses.iter().filter(|status| **status == 403).count();
    eventually("the guesses are recorded", async || {
        (refused(&http, &access, "second-factor-wrong").await == count).then_some(())
    })
    .await;
    // Their owner steps up from another address.
    let answer = step_up(&http, &access, &passkey).await;
    assert_eq!(answer.status, 200, "{answer}");
}

async fn an_account_or_a_service_without_passkeys_says_so(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let access = Contract::Users.signs_in(&http, &ann).await.access;
    let options = http.send(own::STEP_UP_OPTIONS);
    is_refused(&options.clone().await, 401, "access token");
    is_refused(&options.clone().bearer(&access).await, 409, "no passkey");
    let assertion = Passkey::new().get(&json!({"challenge": "x"}));
    let body = json!({"challenge": "x", "assertion": assertion});
    is_refused(&post(&http, &access, &body).await, 409, "no second factor");
    let app = authenticator::enrol(&http, &access, &ann).await;
    is_refused(&options.bearer(&app.access).await, 409, "no passkey");
    let answer = post(&http, &app.access, &body).await;
    is_refused(&answer, 400, "Begin again");

    let settings = Settings::on(store).with_cheap_hashing();
    let service: Program = settings
        .with("AUTHLOG_PUBLIC_URL", "https://192.0.2.7")
        .start()
        .await;
    let http = service.http();
    let (_, [app], access) = authenticator::with_apps::<1>(&http, "ann").await;
    let request = http.send(own::STEP_UP_OPTIONS).bearer(&access);
    is_refused(&request.await, 409, "Passkeys are off");
    let answer = post(&http, &app.access, &body).await;
    is_refused(&answer, 409, "Passkeys are off");
}
