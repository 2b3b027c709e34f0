//! Measures how one abusive client affects the others.
//!
//! The others verify, refresh and sign in at a modest, fixed rate, answered or not, so that their load is the same with
//! and without the abuse. The abuser has its own address and its own process, which runs only on idle processors: this
//! measures how the service shares its resources, and not how two programs share a machine.

mod abuse;
mod h2;
mod others;

use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use tokio::process::{Child, Command};

pub(crate) use abuse::{Abuse, Abuser, run as abuse};
use others::{Measured, Others};

use crate::http::Connection;
use crate::operations::{PASSWORD, sign_up};
use crate::report::{Store, print};
use crate::service::Service;
use crate::stores::Stores;

/// Options of `isolation`.
#[derive(Args)]
pub(crate) struct Isolation {
    #[command(flatten)]
    stores: Stores,
    /// Seconds for which the others are measured, without abuse and then under each abuse
    #[arg(long, default_value_t = 10.0, value_parser = crate::seconds)]
    seconds: f64,
    /// Only these abuses
    #[arg(long, value_delimiter = ',')]
    abuses: Vec<Abuse>,
    /// Only this store
    #[arg(long)]
    only: Option<Store>,
}

/// How long an abuse goes on before its effect is measured.
const RISING: Duration = Duration::from_secs(4);

/// The pause after an abuse.
const SETTLING: Duration = Duration::from_secs(4);

/// The wanted share of the others' quiet rate.
const RATE: f64 = 0.8;

/// The allowed multiple of the others' quiet p99.
const SLOWER: f64 = 2.0;

/// The allowed memory of the service, in MiB.
const MEMORY: f64 = 150.0;

/// Measures and prints a table.
pub(crate) async fn run(isolation: &Isolation) -> anyhow::Result<()> {
    print(
        "| abuse | store | | p99 ms, quiet | under abuse | times (wanted 2) | of the rate (wanted 0.80) | peak MiB (wanted 150) |\n|---|---|---|--:|--:|--:|--:|--:|\n",
    );
    for store in isolation.stores.wanted(isolation.only) {
        measure(isolation, store).await?;
    }
    Ok(())
}

async fn measure(isolation: &Isolation, store: Store) -> anyhow::Result<()> {
    let (_folder, setup) = isolation.stores.empty(store, "isolation").await?;
    // The settings of a careful operator.
    let settings = [
        ("AUTHLOG_RATE_LIMIT", "on"),
        ("AUTHLOG_PASSWORD_MIN_SCORE", "3"),
        ("AUTHLOG_PASSWORD_MIN_LENGTH", "8"),
    ];
    let service = setup.start(&settings).await?;
    let mut others = Others::sign_up(&service.address).await?;
    let a_while = Duration::from_secs_f64(isolation.seconds);
    let abuses = match isolation.abuses.as_slice() {
        [] => Abuse::ALL.to_vec(),
        abuses => abuses.to_vec(),
    };
    for abuse in &abuses {
        // With the role `service` it may read the log.
        let account = abuse.account();
        let create = [
            "user",
            "create",
            "--username",
            &account,
            "--role",
            "service",
        ];
        setup.run_with(&create, &format!("{PASSWORD}\n")).await?;
    }
    // The quiet times before all abuses are combined, because one of them has too few logins for a p99.
    let mut quiet = Measured::default();
    let mut rows = Vec::new();
    others.send_requests(a_while).await?;
    for abuse in abuses {
        quiet.add(others.send_requests(a_while).await?);
        service.reset_peak()?;
        let mut abuser = start(abuse, &service)?;
        tokio::time::sleep(RISING).await;
        let under_abuse = others.send_requests(a_while).await?;
        let peak = service.peak()?;
        let answered = end(&mut abuser).await?;
        eprintln!("{store}: {abuse}: {answered}");
        rows.push((abuse, under_abuse, peak));
        tokio::time::sleep(SETTLING).await;
    }
    for (abuse, under_abuse, peak) in rows {
        table_rows(abuse, store, &quiet, &under_abuse, peak);
    }
    service.stop().await
}

fn table_rows(abuse: Abuse, store: Store, quiet: &Measured, under_abuse: &Measured, peak: f64) {
    for (quiet, now) in quiet.operations().into_iter().zip(under_abuse.operations()) {
        let (before, after) = (quiet.p99(), now.p99());
        let (times, rate) = (after / before, now.share() / quiet.share());
        let note = |met: bool| if met { "" } else { ", missed" };
        // An operation that never succeeded has no p99.
        print(&format!(
            "| {abuse} | {store} | {} | {before:.2} | {after:.2} | {times:.2}{} | {rate:.2}{} | {peak:.0}{} |\n",
            now.name,
            note(times <= SLOWER),
            note(rate >= RATE),
            note(peak <= MEMORY),
        ));
    }
}

fn start(abuse: Abuse, service: &Service) -> anyhow::Result<Child> {
    let mut command = Command::new("chrt");
    command
        .args(["--idle", "0"])
        .arg(std::env::current_exe()?)
        .args(["abuse", "--address", &service.address, "--kind"])
        .arg(abuse.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    command
        .spawn()
        .context("chrt is not installed: it comes with Debian's util-linux")
}

/// Stops an abuser, and returns the answers that it printed.
async fn end(abuser: &mut Child) -> anyhow::Result<String> {
    use tokio::io::AsyncReadExt as _;
    drop(abuser.stdin.take());
    let mut said = String::new();
    let output = abuser.stdout.as_mut().context("its output")?;
    output.read_to_string(&mut said).await?;
    abuser.wait().await?;
    Ok(said.trim().to_owned())
}

/// Registers an account from that connection's address and returns its access and refresh tokens.
async fn sign_up_from(connection: &mut Connection, name: &str) -> anyhow::Result<(String, String)> {
    sign_up(connection, name)
        .await
        .with_context(|| format!("{name} cannot register"))
}
