//! The rows of the read models.

mod account;
mod client;
mod session;

pub use account::Account;
pub use client::ClientRecord;
pub use session::{SESSION_ROW_RETENTION, SessionRecord};
