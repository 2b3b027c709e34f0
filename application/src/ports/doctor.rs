//! Examination of a store: whether its content is consistent with the log.

use std::collections::BTreeMap;

use async_trait::async_trait;
use authlog_domain::{Timestamp, UserId};

use super::StoreError;

/// An invariant of the store that can be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Check {
    /// The sequences of a stream run from 1 without gaps.
    Sequences,
    /// The log's indices run from 1 without gaps.
    LogDense,
    /// Every event is in the log and every entry of the log has its event.
    LogComplete,
    /// The log has the events in the order of their commits, and so the events of each stream in their order.
    LogOrder,
    /// An event's leaf is the hash of what is stored.
    Leaves,
    /// Events can be opened and read.
    Events,
    /// Each account has a key, which can be unwrapped.
    SubjectKeys,
    /// The rows of the accounts equal the fold.
    Accounts,
    /// Each account has its place in the list of accounts, and every other place is without an account.
    Places,
    /// The rows of the sessions equal the fold.
    Sessions,
    /// The rows of the clients equal the fold.
    Clients,
    /// The claims to identifiers equal the fold.
    Claims,
    /// Each account has the password hash that its last event names.
    Credentials,
    /// Each account has the seeds, passkeys and recovery codes that its events name.
    SecondFactors,
    /// Opaque tokens belong to the sessions for which the service stored them.
    OpaqueTokens,
    /// Triggers, functions, indexes and other objects of the schema are those of this program.
    Schema,
    /// Signing keys are as the service stored them.
    SigningKeys,
    /// The stream on NATS equals the log.
    Stream,
}

impl Check {
    /// The invariant, in words for an operator.
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Sequences => "sequences run from 1 without gaps",
            Self::LogDense => "the log's indices run from 1 without gaps",
            Self::LogComplete => "every event is in the log, and every entry has its event",
            Self::LogOrder => "the log has events in the order of their commits",
            Self::Leaves => "leaf hashes are those of the stored events",
            Self::Events => "events can be opened and read",
            Self::SubjectKeys => "every account has a key that can be unwrapped",
            Self::Accounts => "the rows of accounts equal the fold of their events",
            Self::Places => "every account has its place in the list of accounts",
            Self::Sessions => "the rows of sessions equal the fold of their events",
            Self::Clients => "the rows of clients equal the fold of their events",
            Self::Claims => "the claims to identifiers equal the fold of the events",
            Self::Credentials => "accounts have the passwords that their events name",
            Self::SecondFactors => {
                "seeds, passkeys and recovery codes are those that the events name"
            }
            Self::OpaqueTokens => "opaque tokens were stored by this service",
            Self::Schema => "the schema's objects are those of this program",
            Self::SigningKeys => "signing keys were stored by this service",
            Self::Stream => "the stream equals the log",
        }
    }
}

/// A violation of an invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The invariant.
    pub check: Check,
    /// Where it was found, such as the id of a row. It contains no personal data.
    pub place: String,
    /// How the content differs.
    pub detail: String,
}

impl Finding {
    /// A violation of the invariant `check`.
    pub fn new(check: Check, place: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            check,
            place: place.into(),
            detail: detail.into(),
        }
    }
}

/// The violations of one invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergences {
    /// The first one that was found.
    pub first: Finding,
    /// How many there are.
    pub count: u64,
    /// How many of them were repaired.
    pub repaired: u64,
}

/// What an examination found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnosis {
    /// Events that were examined.
    pub events: u64,
    /// Committed events without a log index yet. A sequencer will assign one.
    pub waiting: u64,
    /// Whether rows without a seal are still accepted, because a node of an earlier version may have written them. Then seals
    /// are not checked.
    pub unsealed: bool,
    /// The first [`Self::NAMED_PAIRS`] pairs of accounts with two spellings of one mailbox. The second account of a pair is the
    /// one that any third spelling finds. Earlier versions permitted this, and both accounts can still be used.
    pub shared_mailboxes: Vec<(UserId, UserId)>,
    /// How many more such pairs there are.
    pub more_shared_mailboxes: u64,
    /// The violations, by invariant.
    pub divergences: BTreeMap<Check, Divergences>,
}

impl Diagnosis {
    /// How many pairs are named. A person does not read more.
    const NAMED_PAIRS: usize = 100;

    /// Records two accounts that have one mailbox. `holder` is the one that any third spelling finds.
    pub fn note_shared_mailbox(&mut self, account: UserId, holder: UserId) {
        if self.shared_mailboxes.len() < Self::NAMED_PAIRS {
            self.shared_mailboxes.push((account, holder));
        } else {
            self.more_shared_mailboxes += 1;
        }
    }

    /// Records a violation, and whether it was repaired.
    pub fn note(&mut self, finding: Finding, repaired: bool) {
        let entry = self
            .divergences
            .entry(finding.check)
            .or_insert_with(|| Divergences {
                first: finding,
                count: 0,
                repaired: 0,
            });
        entry.count += 1;
        entry.repaired += u64::from(repaired);
    }

    /// Whether there are no violations, or all of them were repaired.
    pub fn is_well(&self) -> bool {
        self.divergences
            .values()
            .all(|found| found.repaired == found.count)
    }
}

/// Examines a store. It reads in pages, so its memory does not grow with the log.
#[async_trait]
pub trait Doctor: Send + Sync {
    /// About how many steps an examination takes.
    async fn examination_steps(&self) -> Result<u64, StoreError>;

    /// Examines everything at `now` while the service runs, and passes the number of finished steps to `progress`. With
    /// `repair`, derived data that differs is computed and written again, unless the events from which it is derived are
    /// themselves in doubt.
    async fn examine(
        &self,
        repair: bool,
        now: Timestamp,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<Diagnosis, StoreError>;
}
