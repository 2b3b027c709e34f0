//! Mail that is never sent from here.

use async_trait::async_trait;
use authlog_application::ports::{Mail, MailError, Mailer};

/// Sends nothing: for programs that leave mail to a running service. Mail stays queued.
pub struct NoMailer;

/// This program sends no mail.
#[derive(Debug, thiserror::Error)]
#[error("this program sends no mail")]
struct NotSent;

#[async_trait]
impl Mailer for NoMailer {
    async fn send(&self, _: Mail) -> Result<(), MailError> {
        Err(MailError::Transient(NotSent.into()))
    }
}
