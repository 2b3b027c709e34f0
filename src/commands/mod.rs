//! The commands of the command line, one file each, and what they share.

mod breached;
mod client;
mod doctor;
mod erase;
mod export;
mod history;
mod import;
mod keys;
mod log;
mod nats;
mod private_file;
mod state;
mod table;
mod terminal;
mod user;

use std::io::Write;
use std::sync::Arc;

use anyhow::Context;
use authlog_application::ports::LogIntegrity;
use authlog_application::{
    Authlog, ClientPresence, ClientRegistryRefusal, Field, NotIdentified, Operator, Refusal,
    RequestContext, rebuild_read_models,
};
use authlog_domain::{ContractName, UserId};
use authlog_infrastructure::limits::NoAttemptLimits;
use authlog_infrastructure::mail::NoMailer;
use authlog_infrastructure::tokens::{KeySet, Keys};
use authlog_infrastructure::{Store, StoreAccess};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;
use url::Url;

use crate::composition::{self, Adapters};
use crate::settings::Settings;
pub(crate) use breached::breached;
pub(crate) use client::client;
pub(crate) use doctor::doctor;
pub(crate) use export::{ExportEvents, export};
pub(crate) use history::history;
pub(crate) use keys::keys;
pub(crate) use log::{LogCommand, check, log};
pub(crate) use nats::nats;
pub(crate) use state::state;
pub(crate) use user::user;

/// Migrates the schema.
pub(crate) async fn migrate(settings: &Settings) -> anyhow::Result<()> {
    composition::migrate(settings).await?;
    print("the schema is up to date")
}

/// Rebuilds the read models.
pub(crate) async fn rebuild(settings: &Settings) -> anyhow::Result<()> {
    let store = open(settings, StoreAccess::Change).await?;
    let bar = ProgressBar::new(0).with_style(ProgressStyle::with_template(
        "{bar:40} {pos}/{len} streams, {per_sec}, {eta} left",
    )?);
    let done = rebuild_read_models(&*store, &*composition::clock(), |progress| {
        bar.set_length(progress.total.max(progress.done));
        bar.set_position(progress.done);
    })
    .await?;
    bar.finish_and_clear();
    print(&format!(
        "rebuilt the rows of {} streams, removed the rows of {} that have no events",
        done.done, done.removed
    ))
}

/// The store that the settings name.
async fn open(settings: &Settings, access: StoreAccess) -> anyhow::Result<Arc<dyn Store>> {
    Ok(composition::open_store(settings, access).await?.store)
}

/// The application without its background workers: a command does not serve requests, send mail or publish events.
async fn assemble(settings: &Settings, access: StoreAccess) -> anyhow::Result<(Authlog, Operator)> {
    let store = open(settings, access).await?;
    // Commands mail no links, so the URL is not used.
    let nowhere = Url::parse("http://localhost")?;
    let adapters = Adapters {
        publication: None,
        // Commands do not check the signed checkpoints in memory.
        integrity: watch::channel(LogIntegrity::default()).1,
        // Commands sign no tokens.
        keys: Keys::fixed(KeySet::default()),
        limiter: Arc::new(NoAttemptLimits),
        mailer: Arc::new(NoMailer),
    };
    let (authlog, operator, _background) =
        composition::assemble(settings, store, &nowhere, adapters).await?;
    Ok((authlog, operator))
}

/// The account with this ID, e-mail address or username. Every command finds accounts this way.
///
/// # Errors
/// No account or several accounts have this name, or the store does not answer.
async fn resolve_account(
    authlog: &Authlog,
    operator: &Operator,
    name: &str,
) -> anyhow::Result<UserId> {
    authlog
        .identify(operator, name)
        .await
        .map_err(|why| no_account(why, name))
}

/// The error for a name without an account.
fn no_account(why: NotIdentified, name: &str) -> anyhow::Error {
    match why {
        NotIdentified::Unknown | NotIdentified::Ambiguous { .. } => {
            anyhow::anyhow!("{}: {why}", terminal::plain(name))
        }
        NotIdentified::Store(error) => error.into(),
    }
}

/// The origin that is recorded with the events of a command, with a new request ID.
fn request_context() -> RequestContext {
    RequestContext {
        request: composition::entropy().random_uuid(),
        contract: ContractName::Cli,
        address: None,
        user_agent: None,
        presence: ClientPresence::default(),
    }
}

/// The error that the operator reads for a refusal. It names the options of the command line.
fn refusal_error(refusal: Refusal) -> anyhow::Error {
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
        Refusal::Client(refusal) => anyhow::anyhow!(in_options(refusal)),
        other => other.into(),
    }
}

/// The refusal of a request about clients, with the names of the options.
fn in_options(refusal: ClientRegistryRefusal) -> String {
    let text = refusal.to_string();
    let Some(member) = refusal.member() else {
        return text;
    };
    // An option for one entry of a list has no plural.
    let option = match member {
        "grants" | "scopes" | "audiences" | "redirect_uris" | "post_logout_redirect_uris" => {
            member.trim_end_matches('s')
        }
        other => other,
    };
    let option = format!("--{}", option.replace('_', "-"));
    text.replacen(member, &option, 1)
}

/// The command-line option for a field.
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

/// Buffered standard output. The caller flushes it.
fn buffered_stdout() -> impl Write {
    std::io::BufWriter::new(std::io::stdout().lock())
}

fn print(text: &str) -> anyhow::Result<()> {
    print_page(&format!("{text}\n"))
}

/// Prints lines that already end in a line break.
fn print_page(lines: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(lines.as_bytes())
        .context("standard output cannot be written")
}
