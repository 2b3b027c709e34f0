//! The progress of publishing the log to other services.

/// The state of this node's publisher.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Publication {
    /// Whether this node publishes. Of the nodes of one store, one does.
    pub active: bool,
    /// The last log index that is on the stream, as far as this node knows.
    pub log_index: u64,
    /// Why this node cannot publish, or what is wrong with the stream, in words for an operator.
    pub trouble: Option<String>,
    /// Whether an operator has to act, because the fault does not end by itself.
    pub alarm: bool,
}
