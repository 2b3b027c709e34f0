//! What both stores do alike: everything about an append but the statements.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use authlog_application::RequestContext;
use authlog_application::ports::RecordedEvent;
use authlog_application::ports::{
    Append, Directory, Doctor, Entropy, EventLog, EventStore, Health, History, Housekeeping,
    Identifier, IdentifierKind, LeafHash, LiveSessions, LogCursor, LoggedEvent, MailGate, MailKind,
    MailQueue, OpaqueTokenRecord, Rebuild, ResetRequests, Revocation, RevocationSource, StoreError,
    StreamId, TokenDigest, TooLate,
};
use authlog_domain::user::RaisedEpoch;
use authlog_domain::{AggregateKind, Email, EventKind, ResetId, SessionId, Timestamp, UserId};
use authlog_projections::{
    Account, Claim, ClaimChanges, Row, SessionRecord, ToldByMail, claim_changes, claims_of, erased,
    row_after, told_by_mail,
};
use aws_lc_rs::hmac;
use serde_json::Value;
use tokio::time::Instant;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::mail::mailbox_of;
use crate::sealing::{
    AccessSeals, Fingerprint, MasterKeys, SealedCredential, SealedEvent, Stored, SubjectKey,
    SubjectKeyCache, Unopenable, WithMac, open_payload, seal,
};
use crate::tokens::{KeyLedger, KeyRecord, KeyRow, KeyTimes, RetiredKeys, SigningKeys, judge};
use crate::transparency::{LogRecords, LogTree, SchemaCheck};

/// Whether the type of an event is one that ends sessions, in SQL. The partial indexes of both stores say the same in the
/// same words and order: an index is used only by a query that does. A test holds the list to the catalogue.
macro_rules! is_of_revoking_type {
    () => {
        "event_type IN ('LoggedOut', 'RefreshTokenReused', 'SessionRevoked', 'PasswordReset', 'PasswordChanged', 'SessionsRevoked', 'RoleChanged', 'UserLocked', 'UserErased')"
    };
}
pub(crate) use is_of_revoking_type;

/// How long mail is put off at the most: the longest that the mail gate puts off a notice is an hour, and leases and pauses
/// are shorter. An entry that is due later still was put off under a clock that was ahead, and is due at once: otherwise it
/// would wait until the clock has caught up.
pub(crate) const LONGEST_POSTPONEMENT: Duration = Duration::from_secs(2 * 60 * 60);

/// How many sessions of an account are looked at to tell whether one of them counts. Where more began in one epoch, it is
/// taken for granted.
pub(crate) const SESSIONS_LOOKED_AT: i64 = 100;

/// How many sessions of an account are looked at for one page of those that count.
pub(crate) const SESSIONS_OF_A_PAGE: usize = 1000;

/// The page of sessions that count at `now`. `found` are up to [`SESSIONS_OF_A_PAGE`] sessions of the current epoch in order of
/// their ids, and then the one that was kept from an earlier epoch, if there is one; those that could not be read are left out.
/// `has_more`: as many rows were looked at as may be, so that there may be more after them.
pub(crate) fn live_page(
    mut found: Vec<SessionRecord>,
    has_more: bool,
    now: Timestamp,
    limit: usize,
) -> LiveSessions {
    let current = found.first().map(|first| first.epoch);
    let kept = found.pop_if(|last| current.is_some_and(|current| last.epoch != current));
    let looked_at = found.last().map(|last| last.id).filter(|_| has_more);
    // One that comes after the last that was looked at belongs to a later page.
    found.extend(kept.filter(|kept| looked_at.is_none_or(|last| kept.id < last)));
    found.sort_by_key(|session| session.id);
    found.retain(|session| session.ended_at.is_none() && now < session.expires_at);
    let is_full = found.len() >= limit;
    found.truncate(limit);
    let last = found.last().map(|last| last.id);
    LiveSessions {
        sessions: found,
        next: if is_full { last } else { looked_at },
    }
}

/// A store: everything that the use cases need kept, and the secrets that nodes share.
pub trait Store:
    EventStore
    + EventLog
    + History
    + Doctor
    + Directory
    + RevocationSource
    + ResetRequests
    + MailQueue
    + MailGate
    + Rebuild
    + Health
    + Housekeeping
    + SharedSecrets
    + LogTree
    + LogRecords
    + MasterKeyRotation
    + SigningKeyStore
    + SealUpgrade
    + ClaimUpgrade
    + SchemaCheck
{
}

impl<S> Store for S where
    S: EventStore
        + EventLog
        + History
        + Doctor
        + Directory
        + RevocationSource
        + ResetRequests
        + MailQueue
        + MailGate
        + Rebuild
        + Health
        + Housekeeping
        + SharedSecrets
        + LogTree
        + LogRecords
        + MasterKeyRotation
        + SigningKeyStore
        + SealUpgrade
        + ClaimUpgrade
        + SchemaCheck
{
}

