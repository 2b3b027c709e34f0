//! Loads on Authlog's native endpoints, with tokens of accounts, services, administrators and auditors.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::Context as _;
use http_body_util::BodyExt as _;
use hyper::Method;
use hyper::body::Incoming;
use tokio::task::JoinSet;

use crate::clients::{Clients, Measuring};
use crate::http::{Carried, Connection, address_of_client};
use crate::load::{Sample, load};
use crate::operations::{Introspect, PASSWORD, Read, Verify, sign_in, sign_in_opaque};
use crate::service::{Service, Setup};
use crate::stream::logged;

/// The endpoints that each client reads with its own access token.
const OF_ACCOUNTS: [(&str, &str); 3] = [
    ("account", "/account"),
    ("account sessions", "/account/sessions"),
    ("account history", "/account/history"),
];

/// The page of the log that a service reads when it catches up.
const OF_SERVICES: [(&str, &str); 1] = [("feed page", "/audit/events?after=0&limit=200")];

/// The number of clients that read the log as one service. An account may have a hundred readers.
const FOLLOWERS_OF_AN_ACCOUNT: usize = 100;

/// The endpoints that an administrator or auditor reads. `{user}` is one of the clients.
const OF_ADMINISTRATORS: [(&str, &str); 6] = [
    ("admin users", "/admin/users?limit=50"),
    ("admin sessions", "/admin/users/{user}/sessions"),
    ("audit history", "/audit/users/{user}/events"),
    ("audit state", "/audit/users/{user}?at={index}"),
    ("log checkpoint", "/audit/log/checkpoint"),
    ("log proof", "/audit/log/proof?index=1"),
];

/// The number of clients that read as one administrator. An account reads two pages at a time, and further ones wait
/// for a second at most.
const READERS_OF_AN_ADMINISTRATOR: usize = 8;

/// The readers.
pub(crate) struct NativeClients {
    /// `Bearer` and the access token of each client.
    accounts: Vec<String>,
    /// The opaque token of each client.
    opaque: Vec<String>,
    /// `Bearer` and the tokens of services.
    services: Vec<String>,
    /// `Bearer` and the tokens of administrators.
    administrators: Vec<String>,
    /// The id of a client's account.
    user: String,
    /// The end of the log after they had signed in.
    index: String,
    address: String,
}

impl NativeClients {
    /// Signs in administrators and services, and the clients again through `/api`, which has opaque tokens.
    pub(crate) async fn of(
        setup: &Setup,
        service: &Service,
        clients: &Clients,
    ) -> anyhow::Result<Self> {
        let mut connection = Connection::to(&service.address);
        let mut administrators = Vec::new();
        while administrators.len() * READERS_OF_AN_ADMINISTRATOR < clients.verify.len() {
            let number = administrators.len();
            administrators.push(staff(setup, &mut connection, "admin", number).await?);
        }
        let mut services = vec![clients.service.clone()];
        while services.len() * FOLLOWERS_OF_AN_ACCOUNT < clients.verify.len() {
            let number = services.len();
            services.push(staff(setup, &mut connection, "service", number).await?);
        }
        let mut opaque = Vec::new();
        for number in 0..clients.verify.len() as u64 {
            let name = crate::operations::person(number);
            opaque.push(sign_in_opaque(&mut connection, &name).await?);
        }
        let accounts = clients
            .verify
            .iter()
            .map(|it| format!("Bearer {}", it.token));
        let accounts: Vec<String> = accounts.collect();
        let first = accounts.first().context("a client")?;
        let carried = Carried {
            authorization: Some(first),
            body: None,
        };
        let profile = connection.succeed(Method::GET, "/account", carried).await?;
        Ok(Self {
            index: logged(service).await?.to_string(),
            user: profile["id"].as_str().context("an id")?.to_owned(),
            accounts,
            opaque,
            services,
            administrators,
            address: service.address.clone(),
        })
    }

