//! `authlog history`: what happened to an account, as a timeline, as NDJSON or as CSV.

use std::io::Write;

use authlog_application::history::Entry;
use authlog_application::ports::HistoryFilter;
use authlog_domain::{Personal, UserId};
use serde_json::Value;

use super::shown::{csv_line, plain};
use super::{assemble, chain, for_reading, in_words};
use crate::cli::HistoryCommand;
use crate::settings::Settings;

/// Events that are read at a time.
const PAGE: u32 = 1000;

/// The columns of CSV: the members of an entry.
const COLUMNS: [&str; 13] = [
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
];

/// Prints the history of an account.
pub(crate) async fn history(command: HistoryCommand, settings: &Settings) -> anyhow::Result<()> {
    let authlog = assemble(settings).await?;
    let user = authlog
        .identify(&command.identifier)
        .await
        .map_err(in_words)?;
    let filter = HistoryFilter {
        since: command.since,
        until: command.until,
        event_types: command.types,
        session: command.session,
    };
    let mut out = for_reading();
    if command.csv {
        write!(out, "{}", csv_line(&COLUMNS.map(str::to_owned)))?;
    } else if !command.json {
        writeln!(out, "account {user}")?;
        writeln!(out, "{HEADING}")?;
    }
    let mut after = 0;
    loop {
        let page = authlog
            .history(user, after, PAGE, &filter)
            .await
            .map_err(chain)?;
        let next = page.last_index().filter(|_| page.more);
        for entry in page.events.into_iter().map(Entry::of) {
            if command.json {
                writeln!(out, "{}", serde_json::to_string(&entry)?)?;
            } else if command.csv {
                write!(out, "{}", csv_line(&fields(&entry)))?;
            } else {
                writeln!(out, "{}", line(&entry, user))?;
            }
        }
        match next {
            Some(next) => after = next,
            None => break,
        }
    }
    out.flush()?;
    Ok(())
}

const HEADING: &str =
    "WHEN                      LOG       THROUGH   FROM             WHO         WHAT";

fn line(entry: &Entry, user: UserId) -> String {
    let place = entry
        .log_index
        .map_or_else(|| "(soon)".to_owned(), |index| index.to_string());
    let actor = match entry.actor.as_deref() {
        Some(actor) if actor == format!("user:{user}") => "themselves",
        Some(actor) => actor,
        None => "-",
    };
    // A refused login is by whoever knew the name.
    let actor = if entry.event_type == "LoginRefused" {
        "somebody"
    } else {
        actor
    };
    let mut text = format!(
        "{}  {place:<8}  {:<8}  {:<15}  {:<10}  {}",
        entry.recorded_at,
        entry.contract.as_deref().unwrap_or("-"),
        plain(&shown(entry.ip.as_ref())),
        plain(actor),
        plain(&entry.what),
    );
    if let Some(session) = &entry.session {
        text.push_str(&format!("  [session {}]", plain(session)));
    }
    if let Some(agent) = &entry.user_agent {
        text.push_str(&format!("  [with {}]", plain(&shown(Some(agent)))));
    }
    text
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
