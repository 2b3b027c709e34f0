//! The log index of what a request has recorded, in the header `Authlog-Log-Index` of its answer.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails"
)]

use crate::support;

use std::cell::Cell;

use serde_json::json;
use support::following::{Reader, log_index};
use support::http::Request;
use support::postgres::OpenTransaction;
use support::staff::signed_in;
use support::{
    Answer, Contract, Person, Postgres, Program, Settings, Store, api_auth, eventually,
    on_both_stores, own, users,
};
use tokio::task::JoinSet;

on_both_stores!(
    an_answer_names_the_index_of_the_last_event_that_it_recorded,
    an_answer_that_recorded_nothing_names_no_index,
    a_refused_request_that_recorded_an_event_names_its_index,
    without_the_preference_an_answer_names_an_index_only_if_it_exists,
);

async fn an_answer_names_the_index_of_the_last_event_that_it_recorded(store: Store) {
    let service = Settings::on(store).with_cheap_hashing().start().await;
    let reader = signed_in(&service, "reader", "service").await;
    let http = service.http();
    for contract in Contract::ALL {
        let number = Cell::new(0);
        let indexes = eventually("every answer has an index", async || {
            number.set(number.get() + 1);
            let name = format!("{contract:?}-{}", number.get()).to_lowercase();
            let person = Person::called(&name);
            let registration = http.send(contract.registration());
            let registration = registration.json(&contract.registration_of(&person));
            let registered = preferring(registration).await;
            let login = contract.login_of(&person.email, &person.password);
            let signed_in = preferring(http.send(contract.login()).json(&login)).await;
            let access = contract.tokens_in(&signed_in.json()).access;
            let signed_out = preferring(http.send(api_auth::LOGOUT).bearer(&access)).await;
            let indexes = [&registered, &signed_in, &signed_out].map(index);
            Some([indexes[0]?, indexes[1]?, indexes[2]?])
        })
        .await;
        assert!(indexes.is_sorted(), "{indexes:?}");
        let events = events(&service, &reader.access, indexes[2]).await;
        let kind_at = |index: u64| {
            let event = &events[usize::try_from(index - 1).unwrap()];
            assert_eq!(log_index(event), index);
            event["type"].as_str().unwrap().to_owned()
        };
        let [registered, signed_in, signed_out] = indexes.map(kind_at);
        // Some contracts also sign in at the registration: then the login is the last event.
        assert!(
            registered == "dev.authlog.user.registered.v1"
                || registered == "dev.authlog.session.logged-in.v1",
            "{registered}"
        );
        assert_eq!(signed_in, "dev.authlog.session.logged-in.v1");
        assert_eq!(signed_out, "dev.authlog.session.logged-out.v1");
    }
}

async fn an_answer_that_recorded_nothing_names_no_index(store: Store) {
    let service = Settings::on(store).with_cheap_hashing().start().await;
    let reader = signed_in(&service, "reader", "service").await;
    let http = service.http();
    let wrong = Contract::Users.login_of("reader", "not-the-password");
    let unknown = Contract::Users.login_of("stranger", "not-the-password");
    for request in [
        http.send(own::HEALTHZ),
        http.send(own::FEED).query("limit=1").bearer(&reader.access),
        http.send(users::VERIFY).bearer(&reader.access),
        http.send(users::VERIFY).bearer("nonsense"),
        http.send(api_auth::LOGIN).json(&json!({})),
        // The refused login is recorded later, and only for an account that exists.
        http.send(users::LOGIN).json(&wrong),
        http.send(users::LOGIN).json(&unknown),
        http.send(users::REQUEST_RESET)
            .json(&json!({"username": "reader"})),
        http.send(users::REQUEST_RESET)
            .json(&json!({"username": "stranger"})),
    ] {
        let answer = preferring(request).await;
        has_no_index(&answer);
    }
}

