//! Refresh tokens that were replaced on this node although their client may not have received the replacement.
//!
//! A client whose refresh fails as unavailable still has only its old token, and retries with it. If the exchange was
//! committed nevertheless (a slow commit, a broken connection to the store), the old token is not a sign of theft: the
//! client gets the replacement that it never received.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use authlog_domain::SessionId;

use crate::ports::Clock;

/// How long an unanswered exchange is remembered after its request ended: longer than most outages, during which the client
/// keeps retrying.
const REMEMBER_FOR: Duration = Duration::from_secs(10 * 60);

/// The largest number of exchanges that are remembered: more than the requests that are in progress when a store fails.
const MAX_EXCHANGES: usize = 10_000;

/// The exchanges of one node that are in progress, and those that ended without an answer.
pub(crate) struct UnansweredRefreshes {
    clock: Arc<dyn Clock>,
    exchanges: Mutex<HashMap<SessionId, Exchange>>,
}

struct Exchange {
    /// The generation of the presented token, which was the current one.
    generation: u32,
    /// When this entry expires, by the monotonic clock; `None` while the exchange is in progress.
    forget_at: Option<Duration>,
}

/// An exchange in progress. If it is dropped, it counts as unanswered.
pub(crate) struct RefreshInProgress<'a> {
    all: &'a UnansweredRefreshes,
    session: SessionId,
    generation: u32,
}

impl UnansweredRefreshes {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            exchanges: Mutex::default(),
        }
    }

    /// Records that the current token of a session is about to be replaced.
    pub(crate) fn begin(&self, session: SessionId, generation: u32) -> RefreshInProgress<'_> {
        let now = self.clock.monotonic();
        let mut exchanges = self.exchanges();
        if exchanges.len() >= MAX_EXCHANGES {
            exchanges.retain(|_, it| it.forget_at.is_none_or(|at| now < at));
        }
        if exchanges.len() < MAX_EXCHANGES {
            let forget_at = None;
            exchanges.insert(
                session,
                Exchange {
                    generation,
                    forget_at,
                },
            );
        }
        RefreshInProgress {
            all: self,
            session,
            generation,
        }
    }

    /// Whether the replacement of the token of this generation may not have reached the client.
    pub(crate) fn has(&self, session: SessionId, generation: u32) -> bool {
        let now = self.clock.monotonic();
        self.exchanges()
            .get(&session)
            .is_some_and(|it| it.generation == generation && it.forget_at.is_none_or(|at| now < at))
    }

    fn exchanges(&self) -> MutexGuard<'_, HashMap<SessionId, Exchange>> {
        self.exchanges
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl RefreshInProgress<'_> {
    /// Removes the exchange, because its client is still waiting and is about to be answered.
    pub(crate) fn answered(self) {
        let mut exchanges = self.all.exchanges();
        if exchanges
            .get(&self.session)
            .is_some_and(|it| it.generation == self.generation)
        {
            exchanges.remove(&self.session);
        }
    }
}

impl Drop for RefreshInProgress<'_> {
    fn drop(&mut self) {
        let forget_at = self.all.clock.monotonic() + REMEMBER_FOR;
        if let Some(exchange) = self.all.exchanges().get_mut(&self.session)
            && exchange.generation == self.generation
        {
            exchange.forget_at = Some(forget_at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use authlog_domain::Timestamp;
    use uuid::Uuid;

    struct SetClock(Mutex<Duration>);

    impl Clock for SetClock {
        fn now(&self) -> Timestamp {
            Timestamp::from_unix_millis(0)
        }

        fn monotonic(&self) -> Duration {
            *self.0.lock().unwrap()
        }
    }

    fn session(number: u128) -> SessionId {
        SessionId::new(Uuid::from_u128(number))
    }

    #[test]
    fn an_exchange_is_remembered_for_a_while_unless_it_was_answered() {
        let clock = Arc::new(SetClock(Mutex::default()));
        let refreshes = UnansweredRefreshes::new(clock.clone());
        let (lost, answered) = (session(1), session(2));
        let under_way = refreshes.begin(lost, 4);
        assert!(refreshes.has(lost, 4));
        drop(under_way);
        refreshes.begin(answered, 4).answered();
        assert!(refreshes.has(lost, 4));
        assert!(!refreshes.has(lost, 3));
        assert!(!refreshes.has(answered, 4));
        *clock.0.lock().unwrap() += REMEMBER_FOR;
        assert!(!refreshes.has(lost, 4));
    }

    #[test]
    fn the_number_of_remembered_exchanges_is_bounded() {
        let clock = Arc::new(SetClock(Mutex::default()));
        let refreshes = UnansweredRefreshes::new(clock.clone());
        for number in 0..MAX_EXCHANGES as u128 + 10 {
            drop(refreshes.begin(session(number), 0));
        }
        assert_eq!(refreshes.exchanges().len(), MAX_EXCHANGES);
        *clock.0.lock().unwrap() += REMEMBER_FOR;
        drop(refreshes.begin(session(u128::MAX), 0));
        assert!(refreshes.has(session(u128::MAX), 0));
        assert_eq!(refreshes.exchanges().len(), 1);
    }
}
