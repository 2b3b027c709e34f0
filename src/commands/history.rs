//! `authlog history`: prints the events of an account as a timeline, as NDJSON or as CSV.

use std::io::Write;

use authlog_application::history::Entry;
use authlog_application::ports::HistoryFilter;
use authlog_domain::{AuthenticationLevel, Personal, UserId};
use authlog_infrastructure::StoreAccess;
use serde_json::Value;

use super::table::Table;
use super::terminal::csv_line;
use super::{assemble, buffered_stdout, resolve_account};
use crate::cli::HistoryCommand;
use crate::settings::Settings;

/// Events that are read from the store at a time.
const PAGE: u32 = 1000;

/// The columns of CSV: the JSON fields of an [`Entry`].
const COLUMNS: [&str; 15] = [
    "log_index",
    "recorded_at",
    "at",
    "type",
    "what",
    "actor",
    "contract",
    "session",
    "ip",
    "user_agent",
    "request_id",
    "id",
    "data",
    "acr",
    "actor_session",
];

/// Prints the history of an account.
pub(crate) async fn history(command: HistoryCommand, settings: &Settings) -> anyhow::Result<()> {
    let (authlog, operator) = assemble(settings, StoreAccess::Read).await?;
    let user = resolve_account(&authlog, &operator, &command.account).await?;
    let filter = HistoryFilter {
        since: command.since,
        until: command.until,
        event_types: command.types,
        session: command.session,
        below: command.below,
    };
    let mut out = buffered_stdout();
    if command.csv {
        write!(out, "{}", csv_line(&COLUMNS.map(str::to_owned)))?;
    } else if !command.json {
        writeln!(out, "account {user}")?;
    }
    let mut table = Table::new(TIMELINE);
    let mut after = 0;
    loop {
        let page = authlog
            .history(&operator, user, after, PAGE, &filter)
            .await?;
        let next = page.next;
        let entries = page.events.into_iter().map(Entry::of);
        if command.json {
            for entry in entries {
                writeln!(out, "{}", serde_json::to_string(&entry)?)?;
            }
        } else if command.csv {
            for entry in entries {
                write!(out, "{}", csv_line(&fields(&entry)))?;
            }
        } else {
            let rows = entries
                .map(|entry| row(&entry, user, command.below.is_some()))
                .collect();
            write!(out, "{}", table.page(rows))?;
        }
        match next {
            Some(next) => after = next,
            None => break,
        }
    }
    out.flush()?;
    Ok(())
}

/// The columns of the timeline, and the width of each at least.
const TIMELINE: [(&str, usize); 6] = [
    ("WHEN", 24),
    ("LOG", 8),
    ("THROUGH", 8),
    ("FROM", 15),
    ("WHO", 10),
    ("WHAT", 0),
];

fn row(entry: &Entry, user: UserId, shows_level: bool) -> [String; 6] {
    let place = entry
        .log_index
        .map_or_else(|| "(soon)".to_owned(), |index| index.to_string());
    let actor = match entry.actor.as_deref() {
        Some(actor) if actor == format!("user:{user}") => "themselves",
        Some(actor) => actor,
        None => "-",
    };
    // A refused login proves nothing about the person who tried it.
    let actor = if entry.event_type == "LoginRefused" {
        "someone"
    } else {
        actor
    };
    let mut what = entry.what.clone();
    if shows_level {
        let level = entry.acr.map_or("unknown", AuthenticationLevel::short);
        what.push_str(&format!("  [level {level}]"));
    }
    if let Some(session) = &entry.session {
        what.push_str(&format!("  [session {session}]"));
    }
    if let Some(agent) = &entry.user_agent {
        what.push_str(&format!("  [with {}]", shown(Some(agent))));
    }
    [
        entry.recorded_at.to_string(),
        place,
        entry.contract.as_deref().unwrap_or("-").to_owned(),
        shown(entry.ip.as_ref()),
        actor.to_owned(),
        what,
    ]
}

fn shown(field: Option<&Personal<String>>) -> String {
    match field {
        Some(Personal::Known(text)) => text.clone(),
        Some(Personal::Erased) => "(erased)".to_owned(),
        None => "-".to_owned(),
    }
}

fn fields(entry: &Entry) -> Vec<String> {
    let json = serde_json::to_value(entry).unwrap_or_default();
    COLUMNS
        .iter()
        .map(|column| match &json[column] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other if *other == serde_json::json!({"erased": true}) => "(erased)".to_owned(),
            other => other.to_string(),
        })
        .collect()
}
