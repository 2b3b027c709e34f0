//! Periodic removal of expired data.

use std::sync::Arc;
use std::time::Duration;

use authlog_domain::Timestamp;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Stop, Worker};
use crate::ports::{Clock, Housekeeping, SESSION_ROW_RETENTION, StoreError};
use crate::revocation_list::KEEP_FOR;

/// The interval between removals of expired data. Token digests are small, and few expire within an hour.
const EVERY: Duration = Duration::from_secs(60 * 60);

/// The shortest time between two marks of the log.
pub(crate) const MARK_EVERY: Duration = EVERY;

/// How many marks of the log are kept. Marks are at least [`MARK_EVERY`] apart, so these span the time for which revocations are
/// kept.
#[expect(clippy::cast_possible_truncation, reason = "some tens of hours")]
const MARKS: u32 = (KEEP_FOR.as_secs() / MARK_EVERY.as_secs()) as u32 + 1;

// The row of a session that ended is kept for longer than the revocation of the session is remembered.
const _: () = assert!(SESSION_ROW_RETENTION.as_secs() > KEEP_FOR.as_secs());

/// The interval between removals of ended sessions. All session rows are read, in batches, because an index on their expiry
/// would have to be updated with every refresh.
const SESSIONS_EVERY: Duration = Duration::from_secs(6 * 60 * 60);

/// Session rows in one batch: a few milliseconds of work.
const BATCH: u32 = 1000;

/// The pause between two batches, which leaves time for other work: a pass over the sessions uses a tenth of one connection.
const PAUSE: Duration = Duration::from_millis(50);

/// Removes expired data.
pub(crate) struct Housekeeper {
    store: Arc<dyn Housekeeping>,
    clock: Arc<dyn Clock>,
    sessions_left: Arc<Notify>,
}

impl Housekeeper {
    pub(crate) fn new(
        store: Arc<dyn Housekeeping>,
        clock: Arc<dyn Clock>,
        sessions_left: Arc<Notify>,
    ) -> Self {
        Self {
            store,
            clock,
            sessions_left,
        }
    }

    async fn continue_erasures(&self) {
        if let Err(error) = continue_erasures(&*self.store).await {
            tracing::warn!(%error, "could not delete the sessions of an erased account; will retry");
        }
    }

    async fn remove_ended_sessions(&self, now: Timestamp) -> Result<u64, StoreError> {
        let ended_before = now.minus(SESSION_ROW_RETENTION);
        let (mut after, mut removed) = (None, 0);
        while let Some(swept) = self
            .store
            .remove_ended_sessions(ended_before, after, BATCH)
            .await?
        {
            after = Some(swept.last);
            removed += swept.removed;
            tokio::time::sleep(PAUSE).await;
        }
        Ok(removed)
    }
}

impl Worker for Housekeeper {
    const NAME: &'static str = "housekeeper";
    const STOP: Stop = Stop::Abort;

    /// Works until it is dropped.
    async fn run(&mut self) {
        let mut sessions_due = Instant::now();
        let mut last_mark = None;
        loop {
            let now = self.clock.now();
            match self.store.remove_expired_tokens(now).await {
                Ok(removed) => tracing::debug!(removed, "expired tokens were removed"),
                Err(error) => tracing::warn!(%error, "could not delete expired tokens; will retry"),
            }
            match self.store.remove_unused_mail_budgets(now).await {
                Ok(removed) => tracing::debug!(removed, "unused mail budgets were removed"),
                Err(error) => {
                    tracing::warn!(%error, "could not delete unused mail budgets; will retry");
                }
            }
            match self.store.remove_expired_device_authorizations(now).await {
                Ok(removed) => tracing::debug!(removed, "expired requests of devices were removed"),
                Err(error) => {
                    tracing::warn!(%error, "could not delete expired requests of devices; will retry");
                }
            }
            match self.store.mark_log(last_mark, MARKS).await {
                Ok(mark) => last_mark = Some(mark),
                Err(error) => {
                    tracing::warn!(%error, "could not mark the end of the log; will retry");
                }
            }
            self.continue_erasures().await;
            if sessions_due <= Instant::now() {
                sessions_due = Instant::now() + SESSIONS_EVERY;
                match self.remove_ended_sessions(now).await {
                    Ok(removed) => tracing::debug!(removed, "ended sessions were removed"),
                    Err(error) => {
                        tracing::warn!(%error, "could not delete ended sessions; will retry");
                    }
                }
            }
            let again_at = Instant::now() + EVERY;
            while tokio::time::timeout_at(again_at, self.sessions_left.notified())
                .await
                .is_ok()
            {
                self.continue_erasures().await;
            }
        }
    }
}

