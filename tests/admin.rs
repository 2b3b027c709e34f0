//! Endpoints of administrators: finding and locking accounts, roles, sessions, and the role that each endpoint
//! requires.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::support;

use serde_json::{Value, json};
use support::contract::{Tokens, eventually_refuses, is_refused, refreshes_nothing, verifies};
use support::mail::mail_to;
use support::story::follows;
use support::{
    Answer, Contract, Endpoint, Person, Program, Settings, Store, eventually, on_both_stores, own,
    staff, users,
};

on_both_stores!(
    an_administrator_finds_people_by_name_and_page_by_page,
    a_locked_account_cannot_sign_in_and_strangers_learn_nothing,
    a_change_of_role_revokes_every_token_with_the_old_role,
    an_administrator_ends_sessions_one_by_one_and_all_at_once,
    the_last_administrator_can_be_neither_demoted_nor_locked,
    only_the_operator_can_erase_the_last_administrator,
    every_native_endpoint_refuses_every_lesser_role,
    erasing_a_locked_account_with_every_kind_of_change_leaves_no_trace,
);

async fn service_on(store: Store) -> Program {
    Settings::on(store).with_cheap_hashing().start().await
}

async fn registered(service: &Program, name: &str) -> Person {
    let person = Person::called(name);
    Contract::ApiAuth.registers(&service.http(), &person).await;
    person
}

/// An endpoint about an account.
fn about(method: &'static str, account: &str, rest: &str) -> Endpoint {
    let path = format!("/admin/users/{account}{rest}");
    Endpoint::at(method, path.leak())
}

async fn users(service: &Program, access: &str, query: &str) -> Vec<Value> {
    let answer = service.send(own::USERS).query(query).bearer(access).await;
    assert_eq!(answer.status, 200, "{answer}");
    answer.json()["users"].as_array().unwrap().clone()
}

async fn id_of(service: &Program, access: &str, person: &Person) -> String {
    let found = users(service, access, &format!("email={}", person.email)).await;
    found[0]["id"].as_str().unwrap().to_owned()
}

#[track_caller]
fn is_problem(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{answer}");
    let media_type = answer.header("content-type");
    assert_eq!(media_type, Some("application/problem+json"), "{answer}");
}

async fn an_administrator_finds_people_by_name_and_page_by_page(store: Store) {
    let service = service_on(store).await;
    let admin = staff::signed_in(&service, "root", "admin").await.access;
    let ann = registered(&service, "ann").await;
    registered(&service, "bob").await;
    let id = id_of(&service, &admin, &ann).await;
    for query in [
        "email=ANN@example.com".to_owned(),
        "username=Ann".to_owned(),
        format!("id={id}"),
    ] {
        let found = users(&service, &admin, &query).await;
        assert_eq!(found.len(), 1, "{query}");
        assert_eq!(found[0]["email"], ann.email);
        assert_eq!(found[0]["role"], "user");
    }
    for unknown in ["email=unknown@example.com", "username=x%00", "id=7"] {
        assert_eq!(users(&service, &admin, unknown).await, [] as [Value; 0]);
    }
    let answer = service.send(about("GET", &id, "")).bearer(&admin).await;
    assert_eq!(answer.json()["username"], "ann");

    let mut names = Vec::new();
    let mut query = "limit=2".to_owned();
    loop {
        let page = service.send(own::USERS).query(&query).bearer(&admin).await;
        let page = page.json();
        let users = page["users"].as_array().unwrap();
        names.extend(users.iter().map(|user| user["username"].clone()));
        let Some(next) = page["next"].as_i64() else {
            break;
        };
        query = format!("limit=2&after={next}");
    }
    assert_eq!(names, ["root", "ann", "bob"]);
    for bad in ["after=x", "limit=0", "email=a&username=b"] {
        let answer = service.send(own::USERS).query(bad).bearer(&admin).await;
        is_problem(&answer, 400);
    }
    for unknown in ["x", "019c0000-0000-7000-8000-000000000001"] {
        for (method, rest) in [
            ("GET", ""),
            ("POST", "/lock"),
            ("POST", "/unlock"),
            ("GET", "/sessions"),
            ("DELETE", "/sessions"),
        ] {
            let request = service.send(about(method, unknown, rest));
            is_problem(&request.bearer(&admin).await, 404);
        }
    }
}

