//! Sending of mail, and the local copies of sent mail.

use async_trait::async_trait;
use authlog_domain::{Email, UserId};
use uuid::Uuid;

/// A message to one person. It has no `Debug`, because its content is private.
pub struct Mail {
    /// The queue entry for which the mail is sent. Together with the text it determines the `Message-ID`, so that a
    /// mailbox that receives the mail twice can recognize that.
    pub entry: Uuid,
    /// The account that the mail concerns.
    pub user: UserId,
    /// The recipient.
    pub to: Email,
    /// The subject, one line.
    pub subject: String,
    /// The message, plain text.
    pub text: String,
}

/// Why a message may not have been delivered.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// The message was not handed over. A retry may succeed.
    #[error("the mail could not be handed over yet")]
    Transient(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The whole message was sent, but the server did not acknowledge it. It may have been delivered.
    #[error("the mail was handed over, and the server did not acknowledge it")]
    Unacknowledged(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The server refused the address or the message. A retry is useless.
    #[error("the mail was refused")]
    Permanent(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Hands mail over for delivery.
#[async_trait]
pub trait Mailer: Send + Sync {
    /// Hands `mail` over. Once it has returned, the receiver is responsible for delivery.
    async fn send(&self, mail: Mail) -> Result<(), MailError>;
}

/// Mail that this node stores as files, because no mail server is configured.
#[async_trait]
pub trait LocalMail: Send + Sync {
    /// The accounts about which there is mail.
    async fn accounts(&self) -> Result<Vec<UserId>, MailError>;

    /// Deletes the mail about the account `user`. Once it has returned, the deletion survives a crash.
    async fn forget(&self, user: UserId) -> Result<(), MailError>;
}
