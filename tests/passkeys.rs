//! Passkeys: enrolment, signing in without a password, and the second step of a login.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::support;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use support::authenticator::challenge_and_methods;
use support::contract::verifies;
use support::http::Http;
use support::mail::{mail_to, notice_to};
use support::passkey::{
    Passkey, begin, confirm, enrol, finish, history, is_refused, refused, second_step_options,
    send, service, settings, sign_in, sign_in_options, with_passkey,
};
use support::{
    Answer, Contract, Endpoint, Person, Program, Settings, Store, api_auth, authenticator,
    eventually, on_both_stores, own, staff, token,
};
use tokio::task::JoinSet;

on_both_stores!(
    a_passkey_is_enrolled_listed_and_removed,
    a_passkey_signs_in_without_a_name_as_any_contract,
    a_session_with_a_passkey_says_so_everywhere,
    a_passkey_without_verification_signs_in_only_after_the_password,
    a_passkey_is_the_second_step_of_every_contract,
    an_account_with_a_passkey_is_refused_by_the_password_alone,
    the_challenge_lists_what_the_account_has,
    a_challenge_is_signed_once,
    of_a_hundred_logins_with_one_challenge_one_succeeds,
    a_passkey_is_enrolled_once_by_anyone,
    a_counter_that_goes_back_is_reported_and_does_not_lock,
    a_removed_passkey_a_locked_account_and_an_erased_one_are_refused,
    a_passkey_survives_a_rebuild_and_is_seen_in_time_travel,
    an_erasure_and_the_log_keep_nothing_of_a_passkey,
    wrong_answers_are_refused_with_the_reason,
    refused_passkeys_are_recorded_and_limited,
    an_address_as_the_host_turns_passkeys_off,
    a_new_passkey_needs_the_password_even_after_a_recent_second_factor,
    a_passkey_signs_again_after_a_clock_was_ahead,
    a_person_who_signed_in_with_a_passkey_before_is_not_kept_out_by_others_of_the_network,
);

async fn factors(http: &Http, access: &str) -> Vec<Value> {
    let answer = http.send(own::FACTORS).bearer(access).await;
    assert_eq!(answer.status, 200, "{answer}");
    answer.json()["factors"].as_array().unwrap().clone()
}

async fn remove(http: &Http, access: &str, id: &str, password: &str) -> Answer {
    let path = format!("/account/factors/{id}");
    let request = http.send(Endpoint::at("DELETE", path.leak()));
    request
        .bearer(access)
        .json(&json!({"password": password}))
        .await
}

async fn a_passkey_is_enrolled_listed_and_removed(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let access = Contract::Users.signs_in(&http, &ann).await.access;
    let wrong = json!({"password": "not-the-password"});
    let request = http.send(own::PASSKEY_CREATION).bearer(&access);
    assert_eq!(request.json(&wrong).await.status, 403);

    let begun = begin(&http, &access, &ann).await;
    let options = &begun["publicKey"];
    assert_eq!(options["rp"]["id"], "localhost");
    assert_eq!(options["user"]["name"], json!(ann.username));
    assert_eq!(options["attestation"], "none");
    assert_eq!(
        options["authenticatorSelection"],
        json!({
            "residentKey": "required", "requireResidentKey": true, "userVerification": "required",
        })
    );
    assert_eq!(options["excludeCredentials"], json!([]));
    let mut passkey = Passkey::synced();
    let credential = passkey.create(options);
    // An enrolment belongs to the account for which it was begun.
    let bob = Person::called("bob");
    Contract::ApiAuth.registers(&http, &bob).await;
    let of_bob = Contract::Users.signs_in(&http, &bob).await.access;
    let answer = confirm(&http, &of_bob, &begun, &credential).await;
    is_refused(&answer, 400, "Begin again");
    let answer = confirm(&http, &access, &begun, &credential).await;
    assert_eq!(answer.status, 201, "{answer}");
    let enrolled = answer.json();
    let id = enrolled["id"].as_str().unwrap().to_owned();
    // The first factor of an account steps the session up.
    assert_eq!(enrolled["session"]["amr"], json!(["pwd", "swk", "mfa"]));
    let stepped_up = enrolled["session"]["access_token"].as_str();
    let access = stepped_up.unwrap().to_owned();
    // The challenge of an enrolment counts once.
    let answer = confirm(&http, &access, &begun, &credential).await;
    is_refused(&answer, 409, "enrolled already");

    let listed = factors(&http, &access).await;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["id"], json!(id));
    assert_eq!(listed[0]["type"], "passkey");
    assert_eq!(listed[0]["backup_eligible"], true);
    assert_eq!(listed[0]["aaguid"], "00000000-0000-0000-0000-000000000000");
    let enrolled = &history(&http, &access, "PasskeyEnrolled").await[0];
    assert_eq!(enrolled["what"], "enrolled a passkey");
    let expected = json!({
        "factor": id, "rp_id": "localhost", "aaguid": listed[0]["aaguid"],
        "transports": ["hybrid", "internal"], "discoverable": true, "user_verified": true,
        "backup_eligible": true, "backed_up": true,
    });
    assert_eq!(enrolled["data"], expected);
    // Its authenticator must not make another one.
    let again = begin(&http, &access, &ann).await;
    assert_eq!(
        again["publicKey"]["excludeCredentials"],
        json!([{
            "type": "public-key", "id": credential["rawId"], "transports": ["hybrid", "internal"],
        }])
    );

    let answer = remove(&http, &access, &id, &ann.password).await;
    assert_eq!(answer.status, 204, "{answer}");
    assert_eq!(service.settings.count("passkeys"), 0);
    assert!(factors(&http, &access).await.is_empty());
    Contract::Api.signs_in(&http, &ann).await;
}

