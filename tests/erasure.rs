//! Erasing an account leaves no personal data anywhere, and keeps every event.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::support;

use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use support::contract::{Tokens, eventually_refuses, is_refused, refreshes_nothing, verifies};
use support::http::{Http, Request};
use support::mail::{Mailbox as _, mail_to};
use support::nats::Nats;
use support::{
    Answer, Contract, Endpoint, Person, Program, Settings, Store, api_auth, eventually,
    on_both_stores, own, users, v1_auth,
};
use tokio::task::JoinSet;

on_both_stores!(
    no_trace_of_an_erased_person_is_left,
    no_trace_of_many_erased_people_is_left_among_others,
    an_erased_account_is_refused_in_every_contract_and_its_names_are_free,
    a_person_needs_the_password_to_erase_the_account,
    only_an_administrator_erases_the_account_of_another,
    an_operator_erases_an_account_after_a_confirmation,
    nothing_that_races_an_erasure_survives_it,
    a_killed_erasure_is_atomic,
    mail_that_outlived_an_erasure_is_deleted_at_the_next_start,
);

/// Personal data of a person, in spellings that occur nowhere else.
const AGENT: &str = "Quokkabrowser/9.7";
const ADDRESS: &str = "127.77.66.55";

async fn no_trace_of_an_erased_person_is_left(store: Store) {
    let nats = Nats::start().await;
    let settings = Settings::on(store)
        .with_cheap_hashing()
        .with("AUTHLOG_NATS_URL", &nats.url())
        .with("AUTHLOG_LOG", "debug");
    let admin = made_by_the_operator(&settings, "the-boss", "admin");
    let service = settings.start().await;
    let [ada, bob] = people_with_canaries();
    let http = service.http().calling_from(ADDRESS);
    let mut answers = Vec::new();
    leaves_canaries(&service, &http, &ada, &bob).await;
    // Before the erasure, the search finds the data.
    assert_eq!(
        found(
            &service.settings.stored_bytes(),
            &["quokka-ada", "4917777666555"]
        )
        .len(),
        2
    );
    let mail = service.settings.data().join("mail");
    assert!(!found_in(&mail, &["quokka-ada"]).is_empty());

    answers.push(erase(&http, &ada).await);
    answers.push(erase(&http, &bob).await);
    for answer in &answers {
        assert_eq!(answer.status, 204, "{answer}");
    }
    let admin = Contract::ApiAuth.signs_in(&service.http(), &admin).await;
    let log = eventually("both erasures are in the log", async || {
        let feed = service
            .send(FEED)
            .query("limit=1000")
            .bearer(&admin.access)
            .await;
        (feed.body.matches("user.erased").count() == 2).then_some(feed)
    })
    .await;
    answers.push(log);
    for person in [&ada, &bob] {
        let answer = Contract::ApiAuth.sign_in(&http, person).await;
        Contract::ApiAuth.says_wrong_credentials(&answer);
        answers.push(answer);
        answers.push(
            http.send(users::REQUEST_RESET)
                .json(&json!({"username": person.email}))
                .await,
        );
    }
    eventually("the events are published", async || {
        (!found_in(nats.directory(), &["erased"]).is_empty()).then_some(())
    })
    .await;
    let rebuilt = run(&service.settings, &["rebuild"]).await;
    assert!(rebuilt.status.success(), "{rebuilt:?}");
    let listed = run(&service.settings, &["user", "list"]).await;

    holds_no_canary(&service, &nats, listed.stdout, &answers).await;
}

/// Personal data of the two people.
const CANARIES: [&str; 7] = [
    "quokka",
    "Quokka",
    "marsupials",
    "Bobbington",
    "4917777666555",
    ADDRESS,
    AGENT,
];

/// Two people with all personal data that the contracts take: `/api/auth` takes a username, `/v1/auth` a name and a
/// telephone number.
fn people_with_canaries() -> [Person; 2] {
    let ada = Person {
        username: "quokka-ada".to_owned(),
        email: "quokka-ada@marsupials.example".to_owned(),
        ..Person::called("ada")
    };
    let bob = Person {
        username: String::new(),
        email: "quokka-bob@marsupials.example".to_owned(),
        name: "Quokka Bobbington".to_owned(),
        ..Person::called("bob")
    };
    [ada, bob]
}

