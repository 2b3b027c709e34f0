//! Writing an export from a store: the log, or the events of one account, with their proofs.

use std::collections::HashMap;
use std::io::Write;

use authlog_application::RequestContext;
use authlog_application::ports::{
    History, HistoryFilter, PastEvent, ProofError, StoreError, TransparencyLog,
};
use authlog_domain::{AggregateKind, UserId};
pub use authlog_log_proof::export::{Exported, check_export, is_export};
use authlog_log_proof::export::{event_line, header_line};
use serde_json::{Map, Value};

use super::checkpoint::{Checkpoint, CheckpointError};
use super::log::ProvenLog;
use super::store::LogRecords;
use super::tree::Hash;

/// Events in one read.
const PAGE: u32 = 1000;

/// What to export.
#[derive(Clone, Copy)]
pub enum Extent<'a> {
    /// The whole log.
    Log,
    /// The events of one account.
    Account {
        /// The account.
        user: UserId,
        /// Opens the personal fields, if the export is to contain them in clear text.
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
    /// The log is empty, or no checkpoint was signed yet.
    #[error("there is no checkpoint yet against which anything could be proved")]
    NoCheckpoint,
    /// The newest checkpoint is not signed with the key of this log.
    #[error("the newest checkpoint is forged")]
    Forged(#[source] CheckpointError),
    /// The number of events changed during the export.
    #[error("the log has other events than its checkpoint; run `authlog log verify`")]
    Changed,
    /// An event cannot be proved, or the store does not answer.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// The output cannot be written.
    #[error("the export cannot be written")]
    Write(#[source] std::io::Error),
}

impl From<StoreError> for ExportError {
    fn from(error: StoreError) -> Self {
        Self::Proof(error.into())
    }
}

/// Writes the part of the log that the newest checkpoint covers, or the events of one account in it. `progress` is called
/// with the number of events written and their total.
///
/// # Errors
/// There is no checkpoint, the log does not match it, the store does not answer, or `out` cannot be written.
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
    let owner = user.map(|user| user.to_string());
    write_line(out, &header_line(owner.clone(), events, note))?;
    let (mut after, mut written) = (0, 0);
    'pages: loop {
        let page = records.records(after, PAGE, user).await?;
        let mut personal = personal_fields(extent, after).await?;
        let is_last = page.len() < PAGE as usize;
        for record in page {
            after = record.log_index;
            if after > size {
                break 'pages;
            }
            let path: Option<Vec<Hash>> = match user {
                None => None,
                Some(_) => {
                    let proof = log.prove_inclusion(after, Some(size)).await?;
                    Some(proof.hashes.into_iter().map(Hash).collect())
                }
            };
            let line = event_line(record, path.as_deref(), personal.remove(&after));
            write_line(out, &line)?;
            written += 1;
        }
        progress(written, events);
        if is_last {
            break;
        }
    }
    out.flush().map_err(ExportError::Write)?;
    if written != events {
        return Err(ExportError::Changed);
    }
    Ok(Exported {
        user: owner,
        events,
        checkpoint,
    })
}

/// The number of an account's events among the first `size` events of the log.
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

/// The personal fields of the events after a log index, by log index, if the export is to contain them in clear text.
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

/// The personal fields of an event by name.
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

fn write_line(out: &mut impl Write, line: &str) -> Result<(), ExportError> {
    writeln!(out, "{line}").map_err(ExportError::Write)
}