async fn a_passkey_signs_in_without_a_name_as_any_contract(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let (_, passkey, _) = with_passkey(&http, "ann").await;
    for contract in Contract::ALL {
        let begun = sign_in_options(&http).await;
        assert_eq!(begun["publicKey"]["rpId"], "localhost");
        assert_eq!(begun["publicKey"]["userVerification"], "required");
        assert_eq!(begun["publicKey"].get("allowCredentials"), None);
        let body = json!({
            "challenge": begun["challenge"],
            "credential": passkey.get(&begun["publicKey"]),
            "contract": contract.base(),
        });
        let answer = http.send(own::PASSKEY_SIGN_IN).json(&body).await;
        assert_eq!(answer.status, 200, "{answer}");
        let tokens = contract.tokens_in(&answer.json());
        verifies(&http, &tokens.access).await;
        let has_cookie = answer.cookie("refreshToken").is_some();
        assert_eq!(has_cookie, contract == Contract::ApiAuth);
        let sessions = http.send(own::SESSIONS).bearer(&tokens.access).await.json();
        let sessions = sessions["sessions"].as_array().unwrap().clone();
        let current = sessions.iter().find(|it| it["current"] == true).unwrap();
        let name = contract.base().trim_start_matches('/').replace('/', "-");
        assert_eq!(current["contract"], json!(name));
    }
    // Without the member, the response is that of `/api/auth`.
    let answer = sign_in(&http, &passkey).await;
    assert_eq!(answer.status, 200, "{answer}");
    assert!(answer.cookie("refreshToken").is_some());
    for wrong in [json!("/nowhere"), json!(7), json!("")] {
        let begun = sign_in_options(&http).await;
        let credential = passkey.get(&begun["publicKey"]);
        let body = json!({
            "challenge": begun["challenge"], "credential": credential, "contract": wrong,
        });
        let answer = http.send(own::PASSKEY_SIGN_IN).json(&body).await;
        is_refused(&answer, 400, "base path");
    }
}

async fn a_session_with_a_passkey_says_so_everywhere(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let (ann, passkey, _) = with_passkey(&http, "ann").await;
    let answer = sign_in(&http, &passkey).await;
    let access = Contract::ApiAuth.tokens_in(&answer.json()).access;
    let claims = token::claims(&access);
    assert_eq!(claims["amr"], json!(["hwk", "user", "mfa"]));
    assert_eq!(claims["acr"], "urn:authlog:aal2");
    assert_eq!(claims["auth_time"], claims["iat"]);
    let sessions = http.send(own::SESSIONS).bearer(&access).await.json();
    let sessions = sessions["sessions"].as_array().unwrap().clone();
    let current = sessions.iter().find(|it| it["current"] == true).unwrap();
    assert_eq!(current["factor"], json!(passkey.id));
    let logins = history(&http, &access, "LoggedIn").await;
    let words: Vec<_> = logins.iter().map(|event| &event["what"]).collect();
    assert!(
        words.contains(&&json!("signed in with a passkey")),
        "{words:?}"
    );

    // A passkey that can be copied is no key in hardware.
    let mut synced = Passkey::synced();
    enrol(&http, &access, &ann, &mut synced).await;
    let answer = sign_in(&http, &synced).await;
    let claims = token::claims(&Contract::ApiAuth.tokens_in(&answer.json()).access);
    assert_eq!(claims["amr"], json!(["swk", "user", "mfa"]));
    let (challenge, methods) = challenge_and_methods(&Contract::ApiAuth.sign_in(&http, &ann).await);
    assert_eq!(methods, "passkey");
    let answer = finish(&http, &challenge, &synced).await;
    let claims = token::claims(&Contract::ApiAuth.tokens_in(&answer.json()).access);
    assert_eq!(claims["amr"], json!(["pwd", "swk", "mfa"]));
    assert_eq!(claims["acr"], "urn:authlog:aal2");
}

