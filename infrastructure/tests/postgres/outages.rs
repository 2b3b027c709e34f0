//! The server goes away and comes back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use authlog_application::ports::{AppendError, Directory, EventStore, Health, StoreError};
use authlog_infrastructure::postgres::PostgresStore;
use authlog_infrastructure::sealing::MasterKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::server::Server;
use super::{open_unsequenced, open_url};
use crate::store_behaviour::people::Person;
use crate::store_behaviour::system::SystemEntropy;

/// Opens as many connections as the pool has.
async fn warm_up(store: &Arc<PostgresStore>) {
    // Until the first write the store is not ready.
    store.check().await.unwrap();
    let mut reads = JoinSet::new();
    for _ in 0..200 {
        let store = store.clone();
        reads.spawn(async move { store.check().await });
    }
    for read in reads.join_all().await {
        read.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_the_server_is_not_noticed_by_the_requests_after_it() {
    let mut server = Server::start();
    let url = server.url(&server.database().await);
    let store = open_url(&url, &MasterKey::generate(&SystemEntropy))
        .await
        .unwrap();
    warm_up(&store).await;
    server.stop();
    server.resume();

    let started = Instant::now();
    let mut requests = JoinSet::new();
    for number in 0..40 {
        let store = store.clone();
        requests.spawn(async move {
            let person = Person::called(&format!("person{number}"));
            let registration = person.registration(&*store).await;
            store.append(registration).await?;
            assert!(store.account(person.user).await?.is_some());
            Ok::<_, AppendError>(())
        });
    }
    for request in requests.join_all().await {
        request.unwrap();
    }
    println!(
        "40 registrations after a restart took {:?}",
        started.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_server_is_away_the_store_is_unavailable_and_then_it_is_back() {
    let mut server = Server::start();
    let url = server.url(&server.database().await);
    let store = open_url(&url, &MasterKey::generate(&SystemEntropy))
        .await
        .unwrap();
    warm_up(&store).await;
    server.stop();

    let started = Instant::now();
    let error = store.check().await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    let ada = Person::called("ada");
    let registration = ada.registration_as(1).await;
    let error = store.append(registration.clone()).await.unwrap_err();
    let unavailable = matches!(error, AppendError::Store(StoreError::Unavailable(_)));
    assert!(unavailable, "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(30));

    server.resume();
    store.append(registration).await.unwrap();
    assert!(store.account(ada.user).await.unwrap().is_some());
}

/// A store that reaches its server through a proxy, and what tells that to swallow the server's next answer and hang up.
pub async fn open_through_a_proxy(server: &Server) -> (Arc<PostgresStore>, Arc<AtomicBool>) {
    let database = server.database().await;
    let swallow = Arc::new(AtomicBool::new(false));
    let address = proxy(server.port(), swallow.clone()).await;
    let url = format!("postgres://postgres@{address}/{database}");
    let store = open_url(&url, &MasterKey::generate(&SystemEntropy))
        .await
        .unwrap();
    (store, swallow)
}

/// Passes bytes on until told to swallow the next answer of the server and hang up.
async fn proxy(server_port: u16, swallow: Arc<AtomicBool>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let swallow = swallow.clone();
            tokio::spawn(async move {
                let server = TcpStream::connect(("127.0.0.1", server_port))
                    .await
                    .unwrap();
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = server.into_split();
                let there = tokio::spawn(async move {
                    let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
                });
                let mut bytes = vec![0; 65_536];
                while let Ok(length @ 1..) = from_server.read(&mut bytes).await {
                    // Whether the statement succeeded is in its last message; the one before may come by itself.
                    let done = bytes[..length].windows(6).any(|it| it == b"SELECT");
                    if done && swallow.swap(false, Ordering::SeqCst) {
                        break;
                    }
                    if to_client.write_all(&bytes[..length]).await.is_err() {
                        break;
                    }
                }
                there.abort();
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_whose_answer_is_lost_happens_once_and_succeeds() {
    let server = Server::start();
    let (store, swallow) = open_through_a_proxy(&server).await;
    Person::called("ada").registers(&*store).await;

    let bob = Person::called("bob");
    let registration = bob.registration_as(2).await;
    swallow.store(true, Ordering::SeqCst);
    store.append(registration).await.unwrap();
    assert!(!swallow.load(Ordering::SeqCst), "the answer was swallowed");
    assert_eq!(store.load(&bob.stream()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_name_that_is_taken_is_taken_over_a_dead_connection_too() {
    let world = open_unsequenced().await;
    Person::called("ada").registers(&*world.store).await;
    let namesake = Person::called("ada").registration_as(2).await;
    // The next append begins on a connection that the server has ended.
    let ended = world.number(
        r"
        SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name = 'authlog'",
    );
    assert!(ended.await >= 1);
    let refused = world.store.append(namesake).await.unwrap_err();
    let taken = matches!(refused, AppendError::IdentifierTaken(_));
    assert!(taken, "{refused:?}");
}
