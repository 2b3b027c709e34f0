//! Limits for requests that read a page of an account's history: no account may have more than a few at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use authlog_domain::UserId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::NoPlace;

/// How many pages a node reads at a time: fewer than a pool has connections, so that other requests find a free
/// connection.
const PAGES: usize = 8;

/// How many of them may be for one account: one that is read from the store and one that is serialised.
const PAGES_OF_AN_ACCOUNT: usize = 2;

/// How long a request waits for a place before it is refused.
const MAX_WAIT: Duration = Duration::from_secs(1);

/// The places, by account.
pub(crate) struct PagePlaces {
    node: Arc<Semaphore>,
    accounts: Mutex<HashMap<UserId, Arc<Semaphore>>>,
}

impl Default for PagePlaces {
    fn default() -> Self {
        Self {
            node: Arc::new(Semaphore::new(PAGES)),
            accounts: Mutex::default(),
        }
    }
}

impl PagePlaces {
    /// Takes a place for a request of an account. Requests are served in the order of arrival.
    ///
    /// # Errors
    /// No place became free in time.
    pub async fn take(self: &Arc<Self>, account: UserId) -> Result<PagePlace, NoPlace> {
        let deadline = Instant::now() + MAX_WAIT;
        let turn = Turn::of(self, account);
        let of_account = acquired(&turn.places_of_account, deadline).await;
        let of_account = of_account.ok_or(NoPlace::Account)?;
        let of_node = acquired(&self.node, deadline).await.ok_or(NoPlace::Node)?;
        Ok(PagePlace {
            _of_node: of_node,
            _of_account: of_account,
            _turn: turn,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<UserId, Arc<Semaphore>>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn acquired(places: &Arc<Semaphore>, deadline: Instant) -> Option<OwnedSemaphorePermit> {
    let place = timeout_at(deadline, Arc::clone(places).acquire_owned());
    place.await.ok()?.ok()
}

/// A place, which is free again when this is dropped.
pub(crate) struct PagePlace {
    _of_node: OwnedSemaphorePermit,
    _of_account: OwnedSemaphorePermit,
    /// Dropped last: it then checks whether another request uses the account's places.
    _turn: Turn,
}

/// A request that has a place of its account or waits for one.
struct Turn {
    places: Arc<PagePlaces>,
    account: UserId,
    places_of_account: Arc<Semaphore>,
}

impl Turn {
    fn of(places: &Arc<PagePlaces>, account: UserId) -> Self {
        let mut accounts = places.lock();
        let of_account = accounts
            .entry(account)
            .or_insert_with(|| Arc::new(Semaphore::new(PAGES_OF_AN_ACCOUNT)));
        Self {
            places: Arc::clone(places),
            account,
            places_of_account: Arc::clone(of_account),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut accounts = self.places.lock();
        // One reference is in the map and one is here.
        if Arc::strong_count(&self.places_of_account) <= 2 {
            accounts.remove(&self.account);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn account(number: u128) -> UserId {
        UserId::new(Uuid::from_u128(number))
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_reads_two_pages_at_a_time_and_a_node_eight() {
        let places = Arc::new(PagePlaces::default());
        let mut held = Vec::new();
        for number in 0..4 {
            for _ in 0..2 {
                held.push(places.take(account(number)).await.ok().unwrap());
            }
            let third = places.take(account(number)).await.err();
            assert_eq!(third, Some(NoPlace::Account));
        }
        assert_eq!(places.take(account(4)).await.err(), Some(NoPlace::Node));
        held.pop();
        assert!(places.take(account(4)).await.is_ok());
        drop(held);
        assert_eq!(places.node.available_permits(), PAGES);
        assert!(places.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_waits_for_a_place_and_leaves_nothing_when_it_is_cancelled() {
        let places = Arc::new(PagePlaces::default());
        let first = places.take(account(1)).await.ok().unwrap();
        let second = places.take(account(1)).await.ok().unwrap();
        let waiting = tokio::spawn({
            let places = Arc::clone(&places);
            async move { places.take(account(1)).await }
        });
        tokio::time::sleep(MAX_WAIT / 2).await;
        drop(first);
        let third = waiting.await.unwrap();
        assert!(third.is_ok());
        let gone = tokio::spawn({
            let places = Arc::clone(&places);
            async move { places.take(account(1)).await }
        });
        tokio::time::sleep(MAX_WAIT / 2).await;
        gone.abort();
        assert!(gone.await.is_err());
        drop((second, third));
        assert_eq!(places.node.available_permits(), PAGES);
        assert!(places.lock().is_empty());
    }
}
