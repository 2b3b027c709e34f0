//! The unit of work of one command: what it reads, and what it writes in one append.
//!
//! The aggregate decides through the traits of `cqrs-es` (`Aggregate::handle` and `EventSink`). Its events are staged,
//! so that the events of several aggregates are written together with attachments that must not be in an event
//! (`docs/adr/0001`).

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use authlog_domain::client::{ClientCommand, ClientEvent};
use authlog_domain::refused_logins::{MAX_PER_DAY, RecordRefusedLogin};
use authlog_domain::session::{SessionCommand, SessionEvent};
use authlog_domain::user::{RecentRequests, UserCommand, UserEvent};
use authlog_domain::{
    AggregateKind, Client, ClientId, RefusedLogins, Role, Session, SessionId, User, UserId,
};
use authlog_projections::recent_requests;
use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, DomainEvent};
use tokio::sync::OwnedMutexGuard;

use crate::deadline::Deadline;
use crate::last_appended::LastAppended;
use crate::ports::{
    Account, Append, AppendError, Base, ClientRecord, Clients, CredentialRecord, Directory,
    EventStore, FactorChange, OpaqueTokenRecord, RecordedEvent, SessionRecord, SessionWithAccount,
    StagedStream, StoreError, StreamId,
};
use crate::{PasskeyRefusal, Refusal, SecondFactorRefusal};

/// The largest number of attempts of a command. After the first conflict, a command waits for its turn on this node. So a
/// further attempt can only lose to another node, of which there are few, or to a command that had started before. If
/// requests about one session reach several nodes without a pause, every attempt loses with the same probability: ten
/// attempts were not enough.
const MAX_ATTEMPTS: u32 = 200;

/// The increase of the pause after each lost attempt, up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_millis(1);

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// Why a unit of work failed.
#[derive(Debug)]
pub(crate) enum CommandError {
    /// The command was refused.
    Refused(Refusal),
    /// Another command was committed first, or a refusal is based on a row that may not have been the latest. The command
    /// has to be decided again.
    Conflict,
}

impl<R: Into<Refusal>> From<R> for CommandError {
    fn from(refusal: R) -> Self {
        Self::Refused(refusal.into())
    }
}

impl From<Infallible> for CommandError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl From<AppendError> for CommandError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Conflict => Self::Conflict,
            AppendError::IdentifierTaken(kind) => {
                Self::Refused(Refusal::IdentifierTaken(vec![kind]))
            }
            AppendError::AccountErased => Self::Refused(Refusal::UnknownAccount),
            AppendError::LastAdministrator => Self::Refused(Refusal::LastAdministrator),
            AppendError::PasskeyTaken => Self::Refused(PasskeyRefusal::AlreadyEnrolled.into()),
            AppendError::CodeUsed => {
                Self::Refused(Refusal::SecondFactor(SecondFactorRefusal::CodeUsed))
            }
            AppendError::Store(error) => Self::Refused(error.into()),
        }
    }
}

/// Every attempt of a command conflicted with another command.
#[derive(Debug, thiserror::Error)]
#[error("other commands came first {MAX_ATTEMPTS} times")]
struct OutOfAttempts;

/// Executes commands, and retries those that conflict with others.
pub(crate) struct CommandExecutor {
    store: Arc<dyn EventStore>,
    directory: Arc<dyn Directory>,
    clients: Arc<dyn Clients>,
    turns: StreamQueues,
}

impl CommandExecutor {
    pub(crate) fn new(
        store: Arc<dyn EventStore>,
        directory: Arc<dyn Directory>,
        clients: Arc<dyn Clients>,
    ) -> Self {
        Self {
            store,
            directory,
            clients,
            turns: StreamQueues::default(),
        }
    }

