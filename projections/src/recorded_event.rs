//! An event as it is stored.

use serde_json::Value;

/// An event of a stream in its stored form. The payload and the metadata are JSON; an adapter seals their personal fields.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedEvent {
    /// The id of the aggregate.
    pub aggregate_id: String,
    /// The number of the event in its stream, from 1.
    pub sequence: u64,
    /// The stored name of the aggregate's kind ([`AggregateKind`](authlog_domain::AggregateKind)).
    pub aggregate_type: String,
    /// The stored name of the event's kind ([`EventKind`](authlog_domain::EventKind)).
    pub event_type: String,
    /// The version of the payload's format.
    pub event_version: String,
    /// The event itself.
    pub payload: Value,
    /// The account, the actor, the contract, the request, and the origin of the request.
    pub metadata: Value,
}
