//! Deleting the mail that this node keeps about people whose accounts were erased, on whichever node that was done.

use std::sync::Arc;
use std::time::Duration;

use authlog_domain::UserId;
use tokio::sync::mpsc;

use crate::Refusal;
use crate::authlog::Parts;
use crate::ports::{EventStore, KeptMail, MailError, StoreError};

/// How long to wait before everything is looked through again after something could not be.
const AFTER_FAILURE: Duration = Duration::from_secs(30);

/// Deletes mail to people whose accounts were erased.
pub struct MailSweeper {
    events: Arc<dyn EventStore>,
    mail: Arc<dyn KeptMail>,
    erased: mpsc::UnboundedReceiver<UserId>,
}

/// Why some mail is still there.
#[derive(Debug, thiserror::Error)]
enum NotSwept {
    #[error("the store does not say whose accounts were erased")]
    Store(#[from] StoreError),
    #[error("the mail cannot be deleted")]
    Mail(#[from] MailError),
}

impl MailSweeper {
    pub(crate) fn new(parts: &Parts) -> (mpsc::UnboundedSender<UserId>, Self) {
        let (sender, erased) = mpsc::unbounded_channel();
        let sweeper = Self {
            events: Arc::clone(&parts.events),
            mail: Arc::clone(&parts.kept_mail),
            erased,
        };
        (sender, sweeper)
    }

    /// Looks through everything once, for what was erased while this node was away, and then goes by the news, until
    /// it is dropped or there can be no more news.
    pub async fn run(&mut self) {
        loop {
            let swept = match self.sweep().await {
                Ok(()) => self.follow().await,
                failed => failed,
            };
            let Err(error) = swept else { return };
            tracing::warn!(%error, cause = std::error::Error::source(&error).map(tracing::field::display),
                "mail of an erased account may still be there");
            tokio::time::sleep(AFTER_FAILURE).await;
        }
    }

    async fn sweep(&self) -> Result<(), NotSwept> {
        for user in self.mail.accounts().await? {
            // An account that the store does not know is another store's: its mail is left alone.
            if self.events.is_erased(user).await? {
                self.mail.forget(user).await?;
            }
        }
        Ok(())
    }

    async fn follow(&mut self) -> Result<(), NotSwept> {
        while let Some(user) = self.erased.recv().await {
            self.mail.forget(user).await?;
        }
        Ok(())
    }
}

impl From<MailError> for Refusal {
    fn from(error: MailError) -> Self {
        Self::Unavailable(Box::new(error))
    }
}