async fn a_locked_account_cannot_sign_in_and_strangers_learn_nothing(store: Store) {
    let service = service_on(store).await;
    let http = service.http();
    let admin = staff::signed_in(&service, "root", "admin").await.access;
    let ann = registered(&service, "ann").await;
    let id = id_of(&service, &admin, &ann).await;
    let mut tokens = Vec::new();
    for contract in Contract::ALL {
        tokens.push(contract.signs_in(&http, &ann).await);
    }
    for _ in 0..2 {
        // Locking is idempotent.
        let answer = service
            .send(about("POST", &id, "/lock"))
            .bearer(&admin)
            .await;
        assert_eq!(answer.json()["locked"], true, "{answer}");
    }
    for Tokens { access, refresh } in &tokens {
        is_refused(&http, access).await;
        if let Some(refresh) = refresh {
            refreshes_nothing(&http, refresh).await;
        }
    }
    let stranger = ann.with_password("not-the-password");
    for contract in Contract::ALL {
        for person in [&ann, &stranger] {
            contract.says_wrong_credentials(&contract.sign_in(&http, person).await);
        }
    }
    let output = service.settings.run(&["history", "ann", "--json"], "");
    let timeline = String::from_utf8(output.stdout).unwrap();
    assert!(
        timeline.contains("was refused: account locked"),
        "{timeline}"
    );
    assert!(
        timeline.contains("was refused: wrong password"),
        "{timeline}"
    );
    assert_eq!(timeline.matches("was locked").count(), 1, "{timeline}");

    let answer = service
        .send(about("POST", &id, "/unlock"))
        .bearer(&admin)
        .await;
    assert_eq!(answer.json()["locked"], false, "{answer}");
    is_refused(&http, &tokens[0].access).await;
    for contract in Contract::ALL {
        contract.signs_in(&http, &ann).await;
    }
    // The command line does the same.
    let signed_in = Contract::ApiAuth.signs_in(&http, &ann).await;
    let output = service.settings.run(&["user", "lock", &ann.email], "");
    assert!(output.status.success(), "{output:?}");
    eventually("the service learns of the change", async || {
        let answer = http
            .send(users::VERIFY)
            .authorization(&signed_in.access)
            .await;
        (answer.status == 400).then_some(())
    })
    .await;
    Contract::ApiAuth.says_wrong_credentials(&Contract::ApiAuth.sign_in(&http, &ann).await);
    let output = service.settings.run(&["user", "unlock", "ann"], "");
    assert!(output.status.success(), "{output:?}");
    Contract::ApiAuth.signs_in(&http, &ann).await;
    let output = service.settings.run(&["user", "lock", "unknown"], "");
    assert!(!output.status.success(), "{output:?}");
}

async fn a_change_of_role_revokes_every_token_with_the_old_role(store: Store) {
    let service = service_on(store).await;
    let http = service.http();
    let admin = staff::signed_in(&service, "root", "admin").await.access;
    let eve = Person::called("eve");
    staff::create(&service, &eve, "admin");
    let of_eve = Contract::ApiAuth.signs_in(&http, &eve).await;
    let id = id_of(&service, &of_eve.access, &eve).await;
    let role = async |role: &Value| {
        let request = service.send(about("PUT", &id, "/role")).bearer(&admin);
        request.json(&json!({"role": role})).await
    };
    for bad in [json!("root"), json!(null), json!(7)] {
        is_problem(&role(&bad).await, 400);
    }
    let answer = role(&json!("admin")).await;
    assert_eq!(answer.json()["role"], "admin");
    verifies(&http, &of_eve.access).await;
    let answer = role(&json!("user")).await;
    assert_eq!(answer.json()["role"], "user");
    is_refused(&http, &of_eve.access).await;
    refreshes_nothing(&http, of_eve.refresh()).await;
    let of_eve = Contract::ApiAuth.signs_in(&http, &eve).await;
    assert_eq!(support::token::claims(&of_eve.access)["role"], "user");
    let answer = service.send(own::USERS).bearer(&of_eve.access).await;
    is_problem(&answer, 403);
}

