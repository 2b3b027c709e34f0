//! What an append writes, ready for the statements of a store.

use authlog_application::ports::{OpaqueTokenRecord, TooLate};
use authlog_domain::{AggregateKind, ResetId, UserId};
use authlog_projections::{Account, ClientRecord, SessionRecord};
use tokio::time::Instant;

use super::claims::ClaimDigest;
use super::factors::SealedFactorChange;
use super::mail::MailEntry;
use crate::sealing::{Fingerprint, SealedCredential, SealedEvent, WithMac};

/// Everything that an append writes, ready for the statements of a store.
pub(crate) struct AppendPlan {
    /// The sealed events, in order within each stream.
    pub(crate) events: Vec<SealedEvent>,
    /// The wrapped keys of new accounts.
    pub(crate) subject_keys: Vec<(UserId, Vec<u8>)>,
    /// The fingerprint of the master key that wraps them. The store refuses the append if another master key seals
    /// new data.
    pub(crate) wrapped_under: Option<Fingerprint>,
    /// The accounts to which events are added. The store refuses the append unless they all exist.
    pub(crate) held: Vec<UserId>,
    /// The events that these follow. The store refuses the append unless they exist.
    pub(crate) built_on: Vec<Predecessor>,
    /// The deadline. The store refuses the append from this instant on.
    pub(crate) not_after: Option<Instant>,
    /// The account to erase.
    pub(crate) erasure: Option<Erasure>,
    /// Digests of the identifiers that the accounts claim.
    pub(crate) claims: Vec<ClaimDigest>,
    /// Digests of the identifiers that the accounts release.
    pub(crate) released: Vec<ClaimDigest>,
    /// Mail about the events, with one entry per account, kind and mailbox.
    pub(crate) mail: Vec<MailEntry>,
    /// An account that must not be the only administrator who can sign in: the store refuses the append unless there
    /// is another one.
    pub(crate) requires_other_admin_than: Option<UserId>,
    /// The accounts' rows after the events.
    pub(crate) accounts: Vec<WithMac<Account>>,
    /// The sessions' rows after the events.
    pub(crate) sessions: Vec<WithMac<SessionRecord>>,
    /// The clients' rows after the events.
    pub(crate) clients: Vec<WithMac<ClientRecord>>,
    /// The password hash that the events refer to.
    pub(crate) credential: Option<SealedCredential>,
    /// The changes of second factors.
    pub(crate) factors: Vec<SealedFactorChange>,
    /// The opaque token of the session that the events start.
    pub(crate) opaque_token: Option<WithMac<OpaqueTokenRecord>>,
}

/// The event before the first event that is added to a stream.
#[derive(Clone)]
pub(crate) struct Predecessor {
    pub(crate) kind: AggregateKind,
    pub(crate) aggregate_id: String,
    pub(crate) sequence: i64,
}

impl Predecessor {
    /// The event before `event`; `None` if `event` is the first of its stream.
    pub(crate) fn of(event: &SealedEvent) -> Option<Self> {
        (event.sequence > 1).then(|| Self {
            kind: event.kind,
            aggregate_id: event.aggregate_id.clone(),
            sequence: event.sequence - 1,
        })
    }
}

/// Checks the deadline of an append.
///
/// # Errors
/// The deadline has expired.
pub(crate) fn in_time(not_after: Option<Instant>) -> Result<(), TooLate> {
    match not_after {
        Some(not_after) if not_after <= Instant::now() => Err(TooLate),
        _ => Ok(()),
    }
}

impl AppendPlan {
    /// Adds an entry, or merges it into the entry for the same account, kind and mailbox.
    pub(super) fn add_mail(&mut self, entry: MailEntry) {
        let same = self.mail.iter_mut().find(|it| it.is_merged_with(&entry));
        match same {
            Some(same) => {
                same.happened += entry.happened;
                same.happened_at = same.happened_at.max(entry.happened_at);
            }
            None => self.mail.push(entry),
        }
    }
}

/// An account to erase, with the data that is stored in addition to its events.
#[derive(Clone)]
pub(crate) struct Erasure {
    pub(crate) user: UserId,
    /// The requests for a reset that were made with its identifiers.
    pub(crate) resets: Vec<ResetId>,
}
