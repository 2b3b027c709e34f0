//! More logins than the service can hash passwords for, on a machine that is busy with other work.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::support;

use std::time::Duration;

use support::http::Http;
use support::{Answer, Contract, Person, Settings, Store, on_both_stores};
use tokio::task::JoinSet;

on_both_stores!(
    logins_succeed_again_once_a_disturbance_has_ended,
    a_client_that_signs_in_continuously_does_not_keep_others_out,
);

/// Tries to sign in once. The login may be refused because of overload.
async fn tries_to_sign_in(http: &Http, person: &Person) -> Answer {
    let body = Contract::Users.login_of(&person.email, &person.password);
    let request = http.send(Contract::Users.login()).json(&body);
    request.attempt().await.unwrap()
}

/// Retries until `person` is signed in, and returns how often it was refused.
async fn signs_in_at_last(http: &Http, person: &Person) -> usize {
    let mut refused = 0;
    loop {
        let answer = tries_to_sign_in(http, person).await;
        if answer.status == 200 {
            return refused;
        }
        Contract::Users.refuses(&answer, 503);
        assert!(answer.retry_after() >= 1, "{answer}");
        refused += 1;
    }
}

async fn logins_succeed_again_once_a_disturbance_has_ended(store: Store) {
    let service = Settings::on(store).start().await;
    let http = service.http();
    let ann = Person::called("ann");
    Contract::Users.registers(&http, &ann).await;
    // Clients that send the next request right after each answer.
    let mut clients = JoinSet::new();
    for _ in 0..64 {
        let (http, ann) = (http.clone(), ann.clone());
        clients.spawn(async move {
            let mut refused = 0;
            for _ in 0..6 {
                refused += signs_in_at_last(&http, &ann).await;
            }
            refused
        });
    }
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        service.freeze();
        tokio::time::sleep(Duration::from_secs(2)).await;
        service.thaw();
    }
    let mut refused = 0;
    while let Some(client) = clients.join_next().await {
        refused += client.unwrap();
    }
    // Each login may be refused once in each disturbance, and again on a slow machine.
    assert!(refused <= 64 * 12, "{refused} logins were refused");
}

async fn a_client_that_signs_in_continuously_does_not_keep_others_out(store: Store) {
    let settings = Settings::on(store);
    let mut service = settings.clone().with_cheap_hashing().start().await;
    let ann = Person::called("ann");
    Contract::Users.registers(&service.http(), &ann).await;
    service.terminate().await;
    // Hashes so expensive that a few dozen fill the queue.
    let service = settings
        .with("AUTHLOG_ARGON2_MEMORY_KIB", "65536")
        .with("AUTHLOG_ARGON2_ITERATIONS", "16")
        .start()
        .await;
    let crowd = service.http().calling_from("127.0.0.9");
    let processors = std::thread::available_parallelism().unwrap().get();
    let mut requests = JoinSet::new();
    for number in 0..100 * processors {
        let http = crowd.clone();
        let stranger = Person::called(&format!("stranger-{number}"));
        requests.spawn(async move {
            loop {
                let answer = tries_to_sign_in(&http, &stranger).await;
                if answer.status == 503 {
                    return;
                }
                Contract::Users.says_wrong_credentials(&answer);
            }
        });
    }
    // The queue is full: the first of them were refused.
    for _ in 0..10 {
        requests.join_next().await.unwrap().unwrap();
    }
    for number in 10..20 {
        let http = service.http().calling_from(&format!("127.0.0.{number}"));
        Contract::Users.signs_in(&http, &ann).await;
    }
    assert!(!requests.is_empty(), "the crowd ended too early");
}
