//! What both stores do alike: everything about an append but the statements.

use std::sync::Arc;

use async_trait::async_trait;
use authlog_application::RequestContext;
use authlog_application::ports::{
    Append, CredentialRecord, Directory, Doctor, Entropy, EventLog, EventStore, Health, History,
    Identifier, IdentifierKind, LoggedEvent, OpaqueTokenRecord, Rebuild, ResetRequests,
    RevocationSource, StoreError, StreamId,
};
use authlog_domain::{AggregateKind, Timestamp, UserId};
use authlog_projections::{Account, Row, SessionRecord, claims, row_after};
use aws_lc_rs::hmac;
use cqrs_es::persist::SerializedEvent;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::sealing::{MasterKey, SealedEvent, SubjectKey, SubjectKeyCache, open_payload, seal};

/// The event types after which tokens no longer count, as the stores' partial indexes name them.
pub(crate) const REVOKING_EVENT_TYPES: [&str; 3] =
    ["LoggedOut", "RefreshTokenReused", "PasswordReset"];

/// A store: everything that the use cases need kept, and the secrets that nodes share.
pub trait Store:
    EventStore
    + EventLog
    + History
    + Doctor
    + Directory
    + RevocationSource
    + ResetRequests
    + Rebuild
    + Health
    + SharedSecrets
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
        + Rebuild
        + Health
        + SharedSecrets
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
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It cannot be reached.
    #[error("the store cannot be reached")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Its schema is not the one that this program expects, and may not or cannot be brought up to it.
    #[error("the store's schema is not what this program expects")]
    Schema(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What it holds was sealed under another master key.
    #[error("the store was sealed under another master key")]
    WrongMasterKey,
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
    /// The identifiers that become an account's own, as digests.
    pub(crate) claims: Vec<ClaimDigest>,
    /// Rows of the accounts.
    pub(crate) accounts: Vec<Account>,
    /// Rows of the sessions.
    pub(crate) sessions: Vec<SessionRecord>,
    /// The password hash that the events name.
    pub(crate) credential: Option<CredentialRecord>,
    /// The opaque token that the events start a session for.
    pub(crate) opaque_token: Option<OpaqueTokenRecord>,
}

/// A claim as it is stored: the identifier cannot be read from it without the pepper.
#[derive(Clone)]
pub(crate) struct ClaimDigest {
    pub(crate) kind: IdentifierKind,
    pub(crate) digest: [u8; 32],
    pub(crate) owner: UserId,
}

/// The keyed digest under which identifiers are claimed: whoever reads the table cannot test names against it.
pub(crate) struct Pepper(hmac::Key);

impl Pepper {
    /// Bytes in a pepper.
    pub(crate) const LENGTH: usize = 32;

