//! The requests of devices that wait for a person.

use std::time::Duration;

use authlog_application::ports::{StoredDeviceAuthorization, UserCodeDigest};
use authlog_infrastructure::Store;
use tokio::task::JoinSet;

use super::World;
use super::system::now;

const MINUTE: Duration = Duration::from_secs(60);

const fn code(number: u8) -> UserCodeDigest {
    UserCodeDigest([number; 32])
}

async fn found(store: &dyn Store, number: u8) -> Option<(String, Option<String>)> {
    let stored = store.device_authorization(code(number)).await.unwrap();
    stored.map(|StoredDeviceAuthorization { request, decision }| (request, decision))
}

async fn add(store: &dyn Store, number: u8, request: &str) -> bool {
    let added = store.add_device_authorization(code(number), request, now().plus(MINUTE));
    added.await.unwrap()
}

async fn decide(store: &dyn Store, number: u8, decision: &str) -> bool {
    let decided = store.decide_device_authorization(code(number), decision);
    decided.await.unwrap()
}

fn row(request: &str, decision: Option<&str>) -> (String, Option<String>) {
    (request.to_owned(), decision.map(str::to_owned))
}

pub async fn a_request_is_found_by_its_code_and_decided_once_on_every_node(world: &impl World) {
    let (store, other) = (world.store(), world.another_node().await);
    assert_eq!(found(&*store, 1).await, None);
    assert!(!decide(&*store, 1, "yes").await);
    assert!(add(&*store, 1, "tv").await);
    assert!(add(&*store, 2, "radio").await);
    assert_eq!(found(&*other, 1).await, Some(row("tv", None)));
    assert!(decide(&*other, 1, "yes").await);
    // A statement may be repeated if the connection broke.
    assert!(decide(&*other, 1, "yes").await);
    for store in [&store, &other] {
        assert!(!decide(&**store, 1, "no").await);
        assert_eq!(found(&**store, 1).await, Some(row("tv", Some("yes"))));
        assert_eq!(found(&**store, 2).await, Some(row("radio", None)));
    }
}

pub async fn a_code_that_is_taken_is_not_given_to_another_request(world: &impl World) {
    let nodes = [world.store(), world.another_node().await];
    let mut adding = JoinSet::new();
    for number in 0..20 {
        let store = nodes[number % 2].clone();
        adding.spawn(async move { add(&*store, 1, &number.to_string()).await });
    }
    let added = adding.join_all().await;
    assert_eq!(added.iter().filter(|it| **it).count(), 1);
    assert!(decide(&*nodes[0], 1, "yes").await);
    assert!(!add(&*nodes[1], 1, "another").await);
    let (_, decision) = found(&*nodes[0], 1).await.unwrap();
    assert_eq!(decision.as_deref(), Some("yes"));
}

pub async fn of_concurrent_decisions_about_a_device_one_wins(world: &impl World) {
    let nodes = [world.store(), world.another_node().await];
    assert!(add(&*nodes[0], 1, "tv").await);
    let mut deciding = JoinSet::new();
    for number in 0..40_usize {
        let store = nodes[number % 2].clone();
        let decision = number.to_string();
        deciding.spawn(async move { (decide(&*store, 1, &decision).await, decision) });
    }
    let decided = deciding.join_all().await;
    let won: Vec<_> = decided.iter().filter(|(won, _)| *won).collect();
    assert_eq!(won.len(), 1);
    assert_eq!(found(&*nodes[1], 1).await, Some(row("tv", Some(&won[0].1))));
}

pub async fn expired_requests_of_devices_are_removed_and_no_others(world: &impl World) {
    let (store, at) = (world.store(), now());
    for (number, expires_at) in [(1, at), (2, at.plus(MINUTE)), (3, at.minus(MINUTE))] {
        let added = store.add_device_authorization(code(number), "tv", expires_at);
        assert!(added.await.unwrap());
    }
    let remove = async |at| {
        store
            .remove_expired_device_authorizations(at)
            .await
            .unwrap()
    };
    assert_eq!(remove(at).await, 2);
    assert_eq!(found(&*store, 1).await, None);
    assert_eq!(found(&*store, 2).await, Some(row("tv", None)));
    assert_eq!(remove(at).await, 0);
    assert_eq!(remove(at.plus(MINUTE)).await, 1);
    assert_eq!(world.count("device_authorizations").await, 0);
}
