//! PostgreSQL fails over to a standby, or crashes, under three serving nodes. Ended sessions stay ended on every node. If
//! the log loses events and continues differently, the operator and every follower of the log are notified.
//!
//! `AUTHLOG_CHAOS_SEED` repeats the choices of a run, which prints its seed. `AUTHLOG_FAILOVERS` is how often the
//! database fails over in each story.
#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]
#![expect(
    clippy::print_stdout,
    reason = "the test prints its choices and faults"
)]

use crate::support;

use std::sync::Arc;
use std::time::Duration;

use support::eventually::within;
use support::failover::{Cluster, Follower, NODES, PATIENCE, Standby, Visitor};
use support::http::Http;
use support::random::{Random, from_environment};
use support::{Contract, Person, Postgres, Program, api_auth, eventually, own, staff};
use tokio_util::task::AbortOnDropHandle;

/// The default number of failovers.
const FAILOVERS: u64 = 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_asynchronous_failover_revives_no_session_and_no_fork_is_silent() {
    fails_over(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_synchronous_failover_revives_no_session_and_forks_nothing() {
    fails_over(true).await;
}

/// Fails the database over repeatedly under the same nodes.
async fn fails_over(synchronous: bool) {
    let mut random = Random::seeded();
    println!("AUTHLOG_CHAOS_SEED={}", random.seed());
    let mut cluster = Cluster::start().await;
    let service = staff::signed_in(&cluster.nodes[0], "the-service", "service").await;
    for round in 0..from_environment("AUTHLOG_FAILOVERS").unwrap_or(FAILOVERS) {
        let standby = cluster.standby().await;
        if synchronous {
            cluster.primary.set("synchronous_standby_names", "*");
            cluster.primary.set("synchronous_commit", "remote_apply");
        }
        let mut crowd = Crowd::registers(&cluster, &format!("round-{round}")).await;
        crowd.some_log_out(&cluster, 1, 0).await;
        cluster.stream_becomes_the_log().await;
        let follower = Follower::of(&cluster.nodes[2], &service.access);

        let load = Load::on(&cluster, &format!("load-{round}"));
        if !synchronous {
            let lost = random.below(30);
            println!("round {round}: {lost} registrations are lost");
            lose_registrations(&cluster, &standby, round, lost).await;
        }
        tokio::time::sleep(Duration::from_millis(random.below(300))).await;
        if random.below(2) == 0 {
            println!("round {round}: all nodes are led to the standby at once");
            cluster.switch_over_to(standby);
            crowd.some_log_out(&cluster, 0, 1).await;
        } else {
            println!("round {round}: the primary is killed");
            cluster.fail_over_to(standby);
            cluster.reconnect(0);
            // The first node is connected again. The others do not learn of sessions that end on it.
            crowd.some_log_out(&cluster, 0, 1).await;
            for node in 1..NODES {
                tokio::time::sleep(Duration::from_millis(random.below(1000))).await;
                cluster.reconnect(node);
            }
        }
        drop(load);
        for node in 0..NODES {
            cluster.is_ready(node).await;
        }
        crowd.is_known_everywhere(&cluster).await;
        let forked = every_fork_is_reported(&cluster, follower).await;
        assert!(!(forked && synchronous), "nothing was lost");
        doctor_finds_no_problem(&cluster);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_that_reuses_transaction_ids_revives_no_session() {
    let mut random = Random::seeded();
    println!("AUTHLOG_CHAOS_SEED={}", random.seed());
    let mut cluster = Cluster::start().await;
    cluster
        .primary
        .execute("postgres", "CREATE TABLE other (i int)");
    for round in 0..from_environment("AUTHLOG_FAILOVERS").unwrap_or(FAILOVERS) {
        let mut crowd = Crowd::registers(&cluster, &format!("round-{round}")).await;
        cluster.stream_becomes_the_log().await;
        // Another application commits without waiting for the disk, so a power failure loses its transaction ids.
        let commits = 20 + random.below(150);
        let number_before = next_transaction(&cluster.primary);
        commits_asynchronously(&cluster.primary, commits);
        tokio::time::sleep(Duration::from_millis(30)).await;
        cluster.crash();
        println!(
            "round {round}: {commits} commits after {number_before}, {} after the crash",
            next_transaction(&cluster.primary)
        );
        cluster.reconnect(0);
        crowd.some_log_out(&cluster, 0, 0).await;
        crowd.some_log_out(&cluster, 0, 1).await;
        for node in 1..NODES {
            tokio::time::sleep(Duration::from_millis(random.below(1000))).await;
            cluster.reconnect(node);
        }
        for node in 0..NODES {
            cluster.is_ready(node).await;
        }
        crowd.is_known_everywhere(&cluster).await;
        cluster.stream_becomes_the_log().await;
        doctor_finds_no_problem(&cluster);
    }
}

fn next_transaction(server: &Postgres) -> String {
    let url = support::failover::url_at(server.port(), "postgres");
    Postgres::query(&url, "SELECT pg_snapshot_xmax(pg_current_snapshot())")
}

fn commits_asynchronously(server: &Postgres, commits: u64) {
    let commits = format!(
        "DO $$ BEGIN SET synchronous_commit = off; FOR i IN 1..{commits} LOOP INSERT INTO other VALUES (i); COMMIT; END LOOP; END $$"
    );
    server.execute("postgres", &commits);
}

/// Registers people whose registration never reaches the standby.
async fn lose_registrations(cluster: &Cluster, standby: &Standby, round: u64, lost: u64) {
    standby.falls_behind();
    for number in 0..lost {
        let name = format!("lost-{round}-{number}");
        cluster.visitor(number as usize % NODES, &name).await;
    }
}

/// People whose sessions end, and an administrator who is demoted. Every node knows all of it before the failover.
struct Crowd {
    people: Vec<Visitor>,
    admin: Person,
    admin_token: String,
    ended: Vec<String>,
    demoted: bool,
}

impl Crowd {
    async fn registers(cluster: &Cluster, name: &str) -> Self {
        let mut people = Vec::new();
        for number in 0..30 {
            let name = format!("{name}-{number}");
            let visitor = cluster.visitor(number % NODES, &name).await;
            people.push(visitor.expect("a registration"));
        }
        let admin = Person::called(&format!("{name}-admin"));
        staff::create(&cluster.nodes[0], &admin, "admin");
        let admin_token = Contract::ApiAuth
            .signs_in(&cluster.http(0), &admin)
            .await
            .access;
        for node in 0..NODES {
            assert_eq!(administers(&cluster.http(node), &admin_token).await, 200);
        }
        for visitor in &people {
            assert_eq!(cluster.accepts(&visitor.access).await.len(), NODES);
        }
        Self {
            people,
            admin,
            admin_token,
            ended: Vec::new(),
            demoted: false,
        }
    }

    /// Every third person logs out on this node. From the second group on the administrator is demoted, too.
    async fn some_log_out(&mut self, cluster: &Cluster, node: usize, group: usize) {
        let http = cluster.http(node);
        for visitor in self.people.iter().skip(group).step_by(3) {
            logs_out(&http, &visitor.access).await;
            self.ended.push(visitor.access.clone());
        }
        if group > 0 {
            demotes(&cluster.nodes[node], &self.admin).await;
            self.demoted = true;
        }
    }

    /// Asserts that every node refuses the ended sessions and accepts the others.
    async fn is_known_everywhere(&self, cluster: &Cluster) {
        assert!(self.demoted);
        cluster.refuses(&self.ended).await;
        for node in 0..NODES {
            let http = cluster.http(node);
            within(
                PATIENCE,
                "the administrator of before is refused",
                async || (administers(&http, &self.admin_token).await == 401).then_some(()),
            )
            .await;
        }
        for visitor in self.people.iter().skip(2).step_by(3) {
            let accepting = within(PATIENCE, "sessions that did not end continue", async || {
                let accepting = cluster.accepts(&visitor.access).await.len();
                (accepting == NODES).then_some(())
            });
            accepting.await;
        }
    }
}

async fn administers(http: &Http, token: &str) -> u16 {
    let answer = http.send(own::USERS).bearer(token).attempt().await;
    answer.map_or(0, |answer| answer.status)
}

/// Ends a session, and retries until the service can.
async fn logs_out(http: &Http, token: &str) {
    eventually("a logout", async || {
        let answer = http
            .send(api_auth::LOGOUT)
            .bearer(token)
            .attempt()
            .await
            .ok()?;
        // An earlier attempt may have succeeded without an answer.
        (answer.status == 200 || answer.status == 401).then_some(())
    })
    .await;
}

async fn demotes(node: &Program, admin: &Person) {
    eventually("a demotion", async || {
        let arguments = ["user", "role", &admin.username, "user"];
        let run = tokio::task::block_in_place(|| node.settings.run(&arguments, ""));
        run.status.success().then_some(())
    })
    .await;
}

/// People who register and sign in on every node until this is dropped.
struct Load {
    _lanes: Vec<AbortOnDropHandle<()>>,
}

impl Load {
    fn on(cluster: &Cluster, name: &str) -> Self {
        let lanes = (0..2 * NODES).map(|lane| {
            let http = Arc::new(cluster.http(lane % NODES));
            let name = format!("{name}-{lane}");
            AbortOnDropHandle::new(tokio::spawn(async move {
                for number in 0.. {
                    let person = Person::called(&format!("{name}-{number}"));
                    let registration = Contract::ApiAuth.registration_of(&person);
                    let registered = http
                        .send(api_auth::REGISTER)
                        .json(&registration)
                        .attempt()
                        .await;
                    if registered.is_ok_and(|answer| answer.status == 201) {
                        let login = Contract::ApiAuth.login_of(&person.username, &person.password);
                        let _answer = http.send(api_auth::LOGIN).json(&login).attempt().await;
                    } else {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                }
            }))
        });
        Self {
            _lanes: lanes.collect(),
        }
    }
}

/// Asserts that the stream and a follower are copies of the log, or else that the operator and the follower are
/// notified. Once the operator has deleted a forked stream, it is filled again without a restart. Returns whether the
/// stream forked.
async fn every_fork_is_reported(cluster: &Cluster, follower: Follower) -> bool {
    let trouble = within(
        PATIENCE,
        "the stream is the log, or the operator is notified",
        async || {
            let trouble = cluster.trouble().await;
            let decides = trouble.filter(|words| words.contains("delete the stream"));
            match decides {
                Some(trouble) => Some(Some(trouble)),
                None if cluster.stream().await == cluster.log() => Some(None),
                None => None,
            }
        },
    )
    .await;
    within(
        PATIENCE,
        "the follower has the log, or is notified",
        async || (follower.has_ended() || follower.sent() == cluster.log()).then_some(()),
    )
    .await;
    let log = cluster.log();
    let is_prefix = log.starts_with(&follower.sent());
    if !is_prefix {
        let reason = follower.ends().await;
        let reason = reason.map(|line| line["detail"].to_string());
        println!("the follower was notified: {reason:?}");
    }
    if let Some(trouble) = &trouble {
        println!("the operator was notified: {trouble}");
        cluster.nats.delete_stream().await;
    }
    cluster.stream_becomes_the_log().await;
    trouble.is_some()
}

/// Asserts that `authlog doctor` finds no problem.
fn doctor_finds_no_problem(cluster: &Cluster) {
    let examined = tokio::task::block_in_place(|| cluster.nodes[0].settings.run(&["doctor"], ""));
    assert!(
        examined.status.success(),
        "{}",
        String::from_utf8_lossy(&examined.stdout)
    );
}
