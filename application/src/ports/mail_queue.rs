//! What people are to be told by mail.

use async_trait::async_trait;
use authlog_domain::{Email, Timestamp, UserId};
use uuid::Uuid;

use super::{MailKind, StoreError};

/// What a person is to be told by mail. The text is made when it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueMail {
    /// Names the entry.
    pub id: Uuid,
    /// The account to which it happened.
    pub user: UserId,
    /// What happened.
    pub kind: MailKind,
    /// The address to tell, where that is not the account's own: the one that it had before, or the one that it is to have.
    pub address: Option<Email>,
    /// How often it happened since a mail of this kind was last sent.
    pub happened: u32,
    /// When it last happened.
    pub happened_at: Timestamp,
    /// How often the entry was taken.
    pub attempts: u32,
    /// How often a mail was handed over for it that was not acknowledged.
    pub unacknowledged: u32,
}

/// What is due to be mailed.
///
/// There is one entry for an account, a kind and a mailbox: what happens while an entry waits is counted by it. So the
/// queue is bounded by the accounts, however long a mail server is away: an entry about a link that was replaced by a newer
/// one goes when it is next taken. An entry is put in by the append that stores its
/// event, so that neither is there without the other, and is handled at least once, by one node at a time.
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

    /// Puts in, or counts, what happened to `user` at `at` without an event of their own.
    async fn enqueue_mail(
        &self,
        user: UserId,
        kind: MailKind,
        at: Timestamp,
    ) -> Result<(), StoreError>;

    /// Removes an entry for good. What happened since it was taken stays, and is due at once. An entry that was taken
    /// again since is left alone.
    async fn complete_mail(&self, mail: &DueMail) -> Result<(), StoreError>;

    /// Makes an entry due again at `at`, and stores how often its mail was not acknowledged. An entry that was taken again
    /// since is left alone.
    async fn postpone_mail(&self, mail: &DueMail, at: Timestamp) -> Result<(), StoreError>;
}
