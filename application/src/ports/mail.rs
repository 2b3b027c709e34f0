//! Mail to people, and what is kept of it.

use async_trait::async_trait;
use authlog_domain::{Email, UserId};
use uuid::Uuid;

/// A message to one person. It has no `Debug`, because its content is private.
pub struct Mail {
    /// The entry of the queue for which it is sent. The same mail for the same entry is the same message, so that a mailbox
    /// that gets it twice can tell.
    pub entry: Uuid,
    /// Whose account it is about.
    pub user: UserId,
    /// To whom.
    pub to: Email,
    /// The subject, one line.
    pub subject: String,
    /// The message, plain text.
    pub text: String,
}

/// Why a message was not handed over.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// It may work later.
    #[error("the mail could not be handed over yet")]
    Transient(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It was handed over whole, and nothing says whether it was taken: it may have been delivered.
    #[error("the mail was handed over, and the server did not acknowledge it")]
    Unacknowledged(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It will never work: the address or the message was refused.
    #[error("the mail was refused")]
    Permanent(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Hands mail over for delivery.
#[async_trait]
pub trait Mailer: Send + Sync {
    /// Hands `mail` over. When it returns, the receiver is responsible for delivery.
    async fn send(&self, mail: Mail) -> Result<(), MailError>;
}

/// Mail that is kept on this node as files, where no mail server is set.
#[async_trait]
pub trait KeptMail: Send + Sync {
    /// The accounts that some of it is about.
    async fn accounts(&self) -> Result<Vec<UserId>, MailError>;

    /// Deletes the mail about the account of `user`. When it returns, the deletion survives a crash.
    async fn forget(&self, user: UserId) -> Result<(), MailError>;
}
