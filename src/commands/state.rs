//! `authlog state`: an account as it stood at a moment, and what changed between two.

use std::io::Write;

use anyhow::bail;
use authlog_application::history::{Change, changes, portrait};
use authlog_application::ports::Moment;
use authlog_application::{AccountState, Authlog, Operator, StateAt};
use authlog_domain::UserId;
use authlog_infrastructure::StoreAccess;
use serde_json::{Value, json};

use super::terminal::plain;
use super::{account_called, assemble, for_reading, in_words};
use crate::cli::StateCommand;
use crate::settings::Settings;

/// Prints an account as it stood.
pub(crate) async fn state(command: StateCommand, settings: &Settings) -> anyhow::Result<()> {
    let (authlog, operator) = assemble(settings, StoreAccess::Read).await?;
    let user = account_called(&authlog, &operator, &command.account).await?;
    let stood = look(&authlog, &operator, user, command.at).await?;
    let mut out = for_reading();
    match command.diff {
        None if command.json => writeln!(out, "{}", told(&stood))?,
        None => write!(out, "{}", in_text(&told(&stood)))?,
        Some(other) => {
            let other = look(&authlog, &operator, user, Some(other)).await?;
            let mut moments = [stood, other];
            // Changes are listed from the earlier to the later moment, in whichever order they were given.
            moments.sort_by_key(|stood| (stood.state.events, stood.told_at));
            let [before, after] = moments.map(|stood| told(&stood));
            let changes = changes(&before, &after);
            if command.json {
                let out_json = json!({
                    "from": {"at": before["at"], "as_of": before["as_of"]},
                    "to": {"at": after["at"], "as_of": after["as_of"]},
                    "changes": changes,
                });
                writeln!(out, "{out_json}")?;
            } else {
                writeln!(out, "from  {}", moment(&before))?;
                writeln!(out, "to    {}", moment(&after))?;
                if changes.is_empty() {
                    writeln!(out, "nothing changed")?;
                }
                for change in changes {
                    writeln!(out, "{}", line(&change))?;
                }
            }
        }
    }
    out.flush()?;
    Ok(())
}

async fn look(
    authlog: &Authlog,
    operator: &Operator,
    user: UserId,
    at: Option<Moment>,
) -> anyhow::Result<AccountState> {
    match authlog
        .state_at(operator, user, at)
        .await
        .map_err(in_words)?
    {
        StateAt::Found(stood) => Ok(*stood),
        StateAt::NotYetRegistered => bail!("the account had not been registered then"),
        StateAt::LogEndsAt(last) => bail!("the log does not reach so far: it ends at {last}"),
        StateAt::InTheFuture => bail!("that instant has not come yet"),
    }
}

fn told(stood: &AccountState) -> Value {
    portrait(&stood.state, stood.told_at)
}

fn moment(portrait: &Value) -> String {
    let as_of = &portrait["as_of"];
    format!(
        "{} (event {} of the account, log index {}, recorded {})",
        short(&portrait["at"]),
        short(&as_of["events"]),
        short(&as_of["log_index"]),
        short(&as_of["recorded_at"]),
    )
}

fn in_text(portrait: &Value) -> String {
    let mut text = format!("as of           {}\n", moment(portrait));
    match portrait["account"].as_object() {
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
                "created_at",
                "updated_at",
            ] {
                let value = members.get(name).map(short).unwrap_or_default();
                text.push_str(&format!("{name:<15} {value}\n"));
            }
        }
    }
    let sessions = portrait["live_sessions"].as_array();
    let sessions = sessions.map(Vec::as_slice).unwrap_or_default();
    text.push_str(&format!("live sessions   {}\n", sessions.len()));
    for session in sessions {
        text.push_str(&format!(
            "  {} through {}, since {}, last used {}, until {}\n",
            short(&session["id"]),
            short(&session["contract"]),
            short(&session["started_at"]),
            short(&session["last_used_at"]),
            short(&session["expires_at"]),
        ));
    }
    text
}

fn line(change: &Change) -> String {
    let name = plain(&change.member);
    // A session that began or ended is one line, not one for each member.
    let standing = |session: &Value| match session {
        Value::Null => "not live".to_owned(),
        live => format!("live through {}", short(&live["contract"])),
    };
    let (before, after) = (&change.before, &change.after);
    if before.is_object() != after.is_object() && name.starts_with("sessions.") {
        return format!("{name}: {} → {}", standing(before), standing(after));
    }
    format!("{name}: {} → {}", short(before), short(after))
}

/// A value as a person reads it.
fn short(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => plain(text),
        other => plain(&other.to_string()),
    }
}
