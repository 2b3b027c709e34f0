//! No request keeps a worker thread busy for more than a few milliseconds, because a busy worker answers no other
//! client.
//!
//! The tests send one request at a time to the real program and measure the processor time of its workers. A request
//! whose total is below the bound is below it in each of its steps.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

#[path = "../api/src/tests/arbitrary.rs"]
mod arbitrary;
use crate::support;

use std::time::Duration;

use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use support::endpoint::NAMED;
use support::http::Request;
use support::mail::mail_to;
use support::workers::Workers;
use support::{
    Contract, Endpoint, Person, Program, Settings, Store, api_auth, on_both_stores, own, staff,
    users,
};

on_both_stores!(
    no_new_password_blocks_a_worker,
    no_body_blocks_a_worker,
    no_header_or_query_blocks_a_worker,
    no_page_blocks_a_worker,
);

/// The longest that a request may keep a worker busy: 5 ms. Without optimisations everything but hashing and scoring
/// takes five to ten times as long, so six times the bound is not a laxer test of a debug build.
const BOUND: Duration = Duration::from_millis(if cfg!(debug_assertions) { 30 } else { 5 });

/// How many attempts a slow request has. It repeats its own work in each attempt; background work, which runs on the
/// same workers, happens in some attempts only.
const TRIES: usize = 6;

/// The largest body that the service reads, in bytes.
const BODY_LIMIT: usize = 64 * 1024;

/// Passwords with the most expensive scoring. The first, from a reported attack, has many ways to read its symbols as
/// letters.
const EXPENSIVE_PASSWORDS: [&str; 4] = [
    "({[<369!1|7%205$+24@8({[<369!1|7%205$+24@8({[<36",
    "4@8({[<369!1|7%205$+24@8({[<369!1|7%205$+24@8({[",
    "91111ssr1-1911199011114nn4m7194$$7!\u{df}1990\u{1f600}6(/ei{0",
    "314159265358979323846264338327950288419716939937",
];

/// A password that costs as much to score and is easy to guess.
const EXPENSIVE_WALK: &str = "!@#$%^&*()1234567890!@#$%^&*()1234567890";

async fn no_new_password_blocks_a_worker(store: Store) {
    let service = strict(store).await;
    let ann = Person::called("ann");
    let tokens = staff::signed_in(&service, "ann", "user").await;
    for password in EXPENSIVE_PASSWORDS {
        for contract in Contract::ALL {
            stays_free(&service, password, |attempt| {
                let body = contract.registration_of(&Person {
                    password: password.to_owned(),
                    ..Person::called(&format!("{}{attempt}", unique(password, contract)))
                });
                service.send(contract.registration()).json(&body)
            })
            .await;
        }
        stays_free(&service, password, |_| {
            let body = json!({"current_password": "wrong-password", "new_password": password});
            let request = service.send(own::CHANGE_PASSWORD).json(&body);
            request.bearer(&tokens.access)
        })
        .await;
    }
    let refused = |_| {
        let body = json!({"current_password": ann.password, "new_password": EXPENSIVE_WALK});
        let request = service.send(own::CHANGE_PASSWORD).json(&body);
        request.bearer(&tokens.access)
    };
    assert_eq!(refused(0).await.status, 400);
    stays_free(&service, EXPENSIVE_WALK, refused).await;

    let request = service.send(users::REQUEST_RESET);
    let answer = request.json(&json!({"username": "ann"})).await;
    assert_eq!(answer.status, 200, "{answer}");
    let token = mail_to(&service, &ann.email).await.token();
    let refused = |_| {
        let request = service.send(users::UPDATE_PASSWORD).authorization(&token);
        request.json(&json!({"password": EXPENSIVE_WALK}))
    };
    assert_eq!(refused(0).await.status, 400);
    stays_free(&service, EXPENSIVE_WALK, refused).await;
}

