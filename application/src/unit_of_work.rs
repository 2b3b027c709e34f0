//! One command's worth of work: what it reads, and all that it writes, committed in one append.
//!
//! `cqrs-es` decides and keeps the sequence numbers; its repository here stages what it persists instead of writing it,
//! so that events of several aggregates and the attachments that no event may contain become true together.

use std::collections::HashMap;
use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use authlog_domain::{AggregateKind, RefusedLogins, Session, User, UserId};
use cqrs_es::persist::{
    PersistedEventRepository, PersistedEventStore, PersistenceError, ReplayStream, SerializedEvent,
    SerializedSnapshot,
};
use cqrs_es::{Aggregate, AggregateError, CqrsFramework};
use serde_json::Value;

use crate::Refusal;
use crate::ports::{
    Append, AppendError, CredentialRecord, EventStore, OpaqueTokenRecord, StagedStream, StoreError,
    StreamId,
};

/// How often a command is decided at the most. On one node only the first time can be lost to other commands of this
/// node; each further one is lost to another node's, of which there are few.
const TRIES: u32 = 10;

/// How many commands of this node can have their turn at once after they lost against another. Two aggregates may share
/// one; then one waits a few milliseconds for nothing.
const TURNS: usize = 256;

/// Why a unit of work came to nothing.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It was refused.
    Refused(Refusal),
    /// Another command came first.
    Conflict,
}

impl<R: Into<Refusal>> From<R> for Failure {
    fn from(refusal: R) -> Self {
        Self::Refused(refusal.into())
    }
}

impl From<AppendError> for Failure {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Conflict => Self::Conflict,
            AppendError::IdentifierTaken(kind) => {
                Self::Refused(Refusal::IdentifierTaken(vec![kind]))
            }
            AppendError::AccountErased => Self::Refused(Refusal::UnknownAccount),
            AppendError::LastAdministrator => Self::Refused(Refusal::LastAdministrator),
            AppendError::Store(error) => Self::Refused(error.into()),
        }
    }
}

/// A command that kept losing against others.
#[derive(Debug, thiserror::Error)]
#[error("other commands came first {TRIES} times")]
struct OutOfTries;

/// Where commands are recorded.
pub(crate) struct Journal {
    store: Arc<dyn EventStore>,
    turns: Vec<tokio::sync::Mutex<()>>,
}

impl Journal {
    pub(crate) fn new(store: Arc<dyn EventStore>) -> Self {
        let turns = std::iter::repeat_with(tokio::sync::Mutex::default);
        Self {
            store,
            turns: turns.take(TURNS).collect(),
        }
    }

    /// Does `work`, which decides on the aggregate `id`, in a unit of its own; from the start again while other commands
    /// come first. A command that lost once waits its turn among those of this node, so that a hundred requests about
    /// one session make a queue and not a hundred retries each.
    pub(crate) async fn record<T, Fut>(
        &self,
        id: &str,
        work: impl Fn(UnitOfWork) -> Fut + Send,
    ) -> Result<T, Refusal>
    where
        Fut: Future<Output = Result<T, Failure>> + Send,
    {
        let mut turn = None;
        for _ in 0..TRIES {
            match work(UnitOfWork::new(Arc::clone(&self.store))).await {
                Ok(value) => return Ok(value),
                Err(Failure::Refused(refusal)) => return Err(refusal),
                Err(Failure::Conflict) => {}
            }
            if turn.is_none() {
                turn = Some(self.turn_of(id).lock().await);
            }
        }
        Err(Refusal::Unavailable(Box::new(OutOfTries)))
    }

    fn turn_of(&self, id: &str) -> &tokio::sync::Mutex<()> {
        let mut hasher = DefaultHasher::new();
        id.hash(&mut hasher);
        let place = hasher.finish() as usize % self.turns.len();
        &self.turns[place]
    }
}

/// An aggregate that decides by itself, and by what name its events are stored.
pub(crate) trait Decides:
    Aggregate<Services = (), Command: Send, Error: Into<Failure> + Send>
{
    const KIND: AggregateKind;
}

impl Decides for User {
    const KIND: AggregateKind = AggregateKind::User;
}

impl Decides for Session {
    const KIND: AggregateKind = AggregateKind::Session;
}

impl Decides for RefusedLogins {
    const KIND: AggregateKind = AggregateKind::RefusedLogins;
}

/// What one command reads and writes.
#[derive(Clone)]
pub(crate) struct UnitOfWork {
    store: Arc<dyn EventStore>,
    staged: Arc<Mutex<Append>>,
}

impl UnitOfWork {
    fn new(store: Arc<dyn EventStore>) -> Self {
        Self {
            store,
            staged: Arc::default(),
        }
    }

    /// Lets the aggregate that nobody has written to yet, because its id was made just now, decide on `command`.
    pub(crate) async fn execute_new<A: Decides>(
        &self,
        id: &str,
        command: A::Command,
        metadata: HashMap<String, String>,
    ) -> Result<Vec<A::Event>, Failure> {
        self.execute_on::<A>(id, Some(vec![]), command, metadata)
            .await
    }

