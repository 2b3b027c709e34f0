//! What an operator does at the command line: a file a command, and what they share.

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
    Authlog, ClientPresence, Field, NotIdentified, Operator, Refusal, RequestContext,
    rebuild_read_models,
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
pub(crate) use doctor::doctor;
pub(crate) use export::{ExportEvents, export};
pub(crate) use history::history;
pub(crate) use keys::keys;
pub(crate) use log::{LogCommand, check, log};
pub(crate) use nats::nats;
pub(crate) use state::state;
pub(crate) use user::user;

/// Brings the schema up to date.
pub(crate) async fn migrate(settings: &Settings) -> anyhow::Result<()> {
    composition::migrate(settings).await?;
    print("the schema is up to date")
}

/// Writes the read models anew.
pub(crate) async fn rebuild(settings: &Settings) -> anyhow::Result<()> {
    let store = open(settings, StoreAccess::Change).await?;
    let bar = ProgressBar::new(0).with_style(ProgressStyle::with_template(
        "{bar:40} {pos}/{len} streams, {per_sec}, {eta} left",
    )?);
    let done = rebuild_read_models(&*store, &*composition::clock(), |progress| {
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

/// The store that the settings name.
async fn open(settings: &Settings, access: StoreAccess) -> anyhow::Result<Arc<dyn Store>> {
    Ok(composition::open_store(settings, access).await?.store)
}

/// The service without what goes on beside it: nothing is served, mailed or published from here.
async fn assemble(settings: &Settings, access: StoreAccess) -> anyhow::Result<(Authlog, Operator)> {
    let store = open(settings, access).await?;
    // No link is mailed from here, so none needs the service's address.
    let nowhere = Url::parse("http://localhost")?;
    let adapters = Adapters {
        publication: None,
        // Nothing is asked of what the service remembers of its log.
        integrity: watch::channel(LogIntegrity::default()).1,
        // No token is signed.
        keys: Keys::fixed(KeySet::default()),
        limiter: Arc::new(NoAttemptLimits),
        mailer: Arc::new(NoMailer),
    };
    let (authlog, operator, _background) =
        composition::assemble(settings, store, &nowhere, adapters).await?;
    Ok((authlog, operator))
}

/// The account of this id, e-mail address or username: every command reads the name of an account in this way.
async fn account_called(
    authlog: &Authlog,
    operator: &Operator,
    name: &str,
) -> anyhow::Result<UserId> {
    authlog
        .identify(operator, name)
        .await
        .map_err(|why| no_account(why, name))
}

/// Why a name names no account.
fn no_account(why: NotIdentified, name: &str) -> anyhow::Error {
    match why {
        NotIdentified::Unknown | NotIdentified::Ambiguous { .. } => {
            anyhow::anyhow!("{}: {why}", terminal::plain(name))
        }
        NotIdentified::Store(error) => error.into(),
    }
}

/// Who did it, for the log.
fn by_operator() -> RequestContext {
    RequestContext {
        request: composition::entropy().random_uuid(),
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
    print_page(&format!("{text}\n"))
}

/// Prints lines that end as they are.
fn print_page(lines: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(lines.as_bytes())
        .context("standard output cannot be written")
}
