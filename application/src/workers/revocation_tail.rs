//! Follows the sessions that end and the accounts that are erased on other nodes.

use std::sync::Arc;
use std::time::Duration;

use authlog_domain::{Timestamp, UserId};
use tokio::sync::mpsc;

use super::{Stop, Worker};
use crate::RevocationList;
use crate::account_cache::AccountCache;
use crate::ports::{Clock, ClockReading, Revocation, RevocationSource, StoreError};
use crate::revocation_list::KEEP_FOR;

/// How often the source is polled. After a logout on one node, every other node refuses the token within a few polls.
const EVERY: Duration = Duration::from_millis(20);

/// The pause after the source failed.
const AFTER_FAILURE: Duration = Duration::from_millis(200);

/// Keeps a node's deny list up to date with the log.
///
/// A reader is bound to one history of the store. When it fails, a failover or a crash may have undone what it read and
/// reused the log indices. So this node drops everything that it read, and reads it again from the store before the list
/// counts as complete (`docs/adr/0009`).
pub(crate) struct RevocationTail {
    source: Arc<dyn RevocationSource>,
    clock: Arc<dyn Clock>,
    list: Arc<RevocationList>,
    account_cache: Arc<AccountCache>,
    erased: mpsc::UnboundedSender<UserId>,
}

impl RevocationTail {
    pub(crate) fn new(
        source: Arc<dyn RevocationSource>,
        clock: Arc<dyn Clock>,
        list: Arc<RevocationList>,
        account_cache: Arc<AccountCache>,
        erased: mpsc::UnboundedSender<UserId>,
    ) -> Self {
        Self {
            source,
            clock,
            list,
            account_cache,
            erased,
        }
    }

    /// Follows one reader until it fails. Returns `Ok` if the clock was ahead at the start: then the first read did not reach
    /// far enough back, and following has to start again.
    async fn follow(&self, failing: &mut bool) -> Result<(), StoreError> {
        let mut reader = self.source.follow_revocations().await?;
        // Not before the store answers: until then, refused tokens stay refused. The first read includes everything that this
        // node commits from here on.
        self.list.start_over();
        self.account_cache.forget_all();
        let started_at = self.clock.now();
        let mut sink = |revocations: Vec<Revocation>| self.apply(&revocations, started_at);
        let since = started_at.minus(KEEP_FOR);
        reader.read_since(since, &mut sink).await?;
        self.list.note_read_since(since);
        loop {
            let asked = ClockReading::of(&*self.clock);
            if !self.list.reaches_back(asked.wall) {
                return Ok(());
            }
            let revocations = reader.read_new().await?;
            self.apply(&revocations, asked.wall);
            self.list.note_complete_as_of(asked);
            *failing = false;
            tokio::time::sleep(EVERY).await;
        }
    }

    fn apply(&self, revocations: &[Revocation], asked_at: Timestamp) {
        self.list.add_all(revocations, asked_at);
        for revocation in revocations {
            if let Revocation::Erased { user, .. } = revocation {
                // The mail sweeper may have stopped. The tokens are refused in any case.
                let _ = self.erased.send(*user);
            }
        }
    }
}

impl Worker for RevocationTail {
    const NAME: &'static str = "revocation_tail";
    const STOP: Stop = Stop::Abort;