/// Registers both, and lets each sign in, guess a wrong password and request a reset.
async fn leaves_canaries(service: &Program, http: &Http, ada: &Person, bob: &Person) {
    let body = Contract::ApiAuth.registration_of(ada);
    let request = http.send(api_auth::REGISTER).json(&body);
    assert_eq!(request.header("user-agent", AGENT).await.status, 201);
    let mut body = Contract::V1Auth.registration_of(bob);
    body["phone"] = "+4917777666555".into();
    let request = http.send(v1_auth::REGISTER).json(&body);
    assert_eq!(request.header("user-agent", AGENT).await.status, 200);
    for person in [ada, bob] {
        for contract in Contract::ALL {
            let body = contract.login_of(&person.email, &person.password);
            let request = http.send(contract.login()).json(&body);
            assert_eq!(request.header("user-agent", AGENT).await.status, 200);
        }
        let body = Contract::ApiAuth.login_of(&person.email, "not-the-password");
        let request = http.send(api_auth::LOGIN).json(&body);
        assert_eq!(request.header("user-agent", AGENT).await.status, 403);
        let request = http.send(users::REQUEST_RESET).header("user-agent", AGENT);
        request.json(&json!({"username": person.email})).await;
        mail_to(service, &person.email).await;
    }
}

/// Asserts that no canary is in the store, in the outputs, in the answers or in the files.
async fn holds_no_canary(service: &Program, nats: &Nats, listed: Vec<u8>, answers: &[Answer]) {
    let mail = service.settings.data().join("mail");
    eventually(
        "the requests that came afterwards are done with",
        async || {
            found(&service.settings.stored_bytes(), &CANARIES)
                .is_empty()
                .then_some(())
        },
    )
    .await;
    for (what, bytes) in [
        ("standard output of the operator", listed),
        ("what the program said", service.output().into_bytes()),
    ] {
        let found = found(&bytes, &CANARIES);
        assert!(found.is_empty(), "{found:?} in {what}");
    }
    for answer in answers {
        let found = found(answer.body.as_bytes(), &CANARIES);
        assert!(found.is_empty(), "{found:?} in {answer}");
    }
    for folder in [mail.as_path(), nats.directory()] {
        let found = found_in(folder, &CANARIES);
        assert!(found.is_empty(), "{found:?} in {}", folder.display());
    }
}

/// The database splits and merges pages while people register and are erased. Free space in them holds nothing.
async fn no_trace_of_many_erased_people_is_left_among_others(store: Store) {
    let mut service = Settings::on(store).with_cheap_hashing().start().await;
    let people: Vec<_> = (0..240)
        .map(|number| Person {
            name: format!(
                "Wombat-{number:03}-{}",
                "of-a-long-name-".repeat(number % 5)
            ),
            ..Person::called(&format!("wombat-{number:03}"))
        })
        .collect();
    let mut coming = JoinSet::new();
    for lane in people.chunks(40) {
        let (http, lane) = (service.http(), lane.to_vec());
        coming.spawn(async move {
            for person in lane {
                Contract::V1Auth.registers(&http, &person).await;
            }
        });
    }
    coming.join_all().await;
    for person in people.iter().step_by(2) {
        assert_eq!(erase(&service.http(), person).await.status, 204);
    }
    let whole = |name: &str, bytes: &[u8]| !found(bytes, &[name]).is_empty();
    let bytes = service.settings.stored_bytes();
    for (number, person) in people.iter().enumerate() {
        let there = whole(&person.email, &bytes) || whole(&person.name, &bytes);
        assert_eq!(there, number % 2 == 1, "{}", person.email);
    }
    assert!(service.terminate().await.success());
    service.restart().await;
    for person in people.iter().skip(1).step_by(40) {
        Contract::V1Auth.signs_in(&service.http(), person).await;
    }
}

