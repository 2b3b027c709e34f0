//! `authlog state`: prints the state of an account or a client at a point in time, or the changes between two.

mod client_state;

use std::io::Write;

use anyhow::bail;
use authlog_application::history::{Change, changes, state_document};
use authlog_application::ports::Moment;
use authlog_application::{AccountState, Authlog, Operator, StateAt};
use authlog_domain::UserId;
use authlog_infrastructure::StoreAccess;
use serde_json::{Value, json};

use super::terminal::plain;
use super::{assemble, buffered_stdout, refusal_error, resolve_account};
use crate::cli::StateCommand;
use crate::settings::Settings;

/// Prints the state of an account or a client, or the changes between two states.
pub(crate) async fn state(command: StateCommand, settings: &Settings) -> anyhow::Result<()> {
    let (authlog, operator) = assemble(settings, StoreAccess::Read).await?;
    if let Some(client) = &command.client {
        return client_state::state(&authlog, &operator, client, &command).await;
    }
    let name = command.account.as_deref().unwrap_or_default();
    let user = resolve_account(&authlog, &operator, name).await?;
    let state = state_at(&authlog, &operator, user, command.at).await?;
    let mut out = buffered_stdout();
    match command.diff {
        None if command.json => writeln!(out, "{}", document(&state))?,
        None => write!(out, "{}", in_text(&document(&state)))?,
        Some(other) => {
            let other = state_at(&authlog, &operator, user, Some(other)).await?;
            let mut states = [state, other];
            // Changes are listed from the earlier to the later state, whichever was given first.
            states.sort_by_key(|it| (it.state.events, it.evaluated_at));
            let [before, after] = states.map(|it| document(&it));
            let changes = changes(&before, &after);
            let text = if command.json {
                difference_in_json(&before, &after, &changes)
            } else {
                difference_in_text(&before, &after, &changes, "account")
            };
            write!(out, "{text}")?;
        }
    }
    out.flush()?;
    Ok(())
}

fn difference_in_json(before: &Value, after: &Value, changes: &[Change]) -> String {
    let out = json!({
        "from": {"at": before["at"], "as_of": before["as_of"]},
        "to": {"at": after["at"], "as_of": after["as_of"]},
        "changes": changes,
    });
    format!("{out}\n")
}

/// The changes, one a line, of an account or a client.
fn difference_in_text(before: &Value, after: &Value, changes: &[Change], of: &str) -> String {
    let mut text = format!(
        "from  {}\nto    {}\n",
        moment(before, of),
        moment(after, of)
    );
    if changes.is_empty() {
        text.push_str("nothing changed\n");
    }
    for change in changes {
        text.push_str(&line(change));
        text.push('\n');
    }
    text
}

/// The state of an account at `at`, or now.
///
/// # Errors
/// There is no state then, or the store does not answer.
async fn state_at(
    authlog: &Authlog,
    operator: &Operator,
    user: UserId,
    at: Option<Moment>,
) -> anyhow::Result<AccountState> {
    match authlog
        .state_at(operator, user, at)
        .await
        .map_err(refusal_error)?
    {
        StateAt::Found(state) => Ok(*state),
        StateAt::NotYetRegistered => bail!("the account had not been registered then"),
        StateAt::LogEndsAt(last) => bail!("the log ends before that, at index {last}"),
        StateAt::InTheFuture => bail!("that time is in the future"),
    }
}

fn document(state: &AccountState) -> Value {
    state_document(&state.state, state.evaluated_at)
}

/// The time of a state, and the last event that it includes.
fn moment(document: &Value, of: &str) -> String {
    let as_of = &document["as_of"];
    format!(
        "{} (event {} of the {of}, log index {}, recorded {})",
        short(&document["at"]),
        short(&as_of["events"]),
        short(&as_of["log_index"]),
        short(&as_of["recorded_at"]),
    )
}

fn in_text(document: &Value) -> String {
    let mut text = format!("as of           {}\n", moment(document, "account"));
    match document["account"].as_object() {
        None => text.push_str("account         erased\n"),
        Some(members) => {
            for name in [
                "id",
                "number",
                "username",
                "email",
                "email_verified",
                "name",
                "phone",
                "role",
                "credential",
                "locked",
                "session_epoch",
                "kept_session",
                "pending_reset",
                "pending_verification",
                "second_factors",
                "consents",
                "created_at",
                "updated_at",
            ] {
                let value = members.get(name).map(short).unwrap_or_default();
                text.push_str(&format!("{name:<15} {value}\n"));
            }
        }
    }
    let sessions = document["live_sessions"].as_array();
    let sessions = sessions.map(Vec::as_slice).unwrap_or_default();
    text.push_str(&format!("live sessions   {}\n", sessions.len()));
    for session in sessions {
        text.push_str(&format!(
            "  {} {}, since {}, last used {}, until {}\n",
            short(&session["id"]),
            way(session),
            short(&session["started_at"]),
            short(&session["last_used_at"]),
            short(&session["expires_at"]),
        ));
    }
    text
}

/// Through what a session is used: a contract, or an application with its scopes.
fn way(session: &Value) -> String {
    let contract = short(&session["contract"]);
    match &session["client_id"] {
        Value::Null => format!("through {contract}"),
        client => format!(
            "through {contract} by {} ({})",
            short(client),
            short(&session["scope"])
        ),
    }
}

fn line(change: &Change) -> String {
    let name = plain(&change.member);
    // A session that began or ended is one line, not one line for each of its fields.
    let status = |session: &Value| match session {
        Value::Null => "not live".to_owned(),
        live => format!("live {}", way(live)),
    };
    let (before, after) = (&change.before, &change.after);
    if before.is_object() != after.is_object() && name.starts_with("sessions.") {
        return format!("{name}: {} → {}", status(before), status(after));
    }
    format!("{name}: {} → {}", short(before), short(after))
}

/// A value of the state document as text for a terminal.
fn short(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => plain(text),
        other => plain(&other.to_string()),
    }
}
