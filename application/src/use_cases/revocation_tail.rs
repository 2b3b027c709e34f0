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
    pub async fn run(self) {
        let mut silent = false;
        loop {
            let Err(error) = self.follow(&mut silent).await else {
                continue;
            };
            self.list.is_incomplete();
            self.known_accounts.forget_all();
            if !silent {
                tracing::warn!(%error, "tokens are checked against the store until its revocations were read again");
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