async fn an_erased_account_is_refused_in_every_contract_and_its_names_are_free(store: Store) {
    let nodes = match store {
        Store::Sqlite => vec![Settings::on(store).with_cheap_hashing().start().await],
        Store::Postgres => {
            let [first, second] = Settings::of_two_nodes().map(Settings::with_cheap_hashing);
            vec![first.start().await, second.start().await]
        }
    };
    let [here, there] = [nodes.first().unwrap(), nodes.last().unwrap()];
    let (ann, eve) = (Person::called("ann"), Person::called("eve"));
    let mut sessions = Vec::new();
    for person in [&ann, &eve] {
        Contract::ApiAuth.registers(&here.http(), person).await;
        for contract in Contract::ALL {
            let tokens = contract.signs_in(&there.http(), person).await;
            verifies(&there.http(), &tokens.access).await;
            sessions.push(tokens);
        }
    }
    let of_eve = sessions.split_off(4);
    here.send(users::REQUEST_RESET)
        .json(&json!({"username": "ann"}))
        .await;
    let mail = eventually("the mail arrives", async || {
        nodes.iter().flat_map(|node| node.mails()).next()
    })
    .await;
    let body = json!({"password": ann.password});
    let request = here
        .send(own::ERASE)
        .bearer(&sessions[0].access)
        .json(&body);
    let answer = request.await;
    assert_eq!((answer.status, answer.body.as_str()), (204, ""));

    // At once on this node, and on the other node as soon as it has read the revocation.
    for tokens in &sessions {
        is_refused(&here.http(), &tokens.access).await;
        eventually_refuses(&there.http(), &tokens.access).await;
        if let Some(refresh) = &tokens.refresh {
            refreshes_nothing(&there.http(), refresh).await;
        }
        let answer = there.send(api_auth::LOGOUT).bearer(&tokens.access).await;
        assert_eq!(answer.status, 401, "{answer}");
    }
    let answer = there
        .send(users::VERIFY_RESET)
        .authorization(&mail.token())
        .await;
    assert_eq!(answer.status, 400, "{answer}");
    for node in &nodes {
        for contract in Contract::ALL {
            let answer = contract.sign_in(&node.http(), &ann).await;
            contract.says_wrong_credentials(&answer);
        }
        eventually("the mail is deleted on both nodes", async || {
            found_in(&node.settings.data().join("mail"), &["ann@"])
                .is_empty()
                .then_some(())
        })
        .await;
    }
    for tokens in &of_eve {
        verifies(&there.http(), &tokens.access).await;
    }
    let again = ann.with_password("another-secret");
    Contract::ApiAuth.registers(&there.http(), &again).await;
    let newest = Contract::ApiAuth.signs_in(&here.http(), &again).await;
    let (old, new) = [&sessions[0], &newest]
        .map(|tokens| support::token::claims(&tokens.access)["sub"].clone())
        .into();
    assert_ne!(old, new, "it is another account");
    for tokens in &sessions {
        is_refused(&here.http(), &tokens.access).await;
    }
}

async fn a_person_needs_the_password_to_erase_the_account(store: Store) {
    let service = Settings::on(store).with_cheap_hashing().start().await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let tokens = Contract::ApiAuth.signs_in(&http, &ann).await;
    let erase = |token: &str| service.send(own::ERASE).bearer(token);
    // For clients behind a proxy that drops the body of a DELETE.
    let post = |token: &str| service.send(own::ERASE_BY_POST).bearer(token);
    for (request, status) in [
        (
            post(&tokens.access).json(&json!({"password": "wrong-one"})),
            403,
        ),
        (post(&tokens.access).json(&json!({})), 400),
        (post(&tokens.access), 415),
        (post("").json(&json!({"password": ann.password})), 401),
        (
            erase(&tokens.access).json(&json!({"password": "wrong-one"})),
            403,
        ),
        (erase(&tokens.access).json(&json!({})), 400),
        (erase(&tokens.access).json(&json!({"password": 7})), 400),
        (erase(&tokens.access), 415),
        (erase("").json(&json!({"password": ann.password})), 401),
        (
            erase(tokens.refresh()).json(&json!({"password": ann.password})),
            401,
        ),
    ] {
        let answer = request.await;
        assert_eq!(answer.status, status, "{answer}");
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json")
        );
    }
    verifies(&http, &tokens.access).await;
    let body = json!({"password": ann.password});
    assert_eq!(erase(&tokens.access).json(&body).await.status, 204);
    assert_eq!(erase(&tokens.access).json(&body).await.status, 401);
    Contract::ApiAuth.registers(&http, &ann).await;
    let tokens = Contract::ApiAuth.signs_in(&http, &ann).await;
    assert_eq!(post(&tokens.access).json(&body).await.status, 204);
    assert_eq!(post(&tokens.access).json(&body).await.status, 401);
    is_refused(&http, &tokens.access).await;
}

