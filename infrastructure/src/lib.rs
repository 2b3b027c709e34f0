//! Adapters: the implementations of the ports of `authlog-application`.

pub mod claim_upgrade;
mod doctor;
mod exclusive_file;
pub mod hashing;
mod history;
pub mod limits;
pub mod mail;
pub mod nats;
pub mod postgres;
mod recent_requests;
pub mod seal_upgrade;
pub mod sealing;
pub mod sqlite;
mod store;
pub mod system;
pub mod tokens;
pub mod transparency;
mod upgrade;
mod write_health;

pub use authlog_log_proof::leaf;
pub use store::{
    ClaimUpgrade, MailboxClaims, OpenError, SealUpgrade, SigningKeyStore, Store, StoreAccess,
};
