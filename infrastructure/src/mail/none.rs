//! A mailer that sends nothing.

use async_trait::async_trait;
use authlog_application::ports::{Mail, MailError, Mailer};

/// A mailer for commands that leave mail to the running service. Mail stays queued.
pub struct NoMailer;

/// The error of this mailer.
#[derive(Debug, thiserror::Error)]
#[error("this program sends no mail")]
struct NotSent;

#[async_trait]
impl Mailer for NoMailer {
    async fn send(&self, _: Mail) -> Result<(), MailError> {
        Err(MailError::Transient(NotSent.into()))
    }
}