async fn only_an_administrator_erases_the_account_of_another(store: Store) {
    let settings = Settings::on(store).with_cheap_hashing();
    let admin = made_by_the_operator(&settings, "the-boss", "admin");
    let auditor = made_by_the_operator(&settings, "the-auditor", "auditor");
    let service = settings.start().await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let of_ann = Contract::ApiAuth.signs_in(&http, &ann).await;
    let id = support::token::claims(&of_ann.access)["sub"].clone();
    let id = id.as_str().unwrap();
    let auditor = Contract::ApiAuth.signs_in(&http, &auditor).await;
    let of_admin = Contract::ApiAuth.signs_in(&http, &admin).await;
    let unknown = "00000000-0000-4000-8000-000000000000".to_owned();
    for (token, id, status) in [
        ("", id, 401),
        (&*of_ann.access, id, 403),
        (&*auditor.access, id, 403),
        (&*auditor.access, "nonsense", 403),
        (&*of_admin.access, "nonsense", 404),
        (&*of_admin.access, &*unknown, 404),
    ] {
        let answer = http.send(account(id)).bearer(token).await;
        assert_eq!(answer.status, status, "{answer}");
    }
    verifies(&http, &of_ann.access).await;
    // A client that lost the answer can repeat the request.
    for _ in 0..2 {
        let answer = http.send(account(id)).bearer(&of_admin.access).await;
        assert_eq!(answer.status, 204, "{answer}");
        is_refused(&http, &of_ann.access).await;
    }
    let log = eventually("the erasure is in the log", async || {
        let feed = service
            .send(FEED)
            .query("limit=1000")
            .bearer(&auditor.access)
            .await;
        feed.body.contains("user.erased").then_some(feed)
    })
    .await;
    let erased: Vec<Value> = log
        .body
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|event: &Value| event["type"] == "dev.authlog.user.erased.v1")
        .collect();
    assert_eq!(erased.len(), 1);
    assert_eq!(
        (&erased[0]["subject"], &erased[0]["data"]),
        (&json!(id), &json!({"session_epoch": 1}))
    );
    // The log names the administrator.
    let admin_id = support::token::claims(&of_admin.access)["sub"].clone();
    let actor = format!("user:{}", admin_id.as_str().unwrap());
    assert!(!found(&service.settings.stored_bytes(), &[&actor]).is_empty());
}

async fn an_operator_erases_an_account_after_a_confirmation(store: Store) {
    let service = Settings::on(store).with_cheap_hashing().start().await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let tokens = Contract::ApiAuth.signs_in(&http, &ann).await;
    let unsure = run(&service.settings, &["user", "erase", "ann"]).await;
    assert!(!unsure.status.success(), "{unsure:?}");
    assert!(said(&unsure).contains("--yes"), "{unsure:?}");
    let unknown = run(&service.settings, &["user", "erase", "unknown", "--yes"]).await;
    assert!(said(&unknown).contains("no such account"), "{unknown:?}");
    verifies(&http, &tokens.access).await;

    let erased = run(
        &service.settings,
        &["user", "erase", "ANN@example.com", "--yes"],
    )
    .await;
    assert!(erased.status.success(), "{erased:?}");
    assert!(!said(&erased).to_lowercase().contains("ann"), "{erased:?}");
    eventually_refuses(&http, &tokens.access).await;
    let id = support::token::claims(&tokens.access)["sub"].clone();
    for name in [id.as_str().unwrap(), "ann"] {
        let again = run(&service.settings, &["user", "erase", name, "--yes"]).await;
        assert_eq!(again.status.success(), name != "ann", "{again:?}");
    }
    assert!(found(&service.settings.stored_bytes(), &["ann@example.com"]).is_empty());
}