    /// Runs every load, one after the other.
    pub(crate) async fn measure_all(
        &self,
        measuring: &mut Measuring<'_>,
        clients: &mut Clients,
    ) -> anyhow::Result<()> {
        let connection = || Connection::to(&self.address);
        for (name, path) in OF_ACCOUNTS {
            let mut readers = self.readers(path, |number| self.accounts[number].clone());
            measuring.measure(name, &mut readers).await?;
        }
        for (name, path) in OF_SERVICES {
            let mut readers = self.readers(path, |number| self.service(number));
            measuring.measure(name, &mut readers).await?;
        }
        for (name, path) in OF_ADMINISTRATORS {
            let path = path
                .replace("{user}", &self.user)
                .replace("{index}", &self.index);
            let mut readers = self.readers(&path, |number| self.administrator(number));
            measuring.measure(name, &mut readers).await?;
        }
        let mut verify = self.opaque.iter().map(|token| Verify {
            connection: connection(),
            path: "/users/verify-token",
            token: token.clone(),
        });
        measuring
            .measure("verify, opaque", &mut verify.by_ref().collect())
            .await?;
        let mut introspect = self.opaque.iter().map(|token| Introspect {
            connection: connection(),
            authorization: self.service(0),
            form: format!("token={token}"),
        });
        measuring
            .measure("introspect, opaque", &mut introspect.by_ref().collect())
            .await?;
        if measuring.effort.wants("follow") {
            self.follow(measuring, clients).await?;
        }
        Ok(())
    }

    /// The administrator as which the client with this number reads.
    fn administrator(&self, number: usize) -> String {
        self.administrators[number / READERS_OF_AN_ADMINISTRATOR].clone()
    }

    /// The service as which the client with this number reads the log.
    fn service(&self, number: usize) -> String {
        self.services[number / FOLLOWERS_OF_AN_ACCOUNT].clone()
    }

    /// Readers in networks of their own, because the memory for pages that are read at a time is limited for each network.
    fn readers(&self, path: &str, authorization: impl Fn(usize) -> String) -> Vec<Read> {
        let numbers = 0..self.accounts.len();
        let readers = numbers.map(|number| Read {
            connection: Connection::from(address_of_client(number as u64), &self.address),
            path: path.to_owned(),
            authorization: authorization(number),
        });
        readers.collect()
    }

    /// Follows the log over every connection while the clients refresh. Measures the total number of events that the
    /// followers receive.
    async fn follow(
        &self,
        measuring: &mut Measuring<'_>,
        clients: &mut Clients,
    ) -> anyhow::Result<()> {
        let after = logged(measuring.service).await?;
        let path = format!("/audit/events?follow=true&after={after}");
        let events = Arc::new(AtomicU64::new(0));
        let mut followers = JoinSet::new();
        for number in 0..self.accounts.len() {
            let service = self.service(number);
            let mut connection = Connection::to(&self.address);
            let carried = Carried {
                authorization: Some(&service),
                body: None,
            };
            let answer = connection.begin(Method::GET, &path, carried).await?;
            anyhow::ensure!(answer.status().is_success(), "{path}: {}", answer.status());
            followers.spawn(count_events(
                connection,
                answer.into_body(),
                Arc::clone(&events),
            ));
        }
        let following = async {
            let began = Instant::now();
            load(&mut clients.refresh, measuring.effort.a_while()).await?;
            let got = events.load(Ordering::Relaxed);
            Ok(Sample::counted(got, began.elapsed()))
        };
        let sample = measuring.watch(following).await?;
        followers.shutdown().await;
        measuring.report.sample("follow", measuring.store, sample);
        Ok(())
    }
}

/// Creates an account with a role and signs it in. Returns `Bearer` and its token.
async fn staff(
    setup: &Setup,
    connection: &mut Connection,
    role: &str,
    number: usize,
) -> anyhow::Result<String> {
    let name = format!("{role}-{number}-{}", std::process::id());
    let create = ["user", "create", "--username", &name, "--role", role];
    setup.run_with(&create, &format!("{PASSWORD}\n")).await?;
    Ok(format!("Bearer {}", sign_in(connection, &name).await?))
}

/// Reads a feed with one event a line over a connection that lives as long as its reader.
async fn count_events(_connection: Connection, mut body: Incoming, events: Arc<AtomicU64>) {
    while let Some(Ok(frame)) = body.frame().await {
        if let Some(bytes) = frame.data_ref() {
            let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
            events.fetch_add(lines as u64, Ordering::Relaxed);
        }
    }
}
