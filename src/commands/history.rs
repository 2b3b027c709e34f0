//! `authlog history`: prints the events of an account or a client as a timeline, as NDJSON or as CSV.

use std::io::Write;

use authlog_application::history::Entry;
use authlog_application::ports::{HistoryFilter, PastEvent};
use authlog_application::{Authlog, Operator};
use authlog_domain::{AuthenticationLevel, ClientId, Personal, UserId};
use authlog_infrastructure::StoreAccess;
use serde_json::Value;

use super::table::Table;
use super::terminal::csv_line;
use super::{assemble, buffered_stdout, refusal_error, resolve_account};
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

/// Prints the history of an account or a client.
pub(crate) async fn history(command: HistoryCommand, settings: &Settings) -> anyhow::Result<()> {
    let (authlog, operator) = assemble(settings, StoreAccess::Read).await?;
    let subject = match (&command.client, &command.account) {
        (Some(client), _) => Subject::Client(client.clone()),
        (None, account) => {
            let name = account.as_deref().unwrap_or_default();
            Subject::Account(resolve_account(&authlog, &operator, name).await?)
        }
    };
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
        writeln!(out, "{subject}")?;
    }
    let mut table = Table::new(TIMELINE);
    let mut after = 0;
    loop {
        let (events, next) = subject.page(&authlog, &operator, after, &filter).await?;
        let entries = events.into_iter().map(Entry::of);
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
                .map(|entry| row(&entry, &subject, command.below.is_some()))
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

/// What has a history.
enum Subject {
    Account(UserId),
    Client(ClientId),
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Account(user) => write!(f, "account {user}"),
            Self::Client(client) => write!(f, "client {client}"),
        }
    }
}

impl Subject {
    /// The next events, and after what the page after them begins.
    async fn page(
        &self,
        authlog: &Authlog,
        operator: &Operator,
        after: u64,
        filter: &HistoryFilter,
    ) -> anyhow::Result<(Vec<PastEvent>, Option<u64>)> {
        Ok(match self {
            Self::Account(user) => {
                let page = authlog.history(operator, *user, after, PAGE, filter);
                let page = page.await.map_err(refusal_error)?;
                (page.events, page.next)
            }
            Self::Client(client) => {
                let page = authlog.client_history(operator, client, after, PAGE, filter);
                let page = page.await.map_err(refusal_error)?;
                (page.events, page.next)
            }
        })
    }

    /// Whether this is the account that the actor of an event names.
    fn is_actor(&self, actor: &str) -> bool {
        matches!(self, Self::Account(user) if actor == format!("user:{user}"))
    }
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

fn row(entry: &Entry, subject: &Subject, shows_level: bool) -> [String; 6] {
    let place = entry
        .log_index
        .map_or_else(|| "(soon)".to_owned(), |index| index.to_string());
    let actor = match entry.actor.as_deref() {
        Some(actor) if subject.is_actor(actor) => "themselves",
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
