//! Deletes this node's local copies of mail to erased accounts. The account may have been erased on another node.

use std::sync::Arc;
use std::time::Duration;

use authlog_domain::UserId;
use tokio::sync::mpsc;

use super::{Stop, Worker};
use crate::authlog::Parts;
use crate::ports::{EventStore, LocalMail, MailError, StoreError};

/// The pause before a full pass is repeated after a failure.
const AFTER_FAILURE: Duration = Duration::from_secs(30);

/// Deletes mail to erased accounts.
pub(crate) struct MailSweeper {
    events: Arc<dyn EventStore>,
    mail: Arc<dyn LocalMail>,
    erased: mpsc::UnboundedReceiver<UserId>,
}

/// Why mail to an erased account may not have been deleted yet.
#[derive(Debug, thiserror::Error)]
enum NotSwept {
    #[error("the store does not say which accounts were erased")]
    Store(#[from] StoreError),
    #[error("the mail cannot be deleted")]
    Mail(#[from] MailError),
}

impl MailSweeper {
    pub(crate) fn new(parts: &Parts) -> (mpsc::UnboundedSender<UserId>, Self) {
        let (sender, erased) = mpsc::unbounded_channel();
        let sweeper = Self {
            events: Arc::clone(&parts.events),
            mail: Arc::clone(&parts.local_mail),
            erased,
        };
        (sender, sweeper)
    }

    /// Deletes the mail to accounts that were erased before now.
    async fn sweep(&self) -> Result<(), NotSwept> {
        for user in self.mail.accounts().await? {
            // Mail of an account that this store does not know belongs to another store and is kept.
            if self.events.is_erased(user).await? {
                self.mail.forget(user).await?;
            }
        }
        Ok(())
    }

    /// Deletes the mail to each account that is erased from now on.
    async fn follow(&mut self) -> Result<(), NotSwept> {
        while let Some(user) = self.erased.recv().await {
            self.mail.forget(user).await?;
        }
        Ok(())
    }
}

impl Worker for MailSweeper {
    const NAME: &'static str = "mail_sweeper";
    const STOP: Stop = Stop::Abort;

    /// Checks all kept mail once, for accounts that were erased while this node was down. Then follows erasures until it is
    /// dropped or their sender is gone.
    async fn run(&mut self) {
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
}
