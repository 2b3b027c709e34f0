//! Levels of authentication: stepping a session up, what needs a second factor, and what auditors see of it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::support;

use jsonwebtoken::EncodingKey;
use serde_json::{Value, json};
use support::authenticator::{Authenticator, begin, confirm, enrol, with_apps};
use support::contract::{is_refused, verifies};
use support::http::Http;
use support::mail::mail_to;
use support::{
    Answer, Contract, Endpoint, Person, Program, Settings, Store, api_auth, eventually,
    on_both_stores, own, staff, token,
};
use tokio::task::JoinSet;

on_both_stores!(
    a_code_raises_the_level_of_the_session_and_of_its_new_tokens,
    a_session_with_an_opaque_token_keeps_the_token,
    a_password_confirms_who_has_no_second_factor,
    a_recovery_code_steps_up_once,
    of_a_hundred_step_ups_with_one_code_one_succeeds,
    guessed_codes_of_a_step_up_are_limited,
    changes_of_an_account_with_a_factor_need_a_recent_second_factor,
    a_password_and_a_code_in_one_request_are_enough,
    the_first_factor_ends_the_sessions_that_the_password_opened,
    a_factor_that_was_removed_cannot_be_confirmed_again,
    administrators_remove_their_own_factors_as_owners,
    an_account_of_a_listed_role_signs_in_only_to_enrol_a_factor,
    roles_that_are_not_listed_need_no_second_factor,
    a_second_factor_is_good_for_twelve_hours_and_for_changes_ten_minutes,
    acts_below_a_level_are_listed_for_auditors,
    a_confirmed_address_says_which_sessions_have_ended,
);

const SECRET: &str = "0123456789abcdef0123456789abcdef";

async fn service(store: Store) -> Program {
    Settings::on(store).with_cheap_hashing().start().await
}

/// A service whose tokens the tests can sign as well, so that an authentication can be long ago.
async fn service_with_shared_secret(store: Store, roles: &str) -> Program {
    let settings = Settings::on(store).with_cheap_hashing();
    let settings = settings.with("AUTHLOG_SECOND_FACTOR", roles);
    let settings = settings.with("AUTHLOG_JWT_ALGORITHM", "HS256");
    settings.with("AUTHLOG_JWT_SECRET", SECRET).start().await
}

/// The same token of a person who was authenticated so many seconds earlier.
fn aged(access: &str, seconds: i64) -> String {
    let header: jsonwebtoken::Header = serde_json::from_value(token::header(access)).unwrap();
    let mut claims = token::claims(access);
    claims["auth_time"] = json!(claims["auth_time"].as_i64().unwrap() - seconds);
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    jsonwebtoken::encode(&header, &claims, &key).unwrap()
}

async fn step_up(http: &Http, access: &str, body: &Value) -> Answer {
    http.send(own::STEP_UP).bearer(access).json(body).await
}

/// Steps up with a code of the app; returns the new access token.
async fn stepped_up(http: &Http, access: &str, app: &mut Authenticator) -> String {
    let code = app.fresh_code().await;
    let answer = step_up(http, access, &json!({"code": code})).await;
    assert_eq!(answer.status, 200, "{answer}");
    answer.json()["access_token"].as_str().unwrap().to_owned()
}

fn level(access: &str) -> Value {
    token::claims(access)["acr"].clone()
}

/// Asserts the refusal of RFC 9470 with this `max_age`.
#[track_caller]
fn asks_for_a_second_factor(answer: &Answer, max_age: Option<u32>) {
    assert_eq!(answer.status, 401, "{answer}");
    let challenge = answer.header("www-authenticate").unwrap();
    let start = "Bearer error=\"insufficient_user_authentication\", error_description=\"";
    assert!(challenge.starts_with(start), "{challenge}");
    assert!(
        challenge.contains("acr_values=\"urn:authlog:aal2\""),
        "{challenge}"
    );
    let age = max_age.map(|age| format!("max_age=\"{age}\""));
    match &age {
        Some(age) => assert!(challenge.ends_with(age), "{challenge}"),
        None => assert!(!challenge.contains("max_age"), "{challenge}"),
    }
    let media_type = answer.header("content-type");
    assert_eq!(media_type, Some("application/problem+json"), "{answer}");
}

