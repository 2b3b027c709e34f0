//! The deny list: ended sessions whose access tokens may not have expired yet.
//!
//! It lets a node verify tokens in memory. The commands of the node add to it at once; those of other nodes arrive
//! through the [`RevocationTail`](crate::workers::RevocationTail). If the list may be incomplete, it says so, and the
//! caller queries the store.
//!
//! Tokens expire by the wall clock, which can jump. So an entry stays until both clocks say that no token needs it, and
//! the list counts as complete only if it was read from far enough back for the current wall clock.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use authlog_domain::{SessionId, Timestamp, UserId};

use crate::LONGEST_ACCESS_TOKEN;
use crate::ports::{Clock, ClockReading, Revocation, VerifiedToken};

/// The maximum age of the last poll. If the last poll is older, tokens are checked against the store.
const STALE_AFTER: Duration = Duration::from_millis(500);

/// How long entries are kept: the longest lifetime of an access token, and an hour for tokens that are issued a little
/// later, by a concurrent login or a node whose clock differs. After that the token itself has expired.
pub(crate) const KEEP_FOR: Duration = Duration::from_secs(LONGEST_ACCESS_TOKEN.as_secs() + 60 * 60);

/// How long an entry is kept at most if the wall clock was set back after the entry was added. A clock that was set back by
/// days may never catch up, and the list must not grow until it does.
const KEEP_AT_MOST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The status of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenStatus {
    /// Its session is live.
    Live,
    /// Its session has ended.
    Ended,
    /// The list may be incomplete, and the store has to be queried.
    Unknown,
}

/// The deny list of one node.
pub struct RevocationList {
    clock: Arc<dyn Clock>,
    entries: RwLock<Entries>,
}

#[derive(Default)]
struct Entries {
    sessions: HashMap<SessionId, Added>,
    epochs: HashMap<UserId, Epoch>,
    /// When the last poll was sent whose answer is in the list; `None` while revocations may be missed.
    polled: Option<ClockReading>,
    /// The instant from which on every revocation was read; `None` until the list was read completely.
    read_since: Option<Timestamp>,
    /// When expired entries were last removed, by the monotonic clock.
    pruned: Option<Duration>,
}

/// The epoch of an account, and the session of an earlier epoch that continues.
struct Epoch {
    number: u32,
    kept: Option<SessionId>,
    added: Added,
}

/// When an entry was added, by both clocks. The times are integers of milliseconds to save memory: there may be a million
/// entries.
#[derive(Clone, Copy)]
struct Added {
    wall: i64,
    monotonic: u64,
}

impl RevocationList {
    /// An empty, incomplete list.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            entries: RwLock::default(),
        }
    }

    /// The status of the session of `token` at `now`.
    pub fn standing(&self, token: &VerifiedToken, now: Timestamp) -> TokenStatus {
        self.standing_under(token, None, now)
    }

    /// The status of the session of `token` at `now`, which also ends with the session `parent`. So the end of one session ends
    /// others, without an entry for each.
    pub fn standing_under(
        &self,
        token: &VerifiedToken,
        parent: Option<SessionId>,
        now: Timestamp,
    ) -> TokenStatus {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let has_ended = |session| entries.sessions.contains_key(&session);
        let ended = has_ended(token.session)
            || parent.is_some_and(has_ended)
            || entries.epochs.get(&token.user).is_some_and(|epoch| {
                token.epoch < epoch.number && epoch.kept != Some(token.session)
            });
        if ended {
            return TokenStatus::Ended;
        }
        let now = ClockReading {
            wall: now,
            monotonic: self.clock.monotonic(),
        };
        if entries.is_fresh(now) && entries.reaches_back(now.wall) {
            TokenStatus::Live
        } else {
            TokenStatus::Unknown
        }
    }

    /// Whether this session is known to have ended by an event of its own.
    pub fn has_ended(&self, session: SessionId) -> bool {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.sessions.contains_key(&session)
    }

    /// Adds a revocation by this node.
    pub fn add(&self, revocation: Revocation, now: Timestamp) {
        self.add_all(&[revocation], now);
    }

    /// Adds revocations read from the store.
    pub fn add_all(&self, revocations: &[Revocation], now: Timestamp) {
        if revocations.is_empty() {
            return;
        }
        let added = Added::at(now, self.clock.monotonic());
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        for revocation in revocations {
            entries.add(*revocation, added);
        }
    }

    /// Notes that every revocation from `since` on was read and added.
    pub fn note_read_since(&self, since: Timestamp) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        let read_since = entries
            .read_since
            .map_or(since, |earlier| earlier.min(since));
        entries.read_since = Some(read_since);
    }

    /// Whether the list was read from far enough back for a wall clock that says `now`. If not, because it was read under a
    /// clock that was ahead, all of it has to be read again.
    pub fn reaches_back(&self, now: Timestamp) -> bool {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.reaches_back(now)
    }

    /// Notes that every revocation that the store had when it was asked has been added.
    pub fn note_complete_as_of(&self, asked: ClockReading) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        entries.polled = Some(asked);
        entries.prune(asked);
    }

    /// Notes that revocations of other nodes may be missed from now on.
    pub fn note_incomplete(&self) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        entries.polled = None;
    }

    /// Removes every entry, so that the list is read from the store again. After a failover or a restore, entries may be of
    /// events that the store has lost. An account that lost its newest epoch would otherwise be refused for a day.
    pub fn start_over(&self) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        *entries = Entries::default();
    }
}