    pub(crate) fn new(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    pub(crate) fn digest(&self, identifier: &Identifier) -> [u8; 32] {
        let text = format!("{}:{}", identifier.kind().as_str(), identifier.comparable());
        let tag = hmac::sign(&self.0, text.as_bytes());
        let mut digest = [0; 32];
        digest.copy_from_slice(tag.as_ref());
        digest
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
    pub(crate) master: MasterKey,
    pub(crate) pepper: Pepper,
    pub(crate) entropy: Arc<dyn Entropy>,
    cache: SubjectKeyCache,
}

impl Vault {
    pub(crate) fn new(master: MasterKey, pepper: Pepper, entropy: Arc<dyn Entropy>) -> Self {
        Self {
            master,
            pepper,
            entropy,
            cache: SubjectKeyCache::default(),
        }
    }

    /// The key of `user`, if the account exists and was not erased.
    pub(crate) async fn subject_key(
        &self,
        user: UserId,
        stored: &impl WrappedKeys,
    ) -> Result<Option<SubjectKey>, StoreError> {
        if let Some(key) = self.cache.get(user) {
            return Ok(Some(key));
        }
        let Some(wrapped) = stored.wrapped_key(user).await? else {
            return Ok(None);
        };
        let key = SubjectKey::unwrap(user, &wrapped, &self.master).map_err(unreadable)?;
        self.cache.put(user, key.clone());
        Ok(Some(key))
    }

    /// Opens the personal fields of a stream as it was stored.
    pub(crate) async fn open(
        &self,
        stream: &StreamId,
        mut events: Vec<SerializedEvent>,
        stored: &impl WrappedKeys,
    ) -> Result<Vec<SerializedEvent>, StoreError> {
        let personal =
            |event: &SerializedEvent| !stream.kind.personal_fields(&event.event_type).is_empty();
        let Some(user) = events.iter().find(|event| personal(event)).map(owner) else {
            return Ok(events);
        };
        let key = self.subject_key(user?, stored).await?;
        for event in &mut events {
            open_payload(stream.kind, event, key.as_ref()).map_err(unreadable)?;
        }
        Ok(events)
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
            claims: vec![],
            accounts: vec![],
            sessions: vec![],
            credential: append.credential,
            opaque_token: append.opaque_token,
        };
        let mut new_key: Option<(UserId, SubjectKey)> = None;
        for staged in &append.streams {
            let Some(first) = staged.new.first() else {
                continue;
            };
            let user = owner(first)?;
            if staged.stream.kind == AggregateKind::User && staged.prior.is_empty() {
                let key = SubjectKey::generate(&*self.entropy);
                let wrapped = key
                    .wrap(user, &self.master, &*self.entropy)
                    .map_err(unreadable)?;
                plan.subject_keys.push((user, wrapped));
                new_key = Some((user, key));
            }
            let key = match &new_key {
                Some((owner, key)) if *owner == user => Some(key.clone()),
                _ => self.subject_key(user, stored).await?,
            };
            for event in &staged.new {
                let sealed = seal(staged.stream.kind, event, key.as_ref(), &*self.entropy);
                plan.events.push(sealed.map_err(unreadable)?);
            }
            for claim in claims(staged).map_err(unreadable)? {
                plan.claims.push(ClaimDigest {
                    kind: claim.identifier.kind(),
                    digest: self.pepper.digest(&claim.identifier),
                    owner: claim.owner,
                });
            }
            match row_after(staged).map_err(unreadable)? {
                Some(Row::Account(row)) => plan.accounts.push(*row),
                Some(Row::Session(row)) => plan.sessions.push(*row),
                None => {}
            }
        }
        Ok(plan)
    }
}

/// The account to which an event belongs, by its metadata.
fn owner(event: &SerializedEvent) -> Result<UserId, StoreError> {
    event
        .metadata
        .get("user_id")
        .and_then(serde_json::Value::as_str)
        .and_then(UserId::parse)
        .ok_or_else(|| unreadable(NoOwner))
}

/// Every event names the account to which it happened.
#[derive(Debug, thiserror::Error)]
#[error("the event's metadata names no account")]
struct NoOwner;

pub(crate) fn unreadable(source: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Unreadable(Box::new(source))
}

/// A row of the log as a store holds it.
pub(crate) struct LogRow {
    pub(crate) log_index: i64,
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
    pub(crate) fn logged(self) -> Result<LoggedEvent, StoreError> {
        let kind = AggregateKind::from_stored(&self.aggregate_type)
            .ok_or_else(|| unreadable(UnknownKind(self.aggregate_type.clone())))?;
        let mut event = SerializedEvent::new(
            self.aggregate_id,
            usize::try_from(self.sequence).map_err(unreadable)?,
            self.aggregate_type,
            self.event_type,
            self.event_version,
            self.payload,
            self.metadata,
        );
        open_payload(kind, &mut event, None).map_err(unreadable)?;
        if let Some(metadata) = event.metadata.as_object_mut() {
            for name in RequestContext::PERSONAL_METADATA {
                metadata.remove(name);
            }
        }
        Ok(LoggedEvent {
            log_index: u64::try_from(self.log_index).map_err(unreadable)?,
            recorded_at: self.recorded_at,
            user: owner(&event)?,
            event,
        })
    }
}

/// Every event is of an aggregate that some version of this program knows.
#[derive(Debug, thiserror::Error)]
#[error("there are no aggregates of the kind {0:?}")]
struct UnknownKind(String);
