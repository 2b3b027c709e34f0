//! The queue of requests to reset a password.

use std::collections::HashSet;
use std::time::Duration;

use authlog_application::ports::ResetRequest;
use authlog_application::{ClientPresence, RequestContext};
use authlog_domain::{ContractName, ResetId, Timestamp};
use tokio::task::JoinSet;

use super::World;
use super::system::{now, random};

const MINUTE: Duration = Duration::from_secs(60);

/// A request that was made at `at`.
pub fn request(at: Timestamp) -> ResetRequest {
    ResetRequest {
        reset: ResetId::new(random()),
        // A typed identifier need not be one that an account can have.
        identifier: "Ada\0@people.example\u{1F511}".to_owned(),
        at,
        context: RequestContext {
            request: random(),
            contract: ContractName::V1Auth,
            address: Some("2001:db8::7".parse().unwrap()),
            user_agent: Some("Curious/7.1".to_owned()),
            presence: ClientPresence::default(),
        },
        attempts: 0,
        unacknowledged: 0,
    }
}

pub async fn a_request_is_taken_by_one_taker_and_reappears_after_its_lease(world: &impl World) {
    let (store, other) = (world.store(), world.another_node().await);
    let asked_at = now();
    let put_in = request(asked_at);
    store.enqueue(&put_in).await.unwrap();

    let leased_until = asked_at.plus(MINUTE);
    let taken = other.take_due(asked_at, leased_until, 10).await.unwrap();
    let [taken] = <[ResetRequest; 1]>::try_from(taken).ok().unwrap();
    assert_eq!(taken.reset, put_in.reset);
    assert_eq!(taken.identifier, put_in.identifier);
    assert_eq!(taken.at, put_in.at);
    assert_eq!(taken.attempts, 1);
    assert_eq!(taken.context.request, put_in.context.request);
    assert_eq!(taken.context.contract, put_in.context.contract);
    assert_eq!(taken.context.address, put_in.context.address);
    assert_eq!(taken.context.user_agent, put_in.context.user_agent);

    let within = leased_until.minus(Duration::from_millis(1));
    let hidden = store.take_due(within, within.plus(MINUTE), 10).await;
    assert!(hidden.unwrap().is_empty());
    let next_lease = leased_until.plus(MINUTE);
    let again = store.take_due(leased_until, next_lease, 10).await.unwrap();
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].attempts, 2);
}

pub async fn a_postponed_request_waits_and_a_completed_one_is_gone(world: &impl World) {
    let store = world.store();
    let asked_at = now();
    let put_in = request(asked_at);
    store.enqueue(&put_in).await.unwrap();
    let later = asked_at.plus(MINUTE);
    let taken = store.take_due(asked_at, later, 10).await.unwrap();
    assert_eq!(taken.len(), 1);

    let due_at = asked_at.plus(10 * MINUTE);
    // A postponement by an earlier taker has no effect.
    store.postpone(&put_in, asked_at).await.unwrap();
    let taken = ResetRequest {
        unacknowledged: 2,
        ..taken[0].clone()
    };
    store.postpone(&taken, due_at).await.unwrap();
    let within = due_at.minus(Duration::from_millis(1));
    let waiting = store.take_due(within, due_at, 10).await.unwrap();
    assert!(waiting.is_empty());
    let due = store.take_due(due_at, due_at, 10).await.unwrap();
    assert_eq!(due.len(), 1);
    assert_eq!(due[0].unacknowledged, 2);

    store.complete(put_in.reset).await.unwrap();
    let gone = store.take_due(due_at.plus(MINUTE), due_at, 10).await;
    assert!(gone.unwrap().is_empty());
    assert_eq!(world.count("reset_requests").await, 0);
}

pub async fn a_reset_request_that_was_postponed_by_a_fast_clock_is_due_at_once(world: &impl World) {
    let store = world.store();
    let at = now();
    let put_in = request(at);
    store.enqueue(&put_in).await.unwrap();
    let ahead = at.plus(26 * 60 * MINUTE);
    let taken = store.take_due(ahead, ahead.plus(MINUTE), 10).await;
    assert_eq!(taken.unwrap().len(), 1);
    let again = store.take_due(at, at.plus(MINUTE), 10).await;
    assert_eq!(again.unwrap().len(), 1);
    let hidden = store.take_due(at, at.plus(MINUTE), 10).await;
    assert_eq!(hidden.unwrap().len(), 0);
}

pub async fn requests_are_taken_oldest_first(world: &impl World) {
    let store = world.store();
    let start = now();
    for minutes in [3, 1, 5, 2, 4] {
        store
            .enqueue(&request(start.plus(minutes * MINUTE)))
            .await
            .unwrap();
    }
    let end = start.plus(10 * MINUTE);
    let mut order = Vec::new();
    for expected in [2, 2, 1, 0] {
        let taken = store.take_due(end, end.plus(MINUTE), 2).await.unwrap();
        assert_eq!(taken.len(), expected);
        order.extend(taken.iter().map(|it| it.at.since(start).as_secs() / 60));
    }
    assert_eq!(order, [1, 2, 3, 4, 5]);
    // A request of the future is not due.
    let early = store.take_due(start, start, 10).await.unwrap();
    assert!(early.is_empty());
}

pub async fn a_request_that_cannot_be_read_is_given_up_and_others_are_taken(world: &impl World) {
    let store = world.store();
    let at = now();
    store.enqueue(&request(at)).await.unwrap();
    for (id, attempts, context) in [(random(), 0, "[]"), (random(), -5, "{}")] {
        world
            .execute_own(
                &format!("INSERT INTO reset_requests (reset_id, identifier, requested_at, context, attempts, due_at)
                    VALUES ('{id}', 'x', 0, '{context}', {attempts}, 0)"),
                &format!("INSERT INTO reset_requests (reset_id, identifier, requested_at, context, attempts, due_at)
                    VALUES ('{id}', 'x', '-infinity', '{context}', {attempts}, '-infinity')"),
            )
            .await;
    }
    let taken = store.take_due(at, at.plus(MINUTE), 10).await.unwrap();
    assert_eq!(taken.len(), 1);
    assert_eq!(world.count("reset_requests").await, 1);
}

pub async fn concurrent_takers_get_disjoint_requests(world: &impl World) {
    let nodes = [world.store(), world.another_node().await];
    let asked_at = now();
    for _ in 0..40 {
        nodes[0].enqueue(&request(asked_at)).await.unwrap();
    }
    let mut race = JoinSet::new();
    for runner in 0..20 {
        let store = nodes[runner % nodes.len()].clone();
        race.spawn(async move {
            let lease = asked_at.plus(MINUTE);
            let taken = store.take_due(asked_at, lease, 3).await.unwrap();
            let resets: Vec<_> = taken.iter().map(|request| request.reset).collect();
            resets
        });
    }
    let taken: Vec<_> = race.join_all().await.into_iter().flatten().collect();
    let distinct: HashSet<_> = taken.iter().collect();
    assert_eq!((taken.len(), distinct.len()), (40, 40));
}
