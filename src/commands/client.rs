//! `authlog client`: registers, changes, lists and removes OAuth clients.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::{Context, ensure};
use authlog_application::history::client_document;
use authlog_application::ports::WaitingLogouts;
use authlog_application::{Authlog, ClientForm, IssuedSecret, Operator};
use authlog_domain::ClientId;
use authlog_domain::client::{GrantType, RegisteredClient};
use authlog_infrastructure::StoreAccess;
use serde_json::{Value, json};

use super::table::Table;
use super::terminal::plain;
use super::{assemble, print, print_page, refusal_error, request_context};
use crate::cli::client::{
    ChangeClient, ClientCommand, ClientName, ClientSettingsArgs, CreateClient, ListClients,
    RemoveClient, RetireSecret, RotateSecret, ShowClient,
};
use crate::settings::Settings;

/// Clients that `client list` reads from the store at a time.
const PAGE: u32 = 500;

/// Runs a command about clients.
pub(crate) async fn client(command: ClientCommand, settings: &Settings) -> anyhow::Result<()> {
    let access = match &command {
        ClientCommand::List(_) | ClientCommand::Show(_) => StoreAccess::Read,
        ClientCommand::Create(_) => StoreAccess::Create,
        ClientCommand::Change(_)
        | ClientCommand::RotateSecret(_)
        | ClientCommand::RetireSecret(_)
        | ClientCommand::Lock(_)
        | ClientCommand::Unlock(_)
        | ClientCommand::Remove(_) => StoreAccess::Change,
    };
    let (authlog, operator) = &assemble(settings, access).await?;
    match command {
        ClientCommand::Create(command) => create(authlog, operator, command).await,
        ClientCommand::List(command) => list(authlog, operator, &command).await,
        ClientCommand::Show(command) => show(authlog, operator, &command).await,
        ClientCommand::Change(command) => change(authlog, operator, command).await,
        ClientCommand::RotateSecret(command) => rotate_secret(authlog, operator, &command).await,
        ClientCommand::RetireSecret(command) => retire_secret(authlog, operator, &command).await,
        ClientCommand::Lock(name) => lock(authlog, operator, &name).await,
        ClientCommand::Unlock(name) => unlock(authlog, operator, &name).await,
        ClientCommand::Remove(command) => remove(authlog, operator, &command).await,
    }
}

async fn create(
    authlog: &Authlog,
    operator: &Operator,
    command: CreateClient,
) -> anyhow::Result<()> {
    let form = form(command.settings)?;
    let new = authlog
        .register_client(operator, command.id.as_deref(), &form, &request_context())
        .await
        .map_err(refusal_error)?;
    let mut document = client_document(&new.client);
    if command.json {
        if let Some(issued) = &new.secret {
            document["secret"] = Value::from(issued.secret.as_str());
        }
        return print(&document.to_string());
    }
    print_page(&in_text(&document))?;
    new.secret.as_ref().map_or(Ok(()), print_secret)
}

