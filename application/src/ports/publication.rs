//! How far events have been handed to other services.

/// How far the publisher of this node has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Publication {
    /// Whether this node publishes: of the nodes of one store, one does.
    pub active: bool,
    /// The last index that the stream holds, as far as this node knows.
    pub log_index: u64,
    /// What keeps it from publishing, or what is wrong with the stream, in words for an operator.
    pub trouble: Option<String>,
    /// Whether an operator has to do something about it: it does not end by itself.
    pub alarm: bool,
}
