//! Measures the release program over real HTTP, and in the same run the limits of the machine.
//!
//! `scripts/bench.sh` builds both and starts the servers. Absolute figures belong to one machine on one day; only the
//! ratios to the limits can be compared.

mod applications;
mod clients;
mod factors;
mod fill;
mod grown;
mod http;
mod isolation;
mod limits;
mod load;
mod memory;
mod native;
mod operations;
mod passkey;
mod plan;
mod recovery;
mod report;
mod revocation;
mod service;
mod stores;
mod storm;
mod stream;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::fill::Fill;
use crate::grown::Grown;
use crate::isolation::{Abuser, Isolation};
use crate::memory::Memory;
use crate::recovery::Recovery;
use crate::revocation::Revocation;

/// Measures Authlog.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure everything and print a table
    Run(Run),
    /// Fill a store with as many accounts and events as years of use produce
    Fill(Fill),
    /// Compare an empty store with a filled one, and print a table
    Grown(Grown),
    /// Measure the program's memory under each load, and print a table
    Memory(Memory),
    /// Measure whether the program recovers after other processes used the processors, and print a table
    Recovery(Recovery),
    /// Measure how one abusive client affects the others, and print a table
    Isolation(Isolation),
    /// Measure how long services accept tokens that have ended, and print a table
    Revocation(Revocation),
    /// Abuse the service at an address until the standard input is closed
    Abuse(Abuser),
    /// Keep a processor busy for a while, as a disturbance
    Busy {
        /// Duration in seconds
        #[arg(long, value_parser = seconds)]
        seconds: f64,
    },
    /// Serve without any work: the limit of HTTP on this machine
    Bare,
}

/// Options of the main measurement.
#[derive(Args)]
struct Run {
    #[command(flatten)]
    effort: Effort,
    /// Empty PostgreSQL database; without one PostgreSQL is left out
    #[arg(long)]
    postgres: Option<String>,
    /// Second empty PostgreSQL database, for pgbench
    #[arg(long, requires = "postgres")]
    pgbench: Option<String>,
    /// NATS server with JetStream and an empty store; without one the stream is left out
    #[arg(long)]
    nats: Option<String>,
}

/// Options of every measurement.
#[derive(Args)]
struct Effort {
    /// Release program
    #[arg(long, default_value = "target/release/authlog")]
    program: PathBuf,
    /// Directory for the SQLite file; on tmpfs the figures would be those of memory
    #[arg(long, default_value = "target/bench")]
    directory: PathBuf,
    /// Number of rounds; the figures are their medians
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds for which each operation is measured in a round
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    seconds: f64,
    /// Number of concurrent connections
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Measure only these operations, without their limits, as for a profile: `--only refresh,login`
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// File for the figures as JSON
    #[arg(long)]
    json: Option<PathBuf>,
}

impl Effort {
    /// Whether an operation is to be measured.
    fn wants(&self, operation: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|wanted| operation.starts_with(wanted))
    }

    fn a_while(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.1..=600.0).contains(&seconds) => Ok(seconds),
        _ => Err("between 0.1 and 600 seconds".to_owned()),
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Run(run) => plan::run(&run).await,
        Command::Fill(fill) => fill::run(&fill).await,
        Command::Grown(grown) => grown::run(&grown).await,
        Command::Memory(memory) => memory::run(&memory).await,
        Command::Recovery(recovery) => recovery::run(&recovery).await,
        Command::Isolation(isolation) => isolation::run(&isolation).await,
        Command::Revocation(revocation) => revocation::run(&revocation).await,
        Command::Abuse(abuser) => isolation::abuse(&abuser).await,
        Command::Busy { seconds } => {
            recovery::be_busy(seconds);
            Ok(())
        }
        Command::Bare => limits::bare::serve().await,
    }
}
