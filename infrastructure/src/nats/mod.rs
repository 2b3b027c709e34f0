//! Publishing the log to NATS JetStream: every event, in order, once.
//!
//! The stream is a copy of the log: the message with sequence *n* is the event with log index *n*. Each message is sent
//! with the sequence that must come before it (`Nats-Expected-Last-Sequence`), so that nothing is ever stored after a
//! hole, twice, or by a publisher that others have overtaken. Where to go on is asked of the stream itself.

mod checkpoints;
mod comparison;
mod connection;
mod message;
mod pages;
mod pipeline;
mod publisher;
mod servers;
mod stream;
mod trouble;

pub use checkpoints::{CHECKPOINT_STREAM, NatsCheckpoints};
pub use comparison::{StreamUnreadable, compare_stream};
pub use publisher::{EventPublisher, PublisherSettings};
pub use servers::NatsServers;
pub use stream::STREAM;
