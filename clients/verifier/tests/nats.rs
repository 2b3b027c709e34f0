//! The verifier against a NATS server.
#![cfg(feature = "nats")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

#[path = "support/nats.rs"]
mod server;
#[expect(dead_code, reason = "each binary of tests uses a part of it")]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, SystemTime};

use authlog_verifier::{Clock, Nats, Refused, SystemClock};
use server::{Relay, Server};
use support::{Issuer, LIMIT, eventually};

/// Clocks that count how often they are read, and that the test sets ahead.
#[derive(Clone, Default)]
struct CountingClock {
    system: SystemClock,
    ahead: Arc<AtomicU64>,
    reads: Arc<AtomicU64>,
}

impl Clock for CountingClock {
    fn now(&self) -> SystemTime {
        self.system.now() + Duration::from_secs(self.ahead.load(SeqCst))
    }

    fn monotonic(&self) -> Duration {
        let time = self.system.monotonic() + Duration::from_secs(self.ahead.load(SeqCst));
        self.reads.fetch_add(1, SeqCst);
        time
    }
}

#[tokio::test]
async fn a_heartbeat_that_waits_for_the_set_up_counts_for_when_it_arrived() {
    let server = Server::start().await;
    let (issuer, key) = Issuer::start().await;
    server.log_out(&issuer.url, 1, 1).await;
    // What follows the subscription to the heartbeats.
    let mut relay = Relay::start(&server.url, "$JS.API.STREAM.INFO").await;
    let clock = CountingClock::default();
    let builder = issuer.builder().revocations(Nats::connect(&relay.url));
    let verifier = builder.clock(clock.clone()).start().unwrap();
    let held = relay.is_holding.wait_for(|it| *it);
    tokio::time::timeout(LIMIT, held).await.unwrap().unwrap();
    eventually("the keys are read", || verifier.stats().keys == 1).await;
    let reads = clock.reads.load(SeqCst);
    server.beat(1, 5000).await;
    eventually("it arrives", || clock.reads.load(SeqCst) > reads).await;
    clock.ahead.store(8, SeqCst);
    relay.release.send_replace(true);
    tokio::time::timeout(LIMIT, verifier.ready()).await.unwrap();
    assert!(verifier.staleness().unwrap() >= Duration::from_secs(8));
    let token = key.sign(&issuer.claims(2, 0));
    assert_eq!(verifier.verify_now(&token).unwrap_err(), Refused::Stale);
}

#[tokio::test]
async fn an_index_that_no_log_has_ends_no_task() {
    for (index, other) in [
        (u64::MAX, u64::MAX - 1),
        (u64::MAX >> 1, (u64::MAX >> 1) - 1),
    ] {
        let server = Server::start().await;
        let (issuer, _) = Issuer::start().await;
        server.log_out(&issuer.url, index, 1).await;
        server.log_out(&issuer.url, other, 2).await;
        let builder = issuer.builder().revocations(Nats::connect(&server.url));
        let verifier = builder.start().unwrap();
        eventually("the events are read", || {
            let stats = verifier.stats();
            stats.events > 0 || stats.trouble.is_some()
        })
        .await;
        server.beat(index, u64::MAX).await;
        server.beat(u64::MAX, u64::MAX).await;
        eventually("it is connected again", || verifier.stats().connections > 1).await;
        let stats = verifier.stats();
        assert!(!stats.has_stopped, "{:?}", stats.trouble);
    }
}

#[tokio::test]
async fn a_stream_that_does_not_deliver_what_heartbeats_name_is_read_by_another_consumer() {
    let server = Arc::new(Server::start().await);
    let (issuer, key) = Issuer::start().await;
    server.log_out(&issuer.url, 1, 1).await;
    let named = Arc::new(AtomicU64::new(1));
    let (beating, log_index) = (Arc::clone(&server), Arc::clone(&named));
    let beats = tokio::spawn(async move {
        for number in 0.. {
            beating.beat(log_index.load(SeqCst), number * 100).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let builder = issuer.builder().max_staleness(LIMIT * 10);
    let builder = builder.revocations(Nats::connect(&server.url));
    let verifier = builder.start().unwrap();
    tokio::time::timeout(LIMIT, verifier.ready()).await.unwrap();
    assert_eq!(verifier.stats().connections, 1);
    named.store(3, SeqCst);
    eventually("another consumer is created", || {
        verifier.stats().connections > 1
    })
    .await;
    let stats = verifier.stats();
    let trouble = stats.trouble.unwrap();
    assert!(trouble.contains("does not deliver the events"), "{trouble}");
    assert_eq!(stats.readings, 1, "what is known stays");
    for index in [2, 3] {
        server.log_out(&issuer.url, index, u128::from(index)).await;
    }
    verifier.wait_for(3, LIMIT).await.unwrap();
    for number in 1..=3 {
        let token = key.sign(&issuer.claims(number, 0));
        let refused = verifier.verify_now(&token).unwrap_err();
        assert_eq!(refused, Refused::SessionEnded);
    }
    beats.abort();
}
