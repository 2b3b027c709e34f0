//! The log, or the events of one account, as lines of JSON with their proofs against one checkpoint.

use std::collections::HashMap;
use std::io::{BufRead, Write};

use authlog_application::RequestContext;
use authlog_application::ports::{
    History, HistoryFilter, PastEvent, ProofError, StoreError, TransparencyLog,
};
use authlog_domain::{AggregateKind, UserId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::checkpoint::{Checkpoint, CheckpointError};
use super::evidence::{ProvenEvent, Unproven};
use super::log::ProvenLog;
use super::note::VerifierKey;
use super::store::{LogRecords, Record};
use super::tree::GrowingTree;

/// What the first line of an export says it is.
const FORMAT: &str = "authlog-export/v1";

/// Events that are read at a time.
const PAGE: u32 = 1000;

/// The first line. Each further one is an event: in an export of the whole log the events make up its root, in one of an
/// account each has a proof of its own.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: String,
    user: Option<String>,
    events: u64,
    checkpoint: String,
}

/// A further line.
#[derive(Serialize, Deserialize)]
struct Line {
    #[serde(flatten)]
    event: ProvenEvent,
    /// What the event holds sealed, in the clear, for whoever asks what is known about them. The proof is of the sealed
    /// event; that this is what was sealed is the word of whoever made the export.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    personal: Option<Map<String, Value>>,
}

/// What to export.
#[derive(Clone, Copy)]
pub enum Extent<'a> {
    /// The whole log.
    Log,
    /// What happened to one account.
    Account {
        /// The account.
        user: UserId,
        /// Who opens its personal fields, if they are to be readable.
        opened_by: Option<&'a dyn History>,
    },
}

impl Extent<'_> {
    fn user(self) -> Option<UserId> {
        match self {
            Self::Log => None,
            Self::Account { user, .. } => Some(user),
        }
    }
}

/// Why there is no export.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The log is empty, or nothing was signed yet.
    #[error("there is no checkpoint yet against which anything could be proved")]
    NoCheckpoint,
    /// The checkpoint is not ours.
    #[error("the newest checkpoint is forged")]
    Forged(#[source] CheckpointError),
    /// The log changed, or was changed.
    #[error("the log has other events than its checkpoint; run `authlog log verify`")]
    Changed,
    /// The store does not answer.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// It cannot be written.
    #[error("the export cannot be written")]
    Write(#[source] std::io::Error),
}

impl From<StoreError> for ExportError {
    fn from(error: StoreError) -> Self {
        Self::Proof(error.into())
    }
}

/// What an export that holds has in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// Whose events; `None` for the whole log.
    pub user: Option<String>,
    /// How many.
    pub events: u64,
    /// The checkpoint that vouches for them.
    pub checkpoint: Checkpoint,
}

/// Writes the log as far as its newest checkpoint reaches, or what of it happened to one account.
///
/// # Errors
/// Nothing can be proved yet, the store does not answer, or it cannot be written.
pub async fn export(
    extent: Extent<'_>,
    records: &(impl LogRecords + ?Sized),
    log: &ProvenLog,
    out: &mut (impl Write + Send),
    mut progress: impl FnMut(u64, u64),
) -> Result<Exported, ExportError> {
    let note = log.latest_checkpoint().await?;
    let note = note.ok_or(ExportError::NoCheckpoint)?;
    let checkpoint = Checkpoint::open(&note, log.verifier()).map_err(ExportError::Forged)?;
    let size = checkpoint.tree_size;
    let user = extent.user();
    let events = match user {
        None => size,
        Some(_) => count(user, size, records).await?,
    };
    let header = Header {
        format: FORMAT.to_owned(),
        user: user.map(|user| user.to_string()),
        events,
        checkpoint: note,
    };
    write_line(out, &header)?;
    let (mut after, mut written) = (0, 0);
    'pages: loop {
        let page = records.records(after, PAGE, user).await?;
        let mut personal = personal_fields(extent, after).await?;
        for record in &page {
            after = record.log_index;
            if after > size {
                break 'pages;
            }
            let proof = match user {
                None => None,
                Some(_) => Some(log.prove_inclusion(after, Some(size)).await?),
            };
            let line = Line {
                event: ProvenEvent::new(record, proof.as_ref()),
                personal: personal.remove(&after),
            };
            write_line(out, &line)?;
            written += 1;
        }
        progress(written, events);
        if page.len() < PAGE as usize {
            break;
        }
    }
    out.flush().map_err(ExportError::Write)?;
    if written != events {
        return Err(ExportError::Changed);
    }
    Ok(Exported {
        user: header.user,
        events,
        checkpoint,
    })
}

/// How many of an account's events the log of `size` events has.
async fn count(
    user: Option<UserId>,
    size: u64,
    records: &(impl LogRecords + ?Sized),
) -> Result<u64, StoreError> {
    let (mut after, mut count) = (0, 0);
    loop {
        let page = records.records(after, PAGE, user).await?;
        count += page.iter().filter(|it| it.log_index <= size).count() as u64;
        match page.last() {
            Some(last) if page.len() == PAGE as usize => after = last.log_index,
            _ => return Ok(count),
        }
    }
}

/// The personal fields of the events after a place, by place, where the export is to show them.
async fn personal_fields(
    extent: Extent<'_>,
    after: u64,
) -> Result<HashMap<u64, Map<String, Value>>, StoreError> {
    let Extent::Account {
        user,
        opened_by: Some(history),
    } = extent
    else {
        return Ok(HashMap::new());
    };
    let everything = HistoryFilter::default();
    let page = history.history(user, after, PAGE, &everything).await?;
    let events = page.events.iter();
    Ok(events
        .filter_map(|past| Some((past.log_index?, opened(past))))
        .collect())
}

