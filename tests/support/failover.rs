//! Nodes on a database that fails over to a standby, and people whose sessions end at the same time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio_util::task::AbortOnDropHandle;

use super::events::lag;
use super::eventually::within;
use super::http::Http;
use super::proxy::Proxy;
use super::{Contract, Nats, Person, Postgres, Program, Settings, api_auth, eventually, users};

/// The number of nodes.
pub const NODES: usize = 3;

/// The longest time in which a node has to refuse ended sessions or report a problem: far more than it needs.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Three publishing nodes, each of which reaches the database through its own proxy.
pub struct Cluster {
    pub nodes: Vec<Program>,
    pub nats: Nats,
    pub primary: Postgres,
    proxies: Vec<Proxy>,
    database: String,
}

/// The standby server, and the connection of its replication.
pub struct Standby {
    server: Postgres,
    replication: Proxy,
}

/// A person with two sessions.
#[derive(Clone)]
pub struct Visitor {
    /// The access token of the first session.
    pub access: String,
}

impl Cluster {
    /// Nodes on a new database.
    pub async fn start() -> Self {
        let primary = tokio::task::block_in_place(Postgres::of_its_own);
        let nats = Nats::start().await;
        let settings = Settings::on_server(&primary);
        let url = settings.get("AUTHLOG_DATABASE_URL").expect("a database");
        let (_, database) = url.rsplit_once('/').expect("its name");
        let database = database.to_owned();
        let (mut nodes, mut proxies) = (Vec::new(), Vec::new());
        for settings in settings.of_nodes::<NODES>() {
            let proxy = Proxy::to(primary.port()).await;
            let url = url_at(proxy.port(), &database);
            let settings = settings
                .with("AUTHLOG_DATABASE_URL", &url)
                .with("AUTHLOG_NATS_URL", &nats.url())
                .with_cheap_hashing();
            nodes.push(settings.start().await);
            proxies.push(proxy);
        }
        Self {
            nodes,
            nats,
            primary,
            proxies,
            database,
        }
    }

    /// Starts a standby that has replicated everything.
    pub async fn standby(&self) -> Standby {
        let replication = Proxy::to(self.primary.port()).await;
        let port = replication.port();
        let server = tokio::task::spawn_blocking(move || Postgres::standby_of(port));
        let standby = Standby {
            server: server.await.expect("a standby"),
            replication,
        };
        standby.has_received_everything(&self.primary).await;
        standby
    }

    /// Kills the primary, and promotes the standby in its place. No node reaches a database until [`Self::reconnect`].
    pub fn fail_over_to(&mut self, standby: Standby) {
        for proxy in &self.proxies {
            proxy.leads_to(None);
        }
        standby.replication.leads_to(None);
        tokio::task::block_in_place(|| {
            self.primary.crash();
            standby.server.promote();
        });
        self.primary = standby.server;
    }

    /// Like [`Self::fail_over_to`], but with one server that crashes and restarts.
    pub fn crash(&mut self) {
        for proxy in &self.proxies {
            proxy.leads_to(None);
        }
        tokio::task::block_in_place(|| {
            self.primary.crash();
            self.primary.start();
        });
    }

    /// Lets a node reach the database again.
    pub fn reconnect(&self, node: usize) {
        self.proxies[node].leads_to(Some(self.primary.port()));
    }

    /// Redirects every node to the other server without a pause, as a proxy in front of the servers does.
    pub fn switch_over_to(&mut self, standby: Standby) {
        standby.replication.leads_to(None);
        tokio::task::block_in_place(|| standby.server.promote());
        for proxy in &self.proxies {
            proxy.leads_to(Some(standby.server.port()));
        }
        self.primary = standby.server;
    }

    /// A client of a node.
    pub fn http(&self, node: usize) -> Http {
        self.nodes[node].http()
    }

    /// Waits until a node is ready.
    pub async fn is_ready(&self, node: usize) {
        let node = &self.nodes[node];
        eventually("a node is ready", async || lag(node).await.map(drop)).await;
    }

    /// The names and times of the events in log order, from the database.
    pub fn log(&self) -> Vec<String> {
        let sql = r"SELECT aggregate_type || '/' || aggregate_id || '/' || sequence
                          || ' ' || (payload -> event_type ->> 'at')
                       FROM event_log JOIN events USING (aggregate_type, aggregate_id, sequence)
                      ORDER BY log_index";
        let url = url_at(self.primary.port(), &self.database);
        tokio::task::block_in_place(|| Postgres::ask(&url, sql))
    }

    /// The names and times of the events on the stream.
    pub async fn stream(&self) -> Vec<String> {
        let messages = self.nats.messages().await;
        let name = |id: &str, time: &str| format!("{id} {time}");
        let named = messages
            .iter()
            .map(|message| name(message.header("ce-id"), message.header("ce-time")));
        named.collect()
    }

    /// Waits until the stream equals the log. Nothing may be added meanwhile.
    pub async fn stream_becomes_the_log(&self) {
        within(
            Duration::from_secs(60),
            "the stream is the log",
            async || {
                let (stream, log) = (self.stream().await, self.log());
                let published = lag(&self.nodes[0]).await?["sequencer"]["events"] == 0;
                (published && stream == log).then_some(())
            },
        )
        .await;
    }