fn at(method: &'static str, path: String) -> Endpoint {
    Endpoint::at(method, path.leak())
}

async fn id_of(http: &Http, access: &str) -> String {
    let profile = http.send(own::PROFILE).bearer(access).await.json();
    profile["id"].as_str().unwrap().to_owned()
}

async fn history(http: &Http, access: &str, query: &str) -> Vec<Value> {
    let request = http.send(own::HISTORY).query(query).bearer(access);
    let answer = request.await;
    assert_eq!(answer.status, 200, "{answer}");
    answer.json()["events"].as_array().unwrap().clone()
}

async fn recovery_codes(http: &Http, access: &str) -> Vec<String> {
    let request = http.send(own::RECOVERY_CODES).bearer(access);
    let answer = request.json(&json!({})).await;
    assert_eq!(answer.status, 201, "{answer}");
    let codes = answer.json()["codes"].as_array().unwrap().clone();
    codes
        .iter()
        .map(|it| it.as_str().unwrap().to_owned())
        .collect()
}

/// The sessions of the account, by what `member` says of each.
async fn sessions(http: &Http, access: &str, member: &str) -> Vec<Value> {
    let listed = http.send(own::SESSIONS).bearer(access).await.json();
    let listed = listed["sessions"].as_array().unwrap().clone();
    listed.iter().map(|it| it[member].clone()).collect()
}

async fn a_code_raises_the_level_of_the_session_and_of_its_new_tokens(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let asker = staff::signed_in(&service, "billing", "service")
        .await
        .access;
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let tokens = Contract::ApiAuth.signs_in(&http, &ann).await;
    let mut app = enrol(&http, &tokens.access, &ann).await;
    // The token from before stays at its level.
    assert_eq!(level(&tokens.access), "urn:authlog:aal1");
    verifies(&http, &tokens.access).await;
    let code = app.fresh_code().await;
    let answer = step_up(&http, &tokens.access, &json!({"code": code})).await;
    assert_eq!(answer.status, 200, "{answer}");
    let body = answer.json();
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(body["acr"], "urn:authlog:aal2");
    assert_eq!(body["factor"], json!(app.id));
    let raised = body["access_token"].as_str().unwrap();
    let claims = token::claims(raised);
    for member in ["amr", "acr", "auth_time"] {
        assert_eq!(claims[member], body[member]);
    }
    assert_eq!(claims["amr"], json!(["pwd", "otp", "mfa"]));
    for member in ["sid", "epoch", "client_id", "role", "email"] {
        let before = token::claims(&tokens.access);
        assert_eq!(claims[member], before[member], "{member}");
    }
    verifies(&http, raised).await;
    for (access, expected) in [
        (&*tokens.access, "urn:authlog:aal1"),
        (raised, "urn:authlog:aal2"),
    ] {
        let request = http.send(own::INTROSPECT).bearer(&asker);
        let active = request.form(&[("token", access)]).await.json();
        assert_eq!(active["acr"], expected);
    }
    // The session keeps its refresh token. A refresh keeps level and time.
    let answer = http.send(api_auth::REFRESH).bearer(tokens.refresh()).await;
    let refreshed = Contract::ApiAuth.tokens_in(&answer.json());
    for member in ["amr", "acr", "auth_time"] {
        let refreshed = &token::claims(&refreshed.access)[member];
        assert_eq!(refreshed, &claims[member], "{member}");
    }
    assert_eq!(sessions(&http, raised, "acr").await, ["urn:authlog:aal2"]);
    let events = history(&http, raised, "type=SteppedUp").await;
    let words: Vec<_> = events.iter().map(|event| &event["what"]).collect();
    assert_eq!(words, [&json!("showed a second factor again"); 2]);
    for event in events {
        assert_eq!(event["acr"], "urn:authlog:aal2");
        assert_eq!(event["actor_session"], claims["sid"]);
    }
}