async fn no_body_blocks_a_worker(store: Store) {
    let service = strict(store).await;
    let tokens = staff::signed_in(&service, "ann", "admin").await;
    let mut bodies: Vec<Vec<u8>> = hostile_bodies();
    let mut runner = TestRunner::deterministic();
    for _ in 0..50 {
        let body = arbitrary::a_body().new_tree(&mut runner).unwrap();
        bodies.push(body.current());
    }
    for (_, endpoint) in NAMED {
        // That request would end the session.
        if endpoint.method == "GET" || *endpoint == api_auth::LOGOUT {
            continue;
        }
        for body in &bodies {
            let what = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
            for media_type in ["application/json", "application/x-www-form-urlencoded"] {
                stays_free(&service, &what, |_| {
                    let request = service.send(*endpoint).body_of(media_type, body);
                    request.bearer(&tokens.access)
                })
                .await;
            }
        }
    }
}

async fn no_header_or_query_blocks_a_worker(store: Store) {
    let service = strict(store).await;
    let long = "a.".repeat(10_000);
    let escaped = "%F0%9F%98%80".repeat(1500);
    let pairs = "token=a&after=1&limit=1&".repeat(800);
    let jwt = format!("{}.{}.c2ln", "eyJhbGciOiJFUzI1NiJ9", "YWFh".repeat(5000));
    let cookies = "refreshToken=a; ".repeat(1200);
    let addresses = "203.0.113.9, ".repeat(1500);
    for (_, endpoint) in NAMED {
        if *endpoint == own::FEED {
            continue;
        }
        for (name, value) in [
            ("authorization", &long),
            ("authorization", &jwt),
            ("authorization", &format!("Bearer {jwt}")),
            ("cookie", &cookies),
            ("x-forwarded-for", &addresses),
            ("forwarded", &addresses),
            ("content-type", &long),
            ("accept", &long),
            ("origin", &long),
        ] {
            stays_free(&service, name, |_| {
                service.send(*endpoint).header(name, value)
            })
            .await;
        }
        for query in [
            &escaped,
            &pairs,
            &format!("token={long}"),
            &format!("at={jwt}"),
        ] {
            stays_free(&service, &query[..20], |_| {
                service.send(*endpoint).query(query)
            })
            .await;
        }
    }
}

/// Requests the longest allowed lists of an account with many sessions and a long history.
async fn no_page_blocks_a_worker(store: Store) {
    let service = strict(store).await;
    let tokens = staff::signed_in(&service, "ann", "admin").await;
    let ann = Person::called("ann");
    for number in 0..250 {
        Contract::ApiAuth.signs_in(&service.http(), &ann).await;
        if number % 5 == 0 {
            let person = Person::called(&format!("person{number}"));
            Contract::V1Auth.registers(&service.http(), &person).await;
        }
    }
    let me = service
        .send(own::PROFILE)
        .bearer(&tokens.access)
        .await
        .json();
    let id = me["id"].as_str().unwrap().to_owned();
    let state: &'static str = format!("/audit/users/{id}").leak();
    let events: &'static str = format!("/audit/users/{id}/events").leak();
    for (endpoint, query) in [
        (own::PROFILE, ""),
        (own::SESSIONS, "limit=200"),
        (own::HISTORY, "limit=200"),
        (own::USERS, "limit=200"),
        (own::ASYNC_API, ""),
        (own::KEY_SET, ""),
        (own::METADATA, ""),
        (own::METRICS, ""),
        (own::READYZ, ""),
        (own::LOG_PROOF, "index=1"),
        (Endpoint::at("GET", state), ""),
        (Endpoint::at("GET", events), "limit=200"),
    ] {
        stays_free(&service, query, |_| {
            let request = service.send(endpoint).query(query);
            request.bearer(&tokens.access)
        })
        .await;
    }
}

