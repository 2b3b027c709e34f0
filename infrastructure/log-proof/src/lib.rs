//! Verification of the log without the service: the Merkle tree, checkpoints, evidence and exports.
//!
//! An auditor's own program can depend on this crate. It needs neither a store nor a network, and no asynchronous runtime.
//! What it reads is text that `authlog log key`, `authlog log checkpoint`, `authlog log prove` and `authlog export` print.
//! The service writes and verifies with the same code. `docs/auditing.md` describes the formats.
//!
//! | module | contents |
//! |---|---|
//! | [`tree`] | the Merkle tree of RFC 6962, its roots and its proofs |
//! | [`note`] | notes signed with Ed25519 (C2SP `signed-note`) |
//! | [`checkpoint`] | signed size and root of the log (C2SP `tlog-checkpoint`) |
//! | [`leaf`] | the hash of one event |
//! | [`record`] | one event as it is stored |
//! | [`evidence`] | one event with its proof |
//! | [`export`] | the whole log, or the events of one account, with proofs |
//!
//! # Example
//!
//! An auditor keeps the key and a checkpoint of the log. Later they receive an export of the whole log, and check that it
//! is complete, unchanged and signed, and that it still begins with the events that the kept checkpoint covers.
//!
//! ```
//! use authlog_log_proof::checkpoint::Checkpoint;
//! use authlog_log_proof::export::check_export;
//! use authlog_log_proof::note::VerifierKey;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let key = VerifierKey::parse(include_str!("../tests/log-key.txt"))?;
//! let kept = Checkpoint::open(include_str!("../tests/checkpoint.txt"), &key)?;
//!
//! // Any `BufRead` will do, such as `BufReader::new(File::open("log.jsonl")?)`.
//! let export: &[u8] = include_bytes!("../tests/log.jsonl");
//! let exported = check_export(export, &key)?;
//!
//! assert_eq!(exported.events, 2);
//! assert_eq!(exported.checkpoint.root, kept.root);
//! # Ok(())
//! # }
//! ```

#![cfg_attr(
    not(test),
    warn(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::large_stack_arrays,
        clippy::unchecked_time_subtraction
    )
)]

pub mod checkpoint;
pub mod evidence;
pub mod export;
pub mod leaf;
pub mod note;
pub mod record;
pub mod tree;