    /// Runs `work`, which decides on the aggregate `id`, in a unit of work of its own. A conflict restarts it from the
    /// beginning.
    pub(crate) async fn execute<T, Fut>(
        &self,
        id: &str,
        work: impl Fn(UnitOfWork) -> Fut + Send,
    ) -> Result<T, Refusal>
    where
        Fut: Future<Output = Result<T, CommandError>> + Send,
    {
        let decide = move |is_first| work(self.unit_of_work(is_first));
        self.turns.decide(id, decide).await
    }

    fn unit_of_work(&self, is_first: bool) -> UnitOfWork {
        UnitOfWork {
            store: Arc::clone(&self.store),
            directory: Arc::clone(&self.directory),
            clients: Arc::clone(&self.clients),
            staged: Arc::default(),
            is_first,
        }
    }
}

/// Queues of conflicting commands of this node, one for each aggregate. So a hundred requests about one session wait for
/// their turn instead of retrying a hundred times each.
#[derive(Default)]
struct StreamQueues(Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>);

impl StreamQueues {
    /// Calls `decide` for a command on the aggregate `id` until it does not conflict with others. The argument of `decide` is
    /// whether this is the first attempt. After the first conflict, the command waits in the queue. A command that finds a
    /// queue joins it before its first attempt; otherwise newcomers would always overtake the queue.
    async fn decide<T, Fut>(
        &self,
        id: &str,
        decide: impl Fn(bool) -> Fut + Send,
    ) -> Result<T, Refusal>
    where
        Fut: Future<Output = Result<T, CommandError>> + Send,
    {
        let mut turn = match self.join_existing(id) {
            Some(queued) => Some(queued.turn().await),
            None => None,
        };
        for tried in 0..MAX_ATTEMPTS {
            match decide(tried == 0).await {
                Ok(value) => return Ok(value),
                Err(CommandError::Refused(refusal)) => return Err(refusal),
                Err(CommandError::Conflict) => {}
            }
            if turn.is_none() {
                turn = Some(self.join(id).turn().await);
            } else {
                tokio::time::sleep((PAUSE * tried).min(LONGEST_PAUSE)).await;
            }
        }
        Err(Refusal::Unavailable(Box::new(OutOfAttempts)))
    }

    /// A place in the queue for `id`, if there is a queue.
    fn join_existing<'a>(&'a self, id: &'a str) -> Option<Queued<'a>> {
        let queue = lock(&self.0).get(id).cloned()?;
        Some(self.queued(id, queue))
    }

    /// A place in the queue for `id`, which is created if necessary.
    fn join<'a>(&'a self, id: &'a str) -> Queued<'a> {
        let queue = Arc::clone(lock(&self.0).entry(id.to_owned()).or_default());
        self.queued(id, queue)
    }

    fn queued<'a>(&'a self, id: &'a str, queue: Arc<tokio::sync::Mutex<()>>) -> Queued<'a> {
        Queued {
            turns: self,
            id,
            queue,
            turn: None,
        }
    }
}

/// A place in a queue, released when it is dropped. The last place removes the queue.
struct Queued<'a> {
    turns: &'a StreamQueues,
    id: &'a str,
    queue: Arc<tokio::sync::Mutex<()>>,
    turn: Option<OwnedMutexGuard<()>>,
}

impl Queued<'_> {
    /// Waits until it is the turn of this place.
    async fn turn(mut self) -> Self {
        self.turn = Some(Arc::clone(&self.queue).lock_owned().await);
        self
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.turn = None;
        let mut queues = lock(&self.turns.0);
        // If there are two references left, they are this place and the map: no other command waits.
        if Arc::strong_count(&self.queue) == 2 {
            queues.remove(self.id);
        }
    }
}

/// An aggregate whose commands need no services, with the name under which its events are stored.
pub(crate) trait EventSourced:
    Aggregate<Services = (), Command: Send, Error: Into<CommandError> + Send>
{
    const KIND: AggregateKind;
}

impl EventSourced for User {
    const KIND: AggregateKind = AggregateKind::User;
}

impl EventSourced for Session {
    const KIND: AggregateKind = AggregateKind::Session;
}

