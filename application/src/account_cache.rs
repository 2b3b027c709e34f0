//! The account cache: repeated requests about one account do not query the store.
//!
//! A cached account decides what the bearer of a token may do only if the token has the account's session epoch: a
//! change of role begins a new epoch. Its other fields may be as stale as the log feed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use authlog_domain::UserId;
use quick_cache::sync::Cache;

use crate::ports::{Account, StoreError};

/// The largest number of accounts in the cache: a few megabytes. Frequently requested accounts stay.
const MAX_ACCOUNTS: usize = 8192;

/// The cached accounts of a node, and the lookups in progress.
pub(crate) struct AccountCache {
    accounts: Cache<UserId, Known>,
    /// How many times the whole cache was cleared.
    generation: AtomicU64,
}

/// An account, and the generation in which its lookup started.
#[derive(Clone)]
struct Known {
    account: Arc<Account>,
    generation: u64,
}

impl Default for AccountCache {
    fn default() -> Self {
        Self {
            accounts: Cache::new(MAX_ACCOUNTS),
            generation: AtomicU64::new(0),
        }
    }
}

impl AccountCache {
    /// The cached account if `is_usable` accepts it, otherwise the result of `look_up`. Concurrent callers share one lookup.
    ///
    /// # Errors
    /// The lookup failed.
    pub(crate) async fn get<F>(
        &self,
        user: UserId,
        is_usable: impl Fn(&Account) -> bool,
        look_up: impl Fn() -> F,
    ) -> Result<Option<Arc<Account>>, StoreError>
    where
        F: Future<Output = Result<Option<Account>, StoreError>>,
    {
        loop {
            match self.accounts.get_value_or_guard_async(&user).await {
                Ok(known) if self.is_current(&known) && is_usable(&known.account) => {
                    return Ok(Some(known.account));
                }
                // It is looked up again: the lookup of another caller may have started before this call.
                Ok(known) => {
                    self.accounts
                        .remove_if(&user, |it| Arc::ptr_eq(&it.account, &known.account));
                }
                Err(place) => {
                    let generation = self.generation.load(Ordering::Acquire);
                    let account = look_up().await?.map(Arc::new);
                    if let Some(account) = &account {
                        // If the account was removed from the cache meanwhile, this insertion has no effect.
                        let _no_place = place.insert(Known {
                            account: Arc::clone(account),
                            generation,
                        });
                    }
                    return Ok(account);
                }
            }
        }
    }

    fn is_current(&self, known: &Known) -> bool {
        known.generation == self.generation.load(Ordering::Acquire)
    }

    /// Removes changed accounts. A lookup in progress still answers its waiting callers, but its result is not cached:
    /// it may have read the account before the change.
    pub(crate) fn forget(&self, users: impl IntoIterator<Item = UserId>) {
        for user in users {
            self.accounts.remove(&user);
        }
    }

    /// Clears the cache, and does not cache the results of lookups in progress.
    pub(crate) fn forget_all(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use authlog_domain::{AccountNumber, CredentialId, Role, Timestamp};
    use uuid::Uuid;

    use super::*;
    use futures_util::FutureExt as _;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::sync::Semaphore;

    fn account() -> Account {
        let at = Timestamp::from_unix_millis(0);
        Account {
            id: UserId::new(Uuid::from_u128(1)),
            version: 1,
            number: AccountNumber::new(1),
            username: None,
            email: None,
            email_verified: false,
            name: None,
            phone: None,
            role: Role::User,
            credential: CredentialId::new(Uuid::from_u128(2)),
            locked: false,
            session_epoch: 0,
            kept_session: None,
            pending_reset: None,
            pending_verification: None,
            recent_requests: None,
            second_factors: authlog_domain::user::SecondFactors::default(),
            consents: authlog_domain::user::Consents::default(),
            created_at: at,
            updated_at: at,
        }
    }

    /// A store that answers as often as the test permits, and counts its queries.
    struct Store {
        answers: Semaphore,
        asked: AtomicU32,
    }

    impl Store {
        fn with_answers(count: usize) -> Self {
            Self {
                answers: Semaphore::new(count),
                asked: AtomicU32::new(0),
            }
        }

        async fn account(&self) -> Result<Option<Account>, StoreError> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            self.answers.acquire().await.unwrap().forget();
            Ok(Some(account()))
        }

        fn asked(&self) -> u32 {
            self.asked.load(Ordering::Relaxed)
        }
    }

