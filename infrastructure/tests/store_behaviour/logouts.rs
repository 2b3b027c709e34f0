//! The queue of logout tokens.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use authlog_application::ports::{DueLogout, LogoutReceiver, QueuedLogouts};
use authlog_domain::client::{ClientChange, ClientSettings};
use authlog_domain::session::{RevokeSession, SessionCommand};
use authlog_domain::user::{Authority, Lock, RevokeSessions, Unlock, UserCommand};
use authlog_domain::{ClientId, HttpsUri, RevocationReason, SessionId, Timestamp};
use authlog_infrastructure::Store;
use tokio::task::JoinSet;

use super::World;
use super::clients::{client, does, registration};
use super::people::{Person, append, session_stream};
use super::system::{now, random};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// The client to which people let in sessions gets logout tokens from now on.
async fn shop_gets_logouts(store: &dyn Store) -> ClientId {
    let shop = client("shop");
    does(store, &shop, registration("Shop")).await;
    changes_uri(store, &shop, Some("https://shop.example/logout")).await;
    shop
}

async fn changes_uri(store: &dyn Store, id: &ClientId, uri: Option<&str>) {
    let found = store.client(id).await.unwrap().unwrap();
    let settings = ClientSettings {
        backchannel_logout_uri: uri.map(|uri| HttpsUri::parse(uri).unwrap()),
        ..found.settings
    };
    does(store, id, ClientChange::Change { settings }).await;
}

async fn registered(store: &dyn Store, name: &str) -> Person {
    let person = Person::called(name);
    person.registers(store).await;
    person
}

/// A session of the application that ends with `parent`.
async fn let_in(store: &dyn Store, person: &Person, epoch: u32, parent: SessionId) -> SessionId {
    let session = SessionId::new(random());
    let started = person.lets_in(session, epoch, parent).await;
    append(store, vec![started]).await.unwrap();
    session
}

/// Queues everything, this many at a time. Returns the outcomes before the last.
async fn queue_all(world: &impl World, store: &dyn Store, at_most: u32) -> usize {
    world.settle().await;
    for calls in 0.. {
        match store.queue_logouts(at_most).await.unwrap() {
            QueuedLogouts::More => {}
            QueuedLogouts::Busy => tokio::task::yield_now().await,
            QueuedLogouts::Idle
            | QueuedLogouts::Nothing
            | QueuedLogouts::Done
            | QueuedLogouts::Unused => return calls,
        }
    }
    unreachable!()
}

async fn due(store: &dyn Store, id: &ClientId) -> Vec<DueLogout> {
    store.due_logouts(id, now(), 10_000).await.unwrap()
}

async fn sessions_due(store: &dyn Store, id: &ClientId) -> Vec<SessionId> {
    let due = due(store, id).await;
    due.into_iter().map(|it| it.session).collect()
}

/// Leases the clients that are due at `at`, for a minute.
async fn lease(store: &dyn Store, at: Timestamp) -> Vec<LogoutReceiver> {
    store
        .lease_receivers(at, at.plus(MINUTE), 10)
        .await
        .unwrap()
}