/// Removes, in batches, the remaining sessions of erased accounts.
pub(crate) async fn continue_erasures(store: &dyn Housekeeping) -> Result<(), StoreError> {
    while store.continue_erasures(BATCH).await? {
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use authlog_domain::SessionId;
    use uuid::Uuid;

    use super::*;
    use crate::ports::{LogMark, SweptSessions};

    /// A store with this many sessions and unfinished erasures, which records the calls.
    struct Counting {
        sessions: u128,
        erasures: Mutex<u32>,
        asked: Mutex<Vec<String>>,
    }

    impl Counting {
        fn asked(&self, what: &str) -> usize {
            let asked = self.asked.lock().unwrap();
            asked.iter().filter(|it| it.starts_with(what)).count()
        }
    }

    struct Noon;

    impl Clock for Noon {
        fn now(&self) -> Timestamp {
            Timestamp::from_unix_millis(1_800_000_000_000)
        }
    }

    #[async_trait]
    impl Housekeeping for Counting {
        async fn remove_expired_tokens(&self, _: Timestamp) -> Result<u64, StoreError> {
            Ok(0)
        }

        async fn remove_unused_mail_budgets(&self, _: Timestamp) -> Result<u64, StoreError> {
            Ok(0)
        }

        async fn remove_expired_device_authorizations(
            &self,
            now: Timestamp,
        ) -> Result<u64, StoreError> {
            assert_eq!(now, Noon.now());
            self.asked.lock().unwrap().push("devices".to_owned());
            Ok(0)
        }

        async fn remove_ended_sessions(
            &self,
            ended_before: Timestamp,
            after: Option<SessionId>,
            limit: u32,
        ) -> Result<Option<SweptSessions>, StoreError> {
            let kept = Noon.now().since(ended_before);
            assert_eq!(kept, SESSION_ROW_RETENTION);
            let from = after.map_or(0, |after| after.as_uuid().as_u128());
            let last = self.sessions.min(from + u128::from(limit));
            let asked = format!("sessions {from} to {last}");
            self.asked.lock().unwrap().push(asked);
            Ok((last > from).then(|| SweptSessions {
                last: SessionId::new(Uuid::from_u128(last)),
                removed: 1,
            }))
        }

        async fn continue_erasures(&self, _: u32) -> Result<bool, StoreError> {
            self.asked.lock().unwrap().push("erasures".to_owned());
            let mut left = self.erasures.lock().unwrap();
            let more = *left > 0;
            *left = left.saturating_sub(1);
            Ok(more)
        }

        async fn mark_log(&self, last: Option<LogMark>, keep: u32) -> Result<LogMark, StoreError> {
            assert_eq!(EVERY * (keep - 1), KEEP_FOR);
            self.asked
                .lock()
                .unwrap()
                .push(format!("mark after {last:?}"));
            Ok(LogMark(last.map_or(1, |LogMark(last)| last + 1)))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn sessions_are_removed_in_batches_four_times_a_day_and_erasures_continue_at_once() {
        let store = Arc::new(Counting {
            sessions: 2500,
            erasures: Mutex::new(2),
            asked: Mutex::default(),
        });
        let wake = Arc::new(Notify::new());
        let mut keeper = Housekeeper::new(store.clone(), Arc::new(Noon), Arc::clone(&wake));
        let working = tokio::spawn(async move { keeper.run().await });
        let minute = Duration::from_secs(60);
        tokio::time::sleep(minute).await;
        // Three batches and one empty one; two erasures and one empty one.
        assert_eq!((store.asked("sessions"), store.asked("erasures")), (4, 3));
        *store.erasures.lock().unwrap() = 1;
        wake.notify_one();
        tokio::time::sleep(minute).await;
        assert_eq!((store.asked("sessions"), store.asked("erasures")), (4, 5));
        tokio::time::sleep(6 * EVERY).await;
        assert_eq!(store.asked("sessions"), 8);
        assert_eq!(
            (store.asked("mark"), store.asked("mark after None")),
            (7, 1)
        );
        assert_eq!(store.asked("devices"), 7);
        working.abort();
    }
}