async fn a_refused_request_that_recorded_an_event_names_its_index(store: Store) {
    let service = Settings::on(store).with_cheap_hashing().start().await;
    let reader = signed_in(&service, "reader", "service").await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let index = eventually("the answer has an index", async || {
        let stolen = Contract::ApiAuth.signs_in(&http, &ann).await;
        let mut newest = stolen.clone();
        for _ in 0..2 {
            let answer = http.send(api_auth::REFRESH).bearer(newest.refresh()).await;
            newest = Contract::ApiAuth.tokens_in(&answer.json());
        }
        let reuse = http.send(api_auth::REFRESH).bearer(stolen.refresh());
        let answer = preferring(reuse).await;
        assert_eq!(answer.status, 401, "{answer}");
        index(&answer)
    })
    .await;
    let events = events(&service, &reader.access, index).await;
    let kind = &events.last().unwrap()["type"];
    assert_eq!(kind, "dev.authlog.session.refresh-token-reused.v1");
}

async fn without_the_preference_an_answer_names_an_index_only_if_it_exists(store: Store) {
    let service = Settings::on(store).with_cheap_hashing().start().await;
    let http = service.http();
    let ann = Person::called("ann");
    let registration = Contract::ApiAuth.registration_of(&ann);
    let request = http.send(api_auth::REGISTER).json(&registration);
    let answer = request.header("prefer", "respond-async").await;
    assert_eq!(answer.status, 201, "{answer}");
    assert_eq!(answer.header("preference-applied"), None, "{answer}");
    match store {
        // The registration also signed in.
        Store::Sqlite => assert_eq!(answer.header("authlog-log-index"), Some("2"), "{answer}"),
        // The index does not exist yet.
        Store::Postgres => has_no_index(&answer),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn if_the_log_is_held_up_every_answer_goes_without_its_index() {
    let server = Postgres::of_its_own();
    let service = Settings::on_server(&server).with_cheap_hashing();
    let service = service.start().await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let url = service.settings.get("AUTHLOG_DATABASE_URL").unwrap();
    let open = OpenTransaction::begin(url);
    let login = Contract::ApiAuth.login_of(&ann.email, &ann.password);
    let mut logins = JoinSet::new();
    // More than may wait at a time, and more than the database has connections.
    for _ in 0..400 {
        logins.spawn(preferring(http.send(api_auth::LOGIN).json(&login)).attempt());
    }
    let answers = logins.join_all().await;
    let answered = answers.iter().flatten().filter(|it| it.status == 200);
    let answered: Vec<_> = answered.collect();
    assert!(answered.len() > 10, "{}", answered.len());
    for answer in answered {
        has_no_index(answer);
    }
    drop(open);
    eventually("answers have an index again", async || {
        let answer = preferring(http.send(api_auth::LOGIN).json(&login)).await;
        assert_eq!(answer.status, 200, "{answer}");
        index(&answer)
    })
    .await;
}

/// The request of a client that wants to know the index.
fn preferring(request: Request) -> Request {
    request.header("prefer", "respond-async, log-index")
}

/// The log index in an answer to a request that prefers it. Other tests on the server of PostgreSQL may hold up the log for longer
/// than an answer waits.
#[track_caller]
fn index(answer: &Answer) -> Option<u64> {
    let index = answer.header("authlog-log-index")?;
    let applied = answer.header("preference-applied");
    assert_eq!(applied, Some("log-index"), "{answer}");
    Some(index.parse().expect("a number"))
}

#[track_caller]
fn has_no_index(answer: &Answer) {
    for name in ["authlog-log-index", "preference-applied"] {
        assert_eq!(answer.header(name), None, "{answer}");
    }
}

/// The events of the log up to this index.
async fn events(service: &Program, token: &str, last: u64) -> Vec<serde_json::Value> {
    let count = usize::try_from(last).expect("a number");
    let mut reader = Reader::of(service, token, &format!("follow=true&limit={last}")).await;
    reader.events(count).await
}
