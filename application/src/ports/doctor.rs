//! Examining a store: whether everything it holds is what the log says.

use std::collections::BTreeMap;

use async_trait::async_trait;
use authlog_domain::{Timestamp, UserId};

use super::StoreError;

/// A promise of the design that can be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Check {
    /// The sequences of a stream run from 1 without gaps.
    Sequences,
    /// The log's indices run from 1 without gaps.
    LogDense,
    /// Every event is in the log and every entry of the log has its event.
    LogComplete,
    /// The log has events in the order in which they were committed, and so each stream's in order.
    LogOrder,
    /// An event's leaf is the hash of what is stored.
    Leaves,
    /// Events can be opened and read.
    Events,
    /// An account has a key and it can be unwrapped.
    SubjectKeys,
    /// The rows of the accounts equal the fold.
    Accounts,
    /// Each account has its place in the list of accounts, and no other place shows one.
    Places,
    /// The rows of the sessions equal the fold.
    Sessions,
    /// The claims to identifiers equal the fold.
    Claims,
    /// An account has the password that its last event names.
    Credentials,
    /// Opaque tokens stand for the sessions for which the service stored them.
    OpaqueTokens,
    /// Triggers, functions, indexes and the like are those that the program made.
    Schema,
    /// Signing keys are what the service stored.
    SigningKeys,
    /// The stream on NATS equals the log.
    Stream,
}

impl Check {
    /// The promise in words.
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
            Self::Claims => "the claims to identifiers equal the fold of the events",
            Self::Credentials => "accounts have the passwords that their events name",
            Self::OpaqueTokens => "opaque tokens were stored by this service",
            Self::Schema => "the schema's objects are those of this program",
            Self::SigningKeys => "signing keys were stored by this service",
            Self::Stream => "the stream equals the log",
        }
    }
}

/// Something that is not as promised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which promise is broken.
    pub check: Check,
    /// Where, so that it can be looked up. It is never personal.
    pub place: String,
    /// In what way.
    pub detail: String,
}

impl Finding {
    /// A broken promise.
    pub fn new(check: Check, place: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            check,
            place: place.into(),
            detail: detail.into(),
        }
    }
}

/// The divergences of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergences {
    /// The first one that was met.
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
    /// Events that are committed and have no place in the log yet: a sequencer will give them one.
    pub waiting: u64,
    /// Whether what has no seal still grants access, because a version before may have written it: then seals are not
    /// checked.
    pub unsealed: bool,
    /// The first [`Self::NAMED_PAIRS`] pairs of accounts that have one mailbox by two spellings of its address: one, and the
    /// one that is found by any other spelling. Earlier versions registered them; both are used as before.
    pub shared_mailboxes: Vec<(UserId, UserId)>,
    /// How many more such pairs there are.
    pub more_shared_mailboxes: u64,
    /// What is wrong, by kind.
    pub divergences: BTreeMap<Check, Divergences>,
}

impl Diagnosis {
    /// How many pairs are named: more than a person reads.
    const NAMED_PAIRS: usize = 100;

    /// Takes note of two accounts that have one mailbox.
    pub fn note_shared_mailbox(&mut self, account: UserId, holder: UserId) {
        if self.shared_mailboxes.len() < Self::NAMED_PAIRS {
            self.shared_mailboxes.push((account, holder));
        } else {
            self.more_shared_mailboxes += 1;
        }
    }

    /// Takes note of a divergence and whether it was repaired.
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

    /// Whether nothing is wrong, or nothing any more.
    pub fn is_well(&self) -> bool {
        self.divergences
            .values()
            .all(|found| found.repaired == found.count)
    }
}

/// Examines a store. It reads in pages: memory does not grow with the log.
#[async_trait]
pub trait Doctor: Send + Sync {
    /// How many steps an examination takes, about.
    async fn examination_steps(&self) -> Result<u64, StoreError>;

    /// Examines everything at `now` while the service runs, and passes the number of finished steps to `progress`. With `repair`
    /// it writes what is derived from events again where it differs, unless those events are themselves in doubt.
    async fn examine(
        &self,
        repair: bool,
        now: Timestamp,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<Diagnosis, StoreError>;
}
