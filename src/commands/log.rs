//! `authlog log`: proves and verifies the log.

use std::io::{BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use authlog_infrastructure::transparency::checkpoint::Checkpoint;
use authlog_infrastructure::transparency::evidence::{check_evidence, evidence_of};
use authlog_infrastructure::transparency::export::{check_export, is_export};
use authlog_infrastructure::transparency::note::{VerifierKey, notes_in};
use authlog_infrastructure::transparency::verify::Verification;
use authlog_infrastructure::transparency::{EventName, ProvenLog};
use authlog_infrastructure::{Store, StoreAccess};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{open, print, private_file};
use crate::settings::Settings;
use crate::transparency;

#[derive(Subcommand)]
pub(crate) enum LogCommand {
    /// Print the key that verifies checkpoints; keep a copy where this program cannot change it
    Key,
    /// Sign new events and print the newest checkpoint
    Checkpoint,
    /// Verify the whole log: every event, the tree and every checkpoint; reports the first difference
    Verify(VerifyLog),
    /// Write one event with its proof
    Prove(ProveEvent),
    /// Check a proof or an export; needs neither a database nor settings
    Check(CheckFile),
}

impl LogCommand {
    /// What the command does with the store. A command that prints a checkpoint signs the log up to its end first.
    const fn access(&self) -> StoreAccess {
        match self {
            Self::Key | Self::Check(_) | Self::Verify(VerifyLog { repair: false, .. }) => {
                StoreAccess::Read
            }
            Self::Checkpoint | Self::Prove(_) | Self::Verify(_) => StoreAccess::Change,
        }
    }
}

#[derive(Args)]
pub(crate) struct VerifyLog {
    /// File with one or more checkpoints that were kept elsewhere [AUTHLOG_CHECKPOINT_FILE]
    #[allow(
        rustdoc::broken_intra_doc_links,
        reason = "help is printed as it is written"
    )]
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Key that was kept elsewhere [the key in the store]
    #[arg(long, value_name = "VKEY", value_parser = VerifierKey::parse)]
    key: Option<VerifierKey>,
    /// Repair stored tree nodes that differ from their leaves
    #[arg(long)]
    repair: bool,
}

#[derive(Args)]
pub(crate) struct ProveEvent {
    /// Log index, or <aggregate type>/<aggregate id>/<sequence>
    #[allow(
        rustdoc::invalid_html_tags,
        reason = "help is printed as it is written"
    )]
    event: String,
    /// Output file [standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct CheckFile {
    /// File written by `authlog log prove` or `authlog export`
    file: PathBuf,
    /// Key of the log, as `authlog log key` prints it
    #[arg(long, value_name = "VKEY", value_parser = VerifierKey::parse)]
    key: VerifierKey,
}

/// Runs a command about the log.
pub(crate) async fn log(command: LogCommand, settings: &Settings) -> anyhow::Result<()> {
    if let LogCommand::Check(command) = &command {
        return check(command);
    }
    let store = open(settings, command.access()).await?;
    match command {
        LogCommand::Key => print(
            &transparency::key(settings, &*store)
                .await?
                .verifier()
                .to_string(),
        ),
        LogCommand::Checkpoint => checkpoint(settings, &*store).await,
        LogCommand::Verify(command) => verify(command, settings, &*store).await,
        LogCommand::Prove(command) => prove(&command, settings, store).await,
        LogCommand::Check(command) => check(&command),
    }
}

/// Signs a checkpoint of the whole log.
pub(super) async fn sign_all(settings: &Settings, store: &dyn Store) -> anyhow::Result<()> {
    let key = transparency::key(settings, store).await?;
    transparency::sign(settings, store, &key).await
}

async fn checkpoint(settings: &Settings, store: &dyn Store) -> anyhow::Result<()> {
    sign_all(settings, store).await?;
    let latest = store.latest_checkpoint().await?;
    let latest = latest.context("the log is empty")?;
    print(latest.note.trim_end_matches('\n'))
}