async fn a_passkey_without_verification_signs_in_only_after_the_password(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let access = Contract::Users.signs_in(&http, &ann).await.access;
    let begun = begin(&http, &access, &ann).await;
    let mut unverified = Passkey::new().without_verification();
    let credential = unverified.create(&begun["publicKey"]);
    let answer = confirm(&http, &access, &begun, &credential).await;
    is_refused(&answer, 403, "verify the person");
    let mut passkey = Passkey::new();
    enrol(&http, &access, &ann, &mut passkey).await;
    let passkey = passkey.without_verification();
    is_refused(&sign_in(&http, &passkey).await, 403, "verify the person");
    let (challenge, _) = challenge_and_methods(&Contract::Api.sign_in(&http, &ann).await);
    let answer = finish(&http, &challenge, &passkey).await;
    assert_eq!(answer.status, 200, "{answer}");
}

async fn a_passkey_is_the_second_step_of_every_contract(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let (ann, passkey, _) = with_passkey(&http, "ann").await;
    for contract in Contract::ALL {
        let (challenge, methods) = challenge_and_methods(&contract.sign_in(&http, &ann).await);
        assert_eq!(methods, "passkey");
        let request = http.send(own::SECOND_FACTOR_OPTIONS);
        let answer = request.json(&json!({"challenge": challenge})).await;
        let options = answer.json()["publicKey"].clone();
        assert_eq!(options["challenge"], json!(challenge));
        let allowed = options["allowCredentials"].as_array().unwrap();
        assert_eq!(allowed.len(), 1);
        let id = URL_SAFE_NO_PAD.encode(&passkey.credential_id);
        assert_eq!(allowed[0]["id"], json!(id));
        let answer = finish(&http, &challenge, &passkey).await;
        assert_eq!(answer.status, 200, "{answer}");
        let tokens = contract.tokens_in(&answer.json());
        verifies(&http, &tokens.access).await;
        // The client may leave the handle out where it was told the passkeys.
        let (challenge, _) = challenge_and_methods(&contract.sign_in(&http, &ann).await);
        let mut assertion = passkey.get(&json!({"challenge": challenge}));
        assertion["response"]["userHandle"] = Value::Null;
        let body = json!({"challenge": challenge, "assertion": assertion});
        let answer = http.send(own::SECOND_FACTOR).json(&body).await;
        assert_eq!(answer.status, 200, "{answer}");
    }
    // A challenge of one login is none for another, and one of a login with a passkey alone is none for a second step.
    let (first, _) = challenge_and_methods(&Contract::Api.sign_in(&http, &ann).await);
    let (second, _) = challenge_and_methods(&Contract::Api.sign_in(&http, &ann).await);
    let assertion = passkey.get(&json!({"challenge": first}));
    let body = json!({"challenge": second, "assertion": assertion});
    let answer = http.send(own::SECOND_FACTOR).json(&body).await;
    is_refused(&answer, 403, "another challenge");
    let alone = sign_in_options(&http).await["challenge"].clone();
    let answer = second_step_options(&http, alone.as_str().unwrap()).await;
    is_refused(&answer, 400, "Begin again");
    let answer = send(&http, &json!({"challenge": first}), &assertion).await;
    is_refused(&answer, 400, "Begin again");
}

