//! The queue of mail about accounts.

use async_trait::async_trait;
use authlog_domain::{Email, Timestamp, UserId};
use uuid::Uuid;

use super::{MailKind, StoreError};

/// An entry of the mail queue. The text of the mail is composed when it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueMail {
    /// The id of the entry.
    pub id: Uuid,
    /// The account that the mail concerns.
    pub user: UserId,
    /// The kind of the mail.
    pub kind: MailKind,
    /// The recipient, if that is not the account's current address: the previous address, or a requested new one.
    pub address: Option<Email>,
    /// How many events of this kind occurred since a mail of this kind was last sent.
    pub happened: u32,
    /// When the last of these events occurred.
    pub happened_at: Timestamp,
    /// How often the entry was leased.
    pub attempts: u32,
    /// How often its mail was sent without an acknowledgement by the server.
    pub unacknowledged: u32,
}

/// The durable queue of mail about accounts.
///
/// There is one entry for each account, kind and mailbox. An entry that waits counts further events of its kind. So the number
/// of accounts bounds the queue, regardless of how long the mail server is unavailable. The append of an event creates the
/// entry, so neither exists without the other. An entry is handled at least once, by one node at a time. An entry for a link
/// that a newer one replaced is removed when it is next leased.
#[async_trait]
pub trait MailQueue: Send + Sync {
    /// Leases up to `limit` entries that are due at `now`, oldest first, until `leased_until`. An entry that is neither
    /// completed nor postponed by then is due again. Each lease adds one to `attempts`.
    async fn take_due_mail(
        &self,
        now: Timestamp,
        leased_until: Timestamp,
        limit: u32,
    ) -> Result<Vec<DueMail>, StoreError>;

    /// Adds a mail of this kind to the account `user` that no event of that account causes, or counts it in an entry that
    /// waits. `at` is when its cause occurred.
    async fn enqueue_mail(
        &self,
        user: UserId,
        kind: MailKind,
        at: Timestamp,
    ) -> Result<(), StoreError>;

    /// Removes an entry for good. If further events occurred since the lease, the entry remains for these, and is due at once.
    /// It has no effect if the entry was leased again meanwhile.
    async fn complete_mail(&self, mail: &DueMail) -> Result<(), StoreError>;

    /// Makes an entry due again at `at`, and stores its count of unacknowledged mails. It has no effect if the entry was leased
    /// again meanwhile.
    async fn postpone_mail(&self, mail: &DueMail, at: Timestamp) -> Result<(), StoreError>;
}