impl Entries {
    /// Whether the last poll is recent enough by both clocks: the monotonic clock may stand still while the machine is
    /// suspended, and the wall clock may have been set.
    fn is_fresh(&self, now: ClockReading) -> bool {
        self.polled.is_some_and(|polled| {
            now.monotonic.saturating_sub(polled.monotonic) <= STALE_AFTER
                && polled.wall <= now.wall
                && now.wall.since(polled.wall) <= STALE_AFTER
        })
    }

    /// Whether the list covers every access token that may be unexpired at `now`. It is read from [`KEEP_FOR`] ago, an hour
    /// more than necessary. So a clock that is set back by less does not make this node read the list again.
    fn reaches_back(&self, now: Timestamp) -> bool {
        self.read_since
            .is_some_and(|since| since <= now.minus(LONGEST_ACCESS_TOKEN))
    }

    fn add(&mut self, revocation: Revocation, added: Added) {
        match revocation {
            Revocation::Session(session) => {
                self.sessions.entry(session).or_insert(added);
            }
            Revocation::Epoch { user, epoch, kept } => self.raise(user, epoch, kept, added),
            Revocation::Erased { user, epoch } => self.raise(user, epoch, None, added),
        }
    }

    fn raise(&mut self, user: UserId, number: u32, kept: Option<SessionId>, added: Added) {
        let known = self.epochs.get(&user).map(|epoch| epoch.number);
        if known.is_none_or(|known| known < number) {
            let epoch = Epoch {
                number,
                kept,
                added,
            };
            self.epochs.insert(user, epoch);
        }
    }

    /// Removes the entries that no unexpired token needs, at most once a minute.
    fn prune(&mut self, now: ClockReading) {
        const EVERY: Duration = Duration::from_secs(60);
        let elapsed = |at| now.monotonic.saturating_sub(at);
        if self.pruned.is_some_and(|at| elapsed(at) < EVERY) {
            return;
        }
        self.sessions.retain(|_, added| added.is_needed(now));
        self.epochs.retain(|_, epoch| epoch.added.is_needed(now));
        self.pruned = Some(now.monotonic);
    }
}

impl Added {
    fn at(wall: Timestamp, monotonic: Duration) -> Self {
        Self {
            wall: wall.unix_millis(),
            monotonic: millis(monotonic),
        }
    }

