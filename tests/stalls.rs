//! A database that stalls for longer than a request may take: a request that was answered 503 was not executed, or
//! repeating it has the same effect.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::support;

use futures_util::future::join_all;
use serde_json::json;
use support::contract::{Tokens, verifies};
use support::http::Http;
use support::{Contract, Person, Postgres, Program, Settings, api_auth, eventually, own};

/// A service with cheap hashing and its own PostgreSQL server, and the URL of its database.
async fn service_on(server: &Postgres) -> (Program, String) {
    let service = Settings::on_server(server)
        .with_cheap_hashing()
        .start()
        .await;
    let url = service.settings.get("AUTHLOG_DATABASE_URL").unwrap();
    let url = url.to_owned();
    (service, url)
}

async fn signed_in(http: &Http, name: &str) -> (Person, Tokens) {
    let person = Person::called(name);
    Contract::ApiAuth.registers(http, &person).await;
    let tokens = Contract::ApiAuth.signs_in(http, &person).await;
    (person, tokens)
}

fn count_of(url: &str, event_type: &str) -> String {
    let sql = format!("SELECT count(*) FROM events WHERE event_type = '{event_type}'");
    Postgres::query(url, &sql)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_was_declined_during_a_stall_can_be_retried() {
    let server = Postgres::of_its_own();
    let (service, url) = service_on(&server).await;
    let http = service.http();
    let mut visitors = Vec::new();
    for number in 0..4 {
        visitors.push(signed_in(&http, &format!("visitor{number}")).await);
    }
    let (ann, of_ann) = signed_in(&http, "ann").await;
    let (_, of_bob) = signed_in(&http, "bob").await;
    let new = Person::called("newcomer");
    let refresh = |tokens: &Tokens| http.send(api_auth::REFRESH).bearer(tokens.refresh());
    let register = || {
        let form = Contract::ApiAuth.registration_of(&new);
        http.send(Contract::ApiAuth.registration()).json(&form)
    };
    let change = |from: &str, to: &str| {
        http.send(own::CHANGE_PASSWORD)
            .bearer(&of_ann.access)
            .json(&json!({"current_password": from, "new_password": to}))
    };
    let log_out = || http.send(api_auth::LOGOUT).bearer(&of_bob.access);
    let other = "another-Plum-99-basket";

    let frozen = tokio::task::block_in_place(|| server.freeze());
    let mut declined: Vec<_> = visitors
        .iter()
        .map(|(_, tokens)| refresh(tokens).attempt())
        .collect();
    declined.push(register().attempt());
    declined.push(change(&ann.password, other).attempt());
    declined.push(log_out().attempt());
    for answer in join_all(declined).await {
        assert_eq!(answer.unwrap().status, 503);
    }
    drop(frozen);

    eventually("the service is ready", async || {
        let answer = service.send(own::READYZ).attempt().await.unwrap();
        (answer.status == 200).then_some(())
    })
    .await;
    // By now the server has begun every statement that it received.
    for event in ["TokenRefreshed", "LoggedOut", "PasswordChanged"] {
        assert_eq!(count_of(&url, event), "0", "{event}");
    }
    assert_eq!(register().await.status, 201);
    verifies(&http, &of_bob.access).await;
    assert_eq!(log_out().await.status, 200);
    assert!(change(&ann.password, other).await.status < 300);
    for (_, tokens) in &visitors {
        let answer = refresh(tokens).await;
        assert_eq!(answer.status, 200, "{answer}");
    }
    assert_eq!(count_of(&url, "RefreshTokenReused"), "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retrying_a_refresh_whose_commit_timed_out_is_not_taken_for_theft() {
    let server = Postgres::of_its_own();
    let (service, url) = service_on(&server).await;
    let http = service.http();
    let (_, tokens) = signed_in(&http, "ann").await;
    let refresh = || http.send(api_auth::REFRESH).bearer(tokens.refresh());
    let started = std::time::Instant::now();

    // Commits wait for a standby that does not exist.
    set(
        &url,
        "ALTER SYSTEM SET synchronous_standby_names = 'missing'",
    );
    let answer = refresh().attempt().await.unwrap();
    assert_eq!(answer.status, 503, "{answer}");
    // For longer than the grace for retries.
    let grace = std::time::Duration::from_secs(25);
    tokio::time::sleep(grace.saturating_sub(started.elapsed())).await;
    set(&url, "ALTER SYSTEM RESET synchronous_standby_names");
    eventually("the refresh was stored", async || {
        (count_of(&url, "TokenRefreshed") == "1").then_some(())
    })
    .await;

    let answer = refresh().await;
    assert_eq!(answer.status, 200, "{answer}");
    assert_eq!(count_of(&url, "RefreshTokenReused"), "0");
}

/// Changes a setting of the server.
fn set(url: &str, sql: &str) {
    Postgres::execute_at(url, sql);
    Postgres::execute_at(url, "SELECT pg_reload_conf()");
}