    /// Follows until it is dropped. While the source fails, the list reports that it is incomplete.
    async fn run(&mut self) {
        let mut failing = false;
        loop {
            let Err(error) = self.follow(&mut failing).await else {
                continue;
            };
            self.list.note_incomplete();
            self.account_cache.forget_all();
            if !failing {
                tracing::warn!(%error, "revocations cannot be read; tokens are checked against the store until they can");
            }
            failing = true;
            tokio::time::sleep(AFTER_FAILURE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use authlog_domain::SessionId;
    use uuid::Uuid;

    use super::*;
    use crate::TokenStatus;
    use crate::ports::{RevocationReader, RevocationSink, TokenKind, VerifiedToken};

    /// A store whose history is replaced now and then. A reader of a replaced history fails.
    #[derive(Default)]
    struct Histories(Mutex<Vec<Vec<Revocation>>>);

    struct Reader<'a> {
        histories: &'a Histories,
        number: usize,
        read: usize,
    }

    fn away() -> StoreError {
        StoreError::Unavailable("away".into())
    }

    impl Histories {
        /// Replaces the history by one with these revocations.
        fn begin(&self, revocations: Vec<Revocation>) {
            self.0.lock().unwrap().push(revocations);
        }

        fn record(&self, revocation: Revocation) {
            self.0.lock().unwrap().last_mut().unwrap().push(revocation);
        }
    }

    #[async_trait]
    impl RevocationSource for Histories {
        async fn follow_revocations(&self) -> Result<Box<dyn RevocationReader + '_>, StoreError> {
            let histories = self.0.lock().unwrap();
            Ok(Box::new(Reader {
                histories: self,
                number: histories.len(),
                read: histories.last().ok_or_else(away)?.len(),
            }))
        }
    }

    #[async_trait]
    impl RevocationReader for Reader<'_> {
        async fn read_since(
            &mut self,
            _: Timestamp,
            sink: RevocationSink<'_>,
        ) -> Result<(), StoreError> {
            let histories = self.histories.0.lock().unwrap();
            sink(histories[self.number - 1][..self.read].to_vec());
            Ok(())
        }

        async fn read_new(&mut self) -> Result<Vec<Revocation>, StoreError> {
            let histories = self.histories.0.lock().unwrap();
            if histories.len() != self.number {
                return Err(away());
            }
            let new = histories[self.number - 1][self.read..].to_vec();
            self.read += new.len();
            Ok(new)
        }
    }

    struct Now;

    impl Clock for Now {
        fn now(&self) -> Timestamp {
            Timestamp::from_unix_millis(1_000_000_000)
        }
    }

    fn session(number: u128) -> SessionId {
        SessionId::new(Uuid::from_u128(number))
    }

    /// What the list says about a token of this session.
    fn standing(list: &RevocationList, number: u128) -> TokenStatus {
        let token = VerifiedToken {
            kind: TokenKind::Access,
            token: Uuid::from_u128(1),
            user: UserId::new(Uuid::from_u128(number)),
            session: session(number),
            epoch: 0,
            issued_at: Now.now(),
            expires_at: Now.now(),
            authentication: None,
        };
        list.standing(&token, Now.now())
    }

    #[tokio::test(start_paused = true)]
    async fn revocations_of_a_lost_history_are_dropped_and_the_next_history_is_read_completely() {
        let histories = Arc::new(Histories::default());
        let list = Arc::new(RevocationList::new(Arc::new(Now)));
        let (erased, _sweeper) = mpsc::unbounded_channel();
        let mut tail = RevocationTail::new(
            histories.clone(),
            Arc::new(Now),
            Arc::clone(&list),
            Arc::default(),
            erased,
        );
        tokio::spawn(async move { tail.run().await });
        let a_moment = || tokio::time::sleep(Duration::from_secs(1));
        a_moment().await;
        assert_eq!(standing(&list, 1), TokenStatus::Unknown);

        histories.begin(vec![Revocation::Session(session(1))]);
        a_moment().await;
        histories.record(Revocation::Session(session(2)));
        a_moment().await;
        let of = |list: &RevocationList| [1, 2, 3].map(|number| standing(list, number));
        assert_eq!(
            of(&list),
            [TokenStatus::Ended, TokenStatus::Ended, TokenStatus::Live]
        );

        // The new history lacks the end of session 2, and has the end of session 3.
        histories.begin(
            [1, 3]
                .map(|number| Revocation::Session(session(number)))
                .into(),
        );
        tokio::time::sleep(EVERY + Duration::from_millis(5)).await;
        assert_eq!(
            of(&list),
            [TokenStatus::Ended, TokenStatus::Ended, TokenStatus::Unknown]
        );
        a_moment().await;
        assert_eq!(
            of(&list),
            [TokenStatus::Ended, TokenStatus::Live, TokenStatus::Ended]
        );
    }
}
