//! The JSON form of an account's history: its events as entries, its state at one time as a document, and the differences
//! between two states.
//!
//! Auditors' programs read this JSON, so members are only ever added. `docs/auditing.md` describes it.

mod changes;
mod client_document;
mod entry;
mod level;
mod state_document;

pub use changes::{Change, changes, client_changes};
pub use client_document::{client_document, client_state_document};
pub use entry::Entry;
pub use level::known_level;
pub use state_document::state_document;