async fn list(authlog: &Authlog, operator: &Operator, command: &ListClients) -> anyhow::Result<()> {
    let mut table = Table::new([
        ("ID", 0),
        ("NAME", 0),
        ("AUTHENTICATION", 0),
        ("GRANTS", 0),
        ("STATE", 0),
    ]);
    let mut after = None;
    loop {
        let page = authlog
            .page_of_clients(operator, after.as_ref(), PAGE)
            .await
            .map_err(refusal_error)?;
        if command.json {
            let lines = page.clients.iter();
            let lines = lines.map(|it| format!("{}\n", client_document(it)));
            print_page(&lines.collect::<String>())?;
        } else {
            print_page(&table.page(page.clients.iter().map(row).collect()))?;
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

fn row(client: &RegisteredClient) -> [String; 5] {
    let settings = &client.settings;
    let grants: Vec<&str> = settings.grants.iter().map(|it| short_name(*it)).collect();
    [
        client.id.to_string(),
        settings.name.to_string(),
        settings.auth_method.as_str().to_owned(),
        if grants.is_empty() {
            "-".to_owned()
        } else {
            grants.join(" ")
        },
        if client.locked { "locked" } else { "active" }.to_owned(),
    ]
}

/// The name of a grant without the prefix of a URN, for a column.
fn short_name(grant: GrantType) -> &'static str {
    let name = grant.as_str();
    name.rsplit(':').next().unwrap_or(name)
}

async fn show(authlog: &Authlog, operator: &Operator, command: &ShowClient) -> anyhow::Result<()> {
    let found = authlog
        .client_of(operator, &command.client)
        .await
        .map_err(refusal_error)?;
    let waiting = authlog
        .logouts_waiting_for(operator, &command.client)
        .await
        .map_err(refusal_error)?;
    let Some(waiting) = waiting else {
        return print_client(&found, command.json);
    };
    let mut document = client_document(&found);
    if command.json {
        document["waiting_logouts"] = json!({
            "count": waiting.count,
            "oldest": waiting.oldest,
            "failing_since": waiting.failing_since,
        });
        return print(&document.to_string());
    }
    print_page(&in_text(&document))?;
    print(&in_words(waiting))
}

/// What waits for a client, in one line.
fn in_words(waiting: WaitingLogouts) -> String {
    let WaitingLogouts {
        count,
        oldest,
        failing_since,
    } = waiting;
    let tokens = if count == 1 {
        "1 logout token waits".to_owned()
    } else {
        format!("{count} logout tokens wait")
    };
    let failing = failing_since.map_or_else(String::new, |since| {
        format!("; the client has not been reached since {since}")
    });
    format!("{tokens}, the oldest of a session that ended at {oldest}{failing}")
}

async fn change(
    authlog: &Authlog,
    operator: &Operator,
    command: ChangeClient,
) -> anyhow::Result<()> {
    let form = form(command.settings)?;
    let changed = authlog
        .change_client(operator, &command.client, &form, &request_context())
        .await
        .map_err(refusal_error)?;
    print_client(&changed, command.json)
}

async fn rotate_secret(
    authlog: &Authlog,
    operator: &Operator,
    command: &RotateSecret,
) -> anyhow::Result<()> {
    let issued = authlog
        .issue_client_secret(operator, &command.client, &request_context())
        .await
        .map_err(refusal_error)?;
    if command.json {
        let IssuedSecret { id, secret } = &issued;
        return print(&json!({ "id": id, "secret": secret.as_str() }).to_string());
    }
    print_secret(&issued)
}

async fn retire_secret(
    authlog: &Authlog,
    operator: &Operator,
    command: &RetireSecret,
) -> anyhow::Result<()> {
    let changed = authlog
        .retire_client_secret(
            operator,
            &command.client,
            command.secret,
            &request_context(),
        )
        .await
        .map_err(refusal_error)?;
    let left = changed.secrets.len();
    print(&format!(
        "retired {}; secrets that are still valid: {left}",
        command.secret
    ))
}

async fn lock(authlog: &Authlog, operator: &Operator, name: &ClientName) -> anyhow::Result<()> {
    authlog
        .lock_client(operator, &name.client, &request_context())
        .await
        .map_err(refusal_error)?;
    print(&format!("locked {}", name.client))
}

async fn unlock(authlog: &Authlog, operator: &Operator, name: &ClientName) -> anyhow::Result<()> {
    authlog
        .unlock_client(operator, &name.client, &request_context())
        .await
        .map_err(refusal_error)?;
    print(&format!("unlocked {}", name.client))
}

async fn remove(
    authlog: &Authlog,
    operator: &Operator,
    command: &RemoveClient,
) -> anyhow::Result<()> {
    if !command.yes {
        confirm(authlog, operator, &command.client).await?;
    }
    authlog
        .remove_client(operator, &command.client, &request_context())
        .await
        .map_err(refusal_error)?;
    print(&format!("removed {}", command.client))
}

async fn confirm(authlog: &Authlog, operator: &Operator, id: &ClientId) -> anyhow::Result<()> {
    ensure!(
        std::io::stdin().is_terminal(),
        "a removal cannot be undone; confirm it with --yes"
    );
    let found = authlog.client_of(operator, id).await;
    let name = plain(found.map_err(refusal_error)?.settings.name.as_str());
    let mut error = std::io::stderr().lock();
    write!(
        error,
        "Remove client {id}, {name}? This cannot be undone. Type `remove` to continue: "
    )?;
    error.flush()?;
    let mut answer = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .context("the answer cannot be read")?;
    ensure!(answer.trim() == "remove", "nothing was removed");
    Ok(())
}

/// The settings that the options name.
fn form(args: ClientSettingsArgs) -> anyhow::Result<ClientForm> {
    let jwks = args.jwks.map(|file| {
        if file.as_os_str().is_empty() {
            return Ok(String::new());
        }
        std::fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))
    });
    Ok(ClientForm {
        name: args.name,
        redirect_uris: args.redirect_uris.map(list_of),
        post_logout_redirect_uris: args.post_logout_redirect_uris.map(list_of),
        backchannel_logout_uri: args.backchannel_logout_uri,
        grants: args.grants.map(list_of),
        scopes: args.scopes.map(|scopes| scopes.join(" ")),
        audiences: args.audiences.map(list_of),
        auth_method: args.auth_method,
        jwks: jwks.transpose()?,
        require_pkce: args.require_pkce,
        dpop_bound: args.dpop_bound,
        require_pushed_requests: args.require_pushed_requests,
        id_token_alg: args.id_token_alg,
        first_party: args.first_party,
    })
}