async fn an_administrator_ends_sessions_one_by_one_and_all_at_once(store: Store) {
    let service = service_on(store).await;
    let http = service.http();
    let admin = staff::signed_in(&service, "root", "admin").await.access;
    let ann = Person::called("ann");
    Contract::Users.registers(&http, &ann).await;
    let id = id_of(&service, &admin, &ann).await;
    let of_a = Contract::ApiAuth.signs_in(&http, &ann).await;
    let of_d = Contract::Api.signs_in(&http, &ann).await;
    let of_c = Contract::Users.signs_in(&http, &ann).await;
    let request = service.send(about("GET", &id, "/sessions")).bearer(&admin);
    let listed = request.await.json()["sessions"].as_array().unwrap().clone();
    assert_eq!(listed.len(), 3);
    let of = |contract: &str| {
        let mut found = listed.iter().filter(|it| it["contract"] == contract);
        found.next().unwrap()["id"].as_str().unwrap().to_owned()
    };
    let end = about("DELETE", &id, &format!("/sessions/{}", of("api-auth")));
    let answer = service.send(end).bearer(&admin).await;
    assert_eq!(answer.status, 204, "{answer}");
    is_refused(&http, &of_a.access).await;
    verifies(&http, &of_d.access).await;
    is_problem(&service.send(end).bearer(&admin).await, 404);
    // The service looks for the session only in the account that the path names.
    let root = id_of(&service, &admin, &Person::called("root")).await;
    let elsewhere = about("DELETE", &root, &format!("/sessions/{}", of("users")));
    is_problem(&service.send(elsewhere).bearer(&admin).await, 404);
    let all = about("DELETE", &id, "/sessions");
    let answer = service.send(all).bearer(&admin).await;
    assert_eq!(answer.status, 204, "{answer}");
    for access in [&of_c.access, &of_d.access] {
        is_refused(&http, access).await;
    }
    let output = service.settings.run(&["history", &ann.email], "");
    let timeline = String::from_utf8(output.stdout).unwrap();
    assert!(timeline.contains("had the session ended by the administrator"));
    assert!(timeline.contains("had every session ended by the administrator"));
    assert!(
        timeline.contains(&format!("user:{root}")),
        "the operator is not named: {timeline}"
    );
}

async fn the_last_administrator_can_be_neither_demoted_nor_locked(store: Store) {
    let service = service_on(store).await;
    let (root, eve) = (Person::called("root"), Person::called("eve"));
    let mut admin = staff::signed_in(&service, "root", "admin").await.access;
    let of_root = id_of(&service, &admin, &root).await;
    let demote = async |id: &str, access: &str| {
        let request = service.send(about("PUT", id, "/role")).bearer(access);
        request.json(&json!({"role": "user"})).await
    };
    let lock = async |id: &str, access: &str| {
        let request = service.send(about("POST", id, "/lock"));
        request.bearer(access).await
    };
    is_problem(&demote(&of_root, &admin).await, 409);
    is_problem(&lock(&of_root, &admin).await, 409);
    verifies(&service.http(), &admin).await;
    // A locked administrator has no rights.
    staff::create(&service, &eve, "admin");
    let of_eve = id_of(&service, &admin, &eve).await;
    assert_eq!(lock(&of_eve, &admin).await.status, 200);
    is_problem(&demote(&of_root, &admin).await, 409);
    let unlock = service.send(about("POST", &of_eve, "/unlock"));
    assert_eq!(unlock.bearer(&admin).await.status, 200);
    // Two administrators demote or lock each other at once: one of them remains.
    let eves = Contract::ApiAuth
        .signs_in(&service.http(), &eve)
        .await
        .access;
    let (one, other) = tokio::join!(demote(&of_eve, &admin), demote(&of_root, &eves));
    let done = [&one, &other].map(|answer| answer.status == 200);
    assert_eq!(
        done.iter().filter(|done| **done).count(),
        1,
        "{one} {other}"
    );
    if done[1] {
        admin = eves;
    }
    let answer = service.send(own::USERS).bearer(&admin).await;
    assert_eq!(answer.status, 200, "{answer}");
}