async fn nothing_that_races_an_erasure_survives_it(store: Store) {
    let service = Settings::on(store).with_cheap_hashing().start().await;
    let http = service.http();
    for round in 0..6 {
        let ann = Person::called(&format!("ann-{round}"));
        Contract::Users.registers(&http, &ann).await;
        let session = Contract::ApiAuth.signs_in(&http, &ann).await;
        http.send(users::REQUEST_RESET)
            .json(&json!({"username": ann.email}))
            .await;
        let token = mail_to(&service, &ann.email).await.token();
        let login = Contract::ApiAuth.login_of(&ann.email, &ann.password);
        let guess = Contract::ApiAuth.login_of(&ann.email, "not-the-password");
        let mut requests: Vec<Request> = Vec::new();
        for _ in 0..6 {
            requests.push(service.send(api_auth::LOGIN).json(&login));
            requests.push(service.send(api_auth::LOGIN).json(&guess));
            requests.push(service.send(api_auth::REFRESH).bearer(session.refresh()));
            let request = service.send(users::REQUEST_RESET);
            requests.push(request.json(&json!({"username": ann.email})));
        }
        let request = service.send(users::UPDATE_PASSWORD).authorization(&token);
        requests.push(request.json(&json!({"password": "another-secret"})));
        let mut running = JoinSet::new();
        for request in requests {
            running.spawn(request.into_future());
        }
        let erased = run(&service.settings, &["user", "erase", &ann.email, "--yes"]).await;
        assert!(erased.status.success(), "{erased:?}");
        for answer in running.join_all().await {
            if answer.status == 200 && answer.body.contains("access_token") {
                let tokens = Contract::ApiAuth.tokens_in(&answer.json());
                eventually_refuses(&http, &tokens.access).await;
                refreshes_nothing(&http, tokens.refresh()).await;
            }
        }
        eventually_refuses(&http, &session.access).await;
        for password in [&ann.password, "another-secret"] {
            let answer = Contract::Users
                .sign_in(&http, &ann.with_password(password))
                .await;
            Contract::Users.says_wrong_credentials(&answer);
        }
        let attempts = AtomicUsize::new(0);
        eventually("no trace of the person is left", async || {
            let stored = found(&service.settings.stored_bytes(), &[&ann.email]);
            let mail = found_in(&service.settings.data().join("mail"), &[&ann.email]);
            if stored.is_empty() && mail.is_empty() {
                return Some(());
            }
            // A request for a link that arrived after the erasure is new data. It is deleted when it is handled, and
            // from SQLite's write-ahead log with the next erasure.
            let attempt = attempts.fetch_add(1, Ordering::Relaxed);
            let other = Person::called(&format!("other-{round}-{attempt}"));
            Contract::Users.registers(&http, &other).await;
            let erased = run(&service.settings, &["user", "erase", &other.email, "--yes"]).await;
            assert!(erased.status.success(), "{erased:?}");
            None
        })
        .await;
        Contract::Users.registers(&http, &ann).await;
    }
}

async fn a_killed_erasure_is_atomic(store: Store) {
    let mut service = Settings::on(store).with_cheap_hashing().start().await;
    let mut people = Vec::new();
    for number in 0..40 {
        let person = Person::called(&format!("person-{number:02}"));
        Contract::Users.registers(&service.http(), &person).await;
        let tokens = Contract::ApiAuth.signs_in(&service.http(), &person).await;
        people.push((person, tokens));
    }
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let mut running = JoinSet::new();
    for (person, tokens) in people {
        let (http, acknowledged) = (service.http(), Arc::clone(&acknowledged));
        running.spawn(async move {
            let request = http.send(own::ERASE).bearer(&tokens.access);
            let answer = request
                .json(&json!({"password": person.password}))
                .attempt()
                .await;
            if let Ok(answer) = &answer {
                assert_eq!(answer.status, 204, "{answer}");
                acknowledged.fetch_add(1, Ordering::SeqCst);
            }
            (person, tokens, answer.is_ok())
        });
    }
    eventually("some erasures are acknowledged", async || {
        (acknowledged.load(Ordering::SeqCst) >= 5).then_some(())
    })
    .await;
    service.kill9();
    let people: Vec<(Person, Tokens, bool)> = running.join_all().await;
    service.restart().await;
    let http = service.http();
    let bytes = service.settings.stored_bytes();
    let mut survivors = 0;
    for (person, tokens, acknowledged) in people {
        let there = Contract::ApiAuth.sign_in(&http, &person).await.status == 200;
        assert!(
            !(there && acknowledged),
            "the account {} still exists",
            person.email
        );
        if there {
            survivors += 1;
            verifies(&http, &tokens.access).await;
            continue;
        }
        is_refused(&http, &tokens.access).await;
        refreshes_nothing(&http, tokens.refresh()).await;
        // The start cleans what the crash left in the write-ahead log.
        assert!(
            found(&bytes, &[&person.email]).is_empty(),
            "{}",
            person.email
        );
        Contract::Users.registers(&http, &person).await;
    }
    eprintln!("{survivors} of 40 were not erased when the program was killed");
}

