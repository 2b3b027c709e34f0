//! A consumer of the events: it keeps its own table of accounts and sessions in SQLite, built from the stream alone.
//!
//! ```sh
//! cargo run --example accounts_table -- --nats nats://127.0.0.1:4222 --db accounts.db
//! ```
//!
//! It can be killed at any moment. It records its progress (the table `inbox`) in the same transaction as the changes,
//! so every event takes effect once: after a restart it continues from its own record, not from the server's. Each
//! message has the event's log index, so a gap is noticed at once. The gap is filled from the HTTP feed (`--feed`,
//! `--token`); otherwise the program ends with an error. Messages that are not events are skipped.
//! `docs/consuming.md` explains why.

#![expect(clippy::doc_markdown, reason = "help is printed as it is written")]

use std::io::Write as _;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow, ensure};
use async_nats::jetstream::consumer::pull::Config;
use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy};
use async_nats::jetstream::stream::Stream;
use async_nats::jetstream::{self, Message};
use clap::Parser;
use futures_util::StreamExt as _;
use rusqlite::{Connection, Transaction, params};
use serde_json::Value;

/// The largest number of messages in one transaction. A commit costs the same for one message or many.
const BATCH: usize = 500;

/// The pause before the next attempt when a server does not answer.
const PAUSE: Duration = Duration::from_secs(1);

/// Keeps a table of accounts, built from Authlog's events
#[derive(Parser)]
struct Arguments {
    /// The NATS server
    #[arg(long, default_value = "nats://127.0.0.1:4222")]
    nats: String,
    /// The SQLite file
    #[arg(long, default_value = "accounts.db")]
    db: PathBuf,
    /// The name of the durable consumer; each table needs its own
    #[arg(long, default_value = "accounts-table")]
    consumer: String,
    /// Authlog itself, such as http://127.0.0.1:8080, to fill gaps from its feed
    #[arg(long, requires = "token")]
    feed: Option<String>,
    /// An access token of an account of the role service
    #[arg(long, env = "AUTHLOG_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut table = loop {
        match Table::open(&arguments.db) {
            Ok(table) => break table,
            Err(error) if is_busy(&error) => say("waiting for the process that has the table open"),
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(PAUSE).await;
    };
    say(&format!("going on after event {}", table.inbox.log_index));
    loop {
        match follow(&arguments, &mut table).await {
            Trouble::Away(error) => say(&format!("trying again in a moment: {error:#}")),
            Trouble::Fatal(error) => return Err(error),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether another process has locked the SQLite file. After a crash the first process that opens the file recovers it
/// under an exclusive lock.
fn is_busy(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy)
}

/// The reason why reading the stream ended.
enum Trouble {
    /// A server does not answer. It may return in a moment.
    Away(anyhow::Error),
    /// Continuing would make the table wrong. The operator has to decide.
    Fatal(anyhow::Error),
}

/// Errors of connections are temporary.
impl<E: Into<anyhow::Error>> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self::Away(error.into())
    }
}

/// Applies events as they arrive, until an error occurs.
async fn follow(arguments: &Arguments, table: &mut Table) -> Trouble {
    match try_to_follow(arguments, table).await {
        Ok(()) => Trouble::Away(anyhow!("the server has ended the subscription")),
        Err(trouble) => trouble,
    }
}

