//! `authlog nats`: repairs the stream of events.

use std::io::Write;

use anyhow::Context;
use authlog_infrastructure::StoreAccess;
use authlog_infrastructure::nats::{Repaired, STREAM, repair_stream};

use super::{buffered_stdout, open};
use crate::cli::{NatsCommand, RepairStream};
use crate::composition;
use crate::settings::Settings;

/// Excluded messages that are printed one by one; further ones are only counted.
const MOST_LINES: usize = 20;

/// Runs a command about the stream.
pub(crate) async fn nats(command: NatsCommand, settings: &Settings) -> anyhow::Result<()> {
    match command {
        NatsCommand::Repair(command) => repair(&command, settings).await,
    }
}

async fn repair(command: &RepairStream, settings: &Settings) -> anyhow::Result<()> {
    let nats = settings.nats.as_ref();
    let nats = nats.context("AUTHLOG_NATS_URL is not set: there is no stream to repair")?;
    let store = open(settings, StoreAccess::Read).await?;
    let source = composition::event_source(settings);
    let repaired = repair_stream(&nats.access, &*store, &source, command.forged).await?;
    let mut out = buffered_stdout();
    write!(out, "{}", in_text(&repaired))?;
    out.flush()?;
    Ok(())
}

fn in_text(repaired: &Repaired) -> String {
    let Repaired {
        messages,
        excluded,
        added,
        list,
    } = repaired;
    let mut text = format!("compared {messages} messages of {STREAM} with the log\n");
    for (sequence, what) in excluded.iter().take(MOST_LINES) {
        text.push_str(&format!("message {sequence} is excluded: {what}\n"));
    }
    if let Some(more) = excluded.len().checked_sub(MOST_LINES).filter(|it| *it > 0) {
        text.push_str(&format!("and {more} more\n"));
    }
    for index in added {
        text.push_str(&format!(
            "event {index} was added at the end of the stream, because another message is in its place\n"
        ));
    }
    text.push_str(&match (excluded.is_empty(), list.is_empty()) {
        (true, true) => "nothing has to be repaired\n".to_owned(),
        (true, false) => format!("nothing has to be repaired; excluded before: {list}\n"),
        (false, _) => format!(
            "the description of {STREAM} now lists the messages that are not events: {list}. Publishing continues by itself\n"
        ),
    });
    text
}
