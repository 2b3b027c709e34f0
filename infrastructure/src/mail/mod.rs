//! Mail by SMTP, or into files.

use std::error::Error as _;

use authlog_application::ports::StoreError;

mod file;
mod folder;
mod mailbox;
mod message;
mod none;
mod smtp;

pub use file::FileMailer;
pub use folder::MailFolder;
pub(crate) use mailbox::mailbox_of;
pub use none::NoMailer;
pub use smtp::{MailAuthorities, SmtpMailer};

/// Why a mailer cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum MailerError {
    /// The sender is neither an address nor a name and an address.
    #[error("`{0}` is no sender; write no-reply@example.com or Example <no-reply@example.com>")]
    Sender(String),
    /// The URL of the mail server cannot be read. It is not shown, because it may hold a password.
    #[error(
        "the URL of the mail server cannot be read; write smtps://user:password@host, \
         smtp://user:password@host:587?tls=required or smtp://host:25"
    )]
    Url(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The directory for mail cannot be created.
    #[error("the directory for mail cannot be made")]
    Directory(#[source] std::io::Error),
}

/// Logs a request for a password reset that cannot be read and was removed.
pub(crate) fn give_up(request: impl std::fmt::Display, error: &StoreError) {
    let cause = error.source().map(tracing::field::display);
    tracing::warn!(%request, %error, cause, "a password reset request cannot be read and was removed");
}

/// Logs an entry of the mail queue that cannot be read. It is tried again when its lease ends, and does not delay the others.
pub(crate) fn skip(entry: impl std::fmt::Display, error: &StoreError) {
    let cause = error.source().map(tracing::field::display);
    tracing::warn!(%entry, %error, cause, "a queued mail cannot be read; will retry");
}