async fn an_account_with_a_passkey_is_refused_by_the_password_alone(store: Store) {
    let service = service(store).await;
    let http = service.http();
    // Nothing is cut from a password that ends in digits: there is no authenticator app.
    let ann = Person::called("ann").with_password("rahasia123456");
    Contract::ApiAuth.registers(&http, &ann).await;
    let access = Contract::Users.signs_in(&http, &ann).await.access;
    enrol(&http, &access, &ann, &mut Passkey::new()).await;
    for contract in Contract::ALL {
        let answer = contract.sign_in(&http, &ann).await;
        contract.says_wrong_credentials(&answer);
        assert_eq!(challenge_and_methods(&answer).1, "passkey");
        let mut body = contract.login_of(&ann.email, &ann.password);
        body["otp"] = json!("123456");
        let answer = http.send(contract.login()).json(&body).await;
        contract.says_wrong_credentials(&answer);
        for person in [
            ann.with_password("not-the-password"),
            ann.with_password("rahasia"),
        ] {
            let answer = contract.sign_in(&http, &person).await;
            contract.says_wrong_credentials(&answer);
            assert_eq!(answer.header("authlog-second-factor"), None);
        }
    }
}

async fn the_challenge_lists_what_the_account_has(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let (ann, passkey, access) = with_passkey(&http, "ann").await;
    let app = authenticator::enrol(&http, &access, &ann).await;
    let body = json!({"password": ann.password});
    let request = http.send(own::RECOVERY_CODES).bearer(&access);
    let codes = request.json(&body).await.json();
    let (challenge, methods) = challenge_and_methods(&Contract::Users.sign_in(&http, &ann).await);
    assert_eq!(methods, "totp passkey recovery");
    let code = codes["codes"][0].as_str().unwrap();
    let answer = authenticator::finish(&http, &challenge, "recovery_code", code).await;
    assert_eq!(answer.status, 200, "{answer}");
    // The codes stay while there is a passkey, and are removed with it.
    remove(&http, &access, &app.id, &ann.password).await;
    assert_eq!(service.settings.count("recovery_codes"), 9);
    let answer = remove(&http, &access, &passkey.id, &ann.password).await;
    assert_eq!(answer.status, 204, "{answer}");
    assert_eq!(service.settings.count("recovery_codes"), 0);
    Contract::Users.signs_in(&http, &ann).await;
}

