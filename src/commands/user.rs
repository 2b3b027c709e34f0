//! `authlog user`: creates, changes, lists, imports and erases accounts.

use std::io::{BufRead, IsTerminal};

use anyhow::Context;
use authlog_application::ports::Account;
use authlog_application::{Authlog, Operator, RegistrationForm};
use authlog_domain::{Email, Username};
use authlog_infrastructure::StoreAccess;

use super::erase::erase;
use super::import::import;
use super::table::Table;
use super::{assemble, print, print_page, refusal_error, request_context, resolve_account};
use crate::cli::{AccountName, ChangeRole, CreateUser, UserCommand};
use crate::settings::Settings;

/// Accounts that `user list` reads from the store at a time.
const PAGE: u32 = 500;

/// Runs a command about accounts.
pub(crate) async fn user(command: UserCommand, settings: &Settings) -> anyhow::Result<()> {
    let access = match &command {
        UserCommand::List => StoreAccess::Read,
        UserCommand::Create(_) | UserCommand::Import(_) => StoreAccess::Create,
        UserCommand::Role(_)
        | UserCommand::Lock(_)
        | UserCommand::Unlock(_)
        | UserCommand::RemoveFactors(_)
        | UserCommand::Erase(_) => StoreAccess::Change,
    };
    let (authlog, operator) = &assemble(settings, access).await?;
    match command {
        UserCommand::Create(command) => create(authlog, operator, &command).await,
        UserCommand::Role(command) => change_role(authlog, operator, &command).await,
        UserCommand::Lock(name) => lock(authlog, operator, &name).await,
        UserCommand::Unlock(name) => unlock(authlog, operator, &name).await,
        UserCommand::RemoveFactors(name) => remove_factors(authlog, operator, &name).await,
        UserCommand::List => list(authlog, operator).await,
        UserCommand::Import(command) => import(authlog, operator, &command).await,
        UserCommand::Erase(command) => erase(authlog, operator, &command).await,
    }
}

async fn create(
    authlog: &Authlog,
    operator: &Operator,
    command: &CreateUser,
) -> anyhow::Result<()> {
    let password = read_password()?;
    let form = RegistrationForm {
        username: command.username.as_deref(),
        email: command.email.as_deref(),
        name: command.name.as_deref(),
        password: Some(&password),
        ..RegistrationForm::default()
    };
    let account = authlog
        .register_with_role(operator, form, command.role, &request_context())
        .await
        .map_err(refusal_error)?;
    print_accounts(&mut table(), &[account])
}

async fn change_role(
    authlog: &Authlog,
    operator: &Operator,
    command: &ChangeRole,
) -> anyhow::Result<()> {
    let user = resolve_account(authlog, operator, &command.account).await?;
    let account = authlog
        .change_role(operator, user, command.role, &request_context())
        .await
        .map_err(refusal_error)?;
    print_accounts(&mut table(), &[account])
}

async fn lock(authlog: &Authlog, operator: &Operator, name: &AccountName) -> anyhow::Result<()> {
    let user = resolve_account(authlog, operator, &name.account).await?;
    let account = authlog
        .lock(operator, user, &request_context())
        .await
        .map_err(refusal_error)?;
    print(&format!("locked {}", account.id))
}

async fn unlock(authlog: &Authlog, operator: &Operator, name: &AccountName) -> anyhow::Result<()> {
    let user = resolve_account(authlog, operator, &name.account).await?;
    let account = authlog
        .unlock(operator, user, &request_context())
        .await
        .map_err(refusal_error)?;
    print(&format!("unlocked {}", account.id))
}

async fn remove_factors(
    authlog: &Authlog,
    operator: &Operator,
    name: &AccountName,
) -> anyhow::Result<()> {
    let user = resolve_account(authlog, operator, &name.account).await?;
    let removed = authlog
        .remove_factors_of(operator, user, &request_context())
        .await
        .map_err(refusal_error)?;
    print(&format!("removed {removed} second factors of {user}"))
}

async fn list(authlog: &Authlog, operator: &Operator) -> anyhow::Result<()> {
    let mut table = table();
    let mut after = None;
    loop {
        let accounts = authlog.page_of_accounts(operator, after, PAGE).await?;
        print_accounts(&mut table, &accounts)?;
        let Some(last) = accounts.last() else {
            return Ok(());
        };
        after = Some(last.number);
    }
}

fn table() -> Table<6> {
    Table::new([
        ("NUMBER", 0),
        ("ID", 36),
        ("ROLE", 7),
        ("CREATED", 24),
        ("USERNAME", 0),
        ("E-MAIL", 0),
    ])
}

fn print_accounts(table: &mut Table<6>, accounts: &[Account]) -> anyhow::Result<()> {
    let row = |account: &Account| {
        [
            account.number.get().to_string(),
            account.id.to_string(),
            account.role.to_string(),
            account.created_at.to_string(),
            account
                .username
                .as_ref()
                .map_or("-", Username::as_str)
                .to_owned(),
            account.email.as_ref().map_or("-", Email::as_str).to_owned(),
        ]
    };
    print_page(&table.page(accounts.iter().map(row).collect()))
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