async fn a_session_with_an_opaque_token_keeps_the_token(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let asker = staff::signed_in(&service, "billing", "service")
        .await
        .access;
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let access = Contract::Api.signs_in(&http, &ann).await.access;
    let mut app = enrol(&http, &access, &ann).await;
    assert_eq!(app.access, access);
    assert_eq!(stepped_up(&http, &access, &mut app).await, access);
    let request = http.send(own::INTROSPECT).bearer(&asker);
    let active = request.form(&[("token", &access)]).await.json();
    assert_eq!(active["acr"], "urn:authlog:aal2");
    recovery_codes(&http, &access).await;
}

async fn a_password_confirms_who_has_no_second_factor(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let access = Contract::Users.signs_in(&http, &ann).await.access;
    for (body, status) in [
        (json!({}), 400),
        (json!({"password": 1}), 400),
        (json!({"password": ""}), 400),
        (json!({"password": "not-the-password"}), 403),
        (json!({"password": ann.password, "code": "123456"}), 409),
        (json!({"code": "123456", "recovery_code": "A"}), 400),
        (json!([]), 400),
    ] {
        let answer = step_up(&http, &access, &body).await;
        assert_eq!(answer.status, status, "{answer}");
    }
    let request = http.send(own::STEP_UP).json(&json!({"password": "x"}));
    let answer = request.bearer("nothing").await;
    assert_eq!(answer.status, 401, "{answer}");
    let body = json!({"password": ann.password});
    // The clock of tokens has seconds.
    let later = eventually("a later second", async || {
        let answer = step_up(&http, &access, &body).await;
        assert_eq!(answer.status, 200, "{answer}");
        let stepped_up = answer.json();
        let before = token::claims(&access)["auth_time"].as_i64();
        (stepped_up["auth_time"].as_i64() > before).then_some(stepped_up)
    });
    let stepped_up = later.await;
    assert_eq!(stepped_up["acr"], "urn:authlog:aal1");
    assert_eq!(stepped_up["amr"], json!(["pwd"]));
    let events = history(&http, &access, "type=SteppedUp").await;
    assert_eq!(events[0]["what"], "gave the password again");
    // With a factor, the password alone says nothing new.
    let app = enrol(&http, &access, &ann).await;
    let answer = step_up(&http, &app.access, &body).await;
    assert_eq!(answer.status, 400, "{answer}");
    let body = json!({"password": "not-the-password", "code": app.wrong_code()});
    let answer = step_up(&http, &app.access, &body).await;
    assert_eq!(answer.status, 403, "{answer}");
}

async fn a_recovery_code_steps_up_once(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let (_, [_app], access) = with_apps::<1>(&http, "ann").await;
    let codes = recovery_codes(&http, &access).await;
    let body = json!({"recovery_code": codes[0].to_lowercase()});
    let mut running = JoinSet::new();
    for _ in 0..10 {
        let (http, access, body) = (http.clone(), access.clone(), body.clone());
        running.spawn(async move { step_up(&http, &access, &body).await.status });
    }
    let statuses = running.join_all().await;
    let count = |status| statuses.iter().filter(|it| **it == status).count();
    assert_eq!((count(200), count(403)), (1, 9), "{statuses:?}");
    let factors = http.send(own::FACTORS).bearer(&access).await.json();
    assert_eq!(factors["recovery_codes_left"], 9);
    assert_eq!(service.settings.count("recovery_codes"), 9);
    let used = history(&http, &access, "type=RecoveryCodeUsed").await;
    assert_eq!(used[0]["acr"], "urn:authlog:aal2");
}

