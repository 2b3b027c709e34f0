//! The store of events, and everything that is written in one commit with them.

use async_trait::async_trait;
use authlog_domain::{CredentialId, IdentifierKind, SessionId, Timestamp, UserId};
use authlog_projections::{RecordedEvent, StagedStream, StreamId};
use tokio::time::Instant;

use super::{FactorChange, PasswordHash, TokenDigest};

/// A password hash, to be stored with the event that names its id.
#[derive(Clone)]
pub struct CredentialRecord {
    /// The account. The hash replaces the account's earlier one.
    pub user: UserId,
    /// The id that the event names.
    pub credential: CredentialId,
    /// The hash.
    pub hash: PasswordHash,
}

/// The digest of an opaque access token, to be stored with the start of its session.
#[derive(Clone)]
pub struct OpaqueTokenRecord {
    /// SHA-256 of the token.
    pub digest: TokenDigest,
    /// The session.
    pub session: SessionId,
    /// The instant from which the token is invalid.
    pub expires_at: Timestamp,
}

/// An event by its place in its stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventId {
    /// The stream.
    pub stream: StreamId,
    /// Its number in the stream, from 1.
    pub sequence: u64,
}

/// Everything that one command writes, atomically.
#[derive(Clone, Default)]
pub struct Append {
    /// The streams to which events are appended, each at most once.
    pub streams: Vec<StagedStream>,
    /// The password hash that the events name, if any.
    pub credential: Option<CredentialRecord>,
    /// The opaque token of the session that the events start, if it has one.
    pub opaque_token: Option<OpaqueTokenRecord>,
    /// The changes of an account's second factors that the events are about, or that a login depends on.
    pub factors: Vec<FactorChange>,
    /// Makes the append conditional on an administrator other than this account who can sign in.
    pub requires_other_admin_than: Option<UserId>,
    /// The deadline, after which the append must not take effect; `None` if it may wait for any time.
    pub not_after: Option<Instant>,
}

impl Append {
    /// The last of the events, which gets the highest log index of them.
    pub fn last_event(&self) -> Option<EventId> {
        let staged = self.streams.last()?;
        Some(EventId {
            stream: staged.stream.clone(),
            sequence: staged.new.last()?.sequence,
        })
    }
}

/// The outcome of an append.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    /// The log index of the last event; `None` if the store assigns it later.
    pub log_index: Option<u64>,
}

/// The deadline of an append expired before the append began.
#[derive(Debug, thiserror::Error)]
#[error("the deadline expired before the append began")]
pub struct TooLate;

impl From<TooLate> for AppendError {
    fn from(late: TooLate) -> Self {
        Self::Store(StoreError::Unavailable(Box::new(late)))
    }
}

/// Why the store did not answer. Nothing was written; only if the answer to an append was lost, it is unknown whether the
/// append was written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store cannot be reached, or is too busy. A retry may succeed.
    #[error("the store is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Stored data cannot be read: another program wrote it, or it was damaged.
    #[error("the store holds what cannot be read")]
    Unreadable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why an append failed. Nothing was written, except as described for [`StoreError`].
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Another command changed one of the streams meanwhile, or the store no longer has the event on which the append builds,
    /// because a failover lost it. The caller has to load and decide again.
    #[error("another command came first")]
    Conflict,
    /// Another account has one of the identifiers.
    #[error("the identifier belongs to another account")]
    IdentifierTaken(IdentifierKind),
    /// The account to which one of the streams belongs does not exist: it was erased, so no further event is recorded, or a
    /// failover lost its registration.
    #[error("the account does not exist")]
    AccountErased,
    /// The append would leave no administrator who can sign in.
    #[error("no other account is an administrator's")]
    LastAdministrator,
    /// The credential id of a new passkey belongs to a passkey already.
    #[error("the passkey is enrolled already")]
    PasskeyTaken,
    /// The code of a second factor was used before, or its factor was removed.
    #[error("the code was used before")]
    CodeUsed,
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The store of events.
///
/// An event is stored only if the store has the previous event of its stream, and if its account exists. An append that was
/// refused because its deadline expired ([`TooLate`]) is not executed later either.
///
/// An adapter stores the personal fields of events (and `ip` and `user_agent` of their metadata) sealed under a key
/// of the account that `user_id` in the metadata names. In the statement that appends the events it also writes the claims
/// to identifiers, the key, the attachments of the [`Append`], the rows of the read models and the due mail
/// ([`MailQueue`](super::MailQueue)), as `authlog-projections` computes them.
///
/// The statement that appends an erasure also deletes the account's key, claims, credential, opaque tokens, rows, due mail
/// and reset requests. The erasure is the last event of the account in every stream and in the log: a command that was
/// decided before and is appended later is refused. Afterwards no node opens personal fields of the account's events, even if
/// it had the key in memory.
#[async_trait]
pub trait EventStore: Send + Sync {
    /// The events of a stream in the order of their sequence, with their personal fields in clear text or erased. Empty for a
    /// stream that does not exist.
    async fn load(&self, stream: &StreamId) -> Result<Vec<RecordedEvent>, StoreError>;

    /// The last `limit` events of one type in a stream, in the order of their sequence, with their personal fields as by
    /// [`Self::load`].
    async fn last_events(
        &self,
        stream: &StreamId,
        event_type: &str,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, StoreError>;

    /// The highest sequence of a stream's events that is at most `limit`; 0 for a stream that does not exist. The cost does not
    /// depend on the length of the stream.
    async fn last_sequence(&self, stream: &StreamId, limit: u64) -> Result<u64, StoreError>;

    /// Whether the account was erased; `false` for an account that the store does not know. The cost does not depend on the
    /// length of the account's stream.
    async fn is_erased(&self, user: UserId) -> Result<bool, StoreError>;

    /// Appends atomically. Once it has returned, the append survives a crash.
    async fn append(&self, append: Append) -> Result<Appended, AppendError>;
}