impl EventSourced for RefusedLogins {
    const KIND: AggregateKind = AggregateKind::RefusedLogins;
}

impl EventSourced for Client {
    const KIND: AggregateKind = AggregateKind::Client;
}

/// What one command reads and writes. Its reads are bounded, however long the stream of the aggregate is.
pub(crate) struct UnitOfWork {
    store: Arc<dyn EventStore>,
    directory: Arc<dyn Directory>,
    clients: Arc<dyn Clients>,
    staged: Arc<Mutex<Append>>,
    /// Whether this is the first attempt of the command. Then the row of a session may not be the latest. Only a successful
    /// append proves that it was, so a refusal that is based on the row counts as a conflict.
    is_first: bool,
}

impl UnitOfWork {
    /// Executes `command` on a new aggregate, whose id was just generated, and stages its events. Returns the events.
    pub(crate) async fn execute_new<A: EventSourced>(
        &self,
        id: &str,
        command: A::Command,
        metadata: HashMap<String, String>,
    ) -> Result<Vec<A::Event>, CommandError> {
        let loaded = LoadedAggregate::<A>::new(id);
        self.execute_on(loaded, command, metadata).await
    }

    /// Executes `command` on the account, based on its row. An account without a row was erased or never existed.
    pub(crate) async fn execute_on_account(
        &self,
        user: UserId,
        command: UserCommand,
        metadata: HashMap<String, String>,
    ) -> Result<Vec<UserEvent>, CommandError> {
        let mut loaded = LoadedAggregate::<User>::new(&user.to_string());
        match self.account(user).await? {
            Some(row) => {
                loaded.aggregate = User::Registered(row.state());
                loaded.staged.base = Base::Account(Box::new(row));
            }
            None if self.store.is_erased(user).await? => loaded.aggregate = User::Erased,
            None => {}
        }
        self.execute_on(loaded, command, metadata).await
    }

    /// The account's row with its recent requests. Rows that an earlier version of this program wrote do not have them. Then
    /// they are read from the account's last events, once: the append of this command stores them in the row.
    async fn account(&self, user: UserId) -> Result<Option<Account>, StoreError> {
        let Some(mut row) = self.directory.account(user).await? else {
            return Ok(None);
        };
        if row.recent_requests.is_none() {
            row.recent_requests = Some(self.recent_requests(user).await?);
        }
        Ok(Some(row))
    }

    /// The recent requests, read from the account's events. If one is added after the row was read, the append
    /// conflicts.
    async fn recent_requests(&self, user: UserId) -> Result<RecentRequests, StoreError> {
        let stream = StreamId {
            kind: AggregateKind::User,
            id: user.to_string(),
        };
        let mut events = Vec::new();
        for (event_type, limit) in RecentRequests::EVENT_TYPES {
            events.extend(self.store.last_events(&stream, event_type, limit).await?);
        }
        recent_requests(&events).map_err(|source| StoreError::Unreadable(Box::new(source)))
    }

    /// Whether the command has conflicted with another one before.
    pub(crate) fn is_retried(&self) -> bool {
        !self.is_first
    }

    /// Whether the stream has events.
    pub(crate) async fn has_events(&self, stream: &StreamId) -> Result<bool, StoreError> {
        Ok(self.store.last_sequence(stream, 1).await? > 0)
    }

    /// Looks up the session for [`Self::execute_on_session`].
    pub(crate) async fn session(
        &self,
        session: SessionId,
    ) -> Result<Option<SessionWithAccount>, StoreError> {
        if self.is_first {
            self.directory.session_to_append_to(session).await
        } else {
            self.directory.session(session).await
        }
    }

