//! Rows of the log, as both stores return them to readers.

use authlog_application::RequestContext;
use authlog_application::ports::{LeafHash, LogCursor, LoggedEvent, RecordedEvent, StoreError};
use authlog_domain::{AggregateKind, Timestamp};
use serde_json::Value;

use super::{owner, unreadable};
use crate::sealing::open_payload;

/// A row of the log, as it is stored.
pub(crate) struct LogRow {
    pub(crate) log_index: i64,
    pub(crate) leaf_hash: Vec<u8>,
    pub(crate) recorded_at: Timestamp,
    pub(crate) aggregate_type: String,
    pub(crate) aggregate_id: String,
    pub(crate) sequence: i64,
    pub(crate) event_type: String,
    pub(crate) event_version: String,
    pub(crate) payload: Value,
    pub(crate) metadata: Value,
}

impl LogRow {
    /// The event as readers of the log get it, without personal data, sealed or not.
    ///
    /// An event that this program cannot read keeps its place and has no payload. It does not keep a reader from the
    /// events after it: the publisher decides what to do with it.
    pub(crate) fn logged(self) -> Result<LoggedEvent, StoreError> {
        let kind = AggregateKind::from_stored(&self.aggregate_type);
        let mut event = RecordedEvent {
            aggregate_id: self.aggregate_id,
            sequence: u64::try_from(self.sequence).map_err(unreadable)?,
            aggregate_type: self.aggregate_type,
            event_type: self.event_type,
            event_version: self.event_version,
            payload: self.payload,
            metadata: self.metadata,
        };
        let opened = kind.map(|kind| open_payload(kind, &mut event, None));
        let user = owner(&event).ok();
        // Every event has an account, except those of clients.
        let has_owner = user.is_some() || kind == Some(AggregateKind::Client);
        let is_readable = has_owner && matches!(opened, Some(Ok(())));
        if !is_readable {
            event.payload = Value::Null;
        }
        if let Some(metadata) = event.metadata.as_object_mut() {
            for name in RequestContext::PERSONAL_METADATA {
                metadata.remove(name);
            }
        }
        Ok(LoggedEvent {
            leaf_hash: leaf_hash(self.leaf_hash)?,
            log_index: u64::try_from(self.log_index).map_err(unreadable)?,
            recorded_at: self.recorded_at,
            user: user.filter(|_| is_readable),
            event,
        })
    }
}

/// What the log holds at the index of a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AtCursor {
    /// The entry that the reader saw there, or any entry if the reader has seen none.
    Same,
    /// Another entry.
    Other,
    /// No entry.
    Nothing,
}

impl AtCursor {
    /// Compares a cursor with the leaf that was found at its index.
    pub(crate) fn of(cursor: &LogCursor, found: Option<&[u8]>) -> Self {
        match (found, cursor.leaf_hash) {
            (None, _) if cursor.log_index > 0 => Self::Nothing,
            (Some(found), Some(known)) if found != known => Self::Other,
            _ => Self::Same,
        }
    }
}

/// Parses a stored leaf hash.
pub(crate) fn leaf_hash(stored: Vec<u8>) -> Result<LeafHash, StoreError> {
    LeafHash::try_from(stored).map_err(|_| unreadable(NoLeafHash))
}

/// Every entry of the log has a hash of 32 bytes.
#[derive(Debug, thiserror::Error)]
#[error("an entry of the log has no leaf hash of 32 bytes")]
struct NoLeafHash;
