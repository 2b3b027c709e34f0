//! Exports: the log, or the events of one account, as lines of JSON with proofs against one checkpoint.

use std::collections::HashMap;
use std::io::BufRead;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::checkpoint::Checkpoint;
use crate::evidence::{InvalidEvidence, ProvenEvent};
use crate::note::VerifierKey;
use crate::record::Record;
use crate::tree::{GrowingTree, Hash};

/// The value of the member `format` in the first line.
const FORMAT: &str = "authlog-export/v1";

/// The first line. Every further line is an event. In an export of the whole log, the root is computed from all events; in
/// an export of one account, each event has an audit path of its own.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: String,
    user: Option<String>,
    events: u64,
    checkpoint: String,
}

/// A line after the first.
#[derive(Serialize, Deserialize)]
struct Line {
    #[serde(flatten)]
    event: ProvenEvent,
    /// The sealed personal fields of the event in clear text, for the person whom they concern. The proof covers only the
    /// sealed fields. It does not show that they decrypt to these values: the exporting service says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    personal: Option<Map<String, Value>>,
}

/// What an export contains, once it was checked or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// The account whose events they are; `None` for the whole log.
    pub user: Option<String>,
    /// The number of events.
    pub events: u64,
    /// The checkpoint that covers them.
    pub checkpoint: Checkpoint,
}

/// The first line of an export, without a line feed: whose events follow (`None` for the whole log), how many, and the
/// note of the checkpoint that covers them.
pub fn header_line(user: Option<String>, events: u64, checkpoint: String) -> String {
    json(&Header {
        format: FORMAT.to_owned(),
        user,
        events,
        checkpoint,
    })
}

/// The line of one event, without a line feed. An export of the whole log has no audit paths.
pub fn event_line(
    record: Record,
    path: Option<&[Hash]>,
    personal: Option<Map<String, Value>>,
) -> String {
    json(&Line {
        event: ProvenEvent::new(record, path),
        personal,
    })
}

fn json(line: &impl Serialize) -> String {
    // Values of strings and numbers can always be serialized.
    serde_json::to_string(line).unwrap_or_default()
}

/// Whether a file with this first line is an export.
pub fn is_export(first_line: &str) -> bool {
    serde_json::from_str::<Header>(first_line).is_ok()
}

/// Checks an export of any length, one line at a time. The person who checks it has to trust nothing but the key.
///
/// # Errors
/// A line is not as it was written, the checkpoint is not signed with `key`, or events are missing, changed, or do not
/// belong to the export.
pub fn check_export(lines: impl BufRead, key: &VerifierKey) -> Result<Exported, InvalidEvidence> {
    let mut lines = lines.lines().map(|line| {
        line.map_err(|error| {
            InvalidEvidence::Malformed(format!("the export cannot be read: {error}"))
        })
    });
    let missing = || InvalidEvidence::Malformed("the export is empty".to_owned());
    let header: Header = read_line(&lines.next().ok_or_else(missing)??)?;
    if header.format != FORMAT {
        let format = header.format;
        return Err(InvalidEvidence::Malformed(format!(
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

/// Parses a line, which has to be exactly as it was written.
fn read_line<T: Serialize + DeserializeOwned>(line: &str) -> Result<T, InvalidEvidence> {
    let value: T = serde_json::from_str(line).map_err(|error| {
        InvalidEvidence::Malformed(format!("this is not a line of an export: {error}"))
    })?;
    if serde_json::to_string(&value).is_ok_and(|written| written == line) {
        return Ok(value);
    }
    Err(InvalidEvidence::Malformed(
        "a line is not as it was written: every byte has to be the same".to_owned(),
    ))
}

/// The state of a check between two lines.
struct Check {
    user: Option<String>,
    checkpoint: Checkpoint,
    tree: GrowingTree,
    /// The last sequence of each stream of the account.
    streams: HashMap<(String, String), i64>,
    /// The log index of the last event.
    last: u64,
    count: u64,
}

impl Check {
    fn event(&mut self, event: &ProvenEvent) -> Result<(), InvalidEvidence> {
        self.count += 1;
        if event.log_index <= self.last {
            return Err(InvalidEvidence::Incomplete(format!(
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

    fn event_of_the_log(&mut self, event: &ProvenEvent) -> Result<(), InvalidEvidence> {
        let expected = self.tree.size() + 1;
        if event.log_index != expected {
            let missing = format!("event {expected} is missing");
            return Err(InvalidEvidence::Incomplete(missing));
        }
        self.tree.push(event.record()?.leaf, |_, _| {});
        Ok(())
    }

    /// Checks an event of an export of one account. Each stream has to begin with its first event and to have no gap, so the
    /// exporting service can omit events only at the end of a stream.
    fn event_of_an_account(
        &mut self,
        event: &ProvenEvent,
        user: &str,
    ) -> Result<(), InvalidEvidence> {
        let record = event.check(&self.checkpoint)?;
        if owner(&record).as_deref() != Some(user) {
            return Err(InvalidEvidence::Incomplete(format!(
                "event {} does not belong to the account {user}",
                record.log_index
            )));
        }
        let name = record.name;
        let stream = (name.aggregate_type.clone(), name.aggregate_id.clone());
        let before = self.streams.insert(stream, name.sequence).unwrap_or(0);
        if name.sequence == before + 1 {
            return Ok(());
        }
        Err(InvalidEvidence::Incomplete(format!(
            "the event {}/{}/{} is missing",
            name.aggregate_type,
            name.aggregate_id,
            before + 1
        )))
    }

    fn end(self, expected: u64) -> Result<Exported, InvalidEvidence> {
        if self.count != expected {
            return Err(InvalidEvidence::Incomplete(format!(
                "there are {} events, and there should be {expected}",
                self.count
            )));
        }
        let (size, root) = (self.checkpoint.tree_size, self.checkpoint.root);
        if self.user.is_none() && (self.tree.size() != size || self.tree.root() != root) {
            return Err(InvalidEvidence::Incomplete(format!(
                "these events do not have the root of the checkpoint of size {size}"
            )));
        }
        Ok(Exported {
            user: self.user,
            events: self.count,
            checkpoint: self.checkpoint,
        })
    }
}

/// The id of the account that an event concerns, by the event's metadata.
fn owner(record: &Record) -> Option<String> {
    let metadata: Value = serde_json::from_str(&record.metadata).ok()?;
    Some(metadata.get("user_id")?.as_str()?.to_owned())
}