/// An event's personal fields by name.
fn opened(past: &PastEvent) -> Map<String, Value> {
    let event = &past.event;
    let declared = AggregateKind::from_stored(&event.aggregate_type)
        .map(|kind| kind.personal_fields(&event.event_type))
        .unwrap_or_default();
    let of_payload = declared.iter().map(|pointer| {
        let name = pointer.rsplit('/').next().unwrap_or(pointer);
        (name, event.payload.pointer(pointer))
    });
    let of_metadata = RequestContext::PERSONAL_METADATA
        .iter()
        .map(|name| (*name, event.metadata.get(name)));
    of_payload
        .chain(of_metadata)
        .filter_map(|(name, value)| Some((name.to_owned(), value?.clone())))
        .filter(|(_, value)| !value.is_null())
        .collect()
}

fn write_line(out: &mut impl Write, value: &impl Serialize) -> Result<(), ExportError> {
    let text = serde_json::to_string(value).unwrap_or_default();
    writeln!(out, "{text}").map_err(ExportError::Write)
}

/// Whether a file that begins with this line is an export.
pub fn is_export(first_line: &str) -> bool {
    serde_json::from_str::<Header>(first_line).is_ok()
}

/// Checks an export, without any store and however long it is.
///
/// # Errors
/// Why it proves nothing.
pub fn check_export(lines: impl BufRead, key: &VerifierKey) -> Result<Exported, Unproven> {
    let mut lines = lines.lines().map(|line| {
        line.map_err(|error| Unproven::Malformed(format!("the export cannot be read: {error}")))
    });
    let missing = || Unproven::Malformed("the export is empty".to_owned());
    let header: Header = read_line(&lines.next().ok_or_else(missing)??)?;
    if header.format != FORMAT {
        let format = header.format;
        return Err(Unproven::Malformed(format!(
            "this is {format:?}, and only {FORMAT:?} can be checked"
        )));
    }
    let checkpoint = Checkpoint::open(&header.checkpoint, key)?;
    let mut check = Check {
        user: header.user.clone(),
        checkpoint,
        tree: GrowingTree::default(),
        streams: HashMap::new(),
        last: 0,
        count: 0,
    };
    for line in lines {
        let line: Line = read_line(&line?)?;
        check.event(&line.event)?;
    }
    check.end(header.events)
}

/// Reads a line, which has to be as it was written to the last byte.
fn read_line<T: Serialize + DeserializeOwned>(line: &str) -> Result<T, Unproven> {
    let value: T = serde_json::from_str(line).map_err(|error| {
        Unproven::Malformed(format!("this is not a line of an export: {error}"))
    })?;
    if serde_json::to_string(&value).is_ok_and(|written| written == line) {
        return Ok(value);
    }
    Err(Unproven::Malformed(
        "a line is not as it was written: every byte has to be the same".to_owned(),
    ))
}

/// Going through an export.
struct Check {
    user: Option<String>,
    checkpoint: Checkpoint,
    tree: GrowingTree,
    /// The last sequence of each of the account's streams.
    streams: HashMap<(String, String), i64>,
    last: u64,
    count: u64,
}

impl Check {
    fn event(&mut self, event: &ProvenEvent) -> Result<(), Unproven> {
        self.count += 1;
        if event.log_index <= self.last {
            return Err(Unproven::Incomplete(format!(
                "event {} comes after {}",
                event.log_index, self.last
            )));
        }
        self.last = event.log_index;
        match self.user.clone() {
            None => self.event_of_the_log(event),
            Some(user) => self.event_of_an_account(event, &user),
        }
    }

    fn event_of_the_log(&mut self, event: &ProvenEvent) -> Result<(), Unproven> {
        let expected = self.tree.size() + 1;
        if event.log_index != expected {
            return Err(Unproven::Incomplete(format!("event {expected} is missing")));
        }
        self.tree.push(event.record()?.leaf, |_, _| {});
        Ok(())
    }

    /// Each of an account's streams has to be there from its beginning without a gap: so nothing can be left out but
    /// from the end of a stream.
    fn event_of_an_account(&mut self, event: &ProvenEvent, user: &str) -> Result<(), Unproven> {
        let record = event.check(&self.checkpoint)?;
        if owner(&record).as_deref() != Some(user) {
            return Err(Unproven::Incomplete(format!(
                "event {} is not of the account {user}",
                record.log_index
            )));
        }
        let name = record.name;
        let stream = (name.aggregate_type.clone(), name.aggregate_id.clone());
        let before = self.streams.insert(stream, name.sequence).unwrap_or(0);
        if name.sequence == before + 1 {
            return Ok(());
        }
        Err(Unproven::Incomplete(format!(
            "the event {}/{}/{} is missing",
            name.aggregate_type,
            name.aggregate_id,
            before + 1
        )))
    }

    fn end(self, expected: u64) -> Result<Exported, Unproven> {
        if self.count != expected {
            return Err(Unproven::Incomplete(format!(
                "there are {} events, and there should be {expected}",
                self.count
            )));
        }
        let Checkpoint {
            tree_size, root, ..
        } = self.checkpoint;
        if self.user.is_none() && (self.tree.size() != tree_size || self.tree.root() != root) {
            return Err(Unproven::Incomplete(format!(
                "these events do not have the root that the checkpoint of size {tree_size} vouches for"
            )));
        }
        Ok(Exported {
            user: self.user,
            events: self.count,
            checkpoint: self.checkpoint,
        })
    }
}

/// The account to which an event happened, by its metadata.
fn owner(record: &Record) -> Option<String> {
    let metadata: Value = serde_json::from_str(&record.metadata).ok()?;
    Some(metadata.get("user_id")?.as_str()?.to_owned())
}