/// The values of an option. One empty value makes the list empty, which cannot be written otherwise.
fn list_of(values: Vec<String>) -> Vec<String> {
    if values == [""] {
        return vec![];
    }
    values
}

fn print_client(client: &RegisteredClient, json: bool) -> anyhow::Result<()> {
    let document = client_document(client);
    if json {
        return print(&document.to_string());
    }
    print_page(&in_text(&document))
}

/// The members of a client's document, one a line. A list has a line for each entry.
pub(super) fn in_text(document: &Value) -> String {
    const NAMES: [&str; 16] = [
        "id",
        "name",
        "redirect_uris",
        "post_logout_redirect_uris",
        "backchannel_logout_uri",
        "grants",
        "scopes",
        "audiences",
        "auth_method",
        "require_pkce",
        "dpop_bound",
        "require_pushed_requests",
        "id_token_alg",
        "first_party",
        "locked",
        "secrets",
    ];
    let mut text = String::new();
    for name in NAMES {
        for value in values(&document[name]) {
            text.push_str(format!("{name:<26}{value}").trim_end());
            text.push('\n');
        }
    }
    if let Some(keys) = document["jwks"]["keys"].as_array() {
        text.push_str(&format!("{:<26}{} keys\n", "jwks", keys.len()));
    }
    text
}

fn values(member: &Value) -> Vec<String> {
    match member {
        Value::Null => vec!["-".to_owned()],
        Value::String(text) => vec![plain(text)],
        Value::Array(list) if list.is_empty() => vec!["-".to_owned()],
        Value::Array(list) => list.iter().flat_map(values).collect(),
        Value::Object(secret) => {
            let member = |name: &str| secret.get(name).and_then(Value::as_str).unwrap_or("-");
            vec![format!("{} of {}", member("id"), member("issued_at"))]
        }
        other => vec![other.to_string()],
    }
}

/// The secret is printed last and by itself, so that it is easy to copy.
fn print_secret(issued: &IssuedSecret) -> anyhow::Result<()> {
    print(&format!(
        "secret {} is shown only now:\n{}",
        issued.id,
        issued.secret.as_str()
    ))
}
