//! What an operator does at the command line.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::Context;
use authlog_application::ports::Account;
use authlog_application::{
    Authlog, Refusal, RegistrationForm, RequestContext, rebuild_read_models,
};
use authlog_domain::{ContractName, Email, Username};
use indicatif::{ProgressBar, ProgressStyle};
use url::Url;

use crate::cli::{ChangeRole, CreateUser, UserCommand};
use crate::parts;
use crate::settings::Settings;

/// Accounts that are read at a time for a listing.
const PAGE: u32 = 500;

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
    let done = rebuild_read_models(&*store, |progress| {
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

/// Makes, changes or lists accounts.
pub(crate) async fn user(command: UserCommand, settings: &Settings) -> anyhow::Result<()> {
    let store = parts::open_store(settings, settings.migrate).await?.store;
    // No mail is sent from here, so no link needs the service's address.
    let nowhere = Url::parse("http://localhost")?;
    let (authlog, _background) = parts::assemble(settings, store, &nowhere, None).await?;
    match command {
        UserCommand::Create(command) => create(&authlog, &command).await,
        UserCommand::Role(command) => change_role(&authlog, &command).await,
        UserCommand::List => list(&authlog).await,
    }
}

async fn create(authlog: &Authlog, command: &CreateUser) -> anyhow::Result<()> {
    let password = read_password()?;
    let form = RegistrationForm {
        username: command.username.as_deref(),
        email: command.email.as_deref(),
        name: command.name.as_deref(),
        password: Some(&password),
        ..RegistrationForm::default()
    };
    let account = authlog
        .register(form, command.role, &by_operator())
        .await
        .map_err(in_words)?;
    print(&format!("{HEADING}\n{}", line(&account)))
}

async fn change_role(authlog: &Authlog, command: &ChangeRole) -> anyhow::Result<()> {
    let account = authlog
        .change_role(&command.identifier, command.role, &by_operator())
        .await
        .map_err(in_words)?;
    print(&format!("{HEADING}\n{}", line(&account)))
}

async fn list(authlog: &Authlog) -> anyhow::Result<()> {
    print(HEADING)?;
    let mut after = None;
    loop {
        let accounts = authlog.list_accounts(after, PAGE).await.map_err(chain)?;
        let Some(last) = accounts.last() else {
            return Ok(());
        };
        after = Some(last.number);
        for account in &accounts {
            print(&line(account))?;
        }
    }
}

const HEADING: &str = "NUMBER  ID                                    ROLE     CREATED                   USERNAME  E-MAIL";

fn line(account: &Account) -> String {
    format!(
        "{:<6}  {}  {:<7}  {}  {}  {}",
        account.number.get(),
        account.id,
        account.role,
        account.created_at,
        account.username.as_ref().map_or("-", Username::as_str),
        account.email.as_ref().map_or("-", Email::as_str),
    )
}

fn by_operator() -> RequestContext {
    RequestContext {
        request: parts::entropy().random_uuid(),
        contract: ContractName::Cli,
        address: None,
        user_agent: None,
    }
}

/// Reads a password: without echo from a terminal, else the first line of standard input.
fn read_password() -> anyhow::Result<String> {
    if std::io::stdin().is_terminal() {
        return rpassword::prompt_password("Password: ").context("the password cannot be read");
    }
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .context("the password cannot be read from standard input")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// A refusal in words for an operator.
fn in_words(refusal: Refusal) -> anyhow::Error {
    match refusal {
        Refusal::Invalid(violations) => {
            let list: Vec<String> = violations
                .iter()
                .map(|violation| format!("the {} {}", violation.field.in_words(), violation.flaw))
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

fn chain(refusal: Refusal) -> anyhow::Error {
    anyhow::Error::new(refusal)
}

fn print(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout().lock(), "{text}").context("standard output cannot be written")
}
