//! Entries of the mail queue, as both stores write them.

use std::time::Duration;

use authlog_application::ports::MailKind;
use authlog_domain::{Timestamp, UserId};
use uuid::Uuid;

/// The longest time for which mail is postponed: the mail gate postpones a notice by an hour at most, and leases and
/// back-off are shorter. An entry that is due later was postponed under a clock that was ahead. It is due
/// immediately, instead of waiting until the clock has caught up.
pub(crate) const LONGEST_POSTPONEMENT: Duration = Duration::from_secs(2 * 60 * 60);

/// An entry of the mail queue as it is stored.
#[derive(Clone)]
pub(crate) struct MailEntry {
    /// The id of the entry, unless an entry for the same account, kind and mailbox exists.
    pub(crate) id: Uuid,
    pub(crate) user: UserId,
    pub(crate) kind: MailKind,
    /// The keyed digest of the recipient's mailbox; empty for the account's own address.
    pub(crate) mailbox: Vec<u8>,
    /// The recipient's address, sealed under the account's key; `None` for the account's own address.
    pub(crate) address: Option<Vec<u8>>,
    pub(crate) happened: i64,
    pub(crate) happened_at: Timestamp,
}

impl MailEntry {
    /// An entry about one occurrence, sent to the account's own address.
    pub(crate) fn new(id: Uuid, user: UserId, kind: MailKind, at: Timestamp) -> Self {
        Self {
            id,
            user,
            kind,
            mailbox: vec![],
            address: None,
            happened: 1,
            happened_at: at,
        }
    }

    pub(super) fn is_merged_with(&self, other: &Self) -> bool {
        (self.user, self.kind, &self.mailbox) == (other.user, other.kind, &other.mailbox)
    }
}