async fn a_challenge_is_signed_once(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let (ann, passkey, access) = with_passkey(&http, "ann").await;
    let earlier = sign_in_options(&http).await;
    let begun = sign_in_options(&http).await;
    let credential = passkey.get(&begun["publicKey"]);
    assert_eq!(send(&http, &begun, &credential).await.status, 200);
    for (begun, credential) in [
        (&begun, &credential),
        (&begun, &passkey.get(&begun["publicKey"])),
        (&earlier, &passkey.get(&earlier["publicKey"])),
    ] {
        let answer = send(&http, begun, credential).await;
        is_refused(&answer, 403, "before");
    }
    // Another passkey of the account signs the earlier challenge.
    let mut other = Passkey::new();
    enrol(&http, &access, &ann, &mut other).await;
    let answer = send(&http, &earlier, &other.get(&earlier["publicKey"])).await;
    assert_eq!(answer.status, 200, "{answer}");
    // The second step of a login as well.
    let (challenge, _) = challenge_and_methods(&Contract::Users.sign_in(&http, &ann).await);
    assert_eq!(finish(&http, &challenge, &passkey).await.status, 200);
    let answer = finish(&http, &challenge, &passkey).await;
    is_refused(&answer, 403, "before");
    eventually("the refused logins are recorded", async || {
        let (alone, second) = (
            refused(&http, &access, "passkey-replayed").await,
            refused(&http, &access, "second-factor-replayed").await,
        );
        ((alone, second) == (3, 1)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_challenge_that_was_signed_on_one_node_is_refused_on_the_other() {
    let nodes: [Settings; 2] = settings(Store::Postgres).of_nodes();
    let [first, second] = nodes;
    let [first, second] = [first.start().await, second.start().await];
    let (_, passkey, _) = with_passkey(&first.http(), "ann").await;
    let begun = sign_in_options(&first.http()).await;
    let credential = passkey.get(&begun["publicKey"]);
    let answer = send(&second.http(), &begun, &credential).await;
    assert_eq!(answer.status, 200, "{answer}");
    let answer = send(&first.http(), &begun, &credential).await;
    is_refused(&answer, 403, "before");
}

async fn of_a_hundred_logins_with_one_challenge_one_succeeds(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let (_, passkey, _) = with_passkey(&http, "ann").await;
    let begun = sign_in_options(&http).await;
    let credential = passkey.get(&begun["publicKey"]);
    let mut running = JoinSet::new();
    for _ in 0..100 {
        let (http, begun, credential) = (http.clone(), begun.clone(), credential.clone());
        running.spawn(async move { send(&http, &begun, &credential).await.status });
    }
    let statuses = running.join_all().await;
    let count = |status| statuses.iter().filter(|it| **it == status).count();
    assert_eq!((count(200), count(403)), (1, 99), "{statuses:?}");
}

async fn a_passkey_is_enrolled_once_by_anyone(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let (ann, mut passkey, access) = with_passkey(&http, "ann").await;
    let handle = passkey.user_handle.clone();
    let bob = Person::called("bob");
    Contract::ApiAuth.registers(&http, &bob).await;
    let of_bob = Contract::Users.signs_in(&http, &bob).await.access;
    for (person, access) in [(&ann, &access), (&bob, &of_bob)] {
        let begun = begin(&http, access, person).await;
        let credential = passkey.create(&begun["publicKey"]);
        let answer = confirm(&http, access, &begun, &credential).await;
        is_refused(&answer, 409, "enrolled already");
    }
    assert!(factors(&http, &of_bob).await.is_empty());
    assert_eq!(service.settings.count("passkeys"), 1);
    // It signs in to the account of its owner alone.
    is_refused(&sign_in(&http, &passkey).await, 403, "userHandle");
    passkey.user_handle = handle;
    assert_eq!(sign_in(&http, &passkey).await.status, 200);
    // Passkeys and apps count together.
    for _ in 1..10 {
        enrol(&http, &access, &ann, &mut Passkey::new()).await;
    }
    let body = json!({"password": ann.password});
    for endpoint in [own::PASSKEY_CREATION, own::BEGIN_TOTP] {
        let answer = http.send(endpoint).bearer(&access).json(&body).await;
        is_refused(&answer, 409, "as many second factors");
    }
}

async fn a_counter_that_goes_back_is_reported_and_does_not_lock(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let (ann, mut passkey, access) = with_passkey(&http, "ann").await;
    // Notices go to verified addresses only.
    let answer = http.send(own::REQUEST_VERIFICATION).bearer(&access).await;
    assert_eq!(answer.status, 202, "{answer}");
    let link = mail_to(&service, &ann.email).await;
    support::story::follows(&service, &link.token(), &access).await;
    for count in [0, 0, 7, 8] {
        passkey.sign_count = count;
        assert_eq!(sign_in(&http, &passkey).await.status, 200);
    }
    assert!(
        history(&http, &access, "PasskeyCounterWentBack")
            .await
            .is_empty()
    );
    for count in [8, 3, 4] {
        passkey.sign_count = count;
        assert_eq!(sign_in(&http, &passkey).await.status, 200);
    }
    let events = history(&http, &access, "PasskeyCounterWentBack").await;
    let counts: Vec<_> = events
        .iter()
        .map(|event| (&event["data"]["stored"], &event["data"]["received"]))
        .collect();
    let expected = [(8, 8), (8, 3)].map(|(stored, received)| (json!(stored), json!(received)));
    let expected = expected
        .each_ref()
        .map(|(stored, received)| (stored, received));
    assert_eq!(counts, expected);
    notice_to(&service, &ann.email, "There may be a copy of the passkey").await;
}

async fn a_removed_passkey_a_locked_account_and_an_erased_one_are_refused(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let (ann, passkey, access) = with_passkey(&http, "ann").await;
    let mut other = Passkey::new();
    enrol(&http, &access, &ann, &mut other).await;
    let begun = sign_in_options(&http).await;
    let answer = remove(&http, &access, &passkey.id, &ann.password).await;
    assert_eq!(answer.status, 204, "{answer}");
    let answer = send(&http, &begun, &passkey.get(&begun["publicKey"])).await;
    is_refused(&answer, 403, "No account");
    let lock = |verb| {
        let output = service.settings.run(&["user", verb, &ann.email], "");
        assert!(output.status.success(), "{output:?}");
    };
    lock("lock");
    is_refused(&sign_in(&http, &other).await, 403, "No account");
    lock("unlock");
    let answer = sign_in(&http, &other).await;
    let access = Contract::ApiAuth.tokens_in(&answer.json()).access;
    eventually("the refusal is recorded", async || {
        (refused(&http, &access, "account-locked").await == 1).then_some(())
    })
    .await;
    // An administrator removes passkeys together with the other factors.
    let admin = staff::signed_in(&service, "boss", "admin").await.access;
    let profile = http.send(own::PROFILE).bearer(&access).await.json();
    let path = format!("/admin/users/{}/factors", profile["id"].as_str().unwrap());
    let request = http.send(Endpoint::at("DELETE", path.leak()));
    assert_eq!(request.bearer(&admin).await.status, 204);
    is_refused(&sign_in(&http, &other).await, 403, "No account");
    Contract::Api.signs_in(&http, &ann).await;
}

async fn a_passkey_survives_a_rebuild_and_is_seen_in_time_travel(store: Store) {
    let mut service = service(store).await;
    let http = service.http();
    let auditor = staff::signed_in(&service, "auditor", "auditor")
        .await
        .access;
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let access = Contract::Users.signs_in(&http, &ann).await.access;
    let user = token::claims(&access)["sub"].as_str().unwrap().to_owned();
    let path = format!("/audit/users/{user}");
    let path: Endpoint = Endpoint::at("GET", path.leak());
    let state = async |amr: Value| {
        eventually("the login has a log index", async || {
            let answer = http.send(path).bearer(&auditor).await.json();
            let sessions = answer["live_sessions"].as_array()?.clone();
            let is_in_the_log = answer["as_of"]["log_index"].is_u64();
            let signed_in = sessions.iter().any(|it| it["amr"] == amr);
            (is_in_the_log && signed_in).then_some(answer)
        })
        .await
    };
    let before = state(json!(["pwd"])).await;
    let mut passkey = Passkey::new();
    enrol(&http, &access, &ann, &mut passkey).await;
    assert_eq!(sign_in(&http, &passkey).await.status, 200);
    let after = state(json!(["hwk", "user", "mfa"])).await;
    let passkeys = &after["account"]["second_factors"]["passkeys"];
    assert_eq!(passkeys[0]["factor"], json!(passkey.id));
    let at = format!("at={}", before["as_of"]["log_index"]);
    let then = http.send(path).query(&at).bearer(&auditor).await.json();
    assert_eq!(then["account"]["second_factors"], json!({}));

    service.terminate().await;
    for command in ["rebuild", "doctor"] {
        let output = service.settings.run(&[command], "");
        assert!(output.status.success(), "{output:?}");
    }
    service.restart().await;
    let http = service.http();
    assert_eq!(factors(&http, &access).await.len(), 1);
    assert_eq!(sign_in(&http, &passkey).await.status, 200);
}

async fn an_erasure_and_the_log_keep_nothing_of_a_passkey(store: Store) {
    let settings = settings(store).with("AUTHLOG_LOG", "debug");
    let service = settings.start().await;
    let http = service.http();
    let (ann, passkey, access) = with_passkey(&http, "ann").await;
    let begun = sign_in_options(&http).await;
    let credential = passkey.get(&begun["publicKey"]);
    assert_eq!(send(&http, &begun, &credential).await.status, 200);
    let challenge = begun["challenge"].as_str().unwrap().to_owned();
    let id = credential["rawId"].as_str().unwrap().to_owned();
    let request = http.send(own::ERASE).bearer(&access);
    let answer = request.json(&json!({"password": ann.password})).await;
    assert_eq!(answer.status, 204, "{answer}");
    assert_eq!(service.settings.count("passkeys"), 0);
    is_refused(&sign_in(&http, &passkey).await, 403, "No account");
    let (stored, logged) = (service.settings.stored_bytes(), service.output());
    let hex: String = passkey
        .credential_id
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    for secret in [&id, &hex, &challenge] {
        assert!(!logged.contains(secret.as_str()), "{secret} is in the log");
        let mut windows = stored.windows(secret.len());
        assert!(
            !windows.any(|it| it == secret.as_bytes()),
            "{secret} is stored"
        );
    }
}

#[expect(clippy::too_many_lines, reason = "one refusal after another")]
async fn wrong_answers_are_refused_with_the_reason(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let (ann, mut passkey, access) = with_passkey(&http, "ann").await;
    let events = history(&http, &access, "PasskeyEnrolled,LoggedIn")
        .await
        .len();
    // Enrolment.
    for (change, status, words) in [
        (
            (|it: &mut Passkey| it.origin = "https://evil.example".into()) as fn(&mut Passkey),
            403,
            "another origin",
        ),
        (|it| it.rp_id = "evil.example".into(), 403, "another RP ID"),
        (|it| it.flags &= !1, 403, "present"),
        (|it| it.flags |= 1 << 4, 400, "backups"),
        (|it| it.flags |= 1 << 7, 400, "authenticatorData"),
        (|it| it.credential_id = vec![7; 1024], 400, "rawId"),
        (|it| it.credential_id = vec![], 400, "rawId"),
    ] {
        let begun = begin(&http, &access, &ann).await;
        let mut wrong = Passkey::new();
        change(&mut wrong);
        let credential = wrong.create(&begun["publicKey"]);
        is_refused(
            &confirm(&http, &access, &begun, &credential).await,
            status,
            words,
        );
    }
    let begun = begin(&http, &access, &ann).await;
    let right = Passkey::new().create(&begun["publicKey"]);
    for (pointer, value, words) in [
        ("", Value::Null, "type"),
        ("", json!("text"), "type"),
        ("/type", json!("password"), "type"),
        ("/rawId", json!("AA=="), "rawId"),
        ("/id", json!("other"), "id"),
        ("/response/clientDataJSON", json!(7), "clientDataJSON"),
        (
            "/response/clientDataJSON",
            json!("bm9uc2Vuc2U"),
            "clientDataJSON",
        ),
        (
            "/response/attestationObject",
            json!("////"),
            "attestationObject",
        ),
        (
            "/response/attestationObject",
            json!("oA"),
            "attestationObject",
        ),
        (
            "/response/attestationObject",
            json!("n".repeat(40_000)),
            "attestationObject",
        ),
    ] {
        let mut wrong = right.clone();
        *wrong.pointer_mut(pointer).unwrap() = value;
        let answer = confirm(&http, &access, &begun, &wrong).await;
        is_refused(&answer, 400, words);
    }
    for (enrolment, words) in [
        (json!("nonsense"), "Begin again"),
        (json!(7), "Begin again"),
    ] {
        let answer = confirm(&http, &access, &json!({"enrolment": enrolment}), &right).await;
        is_refused(&answer, 400, words);
    }
    let body = json!({"enrolment": begun["enrolment"], "credential": "n".repeat(70_000)});
    let request = http.send(own::ENROL_PASSKEY).bearer(&access);
    assert_eq!(request.json(&body).await.status, 413);

    // Signing in.
    let begun = sign_in_options(&http).await;
    let right = passkey.get(&begun["publicKey"]);
    for (pointer, value, status, words) in [
        ("", json!([]), 400, "type"),
        ("/response/signature", json!("AA"), 403, "signature"),
        (
            "/response/signature",
            json!("A".repeat(4000)),
            400,
            "signature",
        ),
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
        ("/response/userHandle", Value::Null, 403, "userHandle"),
        ("/response/userHandle", json!("AAAA"), 403, "userHandle"),
    ] {
        let mut wrong = right.clone();
        *wrong.pointer_mut(pointer).unwrap() = value;
        is_refused(&send(&http, &begun, &wrong).await, status, words);
    }
    for challenge in [json!(null), json!("x"), json!("x".repeat(5000)), json!({})] {
        let answer = send(&http, &json!({"challenge": challenge}), &right).await;
        is_refused(&answer, 400, "Begin again");
    }
    let other = sign_in_options(&http).await;
    let answer = send(&http, &other, &right).await;
    is_refused(&answer, 403, "another challenge");
    is_refused(&sign_in(&http, &Passkey::new()).await, 403, "No account");
    passkey.origin = "http://localhost:8081".to_owned();
    is_refused(&sign_in(&http, &passkey).await, 403, "another origin");
    // After all that, the passkey and its challenge are good.
    assert_eq!(
        history(&http, &access, "PasskeyEnrolled,LoggedIn")
            .await
            .len(),
        events
    );
    let answer = send(&http, &begun, &right).await;
    assert_eq!(answer.status, 200, "{answer}");
}

async fn refused_passkeys_are_recorded_and_limited(store: Store) {
    let settings = settings(store).without("AUTHLOG_RATE_LIMIT");
    let service = settings.start().await;
    let http = service.http();
    let (_, mut passkey, access) = with_passkey(&http, "ann").await;
    passkey.origin = "https://evil.example".to_owned();
    let stranger = http.calling_from("127.0.0.2");
    let mut statuses = Vec::new();
    for _ in 0..40 {
        statuses.push(sign_in(&stranger, &passkey).await.status);
    }
    assert_eq!(statuses[0], 403);
    assert!(statuses.contains(&429), "{statuses:?}");
    let wrong = statuses.iter().filter(|status| **status == 403).count();
    eventually("the refused logins are recorded", async || {
        (refused(&http, &access, "passkey-wrong").await == wrong).then_some(())
    })
    .await;
    // The owner signs in from another address.
    passkey.origin = support::passkey::ORIGIN.to_owned();
    assert_eq!(sign_in(&http, &passkey).await.status, 200);
}

async fn an_address_as_the_host_turns_passkeys_off(store: Store) {
    let settings = Settings::on(store).with_cheap_hashing();
    let service: Program = settings
        .with("AUTHLOG_PUBLIC_URL", "https://192.0.2.7")
        .start()
        .await;
    service.has_logged("passkeys are off").await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let access = Contract::Users.signs_in(&http, &ann).await.access;
    let body = json!({"password": ann.password});
    let request = http.send(own::PASSKEY_CREATION).bearer(&access);
    is_refused(&request.json(&body).await, 409, "Passkeys are off");
    let answer = http.send(own::PASSKEY_OPTIONS).await;
    is_refused(&answer, 409, "Passkeys are off");
    let passkey = Passkey::new();
    let credential = passkey.get(&json!({"challenge": "x"}));
    let answer = send(&http, &json!({"challenge": "x"}), &credential).await;
    is_refused(&answer, 409, "Passkeys are off");
    let credential = Passkey::new().create(&json!({"challenge": "x", "user": {"id": "AA"}}));
    let answer = confirm(&http, &access, &json!({"enrolment": "x"}), &credential).await;
    is_refused(&answer, 409, "Passkeys are off");
}

/// A passkey signs in by itself, so a person with a stolen token must not get one.
async fn a_new_passkey_needs_the_password_even_after_a_recent_second_factor(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let (ann, _, access) = with_passkey(&http, "ann").await;
    let begin = async |endpoint: Endpoint, body: Value| {
        let request = http.send(endpoint).bearer(&access);
        request.json(&body).await
    };
    for body in [json!({}), json!({"password": "not-the-password"})] {
        let answer = begin(own::PASSKEY_CREATION, body).await;
        assert_eq!(answer.status, 403, "{answer}");
    }
    let answer = begin(own::PASSKEY_CREATION, json!({"password": ann.password})).await;
    assert_eq!(answer.status, 200, "{answer}");
    // A code of an app signs in after the password only.
    let answer = begin(own::BEGIN_TOTP, json!({})).await;
    assert_eq!(answer.status, 200, "{answer}");
}

/// A challenge of a clock that was a day ahead has a serial number that no right clock reaches for a day.
async fn a_passkey_signs_again_after_a_clock_was_ahead(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let (_, passkey, _) = with_passkey(&http, "ann").await;
    assert_eq!(sign_in(&http, &passkey).await.status, 200);
    let day = 86_400_000_000_i64;
    let ahead = format!("UPDATE passkeys SET last_challenge = last_challenge + {day}");
    service.settings.execute(&ahead);
    let begun = sign_in_options(&http).await;
    let credential = passkey.get(&begun["publicKey"]);
    assert_eq!(send(&http, &begun, &credential).await.status, 200);
    let answer = send(&http, &begun, &credential).await;
    is_refused(&answer, 403, "signed this challenge or a later one");
    assert_eq!(sign_in(&http, &passkey).await.status, 200);
    // A difference that clocks may have is not enough.
    let ahead = "UPDATE passkeys SET last_challenge = last_challenge + 30000000";
    service.settings.execute(ahead);
    let answer = sign_in(&http, &passkey).await;
    is_refused(&answer, 403, "signed this challenge or a later one");
}

async fn a_person_who_signed_in_with_a_passkey_before_is_not_kept_out_by_others_of_the_network(
    store: Store,
) {
    let settings = settings(store).without("AUTHLOG_RATE_LIMIT");
    let service = settings.start().await;
    let http = service.http();
    let (_, of_ann, _) = with_passkey(&http, "ann").await;
    let (_, of_bob, _) = with_passkey(&http, "bob").await;
    let office = http.calling_from("127.0.0.2");
    assert_eq!(sign_in(&office, &of_ann).await.status, 200);
    for number in 0..130 {
        let name = format!("unknown-{number}@example.com");
        let guess = Contract::ApiAuth.login_of(&name, "not-the-password");
        office.send(api_auth::LOGIN).json(&guess).await;
    }
    assert_eq!(sign_in(&office, &of_bob).await.status, 429);
    assert_eq!(sign_in(&office, &of_ann).await.status, 200);
}
