//! What to put into metrics.

use std::time::Duration;

use crate::deny_list::Entries;

/// The state of a verifier, and what it counted since its start.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// Whether the keys were read and the deny list is complete.
    pub is_ready: bool,
    /// The age of the deny list. An alert is due when it exceeds the limit of the verifier.
    pub staleness: Option<Duration>,
    /// The index in the log up to which every event was applied.
    pub log_index: Option<u64>,
    /// The numbers of entries of the deny list.
    pub entries: Entries,
    /// The number of usable keys.
    pub keys: usize,
    /// How old the key set is: the time since it was fetched, and what it spent in a cache before.
    pub keys_age: Option<Duration>,
    /// The number of accepted tokens.
    pub accepted: u64,
    /// The numbers of refused requests by the [name](crate::Refused::name) of the reason.
    pub refused: Vec<(&'static str, u64)>,
    /// The number of tokens whose signature did not need to be verified again.
    pub cached: u64,
    /// The number of events that were read.
    pub events: u64,
    /// The number of connections to the source of revocations.
    pub connections: u64,
    /// How often the deny list was read from the beginning.
    pub readings: u64,
    /// The number of requests for the key set.
    pub key_fetches: u64,
    /// The number of those that failed.
    pub key_failures: u64,
    /// Whether a background task has ended, by a panic or with its runtime. Restart the service then.
    pub has_stopped: bool,
    /// The last failure of a background task: for a log. It contains no secret.
    pub trouble: Option<String>,
}
