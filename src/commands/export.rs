//! `authlog export`: writes the log or the events of one account, with proofs.

use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use authlog_application::identify;
use authlog_infrastructure::StoreAccess;
use authlog_infrastructure::transparency::ProvenLog;
use authlog_infrastructure::transparency::export::{Extent, export as write_export};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::{log::sign_all, no_account, open, print, private_file};
use crate::settings::Settings;
use crate::transparency;

#[derive(Args)]
pub(crate) struct ExportEvents {
    /// Export only the events of this account: ID, e-mail address or username [the whole log]
    #[arg(long, value_name = "ACCOUNT")]
    user: Option<String>,
    /// Keep the personal fields of the account encrypted, as they are stored
    #[arg(long, requires = "user")]
    sealed: bool,
    /// Output file [standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Signs a checkpoint of the whole log, and writes an export that is proven against it.
pub(crate) async fn export(command: ExportEvents, settings: &Settings) -> anyhow::Result<()> {
    let store = open(settings, StoreAccess::Change).await?;
    let extent = match &command.user {
        None => Extent::Log,
        Some(account) => Extent::Account {
            user: identify(&*store, &*store, account)
                .await
                .map_err(|why| no_account(why, account))?,
            opened_by: (!command.sealed).then_some(&*store),
        },
    };
    sign_all(settings, &*store).await?;
    let key = transparency::key(settings, &*store).await?;
    let log = ProvenLog::new(store.clone(), Arc::new(key));
    let out: Box<dyn Write + Send> = match &command.out {
        None => Box::new(std::io::stdout()),
        Some(path) => Box::new(private_file::create(path)?),
    };
    let bar = ProgressBar::new(0).with_style(ProgressStyle::with_template(
        "{bar:40} {pos}/{len} events, {per_sec}, {eta} left",
    )?);
    let exported = write_export(
        extent,
        &*store,
        &log,
        &mut BufWriter::new(out),
        |done, total| {
            bar.set_length(total);
            bar.set_position(done);
        },
    )
    .await;
    bar.finish_and_clear();
    let exported = exported?;
    let extent = match exported.user {
        None => "of the whole log".to_owned(),
        Some(user) => format!("of the account {user}"),
    };
    let answer = format!(
        "exported {} events {extent}, against the checkpoint of size {}",
        exported.events, exported.checkpoint.tree_size
    );
    match &command.out {
        Some(path) => print(&format!("{answer}, to {}", path.display())),
        // Standard output has the events.
        None => writeln!(std::io::stderr().lock(), "{answer}")
            .context("standard error cannot be written"),
    }
}
