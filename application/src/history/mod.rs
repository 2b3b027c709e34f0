//! An account's past as people and programs read it: events as entries, a state as a document, and what changed.
//!
//! The JSON here is a promise to auditors' programs: members are only ever added. `docs/auditing.md` shows it.

mod changes;
mod entry;
mod portrait;

pub use changes::{Change, changes};
pub use entry::Entry;
pub use portrait::portrait;
