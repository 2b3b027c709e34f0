//! Hearing of sessions that end, and of accounts that are erased, on other nodes.

use std::sync::Arc;
use std::time::Duration;

use authlog_domain::{Timestamp, UserId};
use tokio::sync::mpsc;

use crate::RevocationList;
use crate::known_accounts::KnownAccounts;
use crate::ports::{Clock, ClockReading, Revocation, RevocationSource, StoreError};
use crate::revocation_list::KEEP_FOR;

/// How often the source is asked. A logout on one node is a refusal on every other within a few of these.
const EVERY: Duration = Duration::from_millis(20);

/// How long to wait after the source did not answer.
const AFTER_FAILURE: Duration = Duration::from_millis(200);

/// Keeps a node's deny list as new as the log.
///
/// A reader of the source is bound to one history of the store. When it fails, a failover or a crash may have taken back
/// what it read, and given its numbers out again. So everything that this node knows from it is dropped, and read from
/// the store once more before the list counts as complete (`docs/adr/0009`).
pub struct RevocationTail {
    source: Arc<dyn RevocationSource>,
    clock: Arc<dyn Clock>,
    list: Arc<RevocationList>,
    known_accounts: Arc<KnownAccounts>,
    erased: mpsc::UnboundedSender<UserId>,
}

impl RevocationTail {
    pub(crate) fn new(
        source: Arc<dyn RevocationSource>,
        clock: Arc<dyn Clock>,
        list: Arc<RevocationList>,
        known_accounts: Arc<KnownAccounts>,
        erased: mpsc::UnboundedSender<UserId>,
    ) -> Self {
        Self {
            source,
            clock,
            list,
            known_accounts,
            erased,
        }
    }

    /// Listens until it is dropped. While the source does not answer the list says that it is incomplete.
    pub async fn run(&self) {
        let mut silent = false;
        loop {
            let Err(error) = self.follow(&mut silent).await else {
                continue;
            };
            self.list.is_incomplete();
            self.known_accounts.forget_all();
            if !silent {
                tracing::warn!(%error, "revocations cannot be read; tokens are checked against the store until they can");
            }
            silent = true;
            tokio::time::sleep(AFTER_FAILURE).await;
        }
    }

    /// Follows one reader until it fails, or until the clock turns out to have been ahead when this began: then too little was
    /// read.
    async fn follow(&self, silent: &mut bool) -> Result<(), StoreError> {
        let mut reader = self.source.follow_revocations().await?;
        // Not before: while no store answers, what was refused stays refused. What this node itself commits from here on
        // comes back to it with the first news.
        self.list.start_over();
        self.known_accounts.forget_all();
        let started_at = self.clock.now();
        let mut sink = |revocations: Vec<Revocation>| self.learn(&revocations, started_at);
        let since = started_at.minus(KEEP_FOR);
        reader.read_since(since, &mut sink).await?;
        self.list.was_read_since(since);
        loop {
            let asked = ClockReading::of(&*self.clock);
            if !self.list.reaches_back(asked.wall) {
                return Ok(());
            }
            let revocations = reader.read_new().await?;
            self.learn(&revocations, asked.wall);
            self.list.is_complete_as_of(asked);
            *silent = false;
            tokio::time::sleep(EVERY).await;
        }
    }

    fn learn(&self, news: &[Revocation], asked_at: Timestamp) {
        self.list.add_all(news, asked_at);
        for revocation in news {
            if let Revocation::Erased { user, .. } = revocation {
                // Whoever would sweep up after it may have been left out; the tokens are refused all the same.
                let _ = self.erased.send(*user);
            }
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
    use crate::Standing;
    use crate::ports::{RevocationReader, RevocationSink, TokenKind, VerifiedToken};

    /// A store of one history after another. A reader fails once its history is over.
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
        /// Begins another, in which these revocations were recorded.
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

    /// What the list says of a token of that session.
    fn standing(list: &RevocationList, number: u128) -> Standing {
        let token = VerifiedToken {
            kind: TokenKind::Access,
            token: Uuid::from_u128(1),
            user: UserId::new(Uuid::from_u128(number)),
            session: session(number),
            epoch: 0,
            issued_at: Now.now(),
            expires_at: Now.now(),
        };
        list.standing(&token, Now.now())
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_node_knows_of_a_lost_history_is_forgotten_and_the_next_one_is_read_whole() {
        let histories = Arc::new(Histories::default());
        let list = Arc::new(RevocationList::new(Arc::new(Now)));
        let (erased, _sweeper) = mpsc::unbounded_channel();
        let tail = RevocationTail::new(
            histories.clone(),
            Arc::new(Now),
            Arc::clone(&list),
            Arc::default(),
            erased,
        );
        tokio::spawn(async move { tail.run().await });
        let a_moment = || tokio::time::sleep(Duration::from_secs(1));
        a_moment().await;
        assert_eq!(standing(&list, 1), Standing::Unknown);

        histories.begin(vec![Revocation::Session(session(1))]);
        a_moment().await;
        histories.record(Revocation::Session(session(2)));
        a_moment().await;
        let of = |list: &RevocationList| [1, 2, 3].map(|number| standing(list, number));
        assert_eq!(
            of(&list),
            [Standing::Ended, Standing::Ended, Standing::Live]
        );

        // The second end is lost, and a third came before this node was back.
        histories.begin(
            [1, 3]
                .map(|number| Revocation::Session(session(number)))
                .into(),
        );
        tokio::time::sleep(EVERY + Duration::from_millis(5)).await;
        assert_eq!(
            of(&list),
            [Standing::Ended, Standing::Ended, Standing::Unknown]
        );
        a_moment().await;
        assert_eq!(
            of(&list),
            [Standing::Ended, Standing::Live, Standing::Ended]
        );
    }
}