pub async fn a_session_of_a_client_is_queued_when_it_or_its_parent_ends(world: &impl World) {
    let store = world.store();
    let ada = registered(&*store, "ada").await;
    let early = ada.signs_in(&*store).await;
    let_in(&*store, &ada, 0, early).await;
    does(&*store, &client("shop"), registration("Shop")).await;
    ada.signs_out(&*store, early).await;
    world.settle().await;
    // The client gets no logout tokens yet, and what ended before is passed over.
    assert_eq!(
        store.queue_logouts(10).await.unwrap(),
        QueuedLogouts::Unused
    );
    assert_eq!(store.queue_logouts(10).await.unwrap(), QueuedLogouts::Idle);
    let shop = client("shop");
    changes_uri(&*store, &shop, Some("https://shop.example/logout")).await;

    let own = ada.signs_in(&*store).await;
    let first = let_in(&*store, &ada, 0, own).await;
    let second = let_in(&*store, &ada, 0, own).await;
    queue_all(world, &*store, 10).await;
    assert_eq!(due(&*store, &shop).await, []);
    let revoke = SessionCommand::Revoke(RevokeSession {
        at: now(),
        account_epoch: 0,
        reason: RevocationReason::ConsentWithdrawn,
    });
    ada.does_in(&*store, second, revoke).await.unwrap();
    ada.signs_out(&*store, own).await;
    world.settle().await;
    assert_eq!(store.queue_logouts(10).await.unwrap(), QueuedLogouts::Done);
    assert_eq!(store.queue_logouts(10).await.unwrap(), QueuedLogouts::Idle);
    let queued = due(&*store, &shop).await;
    let sessions: Vec<_> = queued.iter().map(|it| it.session).collect();
    assert_eq!(sessions, [second, first]);
    assert!(
        queued
            .iter()
            .all(|it| it.user == ada.user && it.refusals == 0)
    );
    let ended = queued[1].ended_at;
    assert!(ended <= now() && now() < ended.plus(HOUR), "{ended}");
    // Another session of the same person, and the session of a person itself, are not queued.
    assert_eq!(world.count("due_logouts").await, 2);
}

pub async fn sessions_that_end_with_an_epoch_are_queued_without_the_kept_one(world: &impl World) {
    let store = world.store();
    let shop = shop_gets_logouts(&*store).await;
    let (ada, bob) = (
        registered(&*store, "ada").await,
        registered(&*store, "bob").await,
    );
    let of_bob = bob.signs_in(&*store).await;
    let_in(&*store, &bob, 0, of_bob).await;
    let (own, other) = (ada.signs_in(&*store).await, ada.signs_in(&*store).await);
    let mut expected = BTreeSet::new();
    for parent in [own, other, other] {
        expected.insert(let_in(&*store, &ada, 0, parent).await);
    }
    // The sessions of applications end although their parent is kept.
    let kept = UserCommand::RevokeSessions(RevokeSessions {
        at: now(),
        authority: Authority::Owner(ada.proof(&*store).await),
        kept: Some(own),
    });
    ada.does(&*store, kept).await.unwrap();
    queue_all(world, &*store, 10).await;
    let found: BTreeSet<_> = sessions_due(&*store, &shop).await.into_iter().collect();
    assert_eq!(found, expected);
    // A session of the new epoch, and a lock.
    let again = let_in(&*store, &ada, 1, own).await;
    ada.does(&*store, UserCommand::Lock(Lock { at: now() }))
        .await
        .unwrap();
    ada.does(&*store, UserCommand::Unlock(Unlock { at: now() }))
        .await
        .unwrap();
    queue_all(world, &*store, 10).await;
    assert_eq!(sessions_due(&*store, &shop).await.last(), Some(&again));
}

pub async fn what_ended_before_is_not_queued_again(world: &impl World) {
    let store = world.store();
    let shop = shop_gets_logouts(&*store).await;
    let ada = registered(&*store, "ada").await;
    // It ends with its parent, and this one with an epoch.
    let own = ada.signs_in(&*store).await;
    let first = let_in(&*store, &ada, 0, own).await;
    ada.signs_out(&*store, own).await;
    let other = ada.signs_in(&*store).await;
    let second = let_in(&*store, &ada, 0, other).await;
    queue_all(world, &*store, 10).await;
    assert_eq!(sessions_due(&*store, &shop).await, [first]);
    store.complete_logout(first).await.unwrap();
    raises_epoch(&*store, &ada).await;
    queue_all(world, &*store, 10).await;
    assert_eq!(sessions_due(&*store, &shop).await, [second]);
    store.complete_logout(second).await.unwrap();
    raises_epoch(&*store, &ada).await;
    queue_all(world, &*store, 10).await;
    assert_eq!(sessions_due(&*store, &shop).await, []);
    ada.erases_account(&*store).await;
    queue_all(world, &*store, 10).await;
    assert_eq!(sessions_due(&*store, &shop).await, []);
}