async fn verify(command: VerifyLog, settings: &Settings, store: &dyn Store) -> anyhow::Result<()> {
    let key = match command.key {
        Some(key) => key,
        None => transparency::key(settings, store).await?.verifier().clone(),
    };
    // A checkpoint file that contradicts the log is reported last: the verification below names the event that differs.
    let (kept, contradiction) = match &command.checkpoint {
        Some(path) => (kept_checkpoints(path, &key)?, None),
        None => match transparency::newest_in_file(settings, store, &key).await {
            Ok(newest) => (newest.into_iter().collect(), None),
            Err(error) => (vec![], Some(error)),
        },
    };
    let against = kept.len();
    let verification = Verification {
        store,
        key: &key,
        kept,
        repair: command.repair,
    };
    let bar = ProgressBar::new(0).with_style(ProgressStyle::with_template(
        "{bar:40} {pos}/{len} events, {per_sec}, {eta} left",
    )?);
    let verified = verification
        .run(|done, total| {
            bar.set_length(total);
            bar.set_position(done);
        })
        .await;
    bar.finish_and_clear();
    let verified = verified.context("the log is not whole")?;
    if let Some(contradiction) = contradiction {
        return Err(contradiction.context(
            "the log is consistent, but it is not the log of the configured checkpoint file",
        ));
    }
    if verified.events > 0 && verified.vouched == 0 {
        bail!(
            "no checkpoint vouches for any of the {} events: they were deleted, or nothing was signed yet. A running service signs within a second; compare with checkpoints that were kept elsewhere (--checkpoint)",
            verified.events
        );
    }
    print(&format!(
        "the log is whole: {} events with the root {}\n\
         {} stored and {against} kept checkpoints by {} agree; they vouch for the first {} events",
        verified.events,
        verified.root,
        verified.checkpoints,
        key.name(),
        verified.vouched,
    ))?;
    if verified.repaired > 0 {
        print(&format!(
            "{} nodes of the tree were rewritten",
            verified.repaired
        ))?;
    }
    Ok(())
}

fn kept_checkpoints(path: &Path, key: &VerifierKey) -> anyhow::Result<Vec<Checkpoint>> {
    let name = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("{name} cannot be read"))?;
    let notes = notes_in(&text);
    if notes.is_empty() {
        bail!("there is no checkpoint in {name}");
    }
    let open = |(number, note): (usize, &String)| {
        Checkpoint::open(note, key).with_context(|| format!("checkpoint {} in {name}", number + 1))
    };
    notes.iter().enumerate().map(open).collect()
}

async fn prove(
    command: &ProveEvent,
    settings: &Settings,
    store: Arc<dyn Store>,
) -> anyhow::Result<()> {
    let log_index = match command.event.parse() {
        Ok(log_index) => log_index,
        Err(_) => {
            let name = EventName::parse(&command.event)
                .context("an event is named by its log index or as <aggregate type>/<aggregate id>/<sequence>")?;
            let found = store.index_of(&name).await?;
            found.context("the log has no such event")?
        }
    };
    sign_all(settings, &*store).await?;
    let key = transparency::key(settings, &*store).await?;
    let log = ProvenLog::new(store.clone(), Arc::new(key));
    let evidence = evidence_of(log_index, &*store, &log).await?;
    match &command.out {
        None => print(evidence.trim_end_matches('\n')),
        Some(path) => {
            private_file::create(path)?
                .write_all(evidence.as_bytes())
                .with_context(|| format!("{} cannot be written", path.display()))?;
            print(&format!(
                "wrote the evidence of event {log_index} to {}",
                path.display()
            ))
        }
    }
}

/// Checks a file of evidence or an export.
///
/// # Errors
/// The file cannot be read, or it does not prove what it says.
pub(crate) fn check(command: &CheckFile) -> anyhow::Result<()> {
    let (path, key) = (&command.file, &command.key);
    let open =
        || std::fs::File::open(path).with_context(|| format!("{} cannot be read", path.display()));
    let mut first = String::new();
    // An error is ignored here: a file that is not text fails below, with the reason.
    let _ = std::io::BufRead::read_line(&mut BufReader::new(open()?), &mut first);
    if is_export(first.trim_end_matches('\n')) {
        let exported = check_export(BufReader::new(open()?), key)?;
        return print(&format!(
            "proven: {} events {}, against the checkpoint of size {} of {}",
            exported.events,
            exported
                .user
                .map_or("of the whole log".to_owned(), |user| format!(
                    "of the account {user}"
                )),
            exported.checkpoint.tree_size,
            exported.checkpoint.origin,
        ));
    }
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("{} cannot be read", path.display()))?;
    let proven = check_evidence(&text, key)?;
    let record = proven.record;
    print(&format!(
        "proven: event {} ({}) is a {} recorded at {}, in the log {} of {} events",
        record.log_index,
        record.name,
        record.event_type,
        instant(record.recorded_at_micros),
        proven.checkpoint.origin,
        proven.checkpoint.tree_size,
    ))
}

fn instant(micros: i64) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000)
        .ok()
        .and_then(|at| at.format(&Rfc3339).ok())
        .unwrap_or_else(|| format!("{micros} µs after 1970"))
}
