//! An event as it is stored.

use serde_json::Value;

/// An event of a stream in its stored form. The payload and the metadata are JSON; an adapter seals their personal fields.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedEvent {
    /// The id of the aggregate.
    pub aggregate_id: String,
    /// The place of the event in its aggregate's stream, from 1 on.
    pub sequence: u64,
    /// The stored name of the aggregate's kind ([`AggregateKind`](authlog_domain::AggregateKind)).
    pub aggregate_type: String,
    /// The stored name of the event's kind ([`EventKind`](authlog_domain::EventKind)).
    pub event_type: String,
    /// The version of the payload's form.
    pub event_version: String,
    /// The event.
    pub payload: Value,
    /// Its circumstances: account, actor, contract, request, and where it came from.
    pub metadata: Value,
}
