//! What an operator does at the command line: a file a command, and what they share.

mod doctor;
mod erase;
mod export;
mod history;
mod import;
mod keys;
mod log;
mod private_file;
mod shown;
mod state;
mod user;

use std::io::Write;
use std::sync::Arc;

use anyhow::Context;
use authlog_application::ports::LogIntegrity;
use authlog_application::{
    Authlog, ClientPresence, Field, Refusal, RequestContext, rebuild_read_models,
};
use authlog_domain::ContractName;
use authlog_infrastructure::limits::NoAttemptLimits;
use authlog_infrastructure::tokens::{KeySet, Keys};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;
use url::Url;

use crate::parts;
use crate::settings::Settings;
pub(crate) use doctor::doctor;
pub(crate) use export::{ExportEvents, export};
pub(crate) use history::history;
pub(crate) use keys::keys;
pub(crate) use log::{LogCommand, check, log};
pub(crate) use state::state;
pub(crate) use user::user;

/// Brings the schema up to date.
pub(crate) async fn migrate(settings: &Settings) -> anyhow::Result<()> {
    parts::open_store(settings, true).await?;
    print("the schema is up to date")
}

/// Writes the read models anew.
pub(crate) async fn rebuild(settings: &Settings) -> anyhow::Result<()> {
    let store = parts::open_store(settings, settings.migrate).await?.store;
    let bar = ProgressBar::new(0).with_style(ProgressStyle::with_template(
        "{bar:40} {pos}/{len} streams, {per_sec}, {eta} left",
    )?);
    let done = rebuild_read_models(&*store, &*parts::clock(), |progress| {
        bar.set_length(progress.total.max(progress.done));
        bar.set_position(progress.done);
    })
    .await
    .map_err(chain)?;
    bar.finish_and_clear();
    print(&format!(
        "rebuilt the rows of {} streams, removed {} without events",
        done.done, done.removed
    ))
}

/// The service without what goes on beside it: nothing is served, mailed or published from here.
async fn assemble(settings: &Settings) -> anyhow::Result<Authlog> {
    let store = parts::open_store(settings, settings.migrate).await?.store;
    // No mail is sent from here, so no link needs the service's address.
    let nowhere = Url::parse("http://localhost")?;
    // Nor is a token signed.
    let keys = Keys::fixed(KeySet::default());
    let unlimited = Arc::new(NoAttemptLimits);
    // And nothing is asked of what the service remembers of its log.
    let integrity = watch::channel(LogIntegrity::default()).1;
    let (authlog, _background) =
        parts::assemble(settings, store, &nowhere, None, integrity, keys, unlimited).await?;
    Ok(authlog)
}

/// Who did it, for the log.
fn by_operator() -> RequestContext {
    RequestContext {
        request: parts::entropy().random_uuid(),
        contract: ContractName::Cli,
        address: None,
        user_agent: None,
        presence: ClientPresence::default(),
    }
}

/// A refusal in words for an operator.
fn in_words(refusal: Refusal) -> anyhow::Error {
    match refusal {
        Refusal::Invalid(violations) => {
            let list: Vec<String> = violations
                .iter()
                .map(|violation| format!("{} {}", flag(violation.field), violation.flaw))
                .collect();
            anyhow::anyhow!(list.join("; "))
        }
        Refusal::IdentifierTaken(kinds) => {
            let list: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
            anyhow::anyhow!("taken by another account: {}", list.join(" and "))
        }
        other => chain(other),
    }
}

/// Where an operator gives such a member.
const fn flag(field: Field) -> &'static str {
    match field {
        Field::Username => "--username",
        Field::Email => "--email",
        Field::Name => "--name",
        Field::Phone => "--phone",
        Field::Password => "the password",
        Field::PasswordConfirmation => "the repeated password",
    }
}

fn chain(refusal: Refusal) -> anyhow::Error {
    anyhow::Error::new(refusal)
}

/// Standard output for more than a line.
fn for_reading() -> impl Write {
    std::io::BufWriter::new(std::io::stdout().lock())
}

fn print(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout().lock(), "{text}").context("standard output cannot be written")
}
