//! Measures how long services that verify tokens by themselves accept one that has ended: from Authlog's answer to the change until the
//! service's first refusal.
//!
//! For each change a new account signs up, and every service accepts its token. Then one request a millisecond asks each service, over
//! one connection, while the change is made. The time of a service ends when its first answer with 401 has arrived, so it is too long
//! by up to a round trip and the interval, and never too short. A refusal that arrives before Authlog's answer counts as zero.
//!
//! Two limits are measured in the same run: when the event of the same change arrives at a reader of the feed that does nothing else, and
//! the round trip of a request to each service at the same rate while nothing changes.

mod changes;
mod flood;
mod observers;

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum as _};

use self::changes::{Account, Change, Operator};
use self::observers::{Command, FeedReader, Observed};
use crate::applications::Registered;
use crate::http::Connection;
use crate::load::Sample;
use crate::report::{Store, print};
use crate::service::Service;
use crate::stores::Stores;
use crate::stream;

/// Options of `revocation`.
#[derive(Args)]
pub(crate) struct Revocation {
    #[command(flatten)]
    stores: Stores,
    /// NATS server with JetStream, which the services read in place of the feed
    #[arg(long)]
    nats: Option<String>,
    /// Service to observe, as a name and a command: `--service 'Node=node dist/service.js'`
    #[arg(long = "service", required = true)]
    services: Vec<Command>,
    /// Number of changes of each kind
    #[arg(long, default_value_t = 1000)]
    changes: usize,
    /// Only these kinds of change
    #[arg(long, value_delimiter = ',')]
    only: Vec<Change>,
    /// In place of single changes, end this many sessions at once, as fast as Authlog ends them
    #[arg(long, value_name = "SESSIONS", conflicts_with = "only")]
    flood: Option<usize>,
    /// Only this store
    #[arg(long)]
    store: Option<Store>,
}

/// The wanted p99 of a service, in milliseconds.
const WANTED: f64 = 50.0;

/// After this time a change counts as unnoticed.
const PATIENCE: Duration = Duration::from_secs(10);

/// The row of the limit by the feed.
const FEED: &str = "a reader of the feed has the event";

/// Measures and prints a table.
pub(crate) async fn run(revocation: &Revocation) -> anyhow::Result<()> {
    print("| store | change | until | p50 ms | p99 ms | max ms |\n|---|---|---|--:|--:|--:|\n");
    for store in revocation.stores.wanted(revocation.store) {
        measure(revocation, store).await?;
    }
    Ok(())
}

async fn measure(revocation: &Revocation, store: Store) -> anyhow::Result<()> {
    let (_folder, setup) = revocation.stores.empty(store, "revocation").await?;
    // Thousands of accounts sign up, and the time of their hashes is not what is measured.
    let mut settings = vec![
        ("AUTHLOG_ARGON2_MEMORY_KIB", "1024"),
        ("AUTHLOG_ARGON2_ITERATIONS", "1"),
    ];
    if let Some(nats) = &revocation.nats {
        stream::delete_streams(&stream::connect(nats).await?).await;
        settings.push(("AUTHLOG_NATS_URL", nats));
    }
    let service = setup.start(&settings).await?;
    let options = [
        ["--grant", "client_credentials"],
        ["--scope", "events.read"],
    ];
    let reader = Registered::with(&setup, "reader", &options).await?;
    let mut measuring = Measuring {
        store,
        changes: revocation.changes,
        operator: Operator::of(&setup, &service).await?,
        observed: Vec::new(),
    };
    for command in &revocation.services {
        let observed = Observed::start(command, &service, &reader, revocation.nats.as_deref());
        measuring.observed.push(observed.await?);
    }
    measuring.round_trips(&service).await?;
    if let Some(count) = revocation.flood {
        measuring.flood(&service, count).await?;
        drop(measuring);
        return service.stop().await;
    }
    let kinds = match revocation.only.as_slice() {
        [] => Change::value_variants(),
        only => only,
    };
    for kind in kinds {
        measuring.times(*kind, &service).await?;
    }
    drop(measuring);
    service.stop().await
}

/// What is measured on one store.
struct Measuring {
    store: Store,
    changes: usize,
    operator: Operator,
    observed: Vec<Observed>,
}

