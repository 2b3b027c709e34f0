//! Commands that share a commit, and programs that share the file.

use tokio::task::JoinSet;

use super::open;
use crate::store_behaviour::World;
use crate::store_behaviour::people::Person;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_that_wait_together_are_committed_together() {
    let world = open().await;
    let store = world.store();
    let mut registrations = Vec::new();
    for number in 0..200 {
        let person = Person::called(&format!("person{number}"));
        registrations.push(person.registration_as(number).await);
    }
    let before = world.store.commits();
    // Another program writes for a moment, and everybody waits for it.
    let other = world.connect();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut appends = JoinSet::new();
    for registration in registrations {
        let store = store.clone();
        appends.spawn(async move { store.append(registration).await });
    }
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(world.store.commits(), before);
    other.execute_batch("COMMIT").unwrap();
    for outcome in appends.join_all().await {
        outcome.unwrap();
    }
    let commits = world.store.commits() - before;
    assert!(commits <= 20, "{commits} commits for 200 appends");
    assert_eq!(world.count("accounts").await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_works_while_the_service_runs() {
    let world = open().await;
    let programs = [world.store(), world.another_node().await];
    let mut lives = JoinSet::new();
    for number in 0..20 {
        let store = programs[number % programs.len()].clone();
        lives.spawn(async move {
            let person = Person::called(&format!("person{number}"));
            person.registers(&*store).await;
            for _ in 0..10 {
                let session = person.signs_in(&*store).await;
                person.signs_out(&*store, session).await;
            }
        });
    }
    lives.join_all().await;
    assert_eq!(world.count("events").await, 20 * 21);
    assert_eq!(world.event_log().await.len(), 20 * 21);
}

/// Prints how many appends a second are acknowledged: `cargo test --release … -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn throughput() {
    const APPENDS: usize = 4096;
    for clients in [1, 32, 256] {
        let world = open().await;
        let ada = Person::called("ada");
        ada.registers(&*world.store()).await;
        let before = world.store.commits();
        let started = std::time::Instant::now();
        let mut race = JoinSet::new();
        for _ in 0..clients {
            let (store, ada) = (world.store(), ada.clone());
            race.spawn(async move {
                for _ in 0..APPENDS / clients {
                    ada.signs_in(&*store).await;
                }
            });
        }
        race.join_all().await;
        let rate = APPENDS as f64 / started.elapsed().as_secs_f64();
        let commits = world.store.commits() - before;
        println!("{clients} clients: {rate:.0} logins/s, {commits} commits for {APPENDS}");
    }
}
