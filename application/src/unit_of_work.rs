//! One command's worth of work: what it reads, and all that it writes, committed in one append.
//!
//! The aggregate decides by the traits of `cqrs-es` (`Aggregate::handle` and `EventSink`). Its events are staged, so that those of
//! several aggregates and the attachments that no event may contain are written together (`docs/adr/0001`).

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use authlog_domain::refused_logins::{MAX_PER_DAY, RecordRefusedLogin};
use authlog_domain::session::{SessionCommand, SessionEvent};
use authlog_domain::user::{RecentRequests, UserCommand, UserEvent};
use authlog_domain::{AggregateKind, RefusedLogins, Role, Session, SessionId, User, UserId};
use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, DomainEvent};
use tokio::sync::OwnedMutexGuard;

use crate::Refusal;
use crate::deadline::Deadline;
use crate::ports::{
    Account, Append, AppendError, Base, CredentialRecord, Directory, EventStore, OpaqueTokenRecord,
    RecordedEvent, SessionRecord, SessionStanding, StagedStream, StoreError, StreamId,
};

/// How often a command is decided at the most. On one node the first time can be lost to other commands of this node; each
/// further one is lost to another node's, of which there are few, or to one that had begun before. While requests about one
/// session come to several nodes without a pause, each time is lost with the same probability: ten times were not enough.
const TRIES: u32 = 200;

/// By how much longer a command waits after each time that it lost its turn, up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_millis(1);

/// The longest wait between two times.
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// Why a unit of work came to nothing.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It was refused.
    Refused(Refusal),
    /// Another command came first, or the row by which it was refused may not have been the last one.
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
    directory: Arc<dyn Directory>,
    turns: Turns,
}

impl Journal {
    pub(crate) fn new(store: Arc<dyn EventStore>, directory: Arc<dyn Directory>) -> Self {
        Self {
            store,
            directory,
            turns: Turns::default(),
        }
    }

    /// Does `work`, which decides on the aggregate `id`, in a unit of its own; from the start again while other commands
    /// come first.
    pub(crate) async fn record<T, Fut>(
        &self,
        id: &str,
        work: impl Fn(UnitOfWork) -> Fut + Send,
    ) -> Result<T, Refusal>
    where
        Fut: Future<Output = Result<T, Failure>> + Send,
    {
        let decide = move |is_first| work(self.unit_of_work(is_first));
        self.turns.decide(id, decide).await
    }

    fn unit_of_work(&self, is_first: bool) -> UnitOfWork {
        UnitOfWork {
            store: Arc::clone(&self.store),
            directory: Arc::clone(&self.directory),
            staged: Arc::default(),
            is_first,
        }
    }
}

/// Whose turn it is among the commands of this node that lost against others, by the aggregates that they are about. A hundred
/// requests about one session make a queue and not a hundred retries each.
#[derive(Default)]
struct Turns(Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>);

impl Turns {
    /// Has a command decided on the aggregate `id`, again while it conflicts with others. `decide` takes whether it is the
    /// first time. A command that lost once waits its turn; and one that finds others waiting queues up behind them before
    /// its first time, or it would come first each time and they never.
    async fn decide<T, Fut>(
        &self,
        id: &str,
        decide: impl Fn(bool) -> Fut + Send,
    ) -> Result<T, Refusal>
    where
        Fut: Future<Output = Result<T, Failure>> + Send,
    {
        let mut turn = match self.behind_others(id) {
            Some(queued) => Some(queued.comes().await),
            None => None,
        };
        for tried in 0..TRIES {
            match decide(tried == 0).await {
                Ok(value) => return Ok(value),
                Err(Failure::Refused(refusal)) => return Err(refusal),
                Err(Failure::Conflict) => {}
            }
            if turn.is_none() {
                turn = Some(self.queue(id).comes().await);
            } else {
                tokio::time::sleep((PAUSE * tried).min(LONGEST_PAUSE)).await;
            }
        }
        Err(Refusal::Unavailable(Box::new(OutOfTries)))
    }