    #[tokio::test]
    async fn two_hundred_concurrent_requests_cost_one_lookup() {
        let (known, store) = (AccountCache::default(), Store::with_answers(0));
        let ask = || known.get(account().id, |_| true, || store.account());
        let answers = futures_util::future::join_all((0..200).map(|_| ask()));
        let answering = async {
            tokio::task::yield_now().await;
            store.answers.add_permits(200);
        };
        let (answers, ()) = tokio::join!(answers, answering);
        for answer in answers {
            assert_eq!(*answer.unwrap().unwrap(), account());
        }
        assert_eq!(store.asked(), 1);
    }

    #[tokio::test]
    async fn a_changed_account_is_looked_up_again() {
        let (known, store) = (AccountCache::default(), Store::with_answers(2));
        let ask = || known.get(account().id, |_| true, || store.account());
        for _ in 0..2 {
            ask().await.unwrap();
        }
        assert_eq!(store.asked(), 1);
        known.forget([account().id]);
        ask().await.unwrap();
        assert_eq!(store.asked(), 2);
    }

    #[tokio::test]
    async fn an_account_that_changes_during_its_lookup_is_not_cached() {
        let (known, store) = (AccountCache::default(), Store::with_answers(0));
        let ask = || known.get(account().id, |_| true, || store.account());
        let change = async {
            tokio::task::yield_now().await;
            known.forget([account().id]);
            store.answers.add_permits(2);
        };
        let (first, ()) = tokio::join!(ask(), change);
        assert!(first.unwrap().is_some());
        ask().await.unwrap();
        assert_eq!(store.asked(), 2);
    }

    #[tokio::test]
    async fn the_whole_cache_can_be_cleared() {
        let (known, store) = (AccountCache::default(), Store::with_answers(0));
        let ask = || known.get(account().id, |_| true, || store.account());
        let forget = async {
            tokio::task::yield_now().await;
            known.forget_all();
            store.answers.add_permits(3);
        };
        let (first, ()) = tokio::join!(ask(), forget);
        assert!(first.unwrap().is_some());
        // The result of the lookup in progress is not cached either.
        for _ in 0..2 {
            ask().await.unwrap();
        }
        assert_eq!(store.asked(), 2);
        known.forget_all();
        ask().await.unwrap();
        assert_eq!(store.asked(), 3);
    }

    #[tokio::test]
    async fn a_cached_account_that_is_not_usable_is_looked_up_once() {
        let (known, store) = (AccountCache::default(), Store::with_answers(2));
        known
            .get(account().id, |_| true, || store.account())
            .await
            .unwrap();
        let newest = known.get(account().id, |_| false, || store.account());
        assert!(newest.await.unwrap().is_some());
        assert_eq!(store.asked(), 2);
    }

    #[tokio::test]
    async fn a_missing_account_is_not_cached() {
        let (known, store) = (AccountCache::default(), Store::with_answers(1));
        let id = account().id;
        let absent = known.get(id, |_| true, || async { Ok(None) });
        assert_eq!(absent.await.unwrap(), None);
        let there = known.get(id, |_| true, || store.account());
        assert!(there.await.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_caller_that_goes_away_leaves_the_lookup_to_those_who_wait() {
        let (known, store) = (AccountCache::default(), Store::with_answers(0));
        let ask = || Box::pin(known.get(account().id, |_| true, || store.account()));
        let (mut first, mut second) = (ask(), ask());
        assert!((&mut first).now_or_never().is_none());
        assert!((&mut second).now_or_never().is_none());
        assert_eq!(store.asked(), 1);
        drop(first);
        store.answers.add_permits(1);
        assert!(second.await.unwrap().is_some());
        assert_eq!(store.asked(), 2);
    }

    #[tokio::test]
    async fn a_failed_lookup_fails_one_caller_only() {
        let (known, store) = (AccountCache::default(), Store::with_answers(0));
        let look_up = || async {
            store.account().await?;
            match store.asked() {
                1 => Err(StoreError::Unavailable("away".into())),
                _ => Ok(Some(account())),
            }
        };
        let ask = || known.get(account().id, |_| true, look_up);
        let answers = futures_util::future::join_all((0..3).map(|_| ask()));
        let answering = async {
            tokio::task::yield_now().await;
            store.answers.add_permits(2);
        };
        let (answers, ()) = tokio::join!(answers, answering);
        let failed = answers.iter().filter(|answer| answer.is_err()).count();
        assert_eq!((failed, store.asked()), (1, 2));
    }
}
