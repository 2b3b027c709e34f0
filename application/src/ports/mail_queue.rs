//! Events of which a person is told by mail.

use async_trait::async_trait;
use authlog_domain::{Timestamp, UserId};

use super::{StoreError, StreamId};

/// An event that somebody is to be told of by mail. What the mail says is made of the event when it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueMail {
    /// The stream that has the event.
    pub stream: StreamId,
    /// Its number there.
    pub sequence: u64,
    /// The account to which it happened.
    pub user: UserId,
    /// How often it was tried to send the mail.
    pub attempts: u32,
}

/// What is due to be mailed. An entry is put in by the append that stores its event, so that neither is there without
/// the other, and is handled at least once, by one node at a time.
#[async_trait]
pub trait MailQueue: Send + Sync {
    /// Takes up to `limit` entries that are due at `now`, oldest first, and hides them until `leased_until`: if they are
    /// neither completed nor postponed by then, they are due again. Each take adds one to `attempts`.
    async fn take_due_mail(
        &self,
        now: Timestamp,
        leased_until: Timestamp,
        limit: u32,
    ) -> Result<Vec<DueMail>, StoreError>;

    /// Removes an entry for good.
    async fn complete_mail(&self, mail: &DueMail) -> Result<(), StoreError>;

    /// Makes an entry due again at `at`.
    async fn postpone_mail(&self, mail: &DueMail, at: Timestamp) -> Result<(), StoreError>;
}