/// The program may be killed between an erasure and the deletion of files, or be away while another node erases.
async fn mail_that_outlived_an_erasure_is_deleted_at_the_next_start(store: Store) {
    let mut service = Settings::on(store).with_cheap_hashing().start().await;
    let http = service.http();
    let (ann, eve) = (Person::called("ann"), Person::called("eve"));
    for person in [&ann, &eve] {
        Contract::Users.registers(&http, person).await;
        http.send(users::REQUEST_RESET)
            .json(&json!({"username": person.email}))
            .await;
        mail_to(&service, &person.email).await;
    }
    let folder = service.settings.data().join("mail");
    let copies: Vec<_> = files_in(&folder)
        .into_iter()
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect();
    assert_eq!(erase(&http, &ann).await.status, 204);
    assert_eq!(files_in(&folder).len(), 1);
    assert!(service.terminate().await.success());
    for (path, bytes) in copies {
        std::fs::write(path, bytes).unwrap();
    }
    service.restart().await;
    eventually("the mail is deleted", async || {
        (files_in(&folder).len() == 1).then_some(())
    })
    .await;
    mail_to(&service, &eve.email).await;
}

/// The log over HTTP.
const FEED: Endpoint = Endpoint::at("GET", "/audit/events");

/// An account, as administrators see it.
fn account(id: &str) -> Endpoint {
    Endpoint::at("DELETE", format!("/admin/users/{id}").leak())
}

/// Signs in and erases the account.
async fn erase(http: &Http, person: &Person) -> Answer {
    let tokens = Contract::V1Auth.signs_in(http, person).await;
    let request = http.send(own::ERASE).bearer(&tokens.access);
    request.json(&json!({"password": person.password})).await
}

fn made_by_the_operator(settings: &Settings, name: &str, role: &str) -> Person {
    let person = Person::called(name);
    let made = settings.run(
        &[
            "user",
            "create",
            "--username",
            &person.username,
            "--email",
            &person.email,
            "--role",
            role,
        ],
        &person.password,
    );
    assert!(made.status.success(), "{made:?}");
    person
}

async fn run(settings: &Settings, arguments: &[&str]) -> Output {
    let settings = settings.clone();
    let arguments: Vec<String> = arguments.iter().map(|it| (*it).to_owned()).collect();
    let running = tokio::task::spawn_blocking(move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        settings.run(&arguments, "")
    });
    running.await.unwrap()
}

fn said(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    format!("{out}{err}")
}

/// Those of `needles` that are in `bytes`.
fn found<'a>(bytes: &[u8], needles: &[&'a str]) -> Vec<&'a str> {
    let text = String::from_utf8_lossy(bytes);
    let there = |needle: &&&str| text.contains(**needle);
    needles.iter().filter(there).copied().collect()
}

/// Those of `needles` that are in some file under `folder`, or in its name.
fn found_in<'a>(folder: &Path, needles: &[&'a str]) -> Vec<&'a str> {
    files_in(folder)
        .into_iter()
        .flat_map(|path| {
            let mut bytes = std::fs::read(&path).unwrap_or_default();
            bytes.extend(path.to_string_lossy().as_bytes());
            found(&bytes, needles)
        })
        .collect()
}

fn files_in(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries
        .filter_map(Result::ok)
        .flat_map(|entry| match entry.path() {
            path if path.is_dir() => files_in(&path),
            path => vec![path],
        })
        .collect()
}