async fn try_to_follow(arguments: &Arguments, table: &mut Table) -> Result<(), Trouble> {
    let client = async_nats::connect(&arguments.nats).await?;
    let stream = jetstream::new(client).get_stream("AUTH_EVENTS").await?;
    let foreign = foreign(&stream);
    check_history(&stream, &foreign, table).await?;
    let consumer = consumer(&stream, &arguments.consumer, table.inbox.log_index).await?;
    let messages = consumer
        .stream()
        .max_messages_per_batch(BATCH)
        .messages()
        .await?;
    // Take all that have arrived, without waiting for more.
    let mut batches = messages.ready_chunks(BATCH);
    while let Some(batch) = batches.next().await {
        let batch = batch.into_iter().collect::<Result<Vec<_>, _>>()?;
        let mut events = Vec::new();
        for message in &batch {
            let info = message.info().map_err(|error| anyhow!(error))?;
            let sequence = info.stream_sequence;
            let event = Event::of_message(message);
            let Some(event) = event.filter(|_| !is_in(&foreign, sequence)) else {
                continue;
            };
            let applied = events.last();
            let applied = applied.map_or(
                (table.inbox.log_index, &table.inbox.event_id),
                |last: &Event| (last.log_index, &last.id),
            );
            if event.log_index == applied.0 && event.id != *applied.1 {
                return Err(disagreement(applied.0, applied.1, &event.id));
            }
            let expected = match events.last() {
                Some(Event { log_index, .. }) => log_index + 1,
                None => table.inbox.log_index + 1,
            };
            if event.log_index < expected {
                continue;
            }
            if event.log_index > expected {
                // The events before the gap are good, even if the gap cannot be filled.
                table.apply(&events).map_err(Trouble::Fatal)?;
                events = fetch(arguments, expected, event.log_index - 1).await?;
            }
            events.push(event);
        }
        table.apply(&events).map_err(Trouble::Fatal)?;
        // Acknowledge only after the commit. This acknowledges all earlier messages, too. If the acknowledgement is
        // lost, they are delivered again and skipped.
        if let Some(last) = batch.last() {
            last.ack().await.map_err(|error| anyhow!(error))?;
        }
    }
    Ok(())
}

/// The sequences of foreign messages that are not events, from the stream's description: "Not events: 21, 30-32."
fn foreign(stream: &Stream) -> Vec<RangeInclusive<u64>> {
    let description = stream.cached_info().config.description.as_deref();
    let list = description.and_then(|text| Some(text.split_once("Not events: ")?.1));
    let list = list.and_then(|list| list.split('.').next());
    let items = list.unwrap_or_default().split(", ");
    let ranges = items.filter_map(|item| {
        let (first, last) = item.split_once('-').unwrap_or((item, item));
        Some(first.parse().ok()?..=last.parse().ok()?)
    });
    ranges.collect()
}

fn is_in(ranges: &[RangeInclusive<u64>], sequence: u64) -> bool {
    ranges.iter().any(|range| range.contains(&sequence))
}

/// The table and the stream have different events at the same log index.
fn disagreement(log_index: u64, in_table: &str, on_stream: &str) -> Trouble {
    Trouble::Fatal(anyhow!(
        "event {log_index} is {in_table} in the table and {on_stream} on the stream: the table was made of another log or of a forged message, or the service was restored from a backup; delete the table to have it made again"
    ))
}

/// Checks that the stream is a copy of the log from which the table was built.
async fn check_history(
    stream: &Stream,
    foreign: &[RangeInclusive<u64>],
    table: &Table,
) -> Result<(), Trouble> {
    let Inbox {
        log_index,
        event_id,
    } = &table.inbox;
    let state = &stream.cached_info().state;
    if *log_index == 0 || *log_index < state.first_sequence {
        return Ok(());
    }
    // The sequence of an event is its log index plus the number of foreign messages before it.
    let mut sequence = *log_index;
    while sequence <= state.last_sequence {
        if is_in(foreign, sequence) {
            sequence += 1;
            continue;
        }
        let message = stream.get_raw_message(sequence).await?;
        let header = |name: &str| message.headers.get(name).map(|value| value.as_str());
        let found: Option<u64> = header("ce-logindex").and_then(|index| index.parse().ok());
        match (found, header("ce-id")) {
            (Some(found), Some(id)) if found == *log_index => {
                if id == event_id {
                    return Ok(());
                }
                return Err(disagreement(*log_index, event_id, id));
            }
            // The stream has another message at this position.
            (Some(found), Some(_)) if found > *log_index => return Ok(()),
            (Some(found), Some(_)) => sequence += log_index - found,
            _ => sequence += 1,
        }
    }
    // The stream was deleted and is being filled again, or it belongs to a shorter log.
    let end = state.last_sequence;
    Err(Trouble::Away(anyhow!(
        "the stream ends at {end} without event {log_index}, which was applied already"
    )))
}

