//! Heartbeats: how current a reader of the events is (`docs/adr/0042`).

use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

/// The NATS subject of the heartbeats. It does not belong to a stream: a heartbeat that was missed is of no use later.
pub const HEARTBEAT_SUBJECT: &str = "auth-heartbeat.v1";

/// Every event that was committed up to an instant has an index of at most `log_index`, and was sent before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// The index.
    pub log_index: u64,
    /// The time from an instant that the reader knows to that of which the heartbeat speaks: since the request for a feed has
    /// arrived, or since a publisher began.
    pub elapsed: Duration,
}

impl Heartbeat {
    /// The heartbeat for a reader of the feed. Unlike an event, it has no member `specversion`.
    pub fn to_json(self) -> Value {
        // Rounded down: a longer time would claim more than is known.
        let elapsed = u64::try_from(self.elapsed.as_millis()).unwrap_or(u64::MAX);
        json!({ "logindex": self.log_index.to_string(), "elapsed_ms": elapsed })
    }

    /// The heartbeat of this publisher on NATS.
    pub fn of_publisher(self, publisher: Uuid) -> Value {
        let mut heartbeat = self.to_json();
        heartbeat["publisher"] = publisher.to_string().into();
        heartbeat
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_rounded_down() {
        let heartbeat = Heartbeat {
            log_index: 123,
            elapsed: Duration::from_micros(1_500_999),
        };
        let expected = json!({ "logindex": "123", "elapsed_ms": 1500 });
        assert_eq!(heartbeat.to_json(), expected);
        let publisher = Uuid::from_u128(7);
        let on_nats = heartbeat.of_publisher(publisher);
        assert_eq!(on_nats["publisher"], publisher.to_string());
        assert_eq!(on_nats["elapsed_ms"], 1500);
    }
}