    /// Whether a token that was issued before the entry was added may be unexpired. A token that was issued while the wall
    /// clock was ahead expires by that clock, so the entry stays until it has expired by both clocks.
    fn is_needed(self, now: ClockReading) -> bool {
        let elapsed = millis(now.monotonic).saturating_sub(self.monotonic);
        let wall_elapsed = now.wall.unix_millis().saturating_sub(self.wall);
        elapsed < millis(KEEP_FOR)
            || (elapsed < millis(KEEP_AT_MOST)
                && u64::try_from(wall_elapsed).unwrap_or(0) < millis(KEEP_FOR))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::{RevocationReader, RevocationSink, RevocationSource, StoreError, TokenKind};
    use crate::workers::{RevocationTail, Worker as _};
    use async_trait::async_trait;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU32, Ordering};
    use uuid::Uuid;

    const HOUR: Duration = Duration::from_secs(60 * 60);

    /// A clock that the test advances and sets.
    struct SetClock(Mutex<ClockReading>);

    impl Clock for SetClock {
        fn now(&self) -> Timestamp {
            self.0.lock().unwrap().wall
        }

        fn monotonic(&self) -> Duration {
            self.0.lock().unwrap().monotonic
        }
    }

    impl SetClock {
        fn pass(&self, duration: Duration) {
            self.0.lock().unwrap().monotonic += duration;
            self.set_ahead(duration);
        }

        fn set_ahead(&self, duration: Duration) {
            let mut reading = self.0.lock().unwrap();
            reading.wall = reading.wall.plus(duration);
        }

        fn set_back(&self, duration: Duration) {
            let mut reading = self.0.lock().unwrap();
            reading.wall = reading.wall.minus(duration);
        }
    }

    /// A list and its clock. The test reports when the list was read and polled.
    struct Node {
        clock: Arc<SetClock>,
        list: RevocationList,
    }

    impl Node {
        /// A list that has not been read.
        fn starting() -> Self {
            let clock = Arc::new(SetClock(Mutex::new(ClockReading {
                wall: Timestamp::from_unix_millis(1_000_000_000_000),
                monotonic: Duration::from_secs(5),
            })));
            let list = RevocationList::new(clock.clone());
            Self { clock, list }
        }

        /// A complete list.
        fn started() -> Self {
            let node = Self::starting();
            node.read();
            node.poll();
            node
        }

        fn read(&self) {
            self.list.note_read_since(self.clock.now().minus(KEEP_FOR));
        }

        fn poll(&self) {
            self.list
                .note_complete_as_of(ClockReading::of(&*self.clock));
        }

        fn add(&self, revocation: Revocation) {
            self.list.add(revocation, self.clock.now());
        }

        fn standing(&self, token: &VerifiedToken) -> TokenStatus {
            self.list.standing(token, self.clock.now())
        }
    }

    fn token(epoch: u32) -> VerifiedToken {
        VerifiedToken {
            kind: TokenKind::Access,
            token: Uuid::from_u128(3),
            user: UserId::new(Uuid::from_u128(1)),
            session: SessionId::new(Uuid::from_u128(2)),
            epoch,
            issued_at: Timestamp::from_unix_millis(0),
            expires_at: Timestamp::from_unix_millis(1_000_000),
            authentication: None,
        }
    }

    #[test]
    fn a_list_without_a_recent_poll_reports_that_it_may_be_incomplete() {
        let node = Node::starting();
        assert_eq!(node.standing(&token(0)), TokenStatus::Unknown);
        node.poll();
        assert_eq!(node.standing(&token(0)), TokenStatus::Unknown, "not read");
        node.read();
        assert_eq!(node.standing(&token(0)), TokenStatus::Live);
        node.clock.pass(STALE_AFTER);
        assert_eq!(node.standing(&token(0)), TokenStatus::Live);
        node.clock.pass(Duration::from_millis(1));
        assert_eq!(node.standing(&token(0)), TokenStatus::Unknown);
    }

    #[test]
    fn a_list_is_stale_if_either_clock_says_so() {
        let node = Node::started();
        node.clock.pass(HOUR);
        node.clock.set_back(HOUR);
        assert_eq!(node.standing(&token(0)), TokenStatus::Unknown, "set back");
        node.poll();
        // A suspended machine comes back with a monotonic clock that stood still.
        node.clock.set_ahead(HOUR);
        assert_eq!(node.standing(&token(0)), TokenStatus::Unknown, "suspended");
    }