async fn raises_epoch(store: &dyn Store, person: &Person) {
    for command in [
        UserCommand::Lock(Lock { at: now() }),
        UserCommand::Unlock(Unlock { at: now() }),
    ] {
        person.does(store, command).await.unwrap();
    }
}

pub async fn events_that_end_no_session_are_passed_over_without_a_write(world: &impl World) {
    let store = world.store();
    let shop = shop_gets_logouts(&*store).await;
    let ada = registered(&*store, "ada").await;
    queue_all(world, &*store, 10).await;
    let own = ada.signs_in(&*store).await;
    let session = let_in(&*store, &ada, 0, own).await;
    world.settle().await;
    for _ in 0..2 {
        let outcome = store.queue_logouts(10).await.unwrap();
        assert_eq!(outcome, QueuedLogouts::Nothing);
    }
    ada.signs_out(&*store, own).await;
    queue_all(world, &*store, 10).await;
    assert_eq!(sessions_due(&*store, &shop).await, [session]);
}

pub async fn very_many_sessions_that_end_at_once_are_queued_in_batches(world: &impl World) {
    let store = world.store();
    let shop = shop_gets_logouts(&*store).await;
    let ada = registered(&*store, "ada").await;
    let own = ada.signs_in(&*store).await;
    let mut expected = BTreeSet::new();
    for _ in 0..23 {
        expected.insert(let_in(&*store, &ada, 0, own).await);
    }
    ada.signs_out(&*store, own).await;
    let calls = queue_all(world, &*store, 5).await;
    assert!(calls >= 4, "{calls}");
    let found = sessions_due(&*store, &shop).await;
    assert_eq!(found.len(), 23);
    assert_eq!(found.iter().copied().collect::<BTreeSet<_>>(), expected);
    // The same for an epoch, and for many events.
    let own = ada.signs_in(&*store).await;
    for _ in 0..12 {
        expected.insert(let_in(&*store, &ada, 0, own).await);
    }
    ada.does(&*store, UserCommand::Lock(Lock { at: now() }))
        .await
        .unwrap();
    let bob = registered(&*store, "bob").await;
    for _ in 0..12 {
        let own = bob.signs_in(&*store).await;
        expected.insert(let_in(&*store, &bob, 0, own).await);
        bob.signs_out(&*store, own).await;
    }
    queue_all(world, &*store, 5).await;
    let found: BTreeSet<_> = sessions_due(&*store, &shop).await.into_iter().collect();
    assert_eq!(found, expected);
}

pub async fn nodes_that_read_at_once_queue_each_session_once(world: &impl World) {
    let nodes = [world.store(), world.another_node().await];
    let shop = shop_gets_logouts(&*nodes[0]).await;
    let ada = registered(&*nodes[0], "ada").await;
    let mut expected = Vec::new();
    for _ in 0..30 {
        let own = ada.signs_in(&*nodes[0]).await;
        expected.push(let_in(&*nodes[0], &ada, 0, own).await);
        ada.signs_out(&*nodes[0], own).await;
    }
    world.settle().await;
    let mut race = JoinSet::new();
    for number in 0..8 {
        let node = Arc::clone(&nodes[number % 2]);
        race.spawn(async move {
            loop {
                match node.queue_logouts(3).await.unwrap() {
                    QueuedLogouts::Idle | QueuedLogouts::Nothing | QueuedLogouts::Done => return,
                    QueuedLogouts::Busy => tokio::task::yield_now().await,
                    QueuedLogouts::Unused | QueuedLogouts::More => {}
                }
            }
        });
    }
    race.join_all().await;
    assert_eq!(sessions_due(&*nodes[1], &shop).await, expected);
}

