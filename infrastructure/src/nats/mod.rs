//! Publishing the log to NATS JetStream: every event, in order, exactly once.
//!
//! The stream is a copy of the log: the message with sequence *n* is the event with log index *n*. Messages of other
//! clients that an operator has excluded (`docs/adr/0018`) shift the events after them. Each message is sent with the
//! sequence that has to precede it (`Nats-Expected-Last-Sequence`). So no message is stored after a gap, stored twice, or
//! stored by a publisher that another one has overtaken. The stream itself says where publishing continues.

mod access;
mod checkpoints;
mod comparison;
mod config;
mod connection;
mod copy_check;
mod error;
mod excluded;
mod heartbeats;
mod identity;
mod message;
mod order;
mod pages;
mod pipeline;
mod publisher;
mod repair;
mod servers;
mod stream;

pub use access::{ClientCertificate, NatsAccess, NatsAccessError, NatsIdentity};
pub use checkpoints::NatsCheckpoints;
pub use comparison::{StreamUnreadable, compare_stream};
pub use config::{CHECKPOINT_STREAM, STREAM, StreamOptions};
pub use publisher::{EventPublisher, PublisherSettings};
pub use repair::{RepairError, Repaired, repair_stream};
pub use servers::NatsServers;