impl Measuring {
    /// Waits until all services are ready, and measures their requests at once, as they are asked during the changes.
    async fn round_trips(&mut self, service: &Service) -> anyhow::Result<()> {
        let account = Account::sign_up(service, "waiting").await?;
        let asking = self
            .observed
            .iter_mut()
            .map(|it| it.round_trips(&account.token, self.changes));
        let all = futures_util::future::try_join_all(asking).await?;
        for (observed, micros) in self.observed.iter().zip(all) {
            let name = format!("{} answers a request", observed.name);
            self.print("none", &name, micros, None);
        }
        Ok(())
    }

    /// Makes changes of this kind, and measures until when each of them was noticed.
    async fn times(&mut self, kind: Change, service: &Service) -> anyhow::Result<()> {
        let mut feed = FeedReader::open(service, self.operator.token()).await?;
        let mut connection = Connection::open(&service.address).await?;
        let mut of_services = vec![Vec::new(); self.observed.len()];
        let mut of_feed = Vec::new();
        for number in 0..self.changes {
            let account = Account::sign_up(service, &format!("{kind:?}-{number}")).await?;
            let change = self.operator.prepare(kind, &account).await?;
            let mut watching = Vec::new();
            for observed in &mut self.observed {
                watching.push(observed.watch(&account.token).await?);
            }
            // Coprime to the intervals of polling, so that all phases occur.
            tokio::time::sleep(Duration::from_millis(7 + number as u64 % 17)).await;
            change.make(&mut connection).await?;
            let answered = Instant::now();
            let took = |at: Instant| micros(at.saturating_duration_since(answered));
            let services = self.observed.iter_mut().zip(&mut of_services);
            for ((observed, times), watching) in services.zip(watching) {
                let refused = tokio::time::timeout(PATIENCE, watching).await;
                let Ok(refused) = refused else {
                    bail!("{} does not notice a {kind:?}", observed.name);
                };
                let (connection, at) = refused??;
                observed.take_back(connection);
                times.push(took(at));
            }
            let arrived = feed.arrival(kind.event(), &account.id);
            let arrived = tokio::time::timeout(PATIENCE, arrived).await;
            let arrived = arrived.context("the feed has no event of the change")??;
            of_feed.push(took(arrived));
        }
        let name = kind
            .to_possible_value()
            .map_or_else(String::new, |it| it.get_name().to_owned());
        for (observed, times) in self.observed.iter().zip(of_services) {
            let until = format!("{} refuses the token", observed.name);
            self.print(&name, &until, times, Some(WANTED));
        }
        self.print(&name, FEED, of_feed, None);
        Ok(())
    }

    /// Ends many sessions at once, and prints the rate of Authlog and how each service kept up.
    async fn flood(&self, service: &Service, count: usize) -> anyhow::Result<()> {
        let flood = flood::flood(service, &self.observed, count).await?;
        let change = format!("{:.0} logouts a second", flood.per_second);
        for kept in flood.services {
            let until = format!(
                "{} refuses the token ({} of {} answers to a valid one were refusals)",
                kept.name, kept.refused, kept.answers
            );
            self.print(&change, &until, kept.lag, None);
        }
        Ok(())
    }

    fn print(&self, change: &str, until: &str, mut micros: Vec<u32>, wanted: Option<f64>) {
        micros.sort_unstable();
        let sample = Sample {
            micros,
            ..Sample::default()
        };
        let [p50, p99, max] =
            [0.5, 0.99, 1.0].map(|share| sample.quantile(share).unwrap_or(f64::NAN));
        let missed = wanted.is_some_and(|wanted| p99 > wanted);
        let note = if missed { ", missed" } else { "" };
        let store = self.store;
        print(&format!(
            "| {store} | {change} | {until} | {p50:.2} | {p99:.2}{note} | {max:.2} |\n"
        ));
    }
}

/// The settings of an observed service, without those of NATS.
fn settings_of_service(service: &Service, reader: &Registered) -> [(&'static str, String); 6] {
    [
        ("AUTHLOG_URL", format!("http://{}", service.address)),
        ("ISSUER", crate::passkey::ORIGIN.to_owned()),
        ("AUDIENCE", "authlog".to_owned()),
        ("CLIENT_ID", reader.id.clone()),
        ("CLIENT_SECRET", reader.secret.clone()),
        ("LISTEN", "127.0.0.1:0".to_owned()),
    ]
}

fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}