/// Secrets that every node of one store uses, kept in the store under the master key.
#[async_trait]
pub trait SharedSecrets: Send + Sync {
    /// The secret called `name`; `candidate` becomes it if there is none yet. Nodes that ask at once get the same.
    async fn shared_secret(
        &self,
        name: &str,
        candidate: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, StoreError>;

    /// The secret called `name`, if there is one.
    async fn find_shared_secret(
        &self,
        name: &str,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError>;
}

/// The keys that sign tokens: every node of one store goes by the same, which are sealed under the master key.
#[async_trait]
pub trait SigningKeyStore: Send + Sync {
    /// Every key, those that were given up too, and the number of the last change. What cannot be used is left out and
    /// named.
    async fn signing_keys(&self, now: Timestamp) -> Result<SigningKeys, StoreError>;

    /// Writes the keys that are new or have changed, all or none, if nothing was changed since `after`; whether it did.
    /// Removes the rows of keys named in `removed` that cannot be used. Keys that were kept elsewhere, before there was
    /// a set of them, are gone then.
    async fn change_signing_keys(
        &self,
        after: i64,
        changed: &[KeyRecord],
        removed: &[String],
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Keeps the names of retired keys in this file as well: they stay retired, however the store is changed.
    ///
    /// # Errors
    /// It cannot be read or written.
    fn keep_retired_keys_in(&self, file: PathBuf) -> std::io::Result<()>;
}

/// Replacing the master key, by a program that was given both the old one and the new.
///
/// First the new key seals whatever is new, then everything older is sealed anew, a step at a time, and the pepper last.
/// So a rotation that was interrupted is taken up again by beginning it again; until it is finished the store opens with
/// both keys and with neither alone, and afterwards with the new one alone. Nodes that have both serve on meanwhile.
#[async_trait]
pub trait MasterKeyRotation: Send + Sync {
    /// Lets the new key seal whatever is new from now on, on every node, and says how many keys of accounts there are.
    async fn begin_rotation(&self) -> Result<u64, StoreError>;

    /// Seals the keys of up to `limit` accounts under the new key, those after `after` in the store's order; `None` when
    /// there was none left.
    async fn rewrap_after(
        &self,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Option<Rewrapped>, StoreError>;

    /// Seals what nodes share under the new key. From now on the old one opens nothing.
    async fn finish_rotation(&self) -> Result<(), StoreError>;
}

/// How far a rotation has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rewrapped {
    /// The last account whose key was looked at.
    pub user: UserId,
    /// How many this step looked at.
    pub seen: u64,
    /// How many of them it sealed anew.
    pub rewrapped: u64,
}

/// Binding what grants access to its account, in a store of a version that did not (`docs/adr/0011`). Every step can be
/// repeated, and may be interrupted.
#[async_trait]
pub trait SealUpgrade: Send + Sync {
    /// Whether what has no seal grants nothing in this store. The store is asked: another node may have finished.
    async fn seals_are_required(&self) -> Result<bool, StoreError>;

    /// For how long the store has had the schema of this version, by the store's clock. Nodes of the version before may
    /// run until some time after that. `None` for a store of which only one program serves at a time.
    async fn since_schema_upgrade(&self) -> Result<Option<Duration>, StoreError>;

    /// Seals up to `limit` passwords, those after `after` in the store's order, and says which was the last; `None` when
    /// there was none left.
    async fn seal_credentials_after(
        &self,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Option<UserId>, StoreError>;

    /// The same for opaque tokens.
    async fn seal_opaque_tokens_after(
        &self,
        after: Option<TokenDigest>,
        limit: u32,
    ) -> Result<Option<TokenDigest>, StoreError>;

    /// Lets what has no seal grant nothing from now on, for good. `false` if another node changed the store's secret at
    /// this moment, and it has to be tried again.
    async fn require_seals(&self) -> Result<bool, StoreError>;

    /// Empties up to `limit` of the plain hashes of which there is a sealed one, and says how many there were.
    async fn remove_plain_hashes(&self, limit: u32) -> Result<u64, StoreError>;
}

/// Claiming addresses by their mailbox, in a store of a version that knew their spelling alone (`docs/adr/0016`). Every step
/// can be repeated, and may be interrupted.
#[async_trait]
pub trait ClaimUpgrade: Send + Sync {
    /// Whether every account has claimed its mailbox, unless another account has it.
    async fn mailboxes_are_claimed(&self) -> Result<bool, StoreError>;

    /// For how long the store has had a schema with claims to mailboxes, by the store's clock. Nodes of the version before
    /// may run until some time after that. `None` for a store of which only one program serves at a time.
    async fn since_mailbox_claims(&self) -> Result<Option<Duration>, StoreError>;

    /// Claims the mailboxes of up to `limit` accounts, those after `after` in the store's order; `None` when there was none
    /// left.
    async fn claim_mailboxes_after(
        &self,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Option<MailboxClaims>, StoreError>;

    /// Takes note that every account was looked at, and that no version will run again that knows spellings alone.
    async fn finish_mailbox_claims(&self) -> Result<(), StoreError>;
}

/// How far the claims to mailboxes have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MailboxClaims {
    /// The last account that was looked at.
    pub last: UserId,
    /// How many claims this step added.
    pub claimed: u64,
}

/// The name under which a store remembers that mailboxes are claimed.
pub(crate) const MAILBOX_CLAIMS: &str = "mailbox-claims";

/// The claims to mailboxes that these accounts should have in addition to those to the spellings of their addresses, each with the
/// version of the account's row. Rows that this service did not write claim nothing.
pub(crate) fn mailbox_claims(
    vault: &Vault,
    accounts: Vec<Stored<Account>>,
) -> Vec<(ClaimDigest, i64)> {
    let accounts = accounts
        .into_iter()
        .filter_map(|stored| vault.seals.accept(stored));
    accounts
        .flat_map(|account| {
            let claims = claims_of(&account).into_iter();
            claims
                .filter(|claim| !claim.is_spelling)
                .map(move |claim| (vault.pepper.claim(&claim), account.version.cast_signed()))
        })
        .collect()
}

/// What a program does with the store that it opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreAccess {
    /// It reads a store that exists. Nothing is written: no schema, no secret, no row.
    Read,
    /// It changes a store that exists.
    Change,
    /// It changes a store, and creates one if there is none.
    Create,
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is none, and the program was not to create one.
    #[error("there is no store")]
    Missing,
    /// It has a schema and nothing else: no master key was chosen for it yet.
    #[error("the store is empty: it was migrated, and no service has been started on it yet")]
    Unused,
    /// It cannot be reached.
    #[error("the store cannot be reached")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Its connections cannot be used for what this program needs.
    #[error("the connections to the store cannot be used")]
    Connections(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Its schema is not the one that this program expects, and may not or cannot be brought up to it.
    #[error("the store's schema is not what this program expects")]
    Schema(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What it holds was sealed under another master key.
    #[error("the store was sealed under another master key")]
    WrongMasterKey,
    /// It holds events, but its secret is gone, which every store has from its first start on.
    #[error("the store holds events, but its secret was removed")]
    SecretRemoved,
    /// Its master key is being replaced, and the program was given one of the two keys alone.
    #[error("the store's master key is being replaced, and takes both the old one and the new")]
    RotationUnderWay,
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Everything that an append writes, ready for the statements of a store.
pub(crate) struct AppendPlan {
    /// The events, sealed, each stream's in order.
    pub(crate) events: Vec<SealedEvent>,
    /// The keys of new accounts, wrapped.
    pub(crate) subject_keys: Vec<(UserId, Vec<u8>)>,
    /// The master key that wraps them: the append is not to happen if another one seals what is new.
    pub(crate) wrapped_under: Option<Fingerprint>,
    /// The accounts to which events are added: the append is not to happen unless they exist.
    pub(crate) held: Vec<UserId>,
    /// What the events come after: the append is not to happen unless it is there.
    pub(crate) built_on: Vec<Predecessor>,
    /// From this instant on the append is not to happen.
    pub(crate) not_after: Option<Instant>,
    /// The account to erase.
    pub(crate) erasure: Option<Erasure>,
    /// The identifiers that become an account's own, as digests.
    pub(crate) claims: Vec<ClaimDigest>,
    /// Those that others may have from now on.
    pub(crate) released: Vec<ClaimDigest>,
    /// What a person is to be told by mail: one entry for an account, a kind and a mailbox.
    pub(crate) mail: Vec<MailEntry>,
    /// The account beside which an administrator has to be left.
    pub(crate) leaves_an_administrator_beside: Option<UserId>,
    /// Rows of the accounts.
    pub(crate) accounts: Vec<WithMac<Account>>,
    /// Rows of the sessions.
    pub(crate) sessions: Vec<WithMac<SessionRecord>>,
    /// The password hash that the events name.
    pub(crate) credential: Option<SealedCredential>,
    /// The opaque token that the events start a session for.
    pub(crate) opaque_token: Option<WithMac<OpaqueTokenRecord>>,
}

/// The event before the first one that is added to a stream.
#[derive(Clone)]
pub(crate) struct Predecessor {
    pub(crate) kind: AggregateKind,
    pub(crate) aggregate_id: String,
    pub(crate) sequence: i64,
}

impl Predecessor {
    /// What comes before `event`, if it is not the first of its stream.
    pub(crate) fn of(event: &SealedEvent) -> Option<Self> {
        (event.sequence > 1).then(|| Self {
            kind: event.kind,
            aggregate_id: event.aggregate_id.clone(),
            sequence: event.sequence - 1,
        })
    }
}

/// Whether the time for an append is up.
///
/// # Errors
/// It is.
pub(crate) fn in_time(not_after: Option<Instant>) -> Result<(), TooLate> {
    match not_after {
        Some(not_after) if not_after <= Instant::now() => Err(TooLate),
        _ => Ok(()),
    }
}

impl AppendPlan {
    /// Adds an entry, or counts it with the one that it is merged with.
    fn add_mail(&mut self, entry: MailEntry) {
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

/// An entry of the mail queue as it is stored.
#[derive(Clone)]
pub(crate) struct MailEntry {
    /// Names the entry, unless there is one of that account, kind and mailbox already.
    pub(crate) id: Uuid,
    pub(crate) user: UserId,
    pub(crate) kind: MailKind,
    /// The keyed digest of the mailbox to tell; empty for that of the account's own address.
    pub(crate) mailbox: Vec<u8>,
    /// The address to tell, sealed under the account's key; `None` for the account's own.
    pub(crate) address: Option<Vec<u8>>,
    pub(crate) happened: i64,
    pub(crate) happened_at: Timestamp,
}

impl MailEntry {
    /// Something that happened once, of which the account's own address is told.
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

    fn is_merged_with(&self, other: &Self) -> bool {
        (self.user, self.kind, &self.mailbox) == (other.user, other.kind, &other.mailbox)
    }
}

/// An account to erase with all that is kept of it beside its events.
#[derive(Clone)]
pub(crate) struct Erasure {
    pub(crate) user: UserId,
    /// The requests for resets that were made under its identifiers.
    pub(crate) resets: Vec<ResetId>,
}

/// A claim as it is stored: the identifier cannot be read from it without the pepper.
#[derive(Clone)]
pub(crate) struct ClaimDigest {
    pub(crate) kind: IdentifierKind,
    pub(crate) digest: [u8; 32],
    /// Whether it is of the spelling that the account has, and not of its mailbox alone.
    pub(crate) is_spelling: bool,
    pub(crate) owner: UserId,
}

/// Under which name the store's secret is kept. Claims were all that it served at first.
pub(crate) const STORE_SECRET: &str = "identifier-pepper";

/// The secret that claims to identifiers and seals on what grants access depend on. Without it no account is found, so
/// that to remove it is no way to be rid of the seals.
pub(crate) struct StoreSecret {
    key: Zeroizing<[u8; Self::KEY_BYTES]>,
    requires_seals: bool,
}

impl StoreSecret {
    const KEY_BYTES: usize = 32;

    /// Follows the key in a store in which what has no seal grants nothing.
    const REQUIRES_SEALS: u8 = 1;

    /// The secret of a new store, in which everything is sealed.
    pub(crate) fn generate(entropy: &dyn Entropy) -> Self {
        let mut key = Zeroizing::new([0; Self::KEY_BYTES]);
        entropy.fill(key.as_mut_slice());
        Self {
            key,
            requires_seals: true,
        }
    }

    /// A secret as it was stored.
    pub(crate) fn from_stored(bytes: &[u8]) -> Result<Self, Unopenable> {
        let (key, rest) = bytes.split_first_chunk().ok_or(Unopenable)?;
        let requires_seals = match rest {
            [] => false,
            [Self::REQUIRES_SEALS] => true,
            _ => return Err(Unopenable),
        };
        Ok(Self {
            key: Zeroizing::new(*key),
            requires_seals,
        })
    }

    /// What is stored, sealed.
    pub(crate) fn to_stored(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(Self::KEY_BYTES + 1));
        bytes.extend_from_slice(self.key.as_slice());
        bytes.extend(self.requires_seals.then_some(Self::REQUIRES_SEALS));
        bytes
    }
}

/// The keyed digest under which identifiers are claimed: whoever reads the table cannot test names against it.
pub(crate) struct Pepper(hmac::Key);

impl Pepper {
    fn new(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    pub(crate) fn claim(&self, claim: &Claim) -> ClaimDigest {
        ClaimDigest {
            kind: claim.kind,
            digest: self.digest(claim.kind, &claim.form),
            is_spelling: claim.is_spelling,
            owner: claim.owner,
        }
    }

    /// Under which digests an account claims this identifier, that of its spelling first. By whom the spelling is claimed
    /// goes before: accounts of earlier versions may share a mailbox.
    pub(crate) fn digests(&self, identifier: &Identifier) -> Vec<[u8; 32]> {
        let forms = identifier.claimed_forms().into_iter();
        forms
            .map(|(form, _)| self.digest(identifier.kind(), &form))
            .collect()
    }

    /// The digests by which an account is looked up: the second counts where no account claims the first.
    pub(crate) fn lookup(&self, identifier: &Identifier) -> [[u8; 32]; 2] {
        let digests = self.digests(identifier);
        let first = digests.first().copied().unwrap_or_default();
        [first, digests.last().copied().unwrap_or(first)]
    }

    fn digest(&self, kind: IdentifierKind, form: &str) -> [u8; 32] {
        self.tag(&format!("{}:{form}", kind.as_str()))
    }

    fn tag(&self, text: &str) -> [u8; 32] {
        let tag = hmac::sign(&self.0, text.as_bytes());
        let mut digest = [0; 32];
        digest.copy_from_slice(tag.as_ref());
        digest
    }

    /// The digest of the mailbox that this address is one of. It is none of [`Self::digest`], so that the table of mail
    /// budgets does not tell whose account it is.
    pub(crate) fn mailbox(&self, address: &Email) -> [u8; 32] {
        self.tag(&format!("mailbox:{}", mailbox_of(address)))
    }

    /// Those of the requests for a reset, each with what was typed, that are about whoever has these claims.
    pub(crate) fn concerned(
        &self,
        claims: &[Vec<u8>],
        requests: impl IntoIterator<Item = (ResetId, String)>,
    ) -> Vec<ResetId> {
        let is_claimed = |typed: &str| {
            Identifier::parse(typed).is_some_and(|it| {
                self.digests(&it)
                    .iter()
                    .any(|own| claims.contains(&own.to_vec()))
            })
        };
        let concerned = requests.into_iter().filter(|(_, typed)| is_claimed(typed));
        concerned.map(|(reset, _)| reset).collect()
    }
}

/// Where a store keeps the wrapped keys of accounts.
pub(crate) trait WrappedKeys: Sync {
    /// The wrapped key of `user`; `None` for an account that does not exist or was erased.
    fn wrapped_key(
        &self,
        user: UserId,
    ) -> impl Future<Output = Result<Option<Vec<u8>>, StoreError>> + Send;
}

/// What sealing and claiming take.
pub(crate) struct Vault {
    pub(crate) master: MasterKeys,
    pub(crate) pepper: Pepper,
    pub(crate) seals: AccessSeals,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) retired_keys: RetiredKeys,
    cache: SubjectKeyCache,
}

impl Vault {
    pub(crate) fn new(
        master: MasterKeys,
        secret: &StoreSecret,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, Unopenable> {
        Ok(Self {
            master,
            pepper: Pepper::new(secret.key.as_slice()),
            seals: AccessSeals::new(secret.key.as_slice(), secret.requires_seals)?,
            entropy,
            retired_keys: RetiredKeys::default(),
            cache: SubjectKeyCache::default(),
        })
    }

    /// Whether seals are required by the store's secret, as it is stored now. From then on they are.
    pub(crate) fn follow_seals(&self, sealed: &[u8]) -> Result<bool, StoreError> {
        let required = self.open_secret(sealed)?.requires_seals;
        if required {
            self.seals.require();
        }
        Ok(required)
    }

    /// The store's secret, sealed again with the addition that seals are required.
    pub(crate) fn secret_requiring_seals(&self, sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
        let secret = StoreSecret {
            requires_seals: true,
            ..self.open_secret(sealed)?
        };
        self.master
            .seal(
                &shared_secret_place(STORE_SECRET),
                &secret.to_stored(),
                &*self.entropy,
            )
            .map_err(unreadable)
    }

    fn open_secret(&self, sealed: &[u8]) -> Result<StoreSecret, StoreError> {
        self.master
            .open(&shared_secret_place(STORE_SECRET), sealed)
            .and_then(|opened| StoreSecret::from_stored(&opened))
            .map_err(unreadable)
    }

    /// The key of `user` to open with, if the account exists and was not erased. The store is asked each time: what
    /// another node has erased must open nowhere, from then on.
    pub(crate) async fn subject_key(
        &self,
        user: UserId,
        stored: &impl WrappedKeys,
    ) -> Result<Option<SubjectKey>, StoreError> {
        let wrapped = stored.wrapped_key(user).await?;
        wrapped
            .map(|wrapped| SubjectKey::unwrap(user, &wrapped, &self.master).map_err(unreadable))
            .transpose()
    }

    /// The key of `user` to seal with, most often from memory: of an account that was erased meanwhile, the store takes
    /// no event.
    async fn sealing_key(
        &self,
        user: UserId,
        stored: &impl WrappedKeys,
    ) -> Result<Option<SubjectKey>, StoreError> {
        if let Some(key) = self.cache.get(user) {
            return Ok(Some(key));
        }
        let key = self.subject_key(user, stored).await?;
        if let Some(key) = &key {
            self.cache.put(user, key.clone());
        }
        Ok(key)
    }

    /// Forgets the key of an account that was erased.
    pub(crate) fn forget(&self, user: UserId) {
        self.cache.forget(user);
    }

    /// Forgets every key that is in memory only.
    pub(crate) fn forget_all(&self) {
        self.cache.forget_all();
    }

    /// Forgets the keys of the accounts of whose erasure this tells.
    pub(crate) fn apply_revocations(&self, news: &[Revocation]) {
        for revocation in news {
            if let Revocation::Erased { user, .. } = revocation {
                self.forget(*user);
            }
        }
    }

    /// Seals under the master key of this fingerprint from now on.
    ///
    /// # Errors
    /// This program was not given it: its master key was replaced.
    pub(crate) fn follow_rotation(&self, fingerprint: &[u8]) -> Result<(), StoreError> {
        if self.master.seal_with(fingerprint) {
            Ok(())
        } else {
            Err(StoreError::Unavailable(Box::new(Replaced)))
        }
    }

    /// Opens the personal fields of a stream as it was stored.
    pub(crate) async fn open(
        &self,
        stream: &StreamId,
        mut events: Vec<RecordedEvent>,
        stored: &impl WrappedKeys,
    ) -> Result<Vec<RecordedEvent>, StoreError> {
        let personal =
            |event: &RecordedEvent| !stream.kind.personal_fields(&event.event_type).is_empty();
        let Some(user) = events.iter().find(|event| personal(event)).map(owner) else {
            return Ok(events);
        };
        let key = self.subject_key(user?, stored).await?;
        for event in &mut events {
            open_payload(stream.kind, event, key.as_ref()).map_err(unreadable)?;
        }
        Ok(events)
    }

    fn mail_entry(
        &self,
        user: UserId,
        told: &ToldByMail,
        key: Option<&SubjectKey>,
    ) -> Result<MailEntry, StoreError> {
        let mut entry = MailEntry::new(self.entropy.random_uuid(), user, told.kind, told.at);
        if let Some(address) = &told.address {
            entry.mailbox = self.pepper.mailbox(address).to_vec();
            let sealed = key.map(|key| key.seal_address(user, address, &*self.entropy));
            entry.address = sealed.transpose().map_err(unreadable)?;
        }
        Ok(entry)
    }

    /// The address of an entry of the mail queue; `None` where the account was erased.
    pub(crate) async fn open_address(
        &self,
        user: UserId,
        sealed: &[u8],
        stored: &impl WrappedKeys,
    ) -> Result<Option<Email>, StoreError> {
        let key = self.subject_key(user, stored).await?;
        key.map(|key| key.open_address(user, sealed).map_err(unreadable))
            .transpose()
    }

    /// Computes what an append writes.
    pub(crate) async fn plan(
        &self,
        append: Append,
        stored: &impl WrappedKeys,
    ) -> Result<AppendPlan, StoreError> {
        let mut plan = AppendPlan {
            events: vec![],
            subject_keys: vec![],
            wrapped_under: None,
            held: vec![],
            built_on: vec![],
            not_after: append.not_after,
            erasure: None,
            claims: vec![],
            released: vec![],
            mail: vec![],
            leaves_an_administrator_beside: append.leaves_an_administrator_beside,
            accounts: vec![],
            sessions: vec![],
            credential: append
                .credential
                .map(|credential| self.seals.seal(&credential, &*self.entropy))
                .transpose()
                .map_err(unreadable)?,
            opaque_token: append.opaque_token.map(|it| self.seals.with_mac(it)),
        };
        let mut new_key: Option<(UserId, SubjectKey)> = None;
        for staged in &append.streams {
            let Some(first) = staged.new.first() else {
                continue;
            };
            let user = owner(first)?;
            if staged.stream.kind == AggregateKind::User && staged.base.version() == 0 {
                let key = SubjectKey::generate(&*self.entropy);
                // Asked for first: should the key change in between, the store refuses, and it is planned again.
                let under = self.master.fingerprint();
                let wrapped = key
                    .wrap(user, &self.master, &*self.entropy)
                    .map_err(unreadable)?;
                plan.subject_keys.push((user, wrapped));
                plan.wrapped_under = Some(under);
                new_key = Some((user, key));
            }
            let key = match (erased(staged).map_err(unreadable)?, &new_key) {
                // What the erasure itself tells of a person goes the way of the rest.
                (Some(user), _) => {
                    let resets = vec![];
                    plan.erasure = Some(Erasure { user, resets });
                    None
                }
                (None, Some((owner, key))) if *owner == user => Some(key.clone()),
                (None, _) => {
                    plan.held.push(user);
                    self.sealing_key(user, stored).await?
                }
            };
            let first_added = plan.events.len();
            for event in &staged.new {
                let sealed = seal(staged.stream.kind, event, key.as_ref(), &*self.entropy);
                plan.events.push(sealed.map_err(unreadable)?);
            }
            plan.built_on
                .extend(plan.events.get(first_added).and_then(Predecessor::of));
            for told in told_by_mail(staged).map_err(unreadable)? {
                let entry = self.mail_entry(user, &told, key.as_ref())?;
                plan.add_mail(entry);
            }
            match row_after(staged).map_err(unreadable)? {
                Some(Row::Account(row)) => {
                    let ClaimChanges { claimed, released } =
                        claim_changes(staged.base.account(), &row);
                    let digest = |claim: &Claim| self.pepper.claim(claim);
                    plan.claims.extend(claimed.iter().map(digest));
                    plan.released.extend(released.iter().map(digest));
                    plan.accounts.push(self.seals.with_mac(*row));
                }
                Some(Row::Session(row)) => plan.sessions.push(self.seals.with_mac(*row)),
                None => {}
            }
        }
        Ok(plan)
    }
}

/// The revocation that a stored event of a revoking type is, if it is one: a change of role in its first version ended
/// nothing.
pub(crate) fn revocation(
    event_type: &str,
    aggregate_id: uuid::Uuid,
    raised: Option<RaisedEpoch>,
) -> Result<Option<Revocation>, StoreError> {
    let user = UserId::new(aggregate_id);
    let Some(kind) = EventKind::from_stored(event_type).filter(|kind| kind.ends_sessions()) else {
        return Ok(None);
    };
    if kind.aggregate() == AggregateKind::Session {
        return Ok(Some(Revocation::Session(SessionId::new(aggregate_id))));
    }
    let Some(RaisedEpoch {
        epoch,
        kept_session: kept,
    }) = raised
    else {
        return match kind {
            EventKind::RoleChanged => Ok(None),
            _ => Err(unreadable(NoEpoch)),
        };
    };
    Ok(Some(match kind {
        EventKind::UserErased => Revocation::Erased { user, epoch },
        _ => Revocation::Epoch { user, epoch, kept },
    }))
}

/// The revocation that was read from the event at `position`. An event that cannot be read is left out, and logged: this
/// program did not write it, and the deny list is to hold those after it.
pub(crate) fn readable<E: std::fmt::Display>(
    position: i64,
    read: Result<Option<Revocation>, E>,
) -> Option<Revocation> {
    read.unwrap_or_else(|error| {
        tracing::error!(
            position,
            %error,
            "an event that ends sessions cannot be read and ends none on this node; run `authlog log verify` and `authlog doctor`"
        );
        None
    })
}

/// What ends every session of an account says which epoch begins.
#[derive(Debug, thiserror::Error)]
#[error("a stored event that ends sessions names no session epoch")]
struct NoEpoch;

/// The account to which an event belongs, by its metadata.
fn owner(event: &RecordedEvent) -> Result<UserId, StoreError> {
    event
        .metadata
        .get("user_id")
        .and_then(serde_json::Value::as_str)
        .and_then(UserId::parse)
        .ok_or_else(|| unreadable(NoOwner))
}

/// The master key was replaced by one that this program was not given.
#[derive(Debug, thiserror::Error)]
#[error("the store's master key was replaced; this program needs the new one")]
struct Replaced;

/// Every event names the account to which it happened.
#[derive(Debug, thiserror::Error)]
#[error("the event's metadata names no account")]
struct NoOwner;

/// Where the secret called `name` is sealed for, so that none passes for another.
pub(crate) fn shared_secret_place(name: &str) -> String {
    format!("shared-secret/{name}")
}

/// Where a signing key is sealed for. A key passes neither for another one nor for one of another algorithm.
pub(crate) fn signing_key_place(algorithm: &str, kid: &str) -> String {
    format!("signing-key/{algorithm}/{kid}")
}

/// The stored set of signing keys, of one snapshot.
pub(crate) struct StoredKeys {
    pub(crate) rows: Vec<KeyRow>,
    pub(crate) number: i64,
    /// The ledger, sealed.
    pub(crate) ledger: Option<Vec<u8>>,
}

/// What a change of the signing keys writes.
pub(crate) struct KeyChange {
    /// The rows, in an order in which there is never more than one newest.
    pub(crate) rows: Vec<(KeyRow, KeyTimes)>,
    /// The names of the rows to remove first.
    pub(crate) removed: Vec<String>,
    /// The ledger, sealed.
    pub(crate) ledger: Vec<u8>,
}

impl Vault {
    /// Tells what the stored keys are.
    pub(crate) fn signing_keys(
        &self,
        stored: &StoredKeys,
        now: Timestamp,
    ) -> Result<SigningKeys, StoreError> {
        let ledger = self.open_ledger(stored)?;
        let open = |row: &KeyRow| {
            let place = signing_key_place(&row.algorithm, &row.kid);
            self.master.open(&place, row.sealed.as_deref()?).ok()
        };
        let was_retired = |kid: &str| self.retired_keys.contains(kid);
        let found = judge(
            &stored.rows,
            stored.number,
            ledger.as_ref(),
            now,
            open,
            was_retired,
        );
        // A key that was given up because its row is damaged was not retired: the row may be restored.
        let is_faulty = |kid: &str| found.faults.iter().any(|fault| fault.kid == kid);
        let retired = found.keys.iter().filter(|key| key.retired_at.is_some());
        let retired = retired.map(|key| key.kid.as_str());
        self.retired_keys
            .note(retired.filter(|kid| !is_faulty(kid)));
        Ok(found)
    }

    fn open_ledger(&self, stored: &StoredKeys) -> Result<Option<KeyLedger>, StoreError> {
        let place = shared_secret_place(KeyLedger::NAME);
        let Some(sealed) = &stored.ledger else {
            return Ok(None);
        };
        let opened = self.master.open(&place, sealed).map_err(unreadable)?;
        serde_json::from_slice(&opened)
            .map(Some)
            .map_err(unreadable)
    }

    /// What to write so that `changed` are what the keys are.
    pub(crate) fn change_of_keys(
        &self,
        stored: &StoredKeys,
        changed: &[KeyRecord],
        removed: &[String],
        now: Timestamp,
    ) -> Result<KeyChange, StoreError> {
        let mut keys = self.signing_keys(stored, now)?.keys;
        for change in changed {
            match keys.iter_mut().find(|key| key.kid == change.kid) {
                Some(key) => *key = change.clone(),
                None => keys.push(change.clone()),
            }
        }
        let mut rows = Vec::new();
        for key in &keys {
            let times = KeyTimes::of(key);
            let row = stored.rows.iter().find(|row| row.kid == key.kid);
            let is_written = row.is_some_and(|row| {
                row.times == Some(times) && row.sealed.is_some() == key.private.is_some()
            });
            if !is_written {
                rows.push((self.row_of_key(key)?, times));
            }
        }
        rows.sort_by_key(|(row, _)| row.is_newest);
        let is_left_out = |row: &&KeyRow| !keys.iter().any(|key| key.kid == row.kid);
        let surplus = stored.rows.iter().filter(is_left_out);
        // There can be one newest key, and it cannot be one that is left out.
        let surplus = surplus.filter(|row| row.is_newest || removed.contains(&row.kid));
        let removed = surplus.map(|row| row.kid.clone()).collect();
        let before = self.open_ledger(stored)?;
        let ledger =
            KeyLedger::following(before.as_ref(), stored.number.saturating_add(1), &keys, now);
        let ledger = serde_json::to_vec(&ledger).map_err(unreadable)?;
        let place = shared_secret_place(KeyLedger::NAME);
        let ledger = self.master.seal(&place, &ledger, &*self.entropy);
        Ok(KeyChange {
            rows,
            removed,
            ledger: ledger.map_err(unreadable)?,
        })
    }

    fn row_of_key(&self, key: &KeyRecord) -> Result<KeyRow, StoreError> {
        let place = signing_key_place(key.algorithm.as_str(), &key.kid);
        let private = key.private.as_ref();
        let sealed = private.map(|private| self.master.seal(&place, private, &*self.entropy));
        Ok(KeyRow {
            kid: key.kid.clone(),
            algorithm: key.algorithm.to_string(),
            times: Some(KeyTimes::of(key)),
            is_newest: key.signs_until.is_none(),
            sealed: sealed.transpose().map_err(unreadable)?,
        })
    }
}

/// What the keys that a program was given are good for.
///
/// `sealing` is the fingerprint of the key that seals what is new, `opens` whether the pepper opens under one of them:
/// a rotation changes the first before anything else and the pepper last.
pub(crate) fn check_keys(
    master: &MasterKeys,
    sealing: &[u8],
    opens: bool,
) -> Result<(), OpenError> {
    match (master.seal_with(sealing), opens) {
        (true, true) => Ok(()),
        (false, false) => Err(OpenError::WrongMasterKey),
        (true, false) | (false, true) => Err(OpenError::RotationUnderWay),
    }
}

/// What a row of a read model says. One that cannot be read grants nothing: that is an error in the log, and to clients the row
/// is not there.
///
/// # Errors
/// The store did not answer.
pub(crate) fn found<T>(read: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match read {
        Ok(row) => Ok(Some(row)),
        Err(StoreError::Unreadable(error)) => {
            tracing::error!(%error, "a row of a read model cannot be read and grants nothing; run `authlog doctor`");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

pub(crate) fn unreadable(source: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Unreadable(Box::new(source))
}

/// A row of the log as a store holds it.
pub(crate) struct LogRow {
    pub(crate) log_index: i64,
    pub(crate) leaf_hash: Vec<u8>,
    pub(crate) recorded_at: Timestamp,
    pub(crate) aggregate_type: String,
    pub(crate) aggregate_id: String,
    pub(crate) sequence: i64,
    pub(crate) event_type: String,
    pub(crate) event_version: String,
    pub(crate) payload: Value,
    pub(crate) metadata: Value,
}

impl LogRow {
    /// The event as readers of the log get it: whatever is personal is left out, sealed or not.
    ///
    /// One that this program cannot read has its place and no payload. It does not keep a reader from what comes after it:
    /// what is made of such an event is decided where it is published.
    pub(crate) fn logged(self) -> Result<LoggedEvent, StoreError> {
        let kind = AggregateKind::from_stored(&self.aggregate_type);
        let mut event = RecordedEvent {
            aggregate_id: self.aggregate_id,
            sequence: u64::try_from(self.sequence).map_err(unreadable)?,
            aggregate_type: self.aggregate_type,
            event_type: self.event_type,
            event_version: self.event_version,
            payload: self.payload,
            metadata: self.metadata,
        };
        let opened = kind.map(|kind| open_payload(kind, &mut event, None));
        let user = owner(&event)
            .ok()
            .filter(|_| matches!(opened, Some(Ok(()))));
        if user.is_none() {
            event.payload = serde_json::Value::Null;
        }
        if let Some(metadata) = event.metadata.as_object_mut() {
            for name in RequestContext::PERSONAL_METADATA {
                metadata.remove(name);
            }
        }
        Ok(LoggedEvent {
            leaf_hash: leaf_hash(self.leaf_hash)?,
            log_index: u64::try_from(self.log_index).map_err(unreadable)?,
            recorded_at: self.recorded_at,
            user: user.unwrap_or(UserId::new(uuid::Uuid::nil())),
            event,
        })
    }
}

/// What the log has at the place of a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AtCursor {
    /// The entry that the reader found there, or any if the reader has seen none.
    Same,
    /// Another entry.
    Other,
    /// No entry.
    Nothing,
}

impl AtCursor {
    /// Compares a cursor with the leaf that was `found` at its place.
    pub(crate) fn of(cursor: &LogCursor, found: Option<&[u8]>) -> Self {
        match (found, cursor.leaf_hash) {
            (None, _) if cursor.log_index > 0 => Self::Nothing,
            (Some(found), Some(known)) if found != known => Self::Other,
            _ => Self::Same,
        }
    }
}

/// A leaf hash as it is stored.
pub(crate) fn leaf_hash(stored: Vec<u8>) -> Result<LeafHash, StoreError> {
    LeafHash::try_from(stored).map_err(|_| unreadable(NoLeafHash))
}

/// Every entry of the log has a hash of 32 bytes.
#[derive(Debug, thiserror::Error)]
#[error("an entry of the log has no leaf hash of 32 bytes")]
struct NoLeafHash;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_indexes_name_exactly_the_types_of_events_that_end_sessions() {
        let named: BTreeSet<&str> = is_of_revoking_type!()
            .trim_start_matches("event_type IN (")
            .trim_end_matches(')')
            .split(", ")
            .map(|name| name.trim_matches('\''))
            .collect();
        let ending = EventKind::ALL
            .into_iter()
            .filter(|kind| kind.ends_sessions());
        assert_eq!(named, ending.map(EventKind::stored_type).collect());
    }
}
