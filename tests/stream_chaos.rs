//! Random faults under load; afterwards the stream is compared with the log.
//!
//! `AUTHLOG_CHAOS_SEED` repeats the faults of a run, which prints its seed and every fault. `AUTHLOG_CHAOS_SECONDS`
//! makes a run longer; from two minutes on a frozen node stays so for half a minute.
#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]
#![expect(clippy::print_stdout, reason = "the test prints its faults")]

use crate::support;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use support::events::{Auditor, lag};
use support::load::{Load, Outcome, Visitor};
use support::nats::Message;
use support::random::{Random, from_environment};
use support::{Nats, Postgres, Program, Settings, Store, token};

/// The default duration of the faults.
const SECONDS: u64 = 25;

/// The shortest freeze after which a leader has been replaced: PostgreSQL drops a silent connection after five seconds,
/// and the other nodes try every second.
const LONG_ENOUGH: u64 = 7;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_random_faults_the_stream_of_three_nodes_equals_their_log() {
    let server = Postgres::of_its_own();
    let settings = Settings::on_server(&server);
    let database = settings.get("AUTHLOG_DATABASE_URL").map(str::to_owned);
    let database = database.expect("a database");
    let mut world = World::of("nodes", settings.of_nodes::<3>(), Some(server)).await;
    let messages = world.inject_random_faults(&Fault::OF_NODES).await;
    // The database is queried directly, without code of the service.
    let logged = "SELECT aggregate_type || '/' || aggregate_id || '/' || sequence FROM event_log ORDER BY log_index";
    let logged = Postgres::ask(&database, logged);
    let streamed = messages.iter().map(|message| message.header("ce-id"));
    assert!(streamed.eq(logged.iter().map(String::as_str)));
    let events = Postgres::ask(&database, "SELECT count(*) FROM events");
    assert_eq!(events, [messages.len().to_string()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_random_faults_the_stream_of_an_embedded_node_equals_its_log() {
    let mut world = World::of("embedded", [Settings::on(Store::Sqlite)], None).await;
    world.inject_random_faults(&Fault::OF_ONE).await;
}

/// A fault.
#[derive(Clone, Copy, Debug)]
enum Fault {
    NodeKilled,
    LeaderKilled,
    LeaderFrozen,
    NatsKilled,
    NatsRestarted,
    NatsFrozen,
    DatabaseRestarted,
    DatabaseCrashed,
}

impl Fault {
    /// The faults of a single node on SQLite.
    const OF_ONE: [Self; 5] = [
        Self::LeaderKilled,
        Self::LeaderFrozen,
        Self::NatsKilled,
        Self::NatsRestarted,
        Self::NatsFrozen,
    ];

    /// The faults of several nodes that share a database.
    const OF_NODES: [Self; 9] = [
        Self::NodeKilled,
        Self::LeaderKilled,
        Self::LeaderKilled,
        Self::LeaderFrozen,
        Self::NatsKilled,
        Self::NatsRestarted,
        Self::NatsFrozen,
        Self::DatabaseRestarted,
        Self::DatabaseCrashed,
    ];
}

/// Nodes under load, with their servers.
struct World {
    /// A prefix that separates the output lines of concurrent tests.
    name: &'static str,
    nodes: Vec<Node>,
    nats: Nats,
    server: Option<Postgres>,
    random: Random,
    seconds: u64,
}

struct Node {
    program: Program,
    load: Option<Load>,
    visitors: Vec<Visitor>,
    loads: usize,
    number: usize,
}

impl World {
    async fn of<const N: usize>(
        name: &'static str,
        settings: [Settings; N],
        server: Option<Postgres>,
    ) -> Self {
        let nats = Nats::start().await;
        let mut nodes = Vec::new();
        for (number, settings) in settings.into_iter().enumerate() {
            let settings = settings
                .with("AUTHLOG_NATS_URL", &nats.url())
                .with_cheap_hashing();
            let program = settings.start().await;
            nodes.push(Node {
                program,
                load: None,
                visitors: Vec::new(),
                loads: 0,
                number,
            });
        }
        let random = Random::seeded();
        println!("{name}: AUTHLOG_CHAOS_SEED={}", random.seed());
        Self {
            name,
            nodes,
            nats,
            server,
            random,
            seconds: from_environment("AUTHLOG_CHAOS_SECONDS").unwrap_or(SECONDS),
        }
    }

    /// Injects faults for a while, asserts that the stream equals the log and has every acknowledged change, and
    /// returns the messages.
    async fn inject_random_faults(&mut self, faults: &[Fault]) -> Vec<Message> {
        for node in &mut self.nodes {
            node.starts_load();
        }
        let ends_at = Instant::now() + Duration::from_secs(self.seconds);
        // Every kind occurs before any is repeated.
        let mut next = Vec::new();
        while Instant::now() < ends_at {
            if next.is_empty() {
                next = faults.to_vec();
            }
            let fault = next.swap_remove(self.random.below(next.len() as u64) as usize);
            self.inject(fault).await;
            self.sleep_random(200, 1500).await;
        }
        let mut visitors = Vec::new();
        for node in &mut self.nodes {
            node.stops_load().await;
            visitors.append(&mut node.visitors);
        }
        let node = &self.nodes[0].program;
        let auditor = Auditor::of(node).await;
        let messages = auditor.finds_the_log_on(&self.nats, node).await;
        has_every_acknowledged_change(&messages, &visitors);
        println!(
            "{}: {} visitors, {} events",
            self.name,
            visitors.len(),
            messages.len()
        );
        messages
    }

    async fn inject(&mut self, fault: Fault) {
        println!("{}: {fault:?}", self.name);
        match fault {
            Fault::NodeKilled => {
                let node = self.random.below(self.nodes.len() as u64) as usize;
                self.kill_and_restart(node).await;
            }
            Fault::LeaderKilled => {
                let leader = self.leader().await;
                self.kill_and_restart(leader).await;
            }
            Fault::LeaderFrozen => {
                let leader = self.leader().await;
                self.nodes[leader].program.freeze();
                if self.random.below(2) == 0 {
                    self.nats.kill9();
                    self.sleep_random(0, 1000).await;
                    self.nats.restart().await;
                }
                let frozen = if self.seconds < 120 { LONG_ENOUGH } else { 30 };
                tokio::time::sleep(Duration::from_secs(frozen)).await;
                self.nodes[leader].program.thaw();
            }
            Fault::NatsKilled => {
                self.nats.kill9();
                self.sleep_random(0, 2000).await;
                self.nats.restart().await;
            }
            Fault::NatsRestarted => {
                self.nats.stop();
                self.sleep_random(0, 2000).await;
                self.nats.restart().await;
            }
            Fault::NatsFrozen => {
                self.nats.freeze();
                // Some nodes time out with messages in flight, and some do not.
                self.sleep_random(3000, 8000).await;
                self.nats.thaw();
            }
            Fault::DatabaseRestarted => {
                self.database(Postgres::stop);
                self.sleep_random(0, 1000).await;
                self.database(Postgres::start);
            }
            Fault::DatabaseCrashed => {
                self.database(Postgres::crash);
                self.database(Postgres::start);
            }
        }
    }

    /// Kills a node and restarts it some time later.
    async fn kill_and_restart(&mut self, node: usize) {
        self.nodes[node].program.kill9();
        self.nodes[node].stops_load().await;
        self.sleep_random(0, 1500).await;
        self.nodes[node].program.restart().await;
        self.nodes[node].starts_load();
    }

    /// The node that publishes, or any node if none reports that it does.
    async fn leader(&mut self) -> usize {
        for (number, node) in self.nodes.iter().enumerate() {
            let lag = lag(&node.program).await.unwrap_or_default();
            if !lag["publisher"].is_null() {
                return number;
            }
        }
        self.random.below(self.nodes.len() as u64) as usize
    }

    fn database(&self, act: impl FnOnce(&Postgres)) {
        let server = self.server.as_ref().expect("a server");
        tokio::task::block_in_place(|| act(server));
    }

    /// Sleeps for a random time in this range of milliseconds.
    async fn sleep_random(&mut self, at_least: u64, less_than: u64) {
        let millis = at_least + self.random.below(less_than - at_least);
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }
}

impl Node {
    /// Starts the load.
    fn starts_load(&mut self) {
        let name = format!("node-{}-{}", self.number, self.loads);
        self.load = Some(Load::on(&self.program.http(), &name));
        self.loads += 1;
    }

    /// Stops the load.
    async fn stops_load(&mut self) {
        let load = self.load.take().expect("people come");
        self.visitors.extend(load.end().await);
    }
}

/// Asserts that every acknowledged change is on the stream.
fn has_every_acknowledged_change(messages: &[Message], visitors: &[Visitor]) {
    let subjects: BTreeSet<&str> = messages.iter().map(|it| it.subject.as_str()).collect();
    let sessions: BTreeSet<(&str, String)> = messages
        .iter()
        .filter_map(|message| {
            let data = message.json();
            let session = data["session_id"].as_str()?;
            Some((message.header("ce-type"), session.to_owned()))
        })
        .collect();
    let mut acknowledged = 0;
    for visitor in visitors {
        let Some(tokens) = &visitor.tokens else {
            continue;
        };
        if tokens.access.split('.').count() != 3 {
            continue;
        }
        let claims = token::claims(&tokens.access);
        let (user, session) = (&claims["sub"], &claims["sid"]);
        let (user, session) = (user.as_str().expect("sub"), session.as_str().expect("sid"));
        let registered = format!("auth.v1.user.{user}.registered");
        assert!(subjects.contains(registered.as_str()), "no {registered}");
        let has = |kind: &str| {
            let kind = format!("dev.authlog.session.{kind}.v1");
            sessions.contains(&(kind.as_str(), session.to_owned()))
        };
        assert!(has("logged-in"), "{visitor:?}");
        assert!(
            visitor.logout != Outcome::Acknowledged || has("logged-out"),
            "{visitor:?}"
        );
        acknowledged += 1;
    }
    assert!(acknowledged > 0, "no request succeeded");
    // Visitors whose token does not name the account are only counted.
    let events = |name: &str| {
        let of_that_name = messages
            .iter()
            .filter(|message| message.subject.ends_with(name));
        of_that_name.count()
    };
    let acknowledged = |fate: fn(&Visitor) -> bool| {
        let those = visitors.iter().filter(|visitor| fate(visitor));
        those.count()
    };
    assert!(events(".registered") >= acknowledged(|it| it.registration == Outcome::Acknowledged));
    assert!(events(".logged-in") >= acknowledged(|it| it.tokens.is_some()));
    assert!(events(".logged-out") >= acknowledged(|it| it.logout == Outcome::Acknowledged));
}