    /// The obstacle to publishing that a node reports, if any.
    pub async fn trouble(&self) -> Option<String> {
        for node in &self.nodes {
            let lag = lag(node).await.unwrap_or_default();
            if let Some(trouble) = lag["publisher"]["trouble"].as_str() {
                return Some(trouble.to_owned());
            }
        }
        None
    }

    /// Registers a person on a node. The person has two sessions: of the registration and of a login.
    pub async fn visitor(&self, node: usize, name: &str) -> Option<Visitor> {
        let http = self.http(node);
        let person = Person::called(name);
        let registration = Contract::ApiAuth.registration_of(&person);
        let request = http.send(api_auth::REGISTER).json(&registration);
        let registered = request.attempt().await.ok()?;
        if registered.status != 201 {
            return None;
        }
        let login = Contract::ApiAuth.login_of(&person.username, &person.password);
        let signed_in = http
            .send(api_auth::LOGIN)
            .json(&login)
            .attempt()
            .await
            .ok()?;
        if signed_in.status != 200 {
            return None;
        }
        Some(Visitor {
            access: Contract::ApiAuth.tokens_in(&registered.json()).access,
        })
    }

    /// The nodes that accept `token`.
    pub async fn accepts(&self, token: &str) -> Vec<usize> {
        let mut nodes = Vec::new();
        for node in 0..NODES {
            let answer = self
                .http(node)
                .send(users::VERIFY)
                .authorization(token)
                .await;
            if answer.status == 200 {
                nodes.push(node);
            }
        }
        nodes
    }

    /// Asserts that every node comes to refuse all of the tokens, and keeps refusing them.
    pub async fn refuses(&self, tokens: &[String]) {
        let accepted = async || {
            let mut accepted = Vec::new();
            for token in tokens {
                accepted.extend(self.accepts(token).await);
            }
            accepted
        };
        within(PATIENCE, "every ended token is refused", async || {
            accepted().await.is_empty().then_some(())
        })
        .await;
        assert_eq!(accepted().await, [0; 0], "ended tokens are good again");
    }
}

impl Standby {
    /// Stops the replication, as if the standby lagged behind.
    pub fn falls_behind(&self) {
        self.replication.holds(true);
    }

    async fn has_received_everything(&self, primary: &Postgres) {
        let (here, there) = (primary.port(), self.server.port());
        eventually("the standby has replicated everything", async || {
            tokio::task::block_in_place(|| {
                let end = Postgres::query(&url_at(here, "postgres"), "SELECT pg_current_wal_lsn()");
                let reached =
                    format!("SELECT pg_last_wal_replay_lsn() >= '{end}' FROM pg_stat_wal_receiver");
                (Postgres::query(&url_at(there, "postgres"), &reached) == "t").then_some(())
            })
        })
        .await;
    }
}

/// A URL of a database on this machine.
pub fn url_at(port: u16, database: &str) -> String {
    format!("postgres://postgres@127.0.0.1:{port}/{database}")
}

/// A follower of the log over HTTP from its beginning, with the events that it has received, named as in
/// [`Cluster::log`].
pub struct Follower {
    sent: Arc<Mutex<Vec<String>>>,
    following: AbortOnDropHandle<Option<Value>>,
}

impl Follower {
    /// Starts to follow.
    pub fn of(service: &Program, token: &str) -> Self {
        let url = format!("http://{}/audit/events?follow=true", service.address());
        let sent = Arc::new(Mutex::new(Vec::new()));
        let following = tokio::spawn(follow(url, token.to_owned(), Arc::clone(&sent)));
        Self {
            sent,
            following: AbortOnDropHandle::new(following),
        }
    }

    /// The events that it has received.
    pub fn sent(&self) -> Vec<String> {
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.clone()
    }

    /// Whether it was disconnected.
    pub fn has_ended(&self) -> bool {
        self.following.is_finished()
    }

    /// Waits until it is disconnected, and returns the reason, if it received one.
    pub async fn ends(self) -> Option<Value> {
        let ended = tokio::time::timeout(PATIENCE, self.following).await;
        ended
            .expect("the follower is disconnected")
            .expect("its end")
    }
}

/// Collects the events until the answer ends, and returns the line that is not an event.
async fn follow(url: String, token: String, sent: Arc<Mutex<Vec<String>>>) -> Option<Value> {
    let client = reqwest::Client::builder().no_proxy().build();
    let client = client.expect("a client");
    // A busy node may ask the reader to retry.
    let mut response = eventually("an answer of the feed", async || {
        let response = client.get(&url).bearer_auth(&token).send().await.ok()?;
        (response.status() == 200).then_some(response)
    })
    .await;
    let (mut text, mut reason) = (Vec::new(), None);
    while let Ok(Some(chunk)) = response.chunk().await {
        text.extend_from_slice(&chunk);
        while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = text.drain(..=end).collect();
            let line: Value = serde_json::from_slice(&line).expect("JSON");
            match (line["id"].as_str(), line["time"].as_str()) {
                (Some(id), Some(time)) => {
                    let mut sent = sent.lock().unwrap_or_else(PoisonError::into_inner);
                    sent.push(format!("{id} {time}"));
                }
                _ => reason = Some(line),
            }
        }
    }
    reason
}
