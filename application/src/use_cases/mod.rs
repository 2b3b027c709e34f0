//! The use cases, a file each.

mod accounts;
mod authenticate;
mod authorize;
mod entitlement;
mod erase;
mod feed;
mod history;
mod housekeeper;
mod issue_tokens;
mod lag;
mod log_out;
mod mail_sweeper;
mod rebuild;
mod refresh;
mod refused_logins;
mod register;
mod reset_mailer;
mod reset_password;
mod revocation_tail;
mod sign_in;
mod time_travel;

pub use authenticate::Authenticated;
pub use entitlement::Entitlement;
pub use feed::{Follower, LogFeed};
pub use housekeeper::Housekeeper;
pub use lag::{Behind, Lag};
pub use mail_sweeper::MailSweeper;
pub use rebuild::{RebuildProgress, rebuild_read_models};
pub(crate) use refused_logins::RefusedLogin;
pub use refused_logins::RefusedLoginRecorder;
pub use register::RegistrationForm;
pub use reset_mailer::ResetMailer;
pub use revocation_tail::RevocationTail;
pub use sign_in::SignInForm;
pub use time_travel::{Stood, StoodThen};