async fn only_the_operator_can_erase_the_last_administrator(store: Store) {
    let service = service_on(store).await;
    let http = service.http();
    let (root, eve) = (Person::called("root"), Person::called("eve"));
    let admin = staff::signed_in(&service, "root", "admin").await.access;
    let of_root = id_of(&service, &admin, &root).await;
    let erase = async |id: &str, access: &str| {
        let request = service.send(about("DELETE", id, ""));
        request.bearer(access).await
    };
    let erase_own = async |person: &Person, access: &str| {
        let request = service.send(own::ERASE).bearer(access);
        request.json(&json!({"password": person.password})).await
    };
    is_problem(&erase(&of_root, &admin).await, 409);
    is_problem(&erase_own(&root, &admin).await, 409);
    verifies(&http, &admin).await;
    // An account without the role can be erased by its owner while there is a single administrator.
    let ann = registered(&service, "ann").await;
    let of_ann = Contract::ApiAuth.signs_in(&http, &ann).await;
    assert_eq!(erase_own(&ann, &of_ann.access).await.status, 204);
    // Two administrators erase each other, or themselves, at once: one of them remains.
    let mut administrators = vec![(root, of_root, admin)];
    for round in 0..4 {
        let other = Person::called(&format!("{}-{round}", eve.username));
        staff::create(&service, &other, "admin");
        let access = Contract::ApiAuth.signs_in(&http, &other).await.access;
        let id = id_of(&service, &access, &other).await;
        administrators.push((other, id, access));
        let (one, of_one, ones) = &administrators[0];
        let (two, of_two, twos) = &administrators[1];
        let answers = if round % 2 == 0 {
            tokio::join!(erase(of_two, ones), erase(of_one, twos))
        } else {
            tokio::join!(erase_own(two, twos), erase_own(one, ones))
        };
        let erased = [answers.1.status, answers.0.status].map(|status| status == 204);
        assert_ne!(erased[0], erased[1], "{}, {}", answers.0, answers.1);
        administrators.remove(usize::from(erased[1]));
        let (_, _, access) = &administrators[0];
        assert_eq!(service.send(own::USERS).bearer(access).await.status, 200);
    }
    let (last, _, access) = &administrators[0];
    let output = service
        .settings
        .run(&["user", "erase", &last.email, "--yes"], "");
    assert!(output.status.success(), "{output:?}");
    // The running service learns of what the operator's command did.
    eventually_refuses(&http, access).await;
}

/// Every native endpoint that is restricted to some roles, with these roles.
fn restricted(id: &str) -> Vec<(Endpoint, &'static [&'static str])> {
    const ADMIN: &[&str] = &["admin"];
    const READERS: &[&str] = &["auditor", "admin"];
    const FOLLOWERS: &[&str] = &["service", "auditor", "admin"];
    let audited = |rest: &str| Endpoint::at("GET", format!("/audit/users/{id}{rest}").leak());
    let session = format!("/sessions/{id}");
    vec![
        (own::USERS, ADMIN),
        (about("GET", id, ""), ADMIN),
        (about("PUT", id, "/role"), ADMIN),
        (about("POST", id, "/lock"), ADMIN),
        (about("POST", id, "/unlock"), ADMIN),
        (about("GET", id, "/sessions"), ADMIN),
        (about("DELETE", id, "/sessions"), ADMIN),
        (about("DELETE", id, &session), ADMIN),
        (about("DELETE", id, ""), ADMIN),
        (audited(""), READERS),
        (audited("/events"), READERS),
        (own::LOG_KEY, READERS),
        (own::LOG_CHECKPOINT, READERS),
        (own::LOG_PROOF, READERS),
        (own::FEED, FOLLOWERS),
    ]
}

async fn every_native_endpoint_refuses_every_lesser_role(store: Store) {
    let service = service_on(store).await;
    // No account has this id: permitted roles get 404, and no account changes.
    let unknown = "019c0000-0000-7000-8000-000000000001";
    for role in ["user", "service", "auditor", "admin"] {
        let access = staff::signed_in(&service, role, role).await.access;
        for (endpoint, roles) in restricted(unknown) {
            let request = service.send(endpoint).query("limit=1").bearer(&access);
            let answer = request.json(&json!({"role": "user"})).await;
            if roles.contains(&role) {
                assert!(![401, 403].contains(&answer.status), "{role}: {answer}");
            } else {
                is_problem(&answer, 403);
            }
        }
    }
    for (endpoint, _) in restricted(unknown) {
        let request = service.send(endpoint).json(&json!({"role": "user"}));
        is_problem(&request.clone().await, 401);
        is_problem(&request.bearer("nothing").await, 401);
    }
}

