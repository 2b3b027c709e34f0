//! The log of events, and what is written in the same statement as an event.

use async_trait::async_trait;
use authlog_domain::{CredentialId, IdentifierKind, SessionId, Timestamp, UserId};
use authlog_projections::{RecordedEvent, StagedStream, StreamId};
use tokio::time::Instant;

use super::{PasswordHash, TokenDigest};

/// A password hash, to be stored under the name that an event in the same append gives it.
#[derive(Clone)]
pub struct CredentialRecord {
    /// Whose password. It replaces the account's earlier one.
    pub user: UserId,
    /// The name.
    pub credential: CredentialId,
    /// The hash.
    pub hash: PasswordHash,
}

/// The digest of an opaque access token, to be stored with the session that it stands for.
#[derive(Clone)]
pub struct OpaqueTokenRecord {
    /// SHA-256 of the token.
    pub digest: TokenDigest,
    /// The session.
    pub session: SessionId,
    /// From this instant on the token is no longer good.
    pub expires_at: Timestamp,
}

/// Everything that one command writes. It becomes true as a whole or not at all.
#[derive(Clone, Default)]
pub struct Append {
    /// The streams that grow, each at most once.
    pub streams: Vec<StagedStream>,
    /// The password hash that the events name, if any.
    pub credential: Option<CredentialRecord>,
    /// The opaque token that the events start a session for, if any.
    pub opaque_token: Option<OpaqueTokenRecord>,
    /// Makes the append conditional on an administrator other than this account who can sign in.
    pub requires_other_admin_than: Option<UserId>,
    /// From this instant on the append must not take effect, however long it waited before; `None` for one that may wait.
    pub not_after: Option<Instant>,
}

/// The time for an append was up before it was begun.
#[derive(Debug, thiserror::Error)]
#[error("the time for it was up before it was begun")]
pub struct TooLate;

impl From<TooLate> for AppendError {
    fn from(late: TooLate) -> Self {
        Self::Store(StoreError::Unavailable(Box::new(late)))
    }
}

/// Why the store did not answer. Nothing was written, or, where an append lost its answer, that is not known.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached, or is too busy. It may be back in a moment.
    #[error("the store is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What it holds cannot be read: another program wrote it, or it was damaged.
    #[error("the store holds what cannot be read")]
    Unreadable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why an append did not happen. Nothing was written, except as [`StoreError`] says.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Another command changed one of the streams in the meantime, or one of them is not there as it was found: a server
    /// that took over may lack what was committed last. Load again and decide again.
    #[error("another command came first")]
    Conflict,
    /// Another account has one of the identifiers.
    #[error("the identifier belongs to another account")]
    IdentifierTaken(IdentifierKind),
    /// The account to which one of the streams belongs does not exist: it was erased, and nothing is recorded of it any
    /// more, or its registration was lost by a server that took over.
    #[error("the account does not exist")]
    AccountErased,
    /// No other administrator would be left.
    #[error("no other account is an administrator's")]
    LastAdministrator,
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The log of events.
///
/// An event is stored only if the one before it in its stream is there, and its account exists. What was refused for its
/// time ([`TooLate`]) is not done later either.
///
/// An adapter stores the personal fields of events (and `ip` and `user_agent` of their metadata) sealed under a key
/// of the account that `user_id` in the metadata names, and in the statement that appends the events it also writes
/// the claims to identifiers, the key, the attachments of the [`Append`], the rows of the read models and what is due to
/// be mailed ([`MailQueue`](super::MailQueue)), as `authlog-projections` computes them.
///
/// The event that erases an account takes with it, in that same statement, the account's key, claims, credential, opaque
/// tokens, rows, the mail that is due and the requests for resets that concern it. It is the last event of its account in every stream and in
/// the log: a command that was decided before and is appended later is refused. Afterwards no node opens personal fields
/// of the account's events, even if it had the key in memory.
#[async_trait]
pub trait EventStore: Send + Sync {
    /// The events of a stream in order of their sequence, with their personal fields opened or erased; none for a
    /// stream that does not exist.
    async fn load(&self, stream: &StreamId) -> Result<Vec<RecordedEvent>, StoreError>;

    /// The last events of one type of a stream, up to `limit`, in order of their sequence and opened as by [`Self::load`].
    async fn last_events(
        &self,
        stream: &StreamId,
        event_type: &str,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, StoreError>;

    /// The highest sequence of a stream's events that is not beyond `limit`; 0 for a stream that does not exist. It costs the
    /// same however long the stream is.
    async fn last_sequence(&self, stream: &StreamId, limit: u64) -> Result<u64, StoreError>;

    /// Whether the account was erased: `false` for one that the store does not know. It costs the same however long the
    /// account's stream is.
    async fn is_erased(&self, user: UserId) -> Result<bool, StoreError>;

    /// Appends, as a whole or not at all. When it returns, what it wrote survives a crash.
    async fn append(&self, append: Append) -> Result<(), AppendError>;
}
