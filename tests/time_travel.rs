//! The state of an account at earlier moments.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::support;

use serde_json::{Value, json};
use support::http::Http;
use support::mail::mail_to;
use support::{
    Answer, Contract, Endpoint, Person, Program, Store, api_auth, eventually, on_both_stores,
    token, users,
};

on_both_stores!(
    an_account_is_shown_as_it_stood_at_every_moment,
    a_moment_without_a_state_is_refused_with_the_reason,
    an_operator_sees_what_changed_between_two_moments,
);

async fn an_account_is_shown_as_it_stood_at_every_moment(store: Store) {
    let service = Program::on(store).await;
    let http = service.http();
    let auditor = auditor(&service).await;
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let first = Contract::ApiAuth.signs_in(&http, &ann).await;
    let user = id_of(&first.access);
    let mut seen = vec![now(&http, &auditor, &user, 3).await];

    let second = Contract::Users.signs_in(&http, &ann).await;
    seen.push(now(&http, &auditor, &user, 4).await);
    let answer = http.send(api_auth::REFRESH).bearer(first.refresh()).await;
    assert_eq!(answer.status, 200, "{answer}");
    seen.push(now(&http, &auditor, &user, 5).await);
    let answer = http.send(api_auth::LOGOUT).bearer(&second.access).await;
    assert_eq!(answer.status, 200, "{answer}");
    seen.push(now(&http, &auditor, &user, 6).await);
    give_role(&service, "ann", "admin");
    seen.push(now(&http, &auditor, &user, 7).await);
    let request = http.send(users::REQUEST_RESET);
    request.json(&json!({"username": "ann"})).await;
    let reset = mail_to(&service, &ann.email).await.token();
    seen.push(now(&http, &auditor, &user, 8).await);
    let answer = http
        .send(users::UPDATE_PASSWORD)
        .authorization(&reset)
        .json(&json!({"password": "another-sesame", "confirm_password": "another-sesame"}))
        .await;
    assert_eq!(answer.status, 200, "{answer}");
    seen.push(now(&http, &auditor, &user, 9).await);

    let live: Vec<_> = seen
        .iter()
        .map(|state| state["live_sessions"].as_array().unwrap().len())
        .collect();
    // A change of role ends every session, so that no token has the old role.
    assert_eq!(live, [2, 3, 3, 2, 0, 0, 0]);
    assert_eq!(seen[3]["account"]["role"], json!("user"));
    assert_eq!(seen[4]["account"]["role"], json!("admin"));
    assert!(seen[5]["account"]["pending_reset"].is_object());
    assert_eq!(seen[5]["account"]["email_verified"], json!(false));
    assert_eq!(seen[6]["account"]["session_epoch"], json!(2));
    assert_eq!(seen[6]["account"]["email_verified"], json!(true));

    for then in &seen {
        let (index, instant) = (&then["as_of"]["log_index"], &then["as_of"]["recorded_at"]);
        for at in [index.to_string(), instant.as_str().unwrap().to_owned()] {
            let shown = state(&http, &auditor, &user, &format!("at={at}"))
                .await
                .json();
            for member in ["account", "live_sessions", "as_of", "user"] {
                assert_eq!(shown[member], then[member], "{member} at {at}");
            }
        }
    }
}

async fn a_moment_without_a_state_is_refused_with_the_reason(store: Store) {
    let service = Program::on(store).await;
    let http = service.http();
    let auditor = auditor(&service).await;
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let access = Contract::ApiAuth.signs_in(&http, &ann).await.access;
    let user = id_of(&access);
    now(&http, &auditor, &user, 3).await;
    for (query, status, word) in [
        ("at=1", 404, "registered"),
        ("at=0", 404, "registered"),
        ("at=2020-01-01T00:00:00Z", 404, "registered"),
        ("at=4711", 404, "ends at"),
        ("at=2999-01-01T00:00:00Z", 400, "in the future"),
        ("at=noon", 400, "at must be"),
    ] {
        let answer = state(&http, &auditor, &user, query).await;
        assert_eq!(answer.status, status, "{answer}");
        assert!(answer.body.contains(word), "{answer}");
    }
    let unknown = "0192d3f0-0000-7000-8000-000000000001";
    assert_eq!(state(&http, &auditor, unknown, "").await.status, 404);
    assert_eq!(state(&http, &access, &user, "").await.status, 403);
    assert_eq!(state(&http, "nonsense", &user, "").await.status, 401);
    let said = service.settings.run(&["state", "ann", "--at", "1"], "");
    assert!(!said.status.success(), "{said:?}");
    let why = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(why.contains("had not been registered"), "{why}");
}

async fn an_operator_sees_what_changed_between_two_moments(store: Store) {
    let service = Program::on(store).await;
    let http = service.http();
    let auditor = auditor(&service).await;
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let access = Contract::ApiAuth.signs_in(&http, &ann).await.access;
    let user = id_of(&access);
    let before = now(&http, &auditor, &user, 3).await;
    let answer = http.send(api_auth::LOGOUT).bearer(&access).await;
    assert_eq!(answer.status, 200, "{answer}");
    // It also ends the other session.
    give_role(&service, "ann", "admin");
    now(&http, &auditor, &user, 5).await;
    let index = before["as_of"]["log_index"].to_string();

    let run = |arguments: &[&str]| {
        let output = service.settings.run(arguments, "");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let then = run(&["state", "ann", "--at", &index]);
    assert!(then.contains("role            user"), "{then}");
    assert!(then.contains("live sessions   2"), "{then}");
    let json: Value =
        serde_json::from_str(&run(&["state", "ann", "--at", &index, "--json"])).unwrap();
    assert_eq!(json["account"], before["account"]);
    let now = run(&["state", &user]);
    assert!(now.contains("role            admin"), "{now}");
    assert!(now.contains("live sessions   0"), "{now}");
    let changed = run(&["state", "ann", "--diff", &index]);
    assert!(changed.contains("account.role: user → admin"), "{changed}");
    assert!(changed.contains("sessions."), "{changed}");
    let nothing = run(&["state", "ann", "--at", &index, "--diff", &index]);
    assert!(nothing.contains("nothing changed"), "{nothing}");
}

/// The current state of the account, once it has this many events and the last one has a log index.
async fn now(http: &Http, auditor: &str, user: &str, events: u64) -> Value {
    eventually("every event has a log index", async || {
        let shown = state(http, auditor, user, "").await.json();
        let as_of = &shown["as_of"];
        (as_of["events"] == json!(events) && as_of["log_index"].is_u64()).then_some(shown)
    })
    .await
}

async fn state(http: &Http, token: &str, user: &str, query: &str) -> Answer {
    let path = format!("/audit/users/{user}").leak();
    let request = http.send(Endpoint::at("GET", path)).bearer(token);
    request.query(query).await
}

async fn auditor(service: &Program) -> String {
    let person = Person::called("auditor");
    Contract::ApiAuth.registers(&service.http(), &person).await;
    give_role(service, "auditor", "auditor");
    Contract::ApiAuth
        .signs_in(&service.http(), &person)
        .await
        .access
}

fn give_role(service: &Program, name: &str, role: &str) {
    let given = service.settings.run(&["user", "role", name, role], "");
    assert!(given.status.success(), "{given:?}");
}

fn id_of(access: &str) -> String {
    token::claims(access)["sub"].as_str().unwrap().to_owned()
}