    /// Lets the aggregate decide on `command` and stages its events, which it also returns.
    pub(crate) async fn execute<A: Decides>(
        &self,
        id: &str,
        command: A::Command,
        metadata: HashMap<String, String>,
    ) -> Result<Vec<A::Event>, Failure> {
        self.execute_on::<A>(id, None, command, metadata).await
    }

    async fn execute_on<A: Decides>(
        &self,
        id: &str,
        known: Option<Vec<SerializedEvent>>,
        command: A::Command,
        metadata: HashMap<String, String>,
    ) -> Result<Vec<A::Event>, Failure> {
        let stream = StreamId {
            kind: A::KIND,
            id: id.to_owned(),
        };
        let prior = match known {
            Some(prior) => prior,
            None => self.store.load(&stream).await?,
        };
        let staging = Staging(Arc::new(Mutex::new(StagedStream {
            stream,
            prior,
            new: vec![],
        })));
        let framework = CqrsFramework::<A, _>::new(
            PersistedEventStore::new_event_store(staging.clone()),
            vec![],
            (),
        );
        framework
            .execute_with_metadata(id, command, metadata)
            .await
            .map_err(|error| match error {
                AggregateError::UserError(refusal) => refusal.into(),
                AggregateError::AggregateConflict => Failure::Conflict,
                AggregateError::DatabaseConnectionError(source)
                | AggregateError::DeserializationError(source)
                | AggregateError::UnexpectedError(source) => StoreError::Unreadable(source).into(),
            })?;
        let staged = staging.lock().clone();
        let events = staged
            .new
            .iter()
            .map(|event| serde_json::from_value(event.payload.clone()))
            .collect::<Result<Vec<A::Event>, _>>()
            .map_err(|source| StoreError::Unreadable(Box::new(source)))?;
        if !staged.new.is_empty() {
            lock(&self.staged).streams.push(staged);
        }
        Ok(events)
    }

    /// Stores a password hash with the events.
    pub(crate) fn attach_credential(&self, credential: CredentialRecord) {
        lock(&self.staged).credential = Some(credential);
    }

    /// Stores the digest of an opaque token with the events.
    pub(crate) fn attach_opaque_token(&self, token: OpaqueTokenRecord) {
        lock(&self.staged).opaque_token = Some(token);
    }

    /// Lets nothing of it happen unless somebody beside `user` is an administrator who can sign in.
    pub(crate) fn leave_an_administrator_beside(&self, user: UserId) {
        lock(&self.staged).leaves_an_administrator_beside = Some(user);
    }

    /// Makes all that was staged true at once. Without any event there is nothing to make true.
    pub(crate) async fn commit(self) -> Result<(), Failure> {
        let append = std::mem::take(&mut *lock(&self.staged));
        if append.streams.is_empty() {
            return Ok(());
        }
        Ok(self.store.append(append).await?)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The repository that `cqrs-es` sees: it reads what was loaded and stages what is persisted.
#[derive(Clone)]
struct Staging(Arc<Mutex<StagedStream>>);

impl Staging {
    fn lock(&self) -> MutexGuard<'_, StagedStream> {
        lock(&self.0)
    }
}

impl PersistedEventRepository for Staging {
    async fn get_events<A: Aggregate>(
        &self,
        _aggregate_id: &str,
    ) -> Result<Vec<SerializedEvent>, PersistenceError> {
        Ok(self.lock().prior.clone())
    }

    async fn get_last_events<A: Aggregate>(
        &self,
        _aggregate_id: &str,
        last_sequence: usize,
    ) -> Result<Vec<SerializedEvent>, PersistenceError> {
        let staged = self.lock();
        Ok(staged.prior.iter().skip(last_sequence).cloned().collect())
    }

    // cqrs-es 0.5 applies the events of a snapshot twice; nothing here ever asks for one.
    async fn get_snapshot<A: Aggregate>(
        &self,
        _aggregate_id: &str,
    ) -> Result<Option<SerializedSnapshot>, PersistenceError> {
        Ok(None)
    }

    async fn persist<A: Aggregate>(
        &self,
        events: &[SerializedEvent],
        _snapshot_update: Option<(String, Value, usize)>,
    ) -> Result<(), PersistenceError> {
        self.lock().new.extend_from_slice(events);
        Ok(())
    }

    // Replay streams of cqrs-es 0.5 make a truncated replay look whole; rebuilds page through the store instead.
    async fn stream_events<A: Aggregate>(
        &self,
        _aggregate_id: &str,
    ) -> Result<ReplayStream, PersistenceError> {
        Ok(ReplayStream::new(1).1)
    }

    async fn stream_all_events<A: Aggregate>(&self) -> Result<ReplayStream, PersistenceError> {
        Ok(ReplayStream::new(1).1)
    }
}