/// The durable consumer, positioned right after the last applied event. If the server has another position (a lost
/// acknowledgement, messages that wait for redelivery, a table restored from a backup), the consumer is created again,
/// because the table's own position is the right one.
async fn consumer(stream: &Stream, name: &str, applied: u64) -> Result<Consumer<Config>, Trouble> {
    if let Ok(known) = stream.get_consumer::<Config>(name).await {
        let info = known.cached_info();
        if info.ack_floor.stream_sequence == applied && info.num_ack_pending == 0 {
            return Ok(known);
        }
        stream.delete_consumer(name).await?;
    }
    let config = Config {
        durable_name: Some(name.to_owned()),
        deliver_policy: DeliverPolicy::ByStartSequence {
            start_sequence: applied + 1,
        },
        ack_policy: AckPolicy::All,
        ..Config::default()
    };
    Ok(stream.create_consumer(config).await?)
}

/// The events `first` to `last` from the HTTP feed, to replace lost messages of the stream.
async fn fetch(arguments: &Arguments, first: u64, last: u64) -> Result<Vec<Event>, Trouble> {
    let Some((feed, token)) = arguments.feed.as_ref().zip(arguments.token.as_ref()) else {
        return Err(Trouble::Fatal(anyhow!(
            "the stream has lost the events {first} to {last}; name the service with --feed and --token to have them fetched from there"
        )));
    };
    let count = last - first + 1;
    say(&format!("fetching the events {first} to {last}"));
    let feed = feed.trim_end_matches('/');
    let url = format!("{feed}/audit/events?after={}&limit={count}", first - 1);
    let answer = reqwest::Client::new()
        .get(url)
        .bearer_auth(token)
        .send()
        .await?;
    let status = answer.status();
    let body = answer.text().await?;
    if status.is_client_error() {
        return Err(Trouble::Fatal(anyhow!(
            "the feed answered {status}: {body}"
        )));
    }
    if !status.is_success() {
        return Err(Trouble::Away(anyhow!("the feed answered {status}")));
    }
    let events: Vec<Event> = body
        .lines()
        .map(Event::of_line)
        .collect::<anyhow::Result<_>>()?;
    if events.iter().map(|event| event.log_index).ne(first..=last) {
        return Err(Trouble::Away(anyhow!("the feed did not have all of them")));
    }
    Ok(events)
}

/// An event, from the stream or the feed.
struct Event {
    log_index: u64,
    id: String,
    kind: String,
    account: String,
    time: String,
    data: Value,
}

impl Event {
    /// Parses a message, whose headers are the attributes. `None` if it is not an event, because another client
    /// published it.
    fn of_message(message: &Message) -> Option<Self> {
        let headers = message.headers.as_ref()?;
        let header = |name: &str| headers.get(name).map(|value| value.as_str().to_owned());
        let event = Self {
            log_index: header("ce-logindex")?.parse().ok()?,
            id: header("ce-id")?,
            kind: header("ce-type")?,
            account: header("ce-subject")?,
            time: header("ce-time")?,
            data: serde_json::from_slice(&message.payload).ok()?,
        };
        Some(event)
    }

    /// Parses a line of the feed, which is one JSON object.
    fn of_line(line: &str) -> anyhow::Result<Self> {
        let event: Value = serde_json::from_str(line)?;
        let text = |name: &str| -> anyhow::Result<String> {
            let value = event[name].as_str().with_context(|| format!("no {name}"))?;
            Ok(value.to_owned())
        };
        Ok(Self {
            log_index: text("logindex")?.parse()?,
            id: text("id")?,
            kind: text("type")?,
            account: text("subject")?,
            time: text("time")?,
            data: event["data"].clone(),
        })
    }