    /// Executes `command` on a session whose row was just read by [`Self::session`]. If the session has changed since,
    /// the append conflicts, and the caller has to read it again. In the first attempt, a refusal counts as a conflict,
    /// because the row may not have been the latest.
    pub(crate) async fn execute_on_session(
        &self,
        session: SessionRecord,
        command: SessionCommand,
        metadata: HashMap<String, String>,
    ) -> Result<Vec<SessionEvent>, CommandError> {
        let mut loaded = LoadedAggregate::new(&session.id.to_string());
        loaded.aggregate = Session::Started(session.state());
        loaded.staged.base = Base::Session(Box::new(session));
        let decided = self.execute_on::<Session>(loaded, command, metadata).await;
        match decided {
            Err(CommandError::Refused(_)) if self.is_first => Err(CommandError::Conflict),
            decided => decided,
        }
    }

    /// The client's row, for [`Self::execute_on_client`]. A client without a row never existed, unless the row is refused or was
    /// deleted: one that was removed has a row.
    pub(crate) async fn client(
        &self,
        client: &ClientId,
    ) -> Result<Option<ClientRecord>, StoreError> {
        self.clients.record(client).await
    }

    /// Executes `command` on the client whose row was just read by [`Self::client`]. If the client has changed since, the append
    /// conflicts, so settings that were computed from the row overwrite no others.
    pub(crate) async fn execute_on_client(
        &self,
        client: &ClientId,
        row: Option<ClientRecord>,
        command: ClientCommand,
        metadata: HashMap<String, String>,
    ) -> Result<Vec<ClientEvent>, CommandError> {
        let mut loaded = LoadedAggregate::<Client>::new(client.as_str());
        match row {
            Some(row) => {
                loaded.aggregate = row.aggregate();
                loaded.staged.base = Base::Client(Box::new(row));
            }
            // The row is refused or was deleted. Every attempt to register the id would conflict with the client's events.
            None if self.is_retried() && self.has_events(&loaded.staged.stream).await? => {
                loaded.aggregate = Client::Removed;
            }
            None => {}
        }
        self.execute_on(loaded, command, metadata).await
    }

    /// Executes `command` on the refused logins of the account on that day, based on their number. Once the daily limit is
    /// reached, nothing is recorded.
    pub(crate) async fn execute_on_refused_logins(
        &self,
        user: UserId,
        command: RecordRefusedLogin,
        metadata: HashMap<String, String>,
    ) -> Result<(), CommandError> {
        let id = RefusedLogins::stream_of(user, command.at);
        let mut loaded = LoadedAggregate::<RefusedLogins>::new(&id);
        let stream = &loaded.staged.stream;
        let most = u64::from(MAX_PER_DAY);
        let count = self.store.last_sequence(stream, most).await?;
        if count == most {
            tracing::warn!(%user, "failed logins of this account are no longer recorded today: the daily limit of {most} is reached");
        }
        loaded.aggregate = RefusedLogins::recorded(count);
        loaded.staged.base = Base::Events(count);
        self.execute_on(loaded, command, metadata).await?;
        Ok(())
    }