async fn of_a_hundred_step_ups_with_one_code_one_succeeds(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let (ann, [mut app], access) = with_apps::<1>(&http, "ann").await;
    // The code that enrolled the app is used.
    let answer = step_up(&http, &access, &json!({"code": app.shown_code()})).await;
    assert_eq!(answer.status, 403, "{answer}");
    let code = app.fresh_code().await;
    let body = json!({"code": code});
    let mut running = JoinSet::new();
    for _ in 0..100 {
        let (http, access, body) = (http.clone(), access.clone(), body.clone());
        running.spawn(async move { step_up(&http, &access, &body).await.status });
    }
    let statuses = running.join_all().await;
    let succeeded = statuses.iter().filter(|it| **it == 200).count();
    // The others find the code used, or are too many changes of one account.
    assert!(
        statuses.iter().all(|it| [200, 403, 429].contains(it)),
        "{statuses:?}"
    );
    assert_eq!(succeeded, 1, "{statuses:?}");
    // It does not sign in either.
    let typed = format!("{}{code}", ann.password);
    let answer = Contract::Users
        .sign_in(&http, &ann.with_password(&typed))
        .await;
    Contract::Users.says_wrong_credentials(&answer);
    assert_eq!(history(&http, &access, "type=SteppedUp").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_that_stepped_up_on_one_node_is_used_on_the_other_as_well() {
    let [first, second] = Settings::of_two_nodes().map(Settings::with_cheap_hashing);
    let [first, second] = [first.start().await, second.start().await];
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&first.http(), &ann).await;
    let tokens = Contract::ApiAuth.signs_in(&first.http(), &ann).await;
    let mut app = enrol(&first.http(), &tokens.access, &ann).await;
    let code = app.fresh_code().await;
    let body = json!({"code": code});
    let answer = step_up(&first.http(), &tokens.access, &body).await;
    assert_eq!(answer.status, 200, "{answer}");
    let raised = answer.json();
    let answer = step_up(&second.http(), &tokens.access, &body).await;
    assert_eq!(answer.status, 403, "{answer}");
    // The other node knows the level of the session.
    let request = second.http().send(api_auth::REFRESH);
    let answer = request.bearer(tokens.refresh()).await;
    let refreshed = Contract::ApiAuth.tokens_in(&answer.json());
    assert_eq!(
        token::claims(&refreshed.access)["auth_time"],
        raised["auth_time"]
    );
}

async fn guessed_codes_of_a_step_up_are_limited(store: Store) {
    let settings = Settings::on(store).with_cheap_hashing();
    let service = settings.without("AUTHLOG_RATE_LIMIT").start().await;
    let http = service.http();
    let (ann, [app], access) = with_apps::<1>(&http, "ann").await;
    let stranger = http.calling_from("127.0.0.2");
    let mut statuses = Vec::new();
    for _ in 0..30 {
        let body = json!({"code": app.wrong_code()});
        statuses.push(step_up(&stranger, &access, &body).await.status);
    }
    assert_eq!(statuses[0], 403);
    assert!(statuses.contains(&429), "{statuses:?}");
    // They count for the name: the password cannot be guessed from there either.
    let answer = Contract::Users.sign_in(&stranger, &ann).await;
    assert_eq!(answer.status, 429, "{answer}");
    eventually("the guesses are recorded", async || {
        let refused = history(&http, &access, "type=LoginRefused").await;
        let wrong = |event: &Value| event["data"]["reason"] == "second-factor-wrong";
        (refused.len() > 5 && refused.iter().all(wrong)).then_some(())
    })
    .await;
}

/// Requests that change an account with the password `password`, and whether they need it in any case.
fn changes(app: &str, password: &str) -> [(Endpoint, Value, bool); 6] {
    let confirmed = json!({"password": password});
    [
        (own::BEGIN_TOTP, confirmed.clone(), false),
        (own::RECOVERY_CODES, confirmed.clone(), false),
        (
            own::CHANGE_EMAIL,
            json!({"password": password, "email": "new@example.com"}),
            true,
        ),
        (
            own::CHANGE_PASSWORD,
            json!({"current_password": password, "new_password": "another-secret"}),
            true,
        ),
        (
            at("POST", format!("/account/factors/{app}/remove")),
            confirmed.clone(),
            false,
        ),
        (own::ERASE_BY_POST, confirmed, true),
    ]
}

async fn changes_of_an_account_with_a_factor_need_a_recent_second_factor(store: Store) {
    let service = service_with_shared_secret(store, "auditor").await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let tokens = Contract::ApiAuth.signs_in(&http, &ann).await;
    let app = enrol(&http, &tokens.access, &ann).await;
    let send = async |access: &str, endpoint: Endpoint, body: &Value| {
        http.send(endpoint).bearer(access).json(body).await
    };
    let stale = aged(&app.access, 601);
    for (endpoint, body, needs_password) in changes(&app.id, &ann.password) {
        for too_low in [&tokens.access, &stale] {
            let answer = send(too_low, endpoint, &body).await;
            asks_for_a_second_factor(&answer, Some(600));
        }
        if needs_password {
            let members = json!({"email": "new@example.com", "new_password": "another-secret"});
            let answer = send(&app.access, endpoint, &members).await;
            assert!([400, 403].contains(&answer.status), "{answer}");
        }
    }
    for (endpoint, body, _) in changes(&app.id, "not-the-password") {
        let answer = send(&app.access, endpoint, &body).await;
        assert_eq!(answer.status, 403, "{answer}");
    }
    // Nothing has changed. A recent second factor is enough.
    let fresh = aged(&app.access, 500);
    let [others @ .., (erase, _, _)] = changes(&app.id, &ann.password);
    for (endpoint, body, needs_password) in others {
        let body = if needs_password { body } else { json!({}) };
        let answer = send(&fresh, endpoint, &body).await;
        assert!((200..300).contains(&answer.status), "{answer}");
    }
    // Without a factor, the password is enough again.
    let body = json!({"password": "another-secret"});
    let answer = send(&tokens.access, erase, &body).await;
    assert_eq!(answer.status, 204, "{answer}");
    is_refused(&http, &tokens.access).await;
}

async fn a_password_and_a_code_in_one_request_are_enough(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let access = Contract::Users.signs_in(&http, &ann).await.access;
    let mut app = enrol(&http, &access, &ann).await;
    let code = app.fresh_code().await;
    let wrong = json!({"password": "not-the-password", "code": code});
    let request = http.send(own::RECOVERY_CODES).bearer(&access);
    let answer = request.clone().json(&wrong).await;
    assert_eq!(answer.status, 403, "{answer}");
    // A wrong password uses no code.
    let right = json!({"password": ann.password, "code": code});
    let answer = request.clone().json(&right).await;
    assert_eq!(answer.status, 201, "{answer}");
    let answer = request.json(&right).await;
    assert_eq!(answer.status, 403, "{answer}");
    let events = history(&http, &access, "type=SteppedUp,RecoveryCodesIssued").await;
    let levels: Vec<_> = events.iter().map(|event| &event["acr"]).collect();
    assert_eq!(levels, [&json!("urn:authlog:aal2"); 3]);
}

async fn the_first_factor_ends_the_sessions_that_the_password_opened(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let other = Contract::ApiAuth.signs_in(&http, &ann).await;
    let tokens = Contract::ApiAuth.signs_in(&http, &ann).await;
    let app = enrol(&http, &tokens.access, &ann).await;
    is_refused(&http, &other.access).await;
    let answer = http.send(api_auth::REFRESH).bearer(other.refresh()).await;
    assert_eq!(answer.status, 401, "{answer}");
    verifies(&http, &tokens.access).await;
    assert_eq!(level(&app.access), "urn:authlog:aal2");
    assert_eq!(
        sessions(&http, &app.access, "acr").await,
        ["urn:authlog:aal2"]
    );
    let answer = http.send(api_auth::REFRESH).bearer(tokens.refresh()).await;
    let access = Contract::ApiAuth.tokens_in(&answer.json()).access;
    assert_eq!(level(&access), "urn:authlog:aal2");
    let ended = history(&http, &access, "type=SessionsRevoked").await;
    assert_eq!(
        ended[0]["what"],
        "had every other session ended by the owner"
    );
    // A second factor more ends nothing.
    enrol(&http, &access, &ann).await;
    assert_eq!(
        history(&http, &access, "type=SessionsRevoked").await.len(),
        1
    );
    assert_eq!(history(&http, &access, "type=SteppedUp").await.len(), 1);
}

async fn a_factor_that_was_removed_cannot_be_confirmed_again(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let access = Contract::ApiAuth.signs_in(&http, &ann).await.access;
    let first = begin(&http, &access, &ann).await;
    let mut app = Authenticator::of(first["secret"].as_str().unwrap());
    let answer = confirm(&http, &access, &first, &app.fresh_code().await).await;
    assert_eq!(answer.status, 201, "{answer}");
    let enrolled = answer.json();
    let raised = enrolled["session"]["access_token"].as_str().unwrap();
    // The same confirmation again, as after a lost response, changes nothing.
    let answer = confirm(&http, &access, &first, &app.shown_code()).await;
    assert_eq!(answer.status, 201, "{answer}");
    let second = begin(&http, raised, &ann).await;
    let mut other = Authenticator::of(second["secret"].as_str().unwrap());
    let answer = confirm(&http, raised, &second, &other.fresh_code().await).await;
    assert_eq!(answer.status, 201, "{answer}");
    for removed in [&answer.json(), &enrolled] {
        let id = removed["id"].as_str().unwrap();
        let request = http.send(at("DELETE", format!("/account/factors/{id}")));
        let answer = request.bearer(raised).json(&json!({})).await;
        assert_eq!(answer.status, 204, "{answer}");
    }
    for (begun, app) in [(&first, &mut app), (&second, &mut other)] {
        let answer = confirm(&http, raised, begun, &app.fresh_code().await).await;
        assert_eq!(answer.status, 400, "{answer}");
    }
    let factors = http.send(own::FACTORS).bearer(raised).await.json();
    assert_eq!(factors["factors"], json!([]));
}

async fn administrators_remove_their_own_factors_as_owners(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let boss = Person::called("boss");
    staff::create(&service, &boss, "admin");
    let access = Contract::ApiAuth.signs_in(&http, &boss).await.access;
    let app = enrol(&http, &access, &boss).await;
    let id = id_of(&http, &access).await;
    let own = at("DELETE", format!("/admin/users/{id}/factors"));
    for token in [&access, &app.access] {
        let answer = http.send(own).bearer(token).await;
        assert_eq!(answer.status, 403, "{answer}");
    }
    assert_eq!(service.settings.count("second_factors"), 1);
}

async fn an_account_of_a_listed_role_signs_in_only_to_enrol_a_factor(store: Store) {
    let settings = Settings::on(store).with_cheap_hashing();
    let settings = settings.with("AUTHLOG_SECOND_FACTOR", "admin, auditor,service,user");
    let service = settings.start().await;
    let http = service.http();
    let unknown = "019c0000-0000-7000-8000-000000000001";
    let changes = [
        ("POST", "/lock".to_owned()),
        ("POST", "/unlock".to_owned()),
        ("PUT", "/role".to_owned()),
        ("DELETE", String::new()),
        ("DELETE", "/factors".to_owned()),
        ("DELETE", "/sessions".to_owned()),
        ("DELETE", format!("/sessions/{unknown}")),
    ];
    let changes = changes.map(|(method, what)| {
        let path = format!("/admin/users/{unknown}{what}");
        ("admin", at(method, path), Some(600))
    });
    let others = [
        ("admin", own::USERS, Some(43_200)),
        (
            "auditor",
            at("GET", format!("/audit/users/{unknown}")),
            Some(43_200),
        ),
        (
            "auditor",
            at("GET", format!("/audit/users/{unknown}/events")),
            Some(43_200),
        ),
        ("auditor", own::LOG_CHECKPOINT, Some(43_200)),
        ("service", own::FEED, Some(43_200)),
        ("service", own::INTROSPECT, None),
        ("user", own::FORWARD_AUTH, None),
    ];
    let guarded = others.into_iter().chain(changes);
    for (number, (role, endpoint, max_age)) in guarded.enumerate() {
        let person = Person::called(&format!("{role}{number}"));
        staff::create(&service, &person, role);
        let access = Contract::ApiAuth.signs_in(&http, &person).await.access;
        let send = async |access: &str| {
            let request = http.send(endpoint).bearer(access);
            match endpoint {
                own::INTROSPECT => request.form(&[("token", access)]).await,
                Endpoint { method: "GET", .. } => request.await,
                _ => request.json(&json!({"role": "user"})).await,
            }
        };
        asks_for_a_second_factor(&send(&access).await, max_age);
        // Its own account can be seen, and a factor enrolled.
        for open in [own::PROFILE, own::SESSIONS, own::FACTORS, own::HISTORY] {
            let answer = http.send(open).bearer(&access).await;
            assert_eq!(answer.status, 200, "{answer}");
        }
        let body = json!({"current_password": person.password, "new_password": "another-secret"});
        let request = http.send(own::CHANGE_PASSWORD).bearer(&access);
        asks_for_a_second_factor(&request.json(&body).await, Some(600));
        let app = enrol(&http, &access, &person).await;
        let answer = send(&app.access).await;
        assert!(![401, 403].contains(&answer.status), "{role}: {answer}");
        asks_for_a_second_factor(&send(&access).await, max_age);
    }
}

async fn roles_that_are_not_listed_need_no_second_factor(store: Store) {
    let settings = Settings::on(store).with_cheap_hashing();
    let service = settings
        .with("AUTHLOG_SECOND_FACTOR", "admin")
        .start()
        .await;
    let http = service.http();
    for (role, endpoint) in [
        ("service", own::FEED),
        ("auditor", own::FEED),
        ("user", own::FORWARD_AUTH),
    ] {
        let access = staff::signed_in(&service, role, role).await.access;
        let answer = http.send(endpoint).bearer(&access).await;
        assert_eq!(answer.status, 200, "{answer}");
    }
    let access = staff::signed_in(&service, "boss", "admin").await.access;
    asks_for_a_second_factor(&http.send(own::FEED).bearer(&access).await, Some(43_200));
    // The role that counts is the present one.
    let answer = http.send(own::FORWARD_AUTH).bearer(&access).await;
    asks_for_a_second_factor(&answer, None);
}

async fn a_second_factor_is_good_for_twelve_hours_and_for_changes_ten_minutes(store: Store) {
    let service = service_with_shared_secret(store, "admin").await;
    let http = service.http();
    let boss = Person::called("boss");
    staff::create(&service, &boss, "admin");
    let access = Contract::ApiAuth.signs_in(&http, &boss).await.access;
    let app = enrol(&http, &access, &boss).await;
    let ann = Person::called("ann");
    Contract::Users.registers(&http, &ann).await;
    let listed = http
        .send(own::USERS)
        .query("email=ann@example.com")
        .bearer(&app.access);
    let id = listed.await.json()["users"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let lock = at("POST", format!("/admin/users/{id}/lock"));
    let (hour, minute) = (3600, 60);
    for (age, reads, changes) in [
        (9 * minute, true, true),
        (10 * minute, true, false),
        (11 * hour, true, false),
        (12 * hour, false, false),
    ] {
        let access = aged(&app.access, age);
        let answer = http.send(own::USERS).bearer(&access).await;
        if reads {
            assert_eq!(answer.status, 200, "{age}: {answer}");
        } else {
            asks_for_a_second_factor(&answer, Some(43_200));
        }
        let answer = http.send(lock).bearer(&access).await;
        if changes {
            assert_eq!(answer.status, 200, "{age}: {answer}");
        } else {
            asks_for_a_second_factor(&answer, Some(600));
        }
    }
}

async fn acts_below_a_level_are_listed_for_auditors(store: Store) {
    let service = service(store).await;
    let http = service.http();
    let boss = Person::called("boss");
    staff::create(&service, &boss, "admin");
    let low = Contract::ApiAuth.signs_in(&http, &boss).await.access;
    let ann = Person::called("ann");
    Contract::Users.registers(&http, &ann).await;
    let listed = http
        .send(own::USERS)
        .query("email=ann@example.com")
        .bearer(&low);
    let id = listed.await.json()["users"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let change = async |access: &str, verb: &str| {
        let request = http.send(at("POST", format!("/admin/users/{id}/{verb}")));
        let answer = request.bearer(access).await;
        assert_eq!(answer.status, 200, "{answer}");
    };
    change(&low, "lock").await;
    let app = enrol(&http, &low, &boss).await;
    change(&app.access, "unlock").await;
    let output = service.settings.run(&["user", "lock", &ann.email], "");
    assert!(output.status.success(), "{output:?}");

    let expected = [
        ("UserRegistered", Value::Null),
        ("UserLocked", json!("urn:authlog:aal1")),
        ("UserLocked", Value::Null),
    ];
    let events_of = async |query: &str| {
        let path = format!("/audit/users/{id}/events");
        let request = http.send(at("GET", path)).query(query);
        request.bearer(&app.access).await.json()
    };
    let page = eventually("every event has its place", async || {
        let page = events_of("below=aal2").await;
        let placed = page["events"]
            .as_array()?
            .iter()
            .all(|it| !it["log_index"].is_null());
        placed.then_some(page)
    })
    .await;
    let found: Vec<_> = page["events"].as_array().unwrap().iter().collect();
    let levels: Vec<_> = found
        .iter()
        .map(|event| (event["type"].as_str().unwrap(), event["acr"].clone()))
        .collect();
    assert_eq!(levels, expected);
    let of_boss = token::claims(&low);
    assert_eq!(
        found[1]["actor"],
        json!(format!("user:{}", of_boss["sub"].as_str().unwrap()))
    );
    assert_eq!(found[1]["actor_session"], of_boss["sid"]);
    // In pages of one event, they are the same.
    let (mut paged, mut after) = (Vec::new(), json!(0));
    while let Some(index) = after.as_u64() {
        let page = events_of(&format!("below=aal2&limit=1&after={index}")).await;
        let events = page["events"].as_array().unwrap().clone();
        assert!(events.len() <= 1);
        paged.extend(events);
        after = page["next"].clone();
    }
    assert_eq!(paged.iter().collect::<Vec<_>>(), found);

    let output = service
        .settings
        .run(&["history", &ann.email, "--below", "aal2"], "");
    let printed = String::from_utf8(output.stdout).unwrap();
    for expected in [
        "was locked, which ended every session  [level aal1]",
        "was locked, which ended every session  [level unknown]",
    ] {
        assert!(printed.contains(expected), "{printed}");
    }
    assert!(!printed.contains("was unlocked"), "{printed}");
    let output = service
        .settings
        .run(&["history", &ann.email, "--below", "2"], "");
    assert!(!output.status.success());

    service.log_is_complete().await;
    let request = http
        .send(own::FEED)
        .query("below=aal2&type=UserLocked,UserUnlocked,LoggedIn");
    let text = request.bearer(&app.access).await.body;
    let kinds: Vec<_> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["type"].clone())
        .collect();
    let of = |name: &str| json!(format!("dev.authlog.{name}.v1"));
    let expected = ["session.logged-in", "user.locked", "user.locked"].map(of);
    assert_eq!(kinds, expected);
}

async fn a_confirmed_address_says_which_sessions_have_ended(store: Store) {
    let service = service(store).await;
    let http = service.http();
    for (name, signed_in, expected) in [
        ("ann", true, "Every other session of the account has ended."),
        (
            "bob",
            false,
            "Every session of the account has ended: please sign in again.",
        ),
    ] {
        let person = Person::called(name);
        Contract::ApiAuth.registers(&http, &person).await;
        let access = Contract::Users.signs_in(&http, &person).await.access;
        let answer = http.send(own::REQUEST_VERIFICATION).bearer(&access).await;
        assert_eq!(answer.status, 202, "{answer}");
        let link = mail_to(&service, &person.email).await.token();
        let request = http.send(own::EMAIL_FORM);
        let answer = if signed_in {
            request.form(&[("token", &link)]).bearer(&access).await
        } else {
            let fields = [("token", &*link), ("password", &*person.password)];
            request.form(&fields).await
        };
        assert_eq!(answer.status, 200, "{answer}");
        assert!(answer.body.contains(expected), "{answer}");
    }
}

#[tokio::test]
async fn a_service_on_the_internet_warns_that_a_password_is_enough() {
    let settings =
        Settings::on(Store::Sqlite).with("AUTHLOG_PUBLIC_URL", "https://auth.example.com");
    let warned = settings.clone().start().await;
    warned
        .has_logged("set AUTHLOG_SECOND_FACTOR=admin,auditor")
        .await;
    let settings =
        Settings::on(Store::Sqlite).with("AUTHLOG_PUBLIC_URL", "https://auth.example.com");
    let settings = settings.with("AUTHLOG_SECOND_FACTOR", "admin,auditor");
    let quiet = settings.start().await;
    quiet.has_logged("listening").await;
    assert!(!quiet.output().contains("AUTHLOG_SECOND_FACTOR"));
    let settings = Settings::on(Store::Sqlite).with("AUTHLOG_SECOND_FACTOR", "administrator");
    let output = settings.run(&["user", "list"], "");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("AUTHLOG_SECOND_FACTOR"), "{error}");
}