    fn text(&self, member: &str) -> anyhow::Result<&str> {
        let value = self.data[member].as_str();
        value.with_context(|| format!("no {member} in event {}", self.log_index))
    }

    fn number(&self, member: &str) -> anyhow::Result<i64> {
        let value = self.data[member].as_i64();
        value.with_context(|| format!("no {member} in event {}", self.log_index))
    }
}

/// The last event that was applied.
struct Inbox {
    log_index: u64,
    event_id: String,
}

/// The table of accounts, with its progress.
struct Table {
    connection: Connection,
    inbox: Inbox,
}

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS inbox (
        only_one  INTEGER PRIMARY KEY CHECK (only_one = 1),
        log_index INTEGER NOT NULL,
        event_id  TEXT    NOT NULL
    ) STRICT;
    INSERT OR IGNORE INTO inbox VALUES (1, 0, '');
    CREATE TABLE IF NOT EXISTS accounts (
        id             TEXT    NOT NULL PRIMARY KEY,
        number         INTEGER NOT NULL UNIQUE,
        role           TEXT    NOT NULL,
        registered_at  TEXT    NOT NULL,
        session_epoch  INTEGER NOT NULL DEFAULT 0,
        last_login     TEXT,
        logins         INTEGER NOT NULL DEFAULT 0,
        logins_refused INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE TABLE IF NOT EXISTS sessions (
        id         TEXT    NOT NULL PRIMARY KEY,
        account    TEXT    NOT NULL,
        epoch      INTEGER NOT NULL,
        started_at TEXT    NOT NULL,
        expires_at TEXT    NOT NULL,
        -- The session in which the person let an application in. The session of the application ends with it.
        parent     TEXT,
        ended_at   TEXT
    ) STRICT;
    CREATE VIEW IF NOT EXISTS overview AS
        SELECT number, role, last_login, logins, logins_refused,
               (SELECT count(*)
                  FROM sessions s
                 WHERE s.account = a.id AND s.ended_at IS NULL AND s.epoch = a.session_epoch
                   AND unixepoch(s.expires_at) > unixepoch()
                   AND NOT EXISTS (SELECT 1 FROM sessions p
                                    WHERE p.id = s.parent AND p.ended_at IS NOT NULL)) AS sessions_live
          FROM accounts a
         ORDER BY number;";

impl Table {
    fn open(path: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.execute_batch(SCHEMA)?;
        let inbox = connection.query_row("SELECT log_index, event_id FROM inbox", [], |row| {
            Ok(Inbox {
                log_index: row.get::<_, i64>(0)?.unsigned_abs(),
                event_id: row.get(1)?,
            })
        })?;
        Ok(Self { connection, inbox })
    }

    /// Applies the next events and records the progress in the inbox, in one transaction.
    fn apply(&mut self, events: &[Event]) -> anyhow::Result<()> {
        let Some(last) = events.last() else {
            return Ok(());
        };
        let inbox = Inbox {
            log_index: last.log_index,
            event_id: last.id.clone(),
        };
        let transaction = self.connection.transaction()?;
        // Another process with the same table may have applied more.
        let moved = transaction.execute(
            "UPDATE inbox SET log_index = ?1, event_id = ?2 WHERE log_index = ?3",
            params![
                i64::try_from(inbox.log_index)?,
                inbox.event_id,
                i64::try_from(self.inbox.log_index)?
            ],
        )?;
        ensure!(moved == 1, "another process keeps this table");
        for event in events {
            apply(&transaction, event)?;
        }
        transaction.commit()?;
        self.inbox = inbox;
        Ok(())
    }
}

/// Applies an event to the tables. Unknown types, which are newer than this program, are skipped.
fn apply(tables: &Transaction<'_>, event: &Event) -> anyhow::Result<()> {
    let Event { account, time, .. } = event;
    match event.kind.as_str() {
        "dev.authlog.user.registered.v1" => execute(
            tables,
            "INSERT INTO accounts (id, number, role, registered_at) VALUES (?, ?, ?, ?)",
            params![account, event.number("number")?, event.text("role")?, time],
        ),
        "dev.authlog.user.role-changed.v1" => {
            execute(
                tables,
                "UPDATE accounts SET role = ? WHERE id = ?",
                params![event.text("role")?, account],
            )?;
            // Older versions of the service changed roles without ending sessions.
            match event.number("session_epoch") {
                Ok(_) => raise_epoch(tables, event),
                Err(_) => Ok(()),
            }
        }
        "dev.authlog.user.password-reset.v1"
        | "dev.authlog.user.password-changed.v1"
        | "dev.authlog.user.sessions-revoked.v1"
        | "dev.authlog.user.locked.v1" => raise_epoch(tables, event),
        "dev.authlog.user.erased.v1" => {
            tables.execute("DELETE FROM sessions WHERE account = ?", params![account])?;
            execute(
                tables,
                "DELETE FROM accounts WHERE id = ?",
                params![account],
            )
        }
        "dev.authlog.session.logged-in.v1" => {
            execute(
                tables,
                "INSERT INTO sessions (id, account, epoch, started_at, expires_at, parent) VALUES (?, ?, ?, ?, ?, ?)",
                params![
                    event.text("session_id")?,
                    account,
                    event.number("session_epoch")?,
                    time,
                    event.text("expires_at")?,
                    // Only sessions of applications have a parent.
                    event.data["parent_session_id"].as_str()
                ],
            )?;
            execute(
                tables,
                "UPDATE accounts SET logins = logins + 1, last_login = ? WHERE id = ?",
                params![time, account],
            )
        }
        "dev.authlog.session.token-refreshed.v1" => execute(
            tables,
            "UPDATE sessions SET expires_at = ? WHERE id = ?",
            params![event.text("expires_at")?, event.text("session_id")?],
        ),
        "dev.authlog.session.logged-out.v1"
        | "dev.authlog.session.revoked.v1"
        | "dev.authlog.session.refresh-token-reused.v1"
        | "dev.authlog.session.authorization-code-reused.v1" => execute(
            tables,
            "UPDATE sessions SET ended_at = ? WHERE id = ?",
            params![time, event.text("session_id")?],
        ),
        "dev.authlog.refused-logins.login-refused.v1" => execute(
            tables,
            "UPDATE accounts SET logins_refused = logins_refused + 1 WHERE id = ?",
            params![account],
        ),
        _ => Ok(()),
    }
}

/// Ends the sessions of earlier epochs, except the one that the event keeps, which gets the account's new epoch.
fn raise_epoch(tables: &Transaction<'_>, event: &Event) -> anyhow::Result<()> {
    let epoch = event.number("session_epoch")?;
    if let Ok(kept) = event.text("kept_session_id") {
        execute(
            tables,
            "UPDATE sessions SET epoch = ? WHERE id = ?",
            params![epoch, kept],
        )?;
    }
    execute(
        tables,
        "UPDATE accounts SET session_epoch = ? WHERE id = ?",
        params![epoch, event.account],
    )
}

/// Executes a change of one row. A missing row means that an event was missed.
fn execute(
    tables: &Transaction<'_>,
    sql: &str,
    values: impl rusqlite::Params,
) -> anyhow::Result<()> {
    let changed = tables.prepare_cached(sql)?.execute(values)?;
    ensure!(changed == 1, "{sql} changed {changed} rows");
    Ok(())
}

/// Prints a status line.
fn say(words: &str) {
    // The output may be closed.
    let _ = writeln!(std::io::stdout().lock(), "{words}");
}