pub async fn an_erasure_queues_the_sessions_that_it_deletes(world: &impl World) {
    let store = world.store();
    let shop = shop_gets_logouts(&*store).await;
    let ada = registered(&*store, "ada").await;
    let own = ada.signs_in(&*store).await;
    let mut expected = BTreeSet::new();
    for _ in 0..3 {
        expected.insert(let_in(&*store, &ada, 0, own).await);
    }
    // One that ended before is queued for that reason, although its row is gone when the event is read.
    let ended = let_in(&*store, &ada, 0, own).await;
    ada.signs_out(&*store, ended).await;
    expected.insert(ended);
    ada.erases_account(&*store).await;
    assert_eq!(world.count("sessions").await, 0);
    queue_all(world, &*store, 10).await;
    let queued = due(&*store, &shop).await;
    let found: BTreeSet<_> = queued.iter().map(|it| it.session).collect();
    assert_eq!((found, queued.len()), (expected, 4));
    assert!(queued.iter().all(|it| it.user == ada.user));
    // The sessions of an erasure that is continued.
    let bob = registered(&*store, "bob").await;
    let own = bob.signs_in(&*store).await;
    let left = let_in(&*store, &bob, 0, own).await;
    world
        .execute(&format!(
            "INSERT INTO unfinished_erasures (user_id) VALUES ('{}')",
            bob.user
        ))
        .await;
    while store.continue_erasures(20).await.unwrap() {}
    assert_eq!(sessions_due(&*store, &shop).await.last(), Some(&left));
}