    #[test]
    fn an_ended_session_stays_ended_even_when_the_list_is_stale() {
        let node = Node::starting();
        node.add(Revocation::Session(token(0).session));
        assert_eq!(node.standing(&token(0)), TokenStatus::Ended);
    }

    #[test]
    fn a_session_ends_with_its_parent() {
        let node = Node::started();
        let (token, parent) = (token(0), SessionId::new(Uuid::from_u128(7)));
        let standing = |parent| node.list.standing_under(&token, parent, node.clock.now());
        assert_eq!(standing(Some(parent)), TokenStatus::Live);
        node.add(Revocation::Session(parent));
        assert_eq!(standing(Some(parent)), TokenStatus::Ended);
        assert_eq!(standing(None), TokenStatus::Live);
    }

    #[test]
    fn a_later_epoch_ends_only_the_sessions_of_earlier_ones() {
        let node = Node::started();
        let user = token(0).user;
        let kept = None;
        for epoch in [2, 1] {
            node.add(Revocation::Epoch { user, epoch, kept });
        }
        assert_eq!(node.standing(&token(1)), TokenStatus::Ended);
        assert_eq!(node.standing(&token(2)), TokenStatus::Live);
    }

    #[test]
    fn a_kept_session_outlives_the_epoch_that_keeps_it_and_no_later_one() {
        let node = Node::started();
        let VerifiedToken { user, session, .. } = token(0);
        let other = VerifiedToken {
            session: SessionId::new(Uuid::from_u128(3)),
            ..token(0)
        };
        let kept = Some(session);
        let epoch = 1;
        node.add(Revocation::Epoch { user, epoch, kept });
        assert_eq!(node.standing(&token(0)), TokenStatus::Live);
        assert_eq!(node.standing(&other), TokenStatus::Ended);
        let (epoch, kept) = (2, None);
        node.add(Revocation::Epoch { user, epoch, kept });
        assert_eq!(node.standing(&token(0)), TokenStatus::Ended);
    }

    #[test]
    fn entries_are_forgotten_once_no_token_can_need_them() {
        let node = Node::started();
        let VerifiedToken { user, session, .. } = token(0);
        node.add(Revocation::Session(session));
        node.add(Revocation::Erased { user, epoch: 1 });
        node.clock.pass(KEEP_FOR - Duration::from_secs(61));
        node.poll();
        assert_eq!(node.standing(&token(0)), TokenStatus::Ended);
        node.clock.pass(Duration::from_secs(122));
        node.poll();
        assert_eq!(node.standing(&token(0)), TokenStatus::Live);
    }

    #[test]
    fn a_clock_that_is_ahead_for_a_moment_revives_nothing() {
        for hours in [26, 24 * 40] {
            let node = Node::started();
            let VerifiedToken { user, session, .. } = token(0);
            let other = VerifiedToken {
                session: SessionId::new(Uuid::from_u128(9)),
                ..token(0)
            };
            node.add(Revocation::Session(session));
            let (epoch, kept) = (1, None);
            node.add(Revocation::Epoch { user, epoch, kept });
            node.clock.pass(Duration::from_secs(90));
            node.clock.set_ahead(HOUR * hours);
            node.poll();
            node.clock.pass(Duration::from_secs(90));
            node.poll();
            node.clock.set_back(HOUR * hours);
            node.poll();
            assert_eq!(node.standing(&token(0)), TokenStatus::Ended);
            assert_eq!(node.standing(&other), TokenStatus::Ended);
        }
    }

    #[test]
    fn a_token_of_a_clock_that_was_ahead_stays_ended_until_it_expires_by_that_clock() {
        let node = Node::started();
        node.clock.set_ahead(HOUR * 10);
        node.add(Revocation::Session(token(0).session));
        node.clock.set_back(HOUR * 10);
        // Issued at hour 10, it expires at hour 34.
        node.clock.pass(HOUR * 34);
        node.poll();
        assert_eq!(node.standing(&token(0)), TokenStatus::Ended);
        node.clock.pass(HOUR * 2);
        node.poll();
        assert_eq!(node.standing(&token(0)), TokenStatus::Live);
    }

