//! Hearing of sessions that end, and of accounts that are erased, on other nodes.

use std::sync::Arc;
use std::time::Duration;

use authlog_domain::{Timestamp, UserId};
use tokio::sync::mpsc;

use crate::RevocationList;
use crate::ports::{
    Clock, ClockReading, Revocation, RevocationCursor, RevocationSource, StoreError,
};
use crate::revocation_list::KEEP_FOR;

/// How often the source is asked. A logout on one node is a refusal on every other within a few of these.
const EVERY: Duration = Duration::from_millis(20);

/// How long to wait after the source did not answer.
const AFTER_FAILURE: Duration = Duration::from_millis(200);

/// Keeps a node's deny list as new as the log.
pub struct RevocationTail {
    source: Arc<dyn RevocationSource>,
    clock: Arc<dyn Clock>,
    list: Arc<RevocationList>,
    erased: mpsc::UnboundedSender<UserId>,
}

impl RevocationTail {
    pub(crate) fn new(
        source: Arc<dyn RevocationSource>,
        clock: Arc<dyn Clock>,
        list: Arc<RevocationList>,
        erased: mpsc::UnboundedSender<UserId>,
    ) -> Self {
        Self {
            source,
            clock,
            list,
            erased,
        }
    }

    /// Listens until it is dropped. While the source does not answer the list grows stale and says so.
    pub async fn run(self) {
        let mut cursor = None;
        let mut silent = false;
        loop {
            match self.listen(cursor).await {
                Ok(next) => {
                    cursor = Some(next);
                    silent = false;
                    tokio::time::sleep(EVERY).await;
                }
                Err(error) => {
                    if !silent {
                        tracing::warn!(%error, "tokens are checked against the store until news of ended sessions arrive again");
                    }
                    silent = true;
                    tokio::time::sleep(AFTER_FAILURE).await;
                }
            }
        }
    }

    async fn listen(
        &self,
        cursor: Option<RevocationCursor>,
    ) -> Result<RevocationCursor, StoreError> {
        let asked = ClockReading::of(&*self.clock);
        let asked_at = asked.wall;
        // Under a clock that was ahead the list was read from too late on.
        let cursor = cursor.filter(|_| self.list.reaches_back(asked_at));
        let next = match cursor {
            Some(cursor) => {
                let (news, next) = self.source.revocations_after(cursor).await?;
                self.learn(&news, asked_at);
                next
            }
            None => {
                let since = asked_at.minus(KEEP_FOR);
                let mut learn = |news: Vec<Revocation>| self.learn(&news, asked_at);
                let next = self.source.revocations_since(since, &mut learn).await?;
                self.list.was_read_since(since);
                next
            }
        };
        self.list.is_complete_as_of(asked);
        Ok(next)
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
