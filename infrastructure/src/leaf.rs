//! The hash under which an event stands in the log's Merkle tree.

use aws_lc_rs::digest::{Context, SHA256};
use time::OffsetDateTime;

/// An event as it is stored: all that its leaf vouches for.
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
    /// When the store recorded it: microseconds since 1970-01-01T00:00:00Z.
    pub recorded_at_micros: i64,
    /// The payload, byte for byte as stored.
    pub payload: &'a str,
    /// The metadata, byte for byte as stored.
    pub metadata: &'a str,
}

/// Whether a stored time, in microseconds since 1970, is one that a calendar has. `infinity` is stored as the highest number
/// there is.
pub(crate) fn is_an_instant(micros: i64) -> bool {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000).is_ok()
}

/// What goes before a leaf so that it cannot be taken for an inner node (RFC 6962 §2.1).
const LEAF_PREFIX: u8 = 0x00;

/// SHA-256 of the leaf prefix and the fields, in the order of [`LeafInput`], numbers in decimal, a line feed between
/// each two. The join is unambiguous because no field contains a line feed: payload and metadata are compact JSON, in
/// which one is written `\n` (RFC 8259 §7), and the others are ours. The SQL function `leaf_hash` computes the same.
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

    /// The expected hash was computed by another program:
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
