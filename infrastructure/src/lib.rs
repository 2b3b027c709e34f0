//! Adapters: the implementations of the ports of `authlog-application`.

#![cfg_attr(
    not(test),
    warn(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::large_stack_arrays,
        clippy::unchecked_time_subtraction
    )
)]

pub mod breached;
pub mod claim_upgrade;
mod client_state;
mod consents;
mod doctor;
mod exclusive_file;
pub mod hashing;
mod history;
pub mod limits;
mod logout_sender;
pub mod mail;
pub mod nats;
pub mod postgres;
mod recent_requests;
pub mod seal_upgrade;
pub mod sealing;
mod second_factors;
mod session_authentication;
mod session_grant;
pub mod sqlite;
mod store;
pub mod system;
mod tls;
pub mod tokens;
pub mod transparency;
mod upgrade;
pub mod webauthn;
mod write_health;

pub use authlog_log_proof::leaf;
pub use logout_sender::HttpLogoutSender;
pub use store::{
    ClaimUpgrade, MailboxClaims, OpenError, SealUpgrade, SigningKeyStore, Store, StoreAccess,
};
