//! The rows of the read models.

mod account;
mod session;

pub use account::Account;
pub use session::{SESSION_ROW_RETENTION, SessionRecord};