/// A service that requires passwords that are hard to guess.
async fn strict(store: Store) -> Program {
    let settings = Settings::on(store).with("AUTHLOG_PASSWORD_MIN_SCORE", "3");
    let settings = settings.with("AUTHLOG_LOG", "warn");
    settings.with_cheap_hashing().start().await
}

/// Asserts that the request keeps no worker busy. Each attempt can differ from the earlier ones.
async fn stays_free(service: &Program, what: &str, request: impl Fn(usize) -> Request) {
    let mut least = Duration::MAX;
    let mut answered = String::new();
    for attempt in 0..TRIES {
        let before = Workers::of(service);
        let answer = request(attempt).await;
        least = least.min(Workers::of(service).most_since(&before));
        if least <= BOUND {
            return;
        }
        answered = format!("{} was answered {}", answer.what, answer.status);
    }
    panic!("{what}: a worker was busy for {least:?}: {answered}");
}

/// A unique name.
fn unique(password: &str, contract: Contract) -> String {
    let number = EXPENSIVE_PASSWORDS.iter().position(|it| *it == password);
    format!("{contract:?}{}x", number.unwrap()).to_lowercase()
}

/// Bodies that are as expensive to parse as possible and have every member that any endpoint reads.
fn hostile_bodies() -> Vec<Vec<u8>> {
    const MEMBERS: [&str; 13] = [
        "username",
        "email",
        "name",
        "fullname",
        "phone",
        "password",
        "confirm_password",
        "password_confirmation",
        "current_password",
        "new_password",
        "token",
        "refresh_token",
        "role",
    ];
    let mut bodies: Vec<Vec<u8>> = Vec::new();
    for (character, times) in [
        ("a", 256),
        ("\u{1f600}", 256),
        ("e\u{301}\u{323}\u{307}", 64),
        ("\u{fdfa}", 256),
        ("\u{1100}\u{1161}\u{11a8}", 85),
        ("a", 4500),
        ("\u{3000}", 1500),
        ("@", 4500),
        ("a@", 120),
        ("a.", 125),
        ("xn--", 60),
        ("+1 ", 1400),
    ] {
        let text = character.repeat(times);
        // The passwords differ from all text that an answer may repeat.
        let members = MEMBERS.map(|name| {
            let more = if name.contains("password") { "7" } else { "" };
            (name.to_owned(), Value::from(format!("{text}{more}")))
        });
        let mut body = Value::Object(members.into_iter().collect());
        bodies.push(body.to_string().into());
        let address = format!("{}@{}", character.repeat(15), "\u{fc}.".repeat(100));
        body["email"] = address.clone().into();
        body["username"] = address.into();
        bodies.push(body.to_string().into());
    }
    let filled = |piece: &str| piece.repeat((BODY_LIMIT - 100) / piece.len());
    bodies.push(format!(r#"{{"password":"{}"}}"#, filled("\\u0041")).into());
    bodies.push(format!(r#"{{"username":"{}"}}"#, filled("\\ud83d\\ude00")).into());
    bodies.push(format!(r#"{{"email":"{}"}}"#, filled("\u{fdfa}")).into());
    bodies.push(format!("{{{}\"a\":1}}", filled("\"a\":1,")).into());
    bodies.push(format!(r#"{{"a":[{}1]}}"#, filled("1,")).into());
    bodies.push(format!(r#"{{"a":[{}1]}}"#, filled("1e300,")).into());
    bodies.push(format!(r#"{{"a":{}"#, filled("[")).into());
    bodies.push(format!("{}1", filled(r#"{"a":"#)).into());
    bodies.push(format!(r#"{{"a":{}}}"#, filled("7")).into());
    bodies.push(format!(r#"{{"a":0.{}}}"#, filled("7")).into());
    bodies.push(filled("token=%F0%9F%98%80&").into());
    bodies.push(format!("token={}", filled("%41")).into());
    bodies.push(filled("a&").into());
    bodies.push(format!("token=a.{}", filled("YWFh")).into());
    bodies
}