    async fn execute_on<A: EventSourced>(
        &self,
        loaded: LoadedAggregate<A>,
        command: A::Command,
        metadata: HashMap<String, String>,
    ) -> Result<Vec<A::Event>, CommandError> {
        let LoadedAggregate {
            mut aggregate,
            mut staged,
        } = loaded;
        let sink = EventSink::default();
        aggregate
            .handle(command, &(), &sink)
            .await
            .map_err(Into::into)?;
        let events = sink.collect().await;
        if events.is_empty() {
            return Ok(events);
        }
        let unreadable = |source| StoreError::Unreadable(Box::new(source));
        let metadata = serde_json::to_value(metadata).map_err(unreadable)?;
        for (sequence, event) in (staged.base.version() + 1..).zip(&events) {
            staged.new.push(RecordedEvent {
                aggregate_id: staged.stream.id.clone(),
                sequence,
                aggregate_type: A::TYPE.to_owned(),
                event_type: event.event_type(),
                event_version: event.event_version(),
                payload: serde_json::to_value(event).map_err(unreadable)?,
                metadata: metadata.clone(),
            });
        }
        lock(&self.staged).streams.push(staged);
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

    /// Changes what is stored of second factors with the events.
    pub(crate) fn attach_factor_change(&self, change: FactorChange) {
        lock(&self.staged).factors.push(change);
    }

    /// Makes the commit conditional on another administrator who can sign in. It has no effect if the row of `user`, as
    /// it was read, is not that of an administrator who can sign in.
    pub(crate) fn require_other_admin_than(&self, user: UserId) {
        let mut staged = lock(&self.staged);
        let administers = |row: &Account| row.id == user && row.role == Role::Admin && !row.locked;
        let bases = staged.streams.iter().map(|stream| &stream.base);
        if bases.filter_map(Base::account).any(administers) {
            staged.requires_other_admin_than = Some(user);
        }
    }

    /// Commits everything staged in one append. Without events nothing is written.
    pub(crate) async fn commit(self) -> Result<(), CommandError> {
        let mut append = std::mem::take(&mut *lock(&self.staged));
        if append.streams.is_empty() {
            return Ok(());
        }
        append.not_after = Deadline::current();
        let last = LastAppended::is_wanted()
            .then(|| append.last_event())
            .flatten();
        let appended = self.store.append(append).await?;
        if let Some(last) = last {
            LastAppended::note(last, appended);
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An aggregate as loaded for a command, and the stream to append to.
struct LoadedAggregate<A> {
    aggregate: A,
    staged: StagedStream,
}

impl<A: EventSourced> LoadedAggregate<A> {
    /// An aggregate without events.
    fn new(id: &str) -> Self {
        Self {
            aggregate: A::default(),
            staged: StagedStream {
                stream: StreamId {
                    kind: A::KIND,
                    id: id.to_owned(),
                },
                base: Base::Nothing,
                new: vec![],
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Notify;
    use tokio::task::JoinSet;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_command_is_decided_again_while_others_come_first() {
        for (losses, is_decided) in [(0, true), (1, true), (150, true), (MAX_ATTEMPTS, false)] {
            let tries = AtomicU32::new(0);
            let turns = StreamQueues::default();
            let decided = turns.decide("session", |is_first| {
                let tried = tries.fetch_add(1, Ordering::Relaxed);
                assert_eq!(is_first, tried == 0);
                std::future::ready(if tried < losses {
                    Err(CommandError::Conflict)
                } else {
                    Ok(tried)
                })
            });
            assert_eq!(decided.await.is_ok(), is_decided, "{losses}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_command_that_comes_later_waits_for_one_that_lost() {
        let turns = Arc::new(StreamQueues::default());
        let order = Arc::new(Mutex::new(Vec::new()));
        let (lost, may_go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let mut commands = JoinSet::new();
        commands.spawn({
            let (turns, order) = (Arc::clone(&turns), Arc::clone(&order));
            let (lost, may_go_on) = (Arc::clone(&lost), Arc::clone(&may_go_on));
            async move {
                let (order, lost, may_go_on) = (&order, &lost, &may_go_on);
                let decide = |is_first: bool| async move {
                    lock(order).push("loser");
                    if is_first {
                        return Err(CommandError::Conflict);
                    }
                    lost.notify_one();
                    may_go_on.notified().await;
                    Ok(())
                };
                turns.decide("session", decide).await.is_ok()
            }
        });
        lost.notified().await;
        for _ in 0..5 {
            let (turns, order) = (Arc::clone(&turns), Arc::clone(&order));
            commands.spawn(async move {
                let order = &order;
                let decide = |_: bool| async move {
                    lock(order).push("newcomer");
                    Ok::<_, CommandError>(())
                };
                turns.decide("session", decide).await.is_ok()
            });
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(*lock(&order), ["loser", "loser"]);
        may_go_on.notify_one();
        assert!(commands.join_all().await.into_iter().all(|is_ok| is_ok));
        assert_eq!(lock(&order).len(), 7);
        assert!(lock(&turns.0).is_empty());
    }
}
