//! The log that proves itself: signed checkpoints, proofs, and the workers that verify the log while the service runs.
//!
//! The specifications and the verification without a store are in the crate `authlog-log-proof`, on which an auditor's own
//! program can depend. Its modules are re-exported here.
//!
//! | file | contents |
//! |---|---|
//! | `store` | what a store has to provide |
//! | `reading`, `log` | nodes and proofs read from a store |
//! | `key`, `signer` | the key of the log, and the worker that signs checkpoints with it |
//! | `witness` | what a node remembers of the signed log, outside the store |
//! | `exporter`, `file` | export of checkpoints to places that the owner of the database cannot change |
//! | `sink_comparison` | comparison of exported checkpoints with the log |
//! | `auditor` | continuous comparison of the stored events with the log |
//! | `verify` | the whole log against its checkpoints |
//! | `evidence`, `export` | writing events with their proofs |

pub mod auditor;
pub mod evidence;
pub mod export;
pub mod exporter;
pub mod file;
pub mod key;
mod log;
mod reading;
mod schema_watch;
pub mod signer;
mod sink_comparison;
mod store;
pub mod verify;
pub mod witness;

pub use authlog_log_proof::record::{EventName, Record};
pub use authlog_log_proof::{checkpoint, note, tree};
pub use log::ProvenLog;
pub use schema_watch::{SchemaCheck, SchemaWatch};
pub(crate) use store::until_first_gap;
pub use store::{
    Extent, LeafCheck, LogEnd, LogRecords, LogTree, StoredCheckpoint, WrittenPage, WrittenPlace,
};