    #[test]
    fn a_clock_that_is_set_back_for_good_keeps_no_entry_for_good() {
        let node = Node::started();
        node.add(Revocation::Session(token(0).session));
        node.clock.set_back(HOUR * 24 * 400);
        node.read();
        node.clock.pass(KEEP_FOR + HOUR);
        node.poll();
        assert_eq!(node.standing(&token(0)), TokenStatus::Ended);
        node.clock.pass(KEEP_AT_MOST);
        node.poll();
        assert_eq!(node.standing(&token(0)), TokenStatus::Live);
    }

    #[test]
    fn a_list_that_was_read_under_a_clock_that_was_ahead_is_read_again() {
        let node = Node::starting();
        node.clock.set_ahead(HOUR * 26);
        node.read();
        node.poll();
        assert_eq!(node.standing(&token(0)), TokenStatus::Live);
        node.clock.set_back(HOUR * 26);
        node.poll();
        assert_eq!(node.standing(&token(0)), TokenStatus::Unknown);
        assert!(!node.list.reaches_back(node.clock.now()));
        node.read();
        assert_eq!(node.standing(&token(0)), TokenStatus::Live);
        // A list that was once read from far enough back is not read again after another jump of the clock.
        node.clock.set_ahead(HOUR * 26);
        node.poll();
        node.clock.set_back(HOUR * 26);
        node.poll();
        assert_eq!(node.standing(&token(0)), TokenStatus::Live);
    }

    /// A store that counts how often all of its revocations are read.
    #[derive(Default)]
    struct Store {
        readings: AtomicU32,
    }

    struct Reader<'a>(&'a Store);

    #[async_trait]
    impl RevocationSource for Store {
        async fn follow_revocations(&self) -> Result<Box<dyn RevocationReader + '_>, StoreError> {
            Ok(Box::new(Reader(self)))
        }
    }

    #[async_trait]
    impl RevocationReader for Reader<'_> {
        async fn read_since(
            &mut self,
            _since: Timestamp,
            _sink: RevocationSink<'_>,
        ) -> Result<(), StoreError> {
            self.0.readings.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }

        async fn read_new(&mut self) -> Result<Vec<Revocation>, StoreError> {
            Ok(vec![])
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_tail_reads_again_what_it_read_under_a_clock_that_was_ahead() {
        let Node { clock, list } = Node::starting();
        let (list, store) = (Arc::new(list), Arc::new(Store::default()));
        let (erased, _) = tokio::sync::mpsc::unbounded_channel();
        clock.set_ahead(HOUR * 26);
        let mut tail = RevocationTail::new(
            store.clone(),
            clock.clone(),
            list.clone(),
            Arc::default(),
            erased,
        );
        let tail = tokio::spawn(async move { tail.run().await });
        for (readings, set_back) in [(1, HOUR * 26), (2, Duration::ZERO), (2, Duration::ZERO)] {
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(store.readings.load(Ordering::SeqCst), readings);
            let now = clock.now();
            assert_eq!(list.standing(&token(0), now), TokenStatus::Live);
            clock.set_back(set_back);
        }
        tail.abort();
    }

    #[test]
    fn a_list_that_starts_over_has_no_entries_and_is_incomplete() {
        let node = Node::started();
        let (user, kept) = (token(0).user, None);
        let epoch = 1;
        node.add(Revocation::Epoch { user, epoch, kept });
        assert_eq!(node.standing(&token(0)), TokenStatus::Ended);
        assert_eq!(node.standing(&token(1)), TokenStatus::Live);
        node.list.note_incomplete();
        assert_eq!(node.standing(&token(0)), TokenStatus::Ended);
        assert_eq!(node.standing(&token(1)), TokenStatus::Unknown);
        node.list.start_over();
        assert_eq!(node.standing(&token(0)), TokenStatus::Unknown);
        node.poll();
        assert_eq!(node.standing(&token(0)), TokenStatus::Unknown, "not read");
        node.read();
        assert_eq!(node.standing(&token(0)), TokenStatus::Live);
    }
}
