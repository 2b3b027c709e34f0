//! Database connections that die silently, as behind a firewall that drops them: nothing waits for them for ever, and
//! new ones replace them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::support;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use support::contract::{eventually_refuses, verifies};
use support::failover::url_at;
use support::http::{Http, Request};
use support::mail::mail_to;
use support::proxy::Proxy;
use support::{
    Contract, Person, Postgres, Program, Settings, api_auth, eventually, own, token, users,
};
use tokio::task::{JoinSet, block_in_place, spawn_blocking};

/// Concurrent requests that need the database: more than there are connections.
const WAITING: usize = 60;

/// Settings of a node that reaches the database through a proxy.
fn behind(proxy: &Proxy, settings: Settings) -> Settings {
    let url = settings.get("AUTHLOG_DATABASE_URL").unwrap();
    let (_, database) = url.rsplit_once('/').unwrap();
    let url = url_at(proxy.port(), database);
    settings.with("AUTHLOG_DATABASE_URL", &url)
}

fn number(url: &str, sql: &str) -> u64 {
    block_in_place(|| Postgres::query(url, sql))
        .parse()
        .unwrap()
}

/// A request that needs a statement of its own.
fn asks_the_store(http: &Http, opaque: &str) -> Request {
    http.send(users::VERIFY).authorization(opaque)
}

/// Asserts that everything works: the node is ready, people register, sign in and receive mail, and the events are
/// sequenced and covered by a checkpoint.
async fn everything_works(service: &Program, url: &str, name: &str) {
    eventually("the node is ready", async || {
        let answer = service.send(own::READYZ).attempt().await.ok()?;
        (answer.status == 200).then_some(())
    })
    .await;
    let http = service.http();
    let person = Person::called(name);
    eventually("a person registers", async || {
        let form = Contract::ApiAuth.registration_of(&person);
        let answer = http
            .send(api_auth::REGISTER)
            .json(&form)
            .attempt()
            .await
            .ok()?;
        matches!(answer.status, 201 | 409).then_some(())
    })
    .await;
    Contract::ApiAuth.signs_in(&http, &person).await;
    let answer = service
        .send(users::REQUEST_RESET)
        .json(&json!({"username": person.email}))
        .await;
    assert_eq!(answer.status, 200, "{answer}");
    mail_to(service, &person.email).await;
    eventually("a checkpoint covers every event", async || {
        let events = number(url, "SELECT count(*) FROM events");
        let signed = number(url, "SELECT coalesce(max(tree_size), 0) FROM checkpoints");
        (signed >= events).then_some(())
    })
    .await;
    let token = Contract::Api.signs_in(&http, &person).await.access;
    let at_once = (0..WAITING).map(|_| asks_the_store(&http, &token).attempt());
    for answer in join_all(at_once).await {
        assert_eq!(answer.unwrap().status, 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_worker_and_every_request_continues_after_connections_are_lost_silently() {
    let server = block_in_place(Postgres::of_its_own);
    let settings = Settings::on_server(&server).with_cheap_hashing();
    let url = settings.get("AUTHLOG_DATABASE_URL").unwrap().to_owned();
    let proxy = Proxy::to(server.port()).await;
    let service = behind(&proxy, settings.clone()).start().await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::ApiAuth.registers(&http, &ann).await;
    let before = Contract::ApiAuth.signs_in(&http, &ann).await;
    verifies(&http, &before.access).await;
    let opaque = Contract::Api.signs_in(&http, &ann).await.access;
    everything_works(&service, &url, "first").await;

    // No statement is in flight: each worker notices the loss with its next statement.
    proxy.loses_connections();
    everything_works(&service, &url, "second").await;

    // Statements are in flight. In the second round the node still lacks the connections that wait since the first one.
    for name in ["third", "fourth"] {
        let frozen = block_in_place(|| server.freeze());
        let mut waiting = JoinSet::new();
        for _ in 0..WAITING {
            let request = asks_the_store(&http, &opaque);
            waiting.spawn(async move { request.attempt().await.map(|answer| answer.status) });
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        proxy.loses_connections();
        drop(frozen);
        while let Some(answered) = waiting.join_next().await {
            let status = answered.unwrap().unwrap();
            assert!(matches!(status, 200 | 503), "{status}");
        }
        everything_works(&service, &url, name).await;
    }

    let kid = token::header(&before.access)["kid"].clone();
    let retire = ["keys", "retire", kid.as_str().unwrap()];
    let retired = block_in_place(|| settings.run(&retire, ""));
    assert!(retired.status.success(), "{retired:?}");
    eventually_refuses(&http, &before.access).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_logins_count_on_every_node_again_after_connections_are_lost_silently() {
    let server = block_in_place(Postgres::of_its_own);
    let settings = Settings::on_server(&server).with_cheap_hashing();
    let [first, second] = settings.without("AUTHLOG_RATE_LIMIT").of_nodes::<2>();
    let (to_first, to_second) = (
        Proxy::to(server.port()).await,
        Proxy::to(server.port()).await,
    );
    let first = behind(&to_first, first).start().await;
    let second = behind(&to_second, second).start().await;
    to_first.loses_connections();
    to_second.loses_connections();

    let round = AtomicU64::new(0);
    eventually(
        "the second node counts what the first one saw",
        async || {
            let round = round.fetch_add(1, Ordering::Relaxed);
            let unknown = Person::called(&format!("ann{round}"));
            // Each round has its own address, because the limit of an address would end the rounds.
            let address = format!("127.0.1.{}", round + 1);
            let to = |node: &Program| node.http().calling_from(&address);
            for _ in 0..20 {
                let answer = Contract::V1Auth.sign_in(&to(&first), &unknown).await;
                if answer.status == 429 {
                    break;
                }
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
            let answer = Contract::V1Auth.sign_in(&to(&second), &unknown).await;
            (answer.status == 429).then_some(())
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_lost_while_it_migrates_keeps_no_other_from_starting() {
    let server = block_in_place(Postgres::of_its_own);
    let settings = Settings::on_server(&server).with_cheap_hashing();
    let url = settings.get("AUTHLOG_DATABASE_URL").unwrap().to_owned();
    let proxy = Proxy::to(server.port()).await;
    proxy.loses_connections_after(30_000);
    let of_lost = behind(&proxy, settings.clone());
    let lost = spawn_blocking(move || of_lost.run(&["migrate"], ""));
    eventually("the node is migrating", async || {
        let open = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'";
        (number(&url, open) > 0).then_some(())
    })
    .await;

    let other = settings.start().await;
    let answer = other.send(own::READYZ).await;
    assert_eq!(answer.status, 200, "{answer}");
    let lost = lost.await.unwrap();
    assert!(!lost.status.success(), "{lost:?}");
}