async fn erasing_a_locked_account_with_every_kind_of_change_leaves_no_trace(store: Store) {
    let service = service_on(store).await;
    let http = service.http();
    let admin = staff::signed_in(&service, "root", "admin").await.access;
    let ann = registered(&service, "canary-ann").await;
    let tokens = Contract::ApiAuth.signs_in(&http, &ann).await;
    let wants = async |email: &str| {
        let request = service.send(own::CHANGE_EMAIL).bearer(&tokens.access);
        let answer = request
            .json(&json!({"email": email, "password": ann.password}))
            .await;
        assert_eq!(answer.status, 202, "{answer}");
        mail_to(&service, email).await.token()
    };
    let link = wants("canary-2@example.org").await;
    follows(&service, &link, &tokens.access).await;
    wants("canary-3@example.org").await;
    let moved = Person {
        email: "canary-2@example.org".to_owned(),
        ..ann.clone()
    };
    let id = id_of(&service, &admin, &moved).await;
    let state_endpoint = Endpoint::at("GET", format!("/audit/users/{id}").leak());
    let state = service.send(state_endpoint).bearer(&admin).await.json();
    assert_eq!(state["account"]["email_verified"], true);
    let pending = &state["account"]["pending_verification"];
    assert_eq!(pending["email"], "canary-3@example.org");
    service
        .send(about("POST", &id, "/lock"))
        .bearer(&admin)
        .await;
    let state = service.send(state_endpoint).bearer(&admin).await.json();
    assert_eq!(state["account"]["locked"], true);
    assert_eq!(state["live_sessions"], json!([]));
    let output = service.settings.run(&["doctor"], "");
    assert!(output.status.success(), "{output:?}");
    let output = service.settings.run(&["rebuild"], "");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        service.send(state_endpoint).bearer(&admin).await.json()["account"],
        state["account"]
    );
    let answer = service.send(about("DELETE", &id, "")).bearer(&admin).await;
    assert_eq!(answer.status, 204, "{answer}");
    let output = service.settings.run(&["doctor"], "");
    assert!(output.status.success(), "{output:?}");
    let stored = String::from_utf8_lossy(&service.settings.stored_bytes()).into_owned();
    assert!(!stored.contains("canary"), "something is left in the store");
    let mail = service.settings.data().join("mail");
    for file in std::fs::read_dir(mail).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        assert!(!text.contains("canary"), "something is left in the mail");
    }
    // The addresses are free again.
    Contract::Api.registers(&http, &ann).await;
    Contract::Api.registers(&http, &moved).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_one_node_ends_is_refused_by_the_other() {
    type End = (&'static str, &'static str, Value);
    let nodes = Settings::of_two_nodes().map(Settings::with_cheap_hashing);
    let [one, other] = nodes;
    let (one, other) = (one.start().await, other.start().await);
    let admin = staff::signed_in(&one, "root", "admin").await.access;
    let ann = registered(&one, "ann").await;
    let id = id_of(&one, &admin, &ann).await;
    let ends: [End; 4] = [
        ("PUT", "/role", json!({"role": "auditor"})),
        ("DELETE", "/sessions", json!({})),
        ("POST", "/lock", json!({})),
        ("POST", "/unlock", json!({})),
    ];
    for (method, rest, body) in ends {
        if rest == "/unlock" {
            one.send(about(method, &id, rest)).bearer(&admin).await;
            continue;
        }
        let tokens = Contract::ApiAuth.signs_in(&other.http(), &ann).await;
        verifies(&other.http(), &tokens.access).await;
        let request = one.send(about(method, &id, rest)).bearer(&admin);
        let answer = request.json(&body).await;
        assert!(answer.status < 300, "{answer}");
        eventually("the other node learns of it", async || {
            let request = other.send(users::VERIFY).authorization(&tokens.access);
            (request.await.status == 400).then_some(())
        })
        .await;
        refreshes_nothing(&other.http(), tokens.refresh()).await;
    }
    // Every node keeps the session that survives the end of the others.
    let kept = Contract::ApiAuth.signs_in(&one.http(), &ann).await;
    let ended = Contract::ApiAuth.signs_in(&one.http(), &ann).await;
    let request = one.send(own::END_OTHER_SESSIONS).bearer(&kept.access);
    assert_eq!(request.await.status, 204);
    eventually("the other node learns of it", async || {
        let request = other.send(users::VERIFY).authorization(&ended.access);
        (request.await.status == 400).then_some(())
    })
    .await;
    verifies(&other.http(), &kept.access).await;
}
