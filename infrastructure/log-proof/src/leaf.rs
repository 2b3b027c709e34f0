//! The leaf hash of an event in the log's Merkle tree.

use aws_lc_rs::digest::{Context, SHA256};
use time::OffsetDateTime;

/// An event as it is stored: all fields that its leaf covers.
#[derive(Clone, Copy, Debug)]
pub struct LeafInput<'a> {
    /// The stored name of the aggregate's kind.
    pub aggregate_type: &'a str,
    /// The aggregate's id.
    pub aggregate_id: &'a str,
    /// The event's number in its stream, from 1.
    pub sequence: i64,
    /// The event's type.
    pub event_type: &'a str,
    /// The version of that type.
    pub event_version: &'a str,
    /// When the store recorded the event: microseconds since 1970-01-01T00:00:00Z.
    pub recorded_at_micros: i64,
    /// The payload, byte for byte as stored.
    pub payload: &'a str,
    /// The metadata, byte for byte as stored.
    pub metadata: &'a str,
}

/// Whether a stored time, in microseconds since 1970-01-01T00:00:00Z, is within the range of `OffsetDateTime`. PostgreSQL's
/// `infinity`, which is read as the highest number, is not.
pub fn is_calendar_time(micros: i64) -> bool {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000).is_ok()
}

/// The prefix that distinguishes a leaf from an inner node (RFC 6962 §2.1).
const LEAF_PREFIX: u8 = 0x00;

/// SHA-256 of the leaf prefix and the fields in the order of [`LeafInput`]. Numbers are decimal, and a line feed
/// separates the fields. Two events never give the same text, because no field contains a line feed: payload and
/// metadata are compact JSON, which writes it as `\n` (RFC 8259 §7), and this program chooses the other fields. The SQL
/// function `leaf_hash` computes the same.
pub fn leaf_hash(event: &LeafInput<'_>) -> [u8; 32] {
    let sequence = event.sequence.to_string();
    let recorded_at = event.recorded_at_micros.to_string();
    let fields = [
        event.aggregate_type,
        event.aggregate_id,
        &sequence,
        event.event_type,
        event.event_version,
        &recorded_at,
        event.payload,
        event.metadata,
    ];
    let mut context = Context::new(&SHA256);
    context.update(&[LEAF_PREFIX]);
    for (index, field) in fields.iter().enumerate() {
        if index > 0 {
            context.update(b"\n");
        }
        context.update(field.as_bytes());
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected hash was computed with:
    /// `printf '\0user\nu-1\n1\nUserRegistered\n1.0\n1700000000123456\n{"a":"\\n"}\n{}' | sha256sum`.
    #[test]
    fn a_leaf_is_hashed_as_documented() {
        let hash = leaf_hash(&LeafInput {
            aggregate_type: "user",
            aggregate_id: "u-1",
            sequence: 1,
            event_type: "UserRegistered",
            event_version: "1.0",
            recorded_at_micros: 1_700_000_000_123_456,
            payload: r#"{"a":"\n"}"#,
            metadata: "{}",
        });
        assert_eq!(
            hex::encode(hash),
            "ed10d03274737038dab192a11a71cf59c41fee6fe5353aefce1031bed2564f23"
        );
    }
}