    /// A place in the queue for `id`, if there is a queue.
    fn behind_others<'a>(&'a self, id: &'a str) -> Option<Queued<'a>> {
        let queue = lock(&self.0).get(id).cloned()?;
        Some(self.queued(id, queue))
    }

    /// A place in the queue for `id`.
    fn queue<'a>(&'a self, id: &'a str) -> Queued<'a> {
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

/// A place in a queue, given up when it is dropped. The last one takes the queue away.
struct Queued<'a> {
    turns: &'a Turns,
    id: &'a str,
    queue: Arc<tokio::sync::Mutex<()>>,
    turn: Option<OwnedMutexGuard<()>>,
}

impl Queued<'_> {
    /// Waits until it is the first.
    async fn comes(mut self) -> Self {
        self.turn = Some(Arc::clone(&self.queue).lock_owned().await);
        self
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.turn = None;
        let mut queues = lock(&self.turns.0);
        // Those that are left are this place's own and the map's.
        if Arc::strong_count(&self.queue) == 2 {
            queues.remove(self.id);
        }
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

/// What one command reads and writes. What it decides on comes from a bounded read, however long the aggregate's stream
/// is.
pub(crate) struct UnitOfWork {
    store: Arc<dyn EventStore>,
    directory: Arc<dyn Directory>,
    staged: Arc<Mutex<Append>>,
    /// Whether the command is decided for the first time. Then only its append proves that a session's row was the last
    /// one, and nothing else is decided by it.
    is_first: bool,
}

impl UnitOfWork {
    /// Lets the aggregate that nobody has written to yet, because its id was made just now, decide on `command`, and
    /// stages its events, which it also returns.
    pub(crate) async fn execute_new<A: Decides>(
        &self,
        id: &str,
        command: A::Command,
        metadata: HashMap<String, String>,
    ) -> Result<Vec<A::Event>, Failure> {
        let found = Found::<A>::nothing(id);
        self.execute_on(found, command, metadata).await
    }

    /// Lets the account decide on `command` by its row. An account without a row was erased, or never was.
    pub(crate) async fn execute_on_account(
        &self,
        user: UserId,
        command: UserCommand,
        metadata: HashMap<String, String>,
    ) -> Result<Vec<UserEvent>, Failure> {
        let mut found = Found::<User>::nothing(&user.to_string());
        match self.account(user).await? {
            Some(row) => {
                found.aggregate = User::Registered(row.state());
                found.staged.base = Base::Account(Box::new(row));
            }
            None if self.store.is_erased(user).await? => found.aggregate = User::Erased,
            None => {}
        }
        self.execute_on(found, command, metadata).await
    }

    /// The account's row with the recent requests. An earlier version of this program left them out; then they come from
    /// the last of the account's events, once: the append of this command writes them into the row.
    async fn account(&self, user: UserId) -> Result<Option<Account>, StoreError> {
        let Some(mut row) = self.directory.account(user).await? else {
            return Ok(None);
        };
        if row.recent_requests.is_none() {
            row.recent_requests = Some(self.recent_requests(user).await?);
        }
        Ok(Some(row))
    }

    /// The recent requests as the account's events tell of them. Should one be added after the row was read, the append is
    /// a conflict.
    async fn recent_requests(&self, user: UserId) -> Result<RecentRequests, StoreError> {
        let stream = StreamId {
            kind: AggregateKind::User,
            id: user.to_string(),
        };
        let mut requests = RecentRequests::default();
        for (event_type, limit) in RecentRequests::EVENT_TYPES {
            for event in self.store.last_events(&stream, event_type, limit).await? {
                let event = serde_json::from_value(event.payload)
                    .map_err(|source| StoreError::Unreadable(Box::new(source)))?;
                requests.apply(&event);
            }
        }
        Ok(requests)
    }

    /// Looks up the session on which a command is to be decided by [`Self::execute_on_session`].
    pub(crate) async fn session(
        &self,
        session: SessionId,
    ) -> Result<Option<SessionStanding>, StoreError> {
        if self.is_first {
            self.directory.session_to_append_to(session).await
        } else {
            self.directory.session(session).await
        }
    }

    /// Lets a session whose row was read just now by [`Self::session`] decide on `command`. Should it have changed since,
    /// the append is a conflict, and the caller has to read it again. So it has if the command is refused by a row that is
    /// not proven to be the last one.
    pub(crate) async fn execute_on_session(
        &self,
        session: SessionRecord,
        command: SessionCommand,
        metadata: HashMap<String, String>,
    ) -> Result<Vec<SessionEvent>, Failure> {
        let mut found = Found::nothing(&session.id.to_string());
        found.aggregate = Session::Started(session.state());
        found.staged.base = Base::Session(Box::new(session));
        let decided = self.execute_on::<Session>(found, command, metadata).await;
        match decided {
            Err(Failure::Refused(_)) if self.is_first => Err(Failure::Conflict),
            decided => decided,
        }
    }

    /// Lets the account's refused logins of the day decide on `command` by their number. An event beyond the most that a day
    /// has is none that this program wrote, and keeps none from being recorded.
    pub(crate) async fn execute_on_refused_logins(
        &self,
        user: UserId,
        command: RecordRefusedLogin,
        metadata: HashMap<String, String>,
    ) -> Result<(), Failure> {
        let id = RefusedLogins::stream_of(user, command.at);
        let mut found = Found::<RefusedLogins>::nothing(&id);
        let stream = &found.staged.stream;
        let most = u64::from(MAX_PER_DAY);
        let count = self.store.last_sequence(stream, most).await?;
        if count == most {
            tracing::warn!(%user, "failed logins of this account are no longer recorded today: the daily limit of {most} is reached");
        }
        found.aggregate = RefusedLogins::recorded(count);
        found.staged.base = Base::Events(count);
        self.execute_on(found, command, metadata).await?;
        Ok(())
    }

    async fn execute_on<A: Decides>(
        &self,
        found: Found<A>,
        command: A::Command,
        metadata: HashMap<String, String>,
    ) -> Result<Vec<A::Event>, Failure> {
        let Found {
            mut aggregate,
            mut staged,
        } = found;
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

    /// Lets nothing of what was staged about the account of `user` happen if it takes away the last administrator who can
    /// sign in. Where the account is no such administrator's as its row was read, there is nothing to take away.
    pub(crate) fn leave_an_administrator_beside(&self, user: UserId) {
        let mut staged = lock(&self.staged);
        let administers = |row: &Account| row.id == user && row.role == Role::Admin && !row.locked;
        let bases = staged.streams.iter().map(|stream| &stream.base);
        if bases.filter_map(Base::account).any(administers) {
            staged.leaves_an_administrator_beside = Some(user);
        }
    }

    /// Makes all that was staged true at once. Without any event there is nothing to make true.
    pub(crate) async fn commit(self) -> Result<(), Failure> {
        let mut append = std::mem::take(&mut *lock(&self.staged));
        if append.streams.is_empty() {
            return Ok(());
        }
        append.not_after = Deadline::current();
        Ok(self.store.append(append).await?)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An aggregate as a command finds it, and the stream to which it will add.
struct Found<A> {
    aggregate: A,
    staged: StagedStream,
}

impl<A: Decides> Found<A> {
    fn nothing(id: &str) -> Self {
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
        for (losses, is_decided) in [(0, true), (1, true), (150, true), (TRIES, false)] {
            let tries = AtomicU32::new(0);
            let turns = Turns::default();
            let decided = turns.decide("session", |is_first| {
                let tried = tries.fetch_add(1, Ordering::Relaxed);
                assert_eq!(is_first, tried == 0);
                std::future::ready(if tried < losses {
                    Err(Failure::Conflict)
                } else {
                    Ok(tried)
                })
            });
            assert_eq!(decided.await.is_ok(), is_decided, "{losses}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_command_that_comes_later_waits_for_one_that_lost() {
        let turns = Arc::new(Turns::default());
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
                        return Err(Failure::Conflict);
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
                    Ok::<_, Failure>(())
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
