//! The log that proves itself: a Merkle tree over it, signed checkpoints, proofs, and whoever checks them.
//!
//! | file | what is in it |
//! |---|---|
//! | `tree`, `note`, `checkpoint` | the specifications: RFC 6962, C2SP `signed-note` and `tlog-checkpoint` |
//! | `store` | what a store has to keep |
//! | `reading`, `log` | nodes and proofs out of a store |
//! | `key`, `signer` | the key of the log, and the worker that signs with it |
//! | `witness` | what a node remembers of the signed log, outside the store |
//! | `courier`, `file` | carrying checkpoints to where the database's owner cannot change them |
//! | `auditor` | comparing the stored events with the log, slowly and again and again |
//! | `judge` | comparing what was carried there with the log |
//! | `verify` | the whole log against its checkpoints |
//! | `evidence`, `export` | events with their proofs in files, and checking those without a store |

pub mod auditor;
pub mod checkpoint;
pub mod courier;
pub mod evidence;
pub mod export;
pub mod file;
mod judge;
pub mod key;
mod log;
pub mod note;
mod reading;
mod schema_watch;
pub mod signer;
mod store;
pub mod tree;
pub mod verify;
pub mod witness;

pub use log::ProvenLog;
pub use schema_watch::{SchemaCheck, SchemaWatch};
pub(crate) use store::up_to_a_gap;
pub use store::{
    EventName, Extent, LeafCheck, LogEnd, LogRecords, LogTree, Record, StoredCheckpoint,
    WrittenPage, WrittenPlace,
};