pub async fn an_event_or_a_row_that_was_changed_delays_no_other(world: &impl World) {
    let store = world.store();
    let shop = shop_gets_logouts(&*store).await;
    let ada = registered(&*store, "ada").await;
    let own = ada.signs_in(&*store).await;
    let damaged = let_in(&*store, &ada, 0, own).await;
    world
        .overwrite_payload(&session_stream(damaged), 1, r#"{"LoggedIn":7}"#)
        .await;
    ada.does(&*store, UserCommand::Lock(Lock { at: now() }))
        .await
        .unwrap();
    world.settle().await;
    let stream = ada.stream();
    let last = store.last_sequence(&stream, 100).await.unwrap();
    let odd = r#"{"UserLocked":{"session_epoch":"99999999999999999999"}}"#;
    world
        .overwrite_payload(&stream, i64::try_from(last).unwrap(), odd)
        .await;
    let bob = registered(&*store, "bob").await;
    let of_bob = bob.signs_in(&*store).await;
    let good = let_in(&*store, &bob, 0, of_bob).await;
    bob.signs_out(&*store, of_bob).await;
    queue_all(world, &*store, 10).await;
    assert_eq!(sessions_due(&*store, &shop).await, [good]);
}

pub async fn a_client_is_served_by_one_node_at_a_time(world: &impl World) {
    let (store, other) = (world.store(), world.another_node().await);
    let shop = shop_gets_logouts(&*store).await;
    let ada = registered(&*store, "ada").await;
    let at = now();
    assert_eq!(lease(&*store, at).await, []);
    let session = ends_a_session(world, &ada).await;
    let at = now();
    let mut leased = lease(&*other, at).await;
    let expected = LogoutReceiver {
        client: shop.clone(),
        leases: 1,
        failures: 0,
        failing_since: None,
    };
    assert_eq!(leased, [expected]);
    assert_eq!(lease(&*store, at).await, []);
    // A lease that expires is taken by another node, and the first one changes nothing any more.
    let again = lease(&*store, at.plus(MINUTE)).await.remove(0);
    assert_eq!(again.leases, 2);
    let mut late = leased.remove(0);
    late.failures = 7;
    other.return_receiver(&late, at.plus(HOUR)).await.unwrap();
    let failing = LogoutReceiver {
        failures: 3,
        failing_since: Some(at),
        ..again
    };
    store
        .return_receiver(&failing, at.plus(2 * MINUTE))
        .await
        .unwrap();
    assert_eq!(store.failing_receivers().await.unwrap(), 1);
    assert_eq!(lease(&*other, at.plus(MINUTE)).await, []);
    let waiting = store.waiting_logouts(&shop).await.unwrap().unwrap();
    assert_eq!((waiting.count, waiting.failing_since), (1, Some(at)));
    let third = lease(&*other, at.plus(2 * MINUTE)).await.remove(0);
    assert_eq!((third.failures, third.failing_since), (3, Some(at)));
    let recovered = LogoutReceiver {
        failures: 0,
        failing_since: None,
        ..third
    };
    other.return_receiver(&recovered, at).await.unwrap();
    assert_eq!(store.failing_receivers().await.unwrap(), 0);
    // Without entries, it is not leased.
    store.complete_logout(session).await.unwrap();
    assert_eq!(lease(&*other, at.plus(HOUR)).await, []);
    assert_eq!(store.waiting_logouts(&shop).await.unwrap(), None);
}

/// A session of the client ends with its parent. Returns it.
async fn ends_a_session(world: &impl World, person: &Person) -> SessionId {
    let store = world.store();
    let own = person.signs_in(&*store).await;
    let session = let_in(&*store, person, 0, own).await;
    person.signs_out(&*store, own).await;
    queue_all(world, &*store, 10).await;
    session
}

pub async fn a_refused_token_waits_by_itself(world: &impl World) {
    let store = world.store();
    let shop = shop_gets_logouts(&*store).await;
    let ada = registered(&*store, "ada").await;
    let first = ends_a_session(world, &ada).await;
    let second = ends_a_session(world, &ada).await;
    let at = now();
    let page = |at| {
        let (store, shop) = (Arc::clone(&store), shop.clone());
        async move {
            let due = store.due_logouts(&shop, at, 10).await.unwrap();
            due.into_iter()
                .map(|it| (it.session, it.refusals))
                .collect::<Vec<_>>()
        }
    };
    assert_eq!(page(at).await, [(first, 0), (second, 0)]);
    store.postpone_logout(first, at.plus(MINUTE)).await.unwrap();
    assert_eq!(page(at).await, [(second, 0)]);
    // One that is due again comes after those that were never sent.
    assert_eq!(page(at.plus(MINUTE)).await, [(second, 0), (first, 1)]);
    store.complete_logout(second).await.unwrap();
    assert_eq!(lease(&*store, at).await, []);
    assert_eq!(lease(&*store, at.plus(MINUTE)).await.len(), 1);
    // What was postponed under a clock that was ahead is due at once.
    store
        .postpone_logout(first, at.plus(30 * HOUR))
        .await
        .unwrap();
    assert_eq!(page(at.plus(MINUTE)).await, [(first, 2)]);
    assert_eq!(lease(&*store, at.plus(3 * MINUTE)).await.len(), 1);
    assert_eq!(store.forget_logouts(&shop, 10).await.unwrap(), 1);
    assert_eq!(world.count("due_logouts").await, 0);
}

pub async fn a_rebuild_queues_nothing(world: &impl World) {
    let store = world.store();
    let shop = shop_gets_logouts(&*store).await;
    let ada = registered(&*store, "ada").await;
    let session = ends_a_session(world, &ada).await;
    store.complete_logout(session).await.unwrap();
    let waiting = ends_a_session(world, &ada).await;
    let mut reached = None;
    while let Some(stretch) = store.range_after(reached.as_ref(), 500).await.unwrap() {
        store.rebuild(&stretch, now()).await.unwrap();
        reached = Some(stretch.end());
    }
    store.remove_orphans().await.unwrap();
    queue_all(world, &*store, 10).await;
    assert_eq!(sessions_due(&*store, &shop).await, [waiting]);
}
